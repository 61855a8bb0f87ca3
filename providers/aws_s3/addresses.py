"""Where a bucket is: endpoints and prefixes as people write them."""

from __future__ import annotations

from providers.errors import InvalidConfiguration


def normal_prefix(prefix: str) -> str:
    """Without a leading '/', with one at the end; '' for none. Raises InvalidConfiguration."""
    trimmed = prefix.strip("/")
    if any(part in ("", ".", "..") for part in trimmed.split("/")) and trimmed:
        raise InvalidConfiguration(f"prefix: {prefix!r} has an empty part, '.' or '..'", field="prefix")
    return f"{trimmed}/" if trimmed else ""


def aws_url(region: str) -> str:
    """AWS's own endpoint of a region, without a bucket."""
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://s3.{region}.{domain}"
