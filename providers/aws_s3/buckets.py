"""The buckets that a key can see."""

from __future__ import annotations

from providers.aws_s3.client import Request, Wire
from providers.contract.listing import Trail
from providers.http.connections import Calls


def bucket_names(wire: Wire) -> list[str]:
    """Page by page, where the service has that many. Raises ProviderError."""
    found: list[str] = []
    query: dict[str, str] = {}
    trail = Trail()
    while True:
        root = wire.ask(Request("ListBuckets", "GET", bucket="", query=query), Calls()).xml("ListAllMyBucketsResult")
        names = [item.findtext("Name") or "" for item in root.iterfind("Buckets/Bucket")]
        found += names
        token = root.findtext("ContinuationToken")
        if not token:
            return found
        trail = trail.step(token, brought=bool(names))
        query = {"continuation-token": token}
