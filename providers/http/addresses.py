"""Normal form of addresses: spellings that lead to the same place become equal."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

_OPEN_PORTS: Final = frozenset({None, 80, 443})
_AWS: Final = re.compile(r"s3([.-][a-z0-9-]+)*\.amazonaws\.com(\.cn)?")


def normal_address(url: str) -> str:
    """Host, port and path of a checked address, equal for all its spellings: upper case, default port, trailing '/' or
    '.', http for https (a server that offers both keeps the same objects)."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    host = (parts.hostname or "").rstrip(".")
    shown = f"[{host}]" if ":" in host else host
    port = "" if parts.port in _OPEN_PORTS else f":{parts.port}"
    return f"{shown}{port}{parts.path.rstrip('/')}"


def aws_partition(url: str, region: str) -> str:
    """The AWS partition ('AWS', or a separate one such as China), within which bucket names are unique; '' for an
    address outside AWS."""
    host = normal_address(url) if url else ""
    if host and not _AWS.fullmatch(host):
        return ""
    if host.endswith(".cn") or region.startswith("cn-"):
        return "AWS China"
    return "AWS GovCloud" if "us-gov-" in host or region.startswith("us-gov-") else "AWS"
