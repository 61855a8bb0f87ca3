"""Uploads: in one request, or in an upload session."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from providers.contract.digests import DROPBOX_HASH
from providers.contract.objects import RemoteFile
from providers.contract.upload import Part, PartBody, PartReceipt, UploadRequest, UploadSession
from providers.dropbox.client import DropboxClient, DropboxRequest
from providers.dropbox.errors import DropboxReply, failure
from providers.dropbox.objects import commit_info, just_stored
from providers.errors import Conflict, Integrity, InvalidName, NotFound, Transient
from providers.http.connections import Calls
from providers.http.one_request import OneRequestUpload, agree

_REFUSED: Final = frozenset({409})


class SingleUpload(OneRequestUpload):
    """files/upload: one request. Its answer carries the content hash."""

    def __init__(self, wire: DropboxClient, path: str, request: UploadRequest, look: Callable[[], RemoteFile]) -> None:
        super().__init__(request)
        self._wire = wire
        self._path = path
        self._look = look

    def send(self, part: Part, body: PartBody, digests: Mapping[str, str]) -> PartReceipt:
        key = self.request.key
        arguments = commit_info(self.request, self._path)
        if DROPBOX_HASH in digests:
            arguments["content_hash"] = digests[DROPBOX_HASH]
        request = DropboxRequest("files/upload", arguments, body, part.size_bytes, content=True, about=key)
        try:
            reply = self._wire.ask(request, self._calls)
        except Conflict as conflict:
            self._stored = self._stored_unanswered(conflict, digests)
        except Transient:
            self._unanswered = True
            raise
        else:
            self._stored = just_stored(key, self._path.rpartition("/")[2], reply.json())
            agree(self._stored.checksums, digests, key)
        return PartReceipt(index=part.index, size_bytes=part.size_bytes, tag=self._stored.etag, digests=dict(digests))

    def _stored_unanswered(self, conflict: Conflict, digests: Mapping[str, str]) -> RemoteFile:
        """The file found may be ours, sent in a request whose answer was lost. Raises `conflict` if it is not."""
        if not self._unanswered:
            raise conflict
        found = self._look()
        same = found.checksums.get(DROPBOX_HASH) == digests.get(DROPBOX_HASH)
        if not same or found.size_bytes != self.request.size_bytes:
            raise conflict
        return found


class SessionUpload(UploadSession):
    """files/upload_session: parts in order, each with its content hash. Dropbox keeps a session for seven days.

    Dropbox can neither list nor delete sessions. `abort` closes the session, so that nothing can be added. Its data
    counts against no quota and expires after the seven days.
    """

    def __init__(self, wire: DropboxClient, path: str, request: UploadRequest, token: dict[str, Any] | None) -> None:
        self.request = request
        self._wire = wire
        self._path = path
        self._calls = Calls()
        self._offset = 0
        """End of the session's data, as far as known."""
        if token is None:
            self._session_id = self._begin()
        else:
            self._session_id = str(token.get("session_id") or "")
            if not self._session_id:
                raise InvalidName(f"'{request.key}': the saved upload is not a Dropbox upload")

    @property
    def token(self) -> dict[str, Any] | None:
        return {"session_id": self._session_id}

    def _begin(self) -> str:
        request = DropboxRequest(
            "files/upload_session/start", {"close": False}, b"", content=True, about=self.request.key
        )
        found = self._wire.ask(request, self._calls).json().get("session_id")
        if not isinstance(found, str) or not found:
            raise Integrity(f"{self.request.key}: Dropbox started an upload without an id")
        return found

    def _append(
        self, offset: int, body: bytes | PartBody, size: int, *, digest: str = "", close: bool = False
    ) -> int | None:
        """None if the data was accepted; otherwise the session's actual offset."""
        arguments: dict[str, Any] = {"cursor": {"session_id": self._session_id, "offset": offset}, "close": close}
        if digest:
            arguments["content_hash"] = digest
        request = DropboxRequest(
            "files/upload_session/append_v2",
            arguments,
            body,
            size,
            content=True,
            accepts=_REFUSED,
            about=self.request.key,
        )
        reply = self._wire.ask(request, self._calls)
        if reply.status != 409:
            self._offset = offset + size
            return None
        self._offset = self._correct_offset(reply)
        return self._offset

    def _correct_offset(self, reply: DropboxReply) -> int:
        error = reply.json().get("error")
        offset = error.get("correct_offset") if isinstance(error, dict) else None
        if "incorrect_offset" not in reply.tags or not isinstance(offset, int):
            raise failure(reply, self.request.key)
        return offset

    def confirmed(self) -> Sequence[PartReceipt]:
        """Appends nothing at offset 0: the refusal reports how much the session holds."""
        held = self._append(0, b"", 0) or 0
        if held > self.request.size_bytes:
            raise self._strayed(held)
        parts = (self.request.part(index) for index in range(self.request.part_count))
        return [
            PartReceipt(index=part.index, size_bytes=part.size_bytes)
            for part in parts
            if part.offset + part.size_bytes <= held
        ]

    def send(self, part: Part, body: PartBody, digests: Mapping[str, str]) -> PartReceipt:
        end = part.offset + part.size_bytes
        at = self._append(part.offset, body, part.size_bytes, digest=digests.get(DROPBOX_HASH, ""))
        if at is not None and part.offset < at < end:  # partly received; the proof of the whole covers it
            body.seek(at - part.offset)
            at = self._append(at, body, end - at)
        if at is not None and at != end:
            raise self._strayed(at)
        return PartReceipt(index=part.index, size_bytes=part.size_bytes, digests=dict(digests))

    def _strayed(self, at: int) -> NotFound:
        return NotFound(f"{self.request.key}: the upload session is at byte {at}, which is not where it was left")

    def commit(self, receipts: Sequence[PartReceipt]) -> RemoteFile:
        arguments = {
            "cursor": {"session_id": self._session_id, "offset": self.request.size_bytes},
            "commit": commit_info(self.request, self._path),
        }
        request = DropboxRequest(
            "files/upload_session/finish",
            arguments,
            b"",
            content=True,
            accepts=_REFUSED,
            about=self.request.key,
        )
        reply = self._wire.ask(request, self._calls)
        if reply.status != 409:
            return just_stored(self.request.key, self._path.rpartition("/")[2], reply.json())
        if reply.tags[:1] == ("lookup_failed",):
            raise NotFound(
                f"{self.request.key}: the upload session cannot be finished ({' '.join(reply.tags[1:])})",
                code=reply.tags[-1],
            )
        raise failure(reply, self.request.key)

    def abort(self) -> None:
        try:
            at = self._append(self._offset, b"", 0, close=True)
            if at is not None:
                self._append(at, b"", 0, close=True)
        except NotFound:
            return

    def interrupt(self) -> None:
        self._calls.interrupt()
