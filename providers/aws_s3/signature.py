"""AWS Signature Version 4 for S3, in the Authorization header.

Source: Amazon S3 API Reference, "Authenticating Requests: Using the Authorization Header". Written out here so that
the body is read only once, with its digest known beforehand. A test compares it with botocore.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from providers.secret import Secret

UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Keys:
    """Access keys for signing."""

    access_key: str
    secret_key: Secret
    session_token: Secret | None = None


def encoded_path(path: str) -> str:
    """A path in the form that is sent and signed. Raises UnicodeEncodeError for a name that is not Unicode."""
    return quote(path, safe="/-_.~")


def encoded_query(query: Mapping[str, str]) -> str:
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query.items())
    return "&".join(f"{name}={value}" for name, value in pairs)


def sign(
    keys: Keys, region: str, now_s: float, method: str, path: str, query: str, headers: dict[str, str], sha256: str
) -> None:
    """Add the signature to `headers` (lower-case names, with `host`). `path` and `query` are already encoded."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    headers["x-amz-date"] = moment
    headers["x-amz-content-sha256"] = sha256
    if keys.session_token:
        headers["x-amz-security-token"] = keys.session_token.reveal()
    names = sorted(headers)
    signed = ";".join(names)
    lines = [f"{name}:{' '.join(headers[name].split())}" for name in names]
    canonical = "\n".join([method, path, query, *lines, "", signed, sha256])
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.digest(_signing_key(keys.secret_key, moment[:8], region), text.encode(), "sha256").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}, SignedHeaders={signed}, Signature={signature}"
    )


@functools.lru_cache(maxsize=16)
def _signing_key(secret: Secret, date: str, region: str) -> bytes:
    key = f"AWS4{secret.reveal()}".encode()
    for word in (date, region, "s3", "aws4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    return key
