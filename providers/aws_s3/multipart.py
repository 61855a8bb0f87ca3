"""What the answers to the calls of a multipart upload have to say before they are believed."""

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
    """The id of a new upload of just this key. Raises ProviderError."""
    request = S3Request("CreateMultipartUpload", "POST", key, query={"uploads": ""}, headers=headers)
    root = wire.ask(request, calls).xml("InitiateMultipartUploadResult")
    refuse_another(root, {"Bucket": wire.endpoint.bucket, "Key": key})
    found = (root.findtext("UploadId") or "").strip()
    if not found:
        raise Integrity(f"{key}: the service began an upload without giving it an id")
    return found


def refuse_another(root: Element, ours: Mapping[str, str]) -> None:
    """Raises Integrity when an answer speaks of something else than what was asked; what it leaves out is no
    contradiction (Ceph, Garage and others leave some out)."""
    for name, wanted in ours.items():
        told = root.findtext(name)
        if told and told != wanted:
            raise Integrity(f"{wanted}: the service answers for another {name}: {told[:_MAX_SHOWN]!r}")


def part_tag(headers: Mapping[str, str], what: str) -> str:
    """The ETag of a part, as the completion has to repeat it. Raises Unsupported where there is none."""
    told = headers.get("etag", "").strip()
    etag = etags.parse(told)
    if not etag.text:
        raise no_etag(what)
    return etags.condition(etag.text) if etag.weak else told


def no_etag(what: str) -> Unsupported:
    return Unsupported(
        f"{what}: the service tells no ETag, as every S3 service does: versions cannot be told apart",
        hint="A proxy may drop the header: use the service's own address, or choose another service.",
        code="no_etag",
    )
