"""Unfinished multipart uploads: list, measure, abort."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Final
from xml.etree.ElementTree import Element

from providers.aws_s3.client import S3Client, S3Request
from providers.aws_s3.errors import not_s3
from providers.aws_s3.objects import goes_on, iso_date, lacks_marker, number
from providers.contract.listing import Trail, without_base
from providers.contract.upload import PendingUpload
from providers.errors import NotFound, PermissionDenied, Unsupported
from providers.http.connections import Calls

_LOG: Final = logging.getLogger(__name__)


def listed(wire: S3Client, prefix: str, below: str) -> list[PendingUpload]:
    """Unfinished uploads of all whole keys that begin with `below`, which begins with the provider's `prefix`."""
    found: list[PendingUpload] = []
    trail = Trail()
    query = {"uploads": "", "prefix": below}
    while True:
        try:
            root = wire.ask(S3Request("ListMultipartUploads", "GET", query=query), Calls()).xml(
                "ListMultipartUploadsResult"
            )
        except NotFound as error:
            if error.code != "NoSuchUpload":  # rclone's answer if there are none
                raise
            return found
        uploads = list(root.iterfind("Upload"))
        for item in uploads:
            whole, upload_id = item.findtext("Key") or "", (item.findtext("UploadId") or "").strip()
            if not whole or not upload_id:  # without an id, some servers abort nothing and delete the object
                _LOG.warning("the server lists an unfinished upload without a key, or without an id")
                continue
            without_base(whole, below)
            found.append(_pending(without_base(whole, prefix), upload_id, item.findtext("Initiated") or "", item))
        marker, upload_marker = (root.findtext(name) or "" for name in ("NextKeyMarker", "NextUploadIdMarker"))
        if lacks_marker(root, marker):
            raise Unsupported("this server cannot page through its unfinished uploads (ListMultipartUploads)")
        if not goes_on(root, marker):
            return found
        trail = trail.step(f"{marker}\0{upload_marker}", brought=bool(uploads))
        query |= {"key-marker": marker, "upload-id-marker": upload_marker}


def held_bytes(wire: S3Client, key: str, token: Mapping[str, object]) -> int | None:
    """Bytes stored by an unfinished upload; None if it no longer exists or the service does not report them."""
    held, marker, trail = 0, "", Trail()
    while True:
        query = {"uploadId": str(token["upload_id"]), "max-parts": "1000"}
        if marker:
            query["part-number-marker"] = marker
        try:
            root = wire.ask(S3Request("ListParts", "GET", key, query=query), Calls()).xml("ListPartsResult")
        except (NotFound, PermissionDenied, Unsupported):
            return None
        sizes = [number(item.findtext("Size"), -1) for item in root.iterfind("Part")]
        if min(sizes, default=0) < 0:
            return None
        held += sum(sizes)
        marker = root.findtext("NextPartNumberMarker") or ""
        if lacks_marker(root, marker):
            return None
        if not goes_on(root, marker):
            return held
        trail = trail.step(marker, brought=bool(sizes))


def _pending(key: str, upload_id: str, begun: str, item: Element) -> PendingUpload:
    """An entry of ListMultipartUploads."""
    token = {"upload_id": upload_id, "checksum": "sha256" if item.findtext("ChecksumAlgorithm") == "SHA256" else ""}
    return PendingUpload(key=key, token=token, started_at=iso_date(begun) or 0.0)


def abort(wire: S3Client, key: str, token: Mapping[str, object]) -> None:
    """Abort an upload and delete its parts. Succeeds if it is already gone."""
    request = S3Request("AbortMultipartUpload", "DELETE", key, query={"uploadId": str(token["upload_id"])})
    with suppress(NotFound):
        reply = wire.ask(request, Calls())
        if reply.body.strip():
            raise not_s3(reply)
