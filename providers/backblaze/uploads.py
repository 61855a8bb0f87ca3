"""Uploads: in one request, or as a large file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from providers.backblaze import objects
from providers.backblaze.client import Account
from providers.contract.digests import composite
from providers.contract.listing import Trail
from providers.contract.objects import RemoteFile
from providers.contract.upload import Part, PartBody, PartReceipt, UploadRequest, UploadSession
from providers.errors import Integrity, InvalidName, NotFound, ProviderError, Transient
from providers.http.connections import Calls
from providers.http.one_request import OneRequestUpload, agree

_PARTS_A_PAGE = 1000


def same_sha1(answer: Mapping[str, Any], digests: Mapping[str, str], what: str) -> None:
    """Raises Integrity if the service reports another SHA-1 than ours."""
    agree({"sha1": str(answer.get("contentSha1"))}, digests, what)


def held_bytes(account: Account, token: Mapping[str, Any]) -> int | None:
    """Bytes stored by an unfinished large file; None if it no longer exists or the service does not report them."""
    held, start, trail = 0, 1, Trail()
    while True:
        try:
            with account.session() as session:
                answer = session.list_parts(str(token["file_id"]), start, _PARTS_A_PAGE)
                held += sum(int(item["contentLength"]) for item in answer["parts"])
        except (NotFound, Integrity):
            return None
        start = answer.get("nextPartNumber") or 0
        if not start:
            return held
        trail = trail.step(str(start), brought=bool(answer["parts"]))


class SmallUpload(OneRequestUpload):
    """b2_upload_file. The SHA-1 is sent first, and the service checks it."""

    def __init__(
        self, account: Account, name: str, request: UploadRequest, prefix: str, look: Callable[[], RemoteFile]
    ) -> None:
        super().__init__(request)
        self._account = account
        self._name = name
        self._prefix = prefix
        self._look = look

    def send(self, part: Part, body: PartBody, digests: Mapping[str, str]) -> PartReceipt:
        stored = self._stored_unanswered(digests) or self._sent(body, digests)
        self._stored = stored
        return PartReceipt(index=part.index, size_bytes=part.size_bytes, tag=stored.id, digests=dict(digests))

    def _sent(self, body: PartBody, digests: Mapping[str, str]) -> RemoteFile:
        request = self.request
        try:
            with self._account.session(self._calls) as session:
                answer = session.upload_file(
                    self._account.bucket_id,
                    self._name,
                    request.size_bytes,
                    objects.CONTENT_TYPE,
                    digests["sha1"],
                    objects.file_info(request),
                    body,
                )
        except Transient:
            self._unanswered = True
            raise
        same_sha1(answer, digests, request.key)
        return objects.from_json(answer, self._prefix)

    def _stored_unanswered(self, digests: Mapping[str, str]) -> RemoteFile | None:
        """The file sent by a request whose answer was lost: sending it again would store a second version."""
        if not self._unanswered:
            return None
        try:
            found = self._look()
        except NotFound:
            return None
        same = found.checksums.get("sha1") == digests["sha1"] and found.recorded_sha256 == self.request.sha256
        return found if same and found.mtime_ns == self.request.mtime_ns else None


class LargeUpload(UploadSession):
    """b2_upload_part for each part, in parallel and each with its SHA-1; then b2_finish_large_file.

    The service never reports a SHA-1 of the whole file. It checks each part against its SHA-1, and
    b2_finish_large_file checks the list of all SHA-1s against the stored parts: a finished file consists of exactly
    these parts. This is reported as 'sha1-composite' if `enforced`, that is if `learn` saw that a wrong part and a
    wrong list are refused. Otherwise it would only repeat our own list. (Calling b2_list_parts first would compare the
    same values again, at a cost.)
    """

    def __init__(
        self,
        account: Account,
        name: str,
        request: UploadRequest,
        prefix: str,
        token: dict[str, Any] | None,
        *,
        enforced: bool,
    ) -> None:
        self.request = request
        self._enforced = enforced
        self._account = account
        self._prefix = prefix
        self._calls = Calls()
        self._file_id = self._begin(name) if token is None else str(token.get("file_id", ""))
        if not self._file_id:
            raise InvalidName(f"'{request.key}': the saved upload is not a B2 upload")

    @property
    def token(self) -> dict[str, Any] | None:
        return {"file_id": self._file_id}

    def _begin(self, name: str) -> str:
        with self._account.session(self._calls) as session:
            answer = session.start_large_file(
                self._account.bucket_id, name, objects.CONTENT_TYPE, objects.file_info(self.request)
            )
            return str(answer["fileId"])

    def confirmed(self) -> Sequence[PartReceipt]:
        found: list[PartReceipt] = []
        start: int | None = 1
        trail = Trail()
        while True:
            with self._account.session(self._calls) as session:
                answer = session.list_parts(self._file_id, start, _PARTS_A_PAGE)
                found += [receipt for item in answer["parts"] if (receipt := self._receipt(item))]
            start = answer.get("nextPartNumber")
            if not start:
                return found
            trail = trail.step(str(start), brought=bool(answer["parts"]))

    def _receipt(self, item: Mapping[str, Any]) -> PartReceipt | None:
        """A part that the service holds; None if it does not match a part of this file."""
        index, size_bytes = int(item["partNumber"]) - 1, int(item["contentLength"])
        if not 0 <= index < self.request.part_count or size_bytes != self.request.part(index).size_bytes:
            return None
        return PartReceipt(index=index, size_bytes=size_bytes, digests={"sha1": str(item["contentSha1"])})

    def send(self, part: Part, body: PartBody, digests: Mapping[str, str]) -> PartReceipt:
        with self._account.session(self._calls) as session:
            answer = session.upload_part(self._file_id, part.index + 1, part.size_bytes, digests["sha1"], body)
        same_sha1(answer, digests, f"{self.request.key}, part {part.index + 1}")
        return PartReceipt(index=part.index, size_bytes=part.size_bytes, digests=dict(digests))

    def commit(self, receipts: Sequence[PartReceipt]) -> RemoteFile:
        parts = [receipt.digests["sha1"] for receipt in receipts]
        try:
            with self._account.session(self._calls) as session:
                answer = session.finish_large_file(self._file_id, parts)
        except (NotFound, Transient) as error:
            answer = self._finished_unanswered(error)
        finally:
            self._drop_upload_urls()
        stored = objects.from_json(answer, self._prefix)
        return RemoteFile(
            key=self.request.key,
            size_bytes=stored.size_bytes,
            modified_at=stored.modified_at,
            mtime_ns=stored.mtime_ns,
            attributes=stored.attributes,
            stored_at=stored.stored_at,
            etag=stored.etag,
            id=stored.id,
            checksums={"sha1-composite": composite("sha1", parts)} if self._enforced else {},
            part_size_bytes=self.request.part_size_bytes,
            recorded_sha256=stored.recorded_sha256,
            recorded_sha1=stored.recorded_sha1,
        )

    def _finished_unanswered(self, error: ProviderError) -> Mapping[str, Any]:
        """The file, if an earlier call finished it but its answer was lost. Only this session has the id."""
        try:
            with self._account.session(self._calls) as session:
                found: Mapping[str, Any] = session.get_file_info_by_id(self._file_id)
        except ProviderError:
            raise error from None
        if found.get("action") != "upload":
            raise error
        return found

    def abort(self) -> None:
        try:
            with self._account.session(self._calls) as session:
                session.cancel_large_file(self._file_id)
        except NotFound:
            return
        finally:
            self._drop_upload_urls()

    def _drop_upload_urls(self) -> None:
        """Upload URLs of parts are valid for this file only."""
        with self._account.session(self._calls) as session:
            session.account_info.clear_large_file_upload_urls(self._file_id)

    def interrupt(self) -> None:
        self._calls.interrupt()
