"""What an unfinished multipart upload holds, whoever began it."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import Element

from providers.aws_s3.client import Request, Wire
from providers.aws_s3.objects import goes_on, iso_date, number
from providers.contract.listing import Trail
from providers.contract.upload import PendingUpload
from providers.errors import NotFound, PermissionDenied, Unsupported
from providers.http.connections import Calls


def held_bytes(wire: Wire, key: str, token: Mapping[str, object]) -> int | None:
    """What an unfinished upload holds; None when it is gone meanwhile, or the service does not tell."""
    held, marker, trail = 0, "", Trail()
    while True:
        query = {"uploadId": str(token["upload_id"]), "max-parts": "1000"}
        if marker:
            query["part-number-marker"] = marker
        try:
            root = wire.ask(Request("ListParts", "GET", key, query=query), Calls()).xml("ListPartsResult")
        except (NotFound, PermissionDenied, Unsupported):
            return None
        sizes = [number(item.findtext("Size"), -1) for item in root.iterfind("Part")]
        if min(sizes, default=0) < 0:
            return None
        held += sum(sizes)
        marker = root.findtext("NextPartNumberMarker") or ""
        if not goes_on(root, marker):
            return held
        trail = trail.step(marker, brought=bool(sizes))


def pending(key: str, upload_id: str, begun: str, item: Element) -> PendingUpload:
    """An entry of ListMultipartUploads."""
    token = {"upload_id": upload_id, "checksum": "sha256" if item.findtext("ChecksumAlgorithm") == "SHA256" else ""}
    return PendingUpload(key=key, token=token, started_at=iso_date(begun) or 0.0)
