"""Where a bucket is: endpoints and prefixes as people write them."""

from __future__ import annotations

from urllib.parse import urlsplit

from providers.errors import InvalidConfiguration


def normal_prefix(prefix: str) -> str:
    """Without a leading '/', with one at the end; '' for none. Raises InvalidConfiguration."""
    trimmed = prefix.strip("/")
    if any(part in ("", ".", "..") for part in trimmed.split("/")) and trimmed:
        raise InvalidConfiguration(f"prefix: {prefix!r} has an empty part, '.' or '..'", field="prefix")
    return f"{trimmed}/" if trimmed else ""


def checked_url(endpoint_url: str) -> str:
    """An endpoint without a trailing '/'. Raises InvalidConfiguration, never repeating what may hold a password."""
    url = endpoint_url.rstrip("/")
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        fits = False
    if not fits or parts.query or parts.fragment or "@" in parts.netloc:
        raise InvalidConfiguration(
            "endpoint_url: not an address of the form https://host:port",
            field="endpoint_url",
            hint="Example: https://s3.example.net",
        )
    return url


def aws_url(region: str) -> str:
    """AWS's own endpoint of a region, without a bucket."""
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://s3.{region}.{domain}"
