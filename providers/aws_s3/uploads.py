"""Uploads: in one request, or as a multipart upload."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from providers.aws_s3 import objects
from providers.aws_s3.client import UNSIGNED_PAYLOAD, S3Client, S3Request
from providers.aws_s3.discovery import ServerFacts
from providers.aws_s3.multipart import begin_multipart, part_tag, refuse_another
from providers.contract.listing import Trail
from providers.contract.objects import RemoteFile
from providers.contract.upload import Part, PartBody, PartReceipt, UploadRequest, UploadSession
from providers.errors import Conflict, InvalidName, NotFound, Transient
from providers.http.connections import Calls
from providers.http.one_request import OneRequestUpload, agree


def _checksum_headers(digests: Mapping[str, str], facts: ServerFacts) -> dict[str, str]:
    headers: dict[str, str] = {}
    if "md5" in digests and facts.takes_md5:
        headers["content-md5"] = objects.base64_of(digests["md5"])
    if facts.checksum_enforced and "sha256" in digests:
        headers["x-amz-checksum-sha256"] = objects.base64_of(digests["sha256"])
    return headers


class S3SingleUpload(OneRequestUpload):
    """One PutObject. Its reply carries the checksum, so the proof needs no further request."""

    def __init__(
        self, wire: S3Client, key: str, request: UploadRequest, facts: ServerFacts, look: Callable[[], RemoteFile]
    ) -> None:
        super().__init__(request)
        self._look = look
        self._wire = wire
        self._key = key
        self._facts = facts

    def send(self, part: Part, body: PartBody, digests: Mapping[str, str]) -> PartReceipt:
        known = {**digests, **({"sha256": self.request.sha256} if self.request.sha256 else {})}
        headers = objects.metadata_headers(self.request) | _checksum_headers(known, self._facts)
        if self.request.only_if_absent and self._facts.conditional:
            headers["if-none-match"] = "*"
        sha256 = known.get("sha256", UNSIGNED_PAYLOAD)
        whole = S3Request("PutObject", "PUT", self._key, headers=headers, body=body, sha256=sha256)
        try:
            reply = self._wire.ask(whole, self._calls)
        except Conflict as conflict:
            self._stored = self._stored_unanswered(conflict, known)
        except Transient:
            self._unanswered = True
            raise
        else:
            stored = objects.just_stored(self.request, reply.headers, self._facts)
            agree(stored.checksums, known, self.request.key)
            self._stored = stored
        return PartReceipt(index=part.index, size_bytes=part.size_bytes, tag=self._stored.etag, digests=dict(known))

    def _stored_unanswered(self, conflict: Conflict, known: Mapping[str, str]) -> RemoteFile:
        """The object found may be ours, sent in a request whose answer was lost. Raises `conflict` if it is not."""
        if not self._unanswered:
            raise conflict
        found = self._look()
        shared = found.checksums.keys() & known.keys()
        same = shared and all(found.checksums[kind] == known[kind] for kind in shared)
        if not same or found.recorded_sha256 != self.request.sha256:
            raise conflict
        return found


class MultipartUpload(UploadSession):
    """UploadPart for each part, with Content-MD5 and, if the server enforces it, SHA-256; then
    CompleteMultipartUpload."""

    def __init__(
        self, wire: S3Client, key: str, request: UploadRequest, facts: ServerFacts, token: dict[str, Any] | None
    ) -> None:
        self.request = request
        self._wire = wire
        self._key = key
        self._facts = facts
        self._calls = Calls()
        if token is None:
            self._with_sha256 = facts.checksum_enforced
            self._upload_id = self._begin()
        else:
            self._with_sha256 = token.get("checksum") == "sha256"
            self._upload_id = str(token.get("upload_id", ""))
            if not self._upload_id:
                raise InvalidName(f"'{request.key}': the saved upload is not an S3 upload")

    @property
    def token(self) -> dict[str, Any] | None:
        return {"upload_id": self._upload_id, "checksum": "sha256" if self._with_sha256 else ""}

    def _begin(self) -> str:
        headers = objects.metadata_headers(self.request)
        if self._with_sha256:
            headers["x-amz-checksum-algorithm"] = "SHA256"
        return begin_multipart(self._wire, self._key, headers, self._calls)

    def confirmed(self) -> Sequence[PartReceipt]:
        found: list[PartReceipt] = []
        marker, trail = "", Trail()
        while True:
            query = {"uploadId": self._upload_id, "max-parts": "1000"}
            if marker:
                query["part-number-marker"] = marker
            root = self._wire.ask(S3Request("ListParts", "GET", self._key, query=query), self._calls).xml(
                "ListPartsResult"
            )
            refuse_another(root, {"Key": self._key, "UploadId": self._upload_id})
            parts = list(root.iterfind("Part"))
            found += [receipt for item in parts if (receipt := self._receipt(item))]
            marker = root.findtext("NextPartNumberMarker") or ""
            if not objects.goes_on(root, marker):
                return found
            trail = trail.step(marker, brought=bool(parts))

    def _receipt(self, item: Element) -> PartReceipt | None:
        """A part that the server holds; None if it does not match a part of this file."""
        index = objects.number(item.findtext("PartNumber")) - 1
        size_bytes = objects.number(item.findtext("Size"), -1)
        if not 0 <= index < self.request.part_count or size_bytes != self.request.part(index).size_bytes:
            return None
        tag = item.findtext("ETag") or ""
        headers = {"etag": tag, "x-amz-checksum-sha256": item.findtext("ChecksumSHA256") or ""}
        digests = objects.checksums_of(headers, self._facts)
        return PartReceipt(index=index, size_bytes=size_bytes, tag=tag, digests=digests)

    def send(self, part: Part, body: PartBody, digests: Mapping[str, str]) -> PartReceipt:
        facts = self._facts
        headers = _checksum_headers(digests, facts)
        if not self._with_sha256:
            headers.pop("x-amz-checksum-sha256", None)
        request = S3Request(
            "UploadPart",
            "PUT",
            self._key,
            query={"partNumber": str(part.index + 1), "uploadId": self._upload_id},
            headers=headers,
            body=body,
            sha256=digests.get("sha256", UNSIGNED_PAYLOAD),
        )
        reply = self._wire.ask(request, self._calls)
        stored = objects.checksums_of(reply.headers, facts)
        agree(stored, digests, f"{self.request.key}, part {part.index + 1}")
        tag = part_tag(reply.headers, f"{self.request.key}, part {part.index + 1}")
        return PartReceipt(index=part.index, size_bytes=part.size_bytes, tag=tag, digests=dict(digests))

    def commit(self, receipts: Sequence[PartReceipt]) -> RemoteFile:
        headers = {"content-type": "application/xml"}
        if self.request.only_if_absent and self._facts.conditional:
            headers["if-none-match"] = "*"
        parts = "".join(self._part_xml(receipt) for receipt in receipts)
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        request = S3Request(
            "CompleteMultipartUpload",
            "POST",
            self._key,
            query={"uploadId": self._upload_id},
            headers=headers,
            body=body,
        )
        reply = self._wire.ask(request, self._calls)
        root = reply.xml("CompleteMultipartUploadResult")
        refuse_another(root, {"Bucket": self._wire.endpoint.bucket, "Key": self._key})
        headers_of_object = {
            **reply.headers,
            "etag": root.findtext("ETag") or reply.headers.get("etag", ""),
            "x-amz-checksum-sha256": root.findtext("ChecksumSHA256") or "",
        }
        return objects.just_stored(self.request, headers_of_object, self._facts)

    def _part_xml(self, receipt: PartReceipt) -> str:
        sha256 = receipt.digests.get("sha256")
        checksum = (
            f"<ChecksumSHA256>{objects.base64_of(sha256)}</ChecksumSHA256>" if sha256 and self._with_sha256 else ""
        )
        return f"<Part><PartNumber>{receipt.index + 1}</PartNumber><ETag>{escape(receipt.tag)}</ETag>{checksum}</Part>"

    def abort(self) -> None:
        request = S3Request("AbortMultipartUpload", "DELETE", self._key, query={"uploadId": self._upload_id})
        try:
            self._wire.ask(request, self._calls)
        except NotFound:
            return

    def interrupt(self) -> None:
        self._calls.interrupt()
