"""Calls of a multipart upload, and the checks of their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from xml.etree.ElementTree import Element

from providers.aws_s3 import etags
from providers.aws_s3.client import S3Client, S3Request
from providers.errors import Integrity, Unsupported
from providers.http.connections import Calls

_MAX_SHOWN: Final = 200


def begin_multipart(wire: S3Client, key: str, headers: Mapping[str, str], calls: Calls) -> str:
    """Start an upload of this key and return its id. Raises ProviderError."""
    request = S3Request("CreateMultipartUpload", "POST", key, query={"uploads": ""}, headers=headers)
    root = wire.ask(request, calls).xml("InitiateMultipartUploadResult")
    refuse_another(root, {"Bucket": wire.endpoint.bucket, "Key": key})
    found = (root.findtext("UploadId") or "").strip()
    if not found:
        raise Integrity(f"{key}: the service started an upload without an id")
    return found


def refuse_another(root: Element, ours: Mapping[str, str]) -> None:
    """Raises Integrity if the answer names another bucket, key or upload than the request. Missing names are accepted:
    Ceph, Garage and others omit some."""
    for name, wanted in ours.items():
        named = root.findtext(name)
        if named and named != wanted:
            raise Integrity(f"{wanted}: the service answered for another {name}: {named[:_MAX_SHOWN]!r}")


def part_tag(headers: Mapping[str, str], what: str) -> str:
    """The ETag of a part in the form that the completion must repeat. Raises Unsupported if it is missing."""
    header = headers.get("etag", "").strip()
    etag = etags.parse(header)
    if not etag.text:
        raise no_etag(what)
    return etags.condition(etag.text) if etag.weak else header


def no_etag(what: str) -> Unsupported:
    return Unsupported(
        f"{what}: the service sends no ETag, so versions cannot be told apart",
        hint="A proxy may drop the header: use the service's own address, or choose another service.",
        code="no_etag",
    )
