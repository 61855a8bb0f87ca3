"""Uploads: in one request, or in a resumable session.

Source: Drive API, "Upload file data" (multipart and resumable uploads).
"""

from __future__ import annotations

import io
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from providers.contract.objects import RemoteFile
from providers.contract.upload import Part, PartBody, PartReceipt, UploadRequest, UploadSession
from providers.errors import Conflict, Integrity, InvalidName, NotFound, Transient
from providers.google_drive import objects
from providers.google_drive.client import JSON_TYPE, DriveClient, DriveRequest, as_json
from providers.google_drive.errors import DriveReply
from providers.google_drive.folders import Drive
from providers.http.connections import Calls

UPLOADS: Final = "/upload/drive/v3/files"
GRAIN_BYTES: Final = 256 * 1024
"""Every request of a session except the last carries a multiple of this."""
_CONTENT_TYPE: Final = "application/octet-stream"
_RECEIVED: Final = re.compile(r"bytes=0-([0-9]{1,19})")
_GONE: Final = frozenset({404, 410})
_ABORTED: Final = frozenset({499})


@dataclass(frozen=True)
class Target:
    """Destination of a file: a new one with a pre-generated `file_id`, or an existing one whose content is replaced."""

    folder_id: str
    name: str
    file_id: str
    is_new: bool


class _Session(UploadSession):
    """Common part of both kinds of upload: the target, and the handling of other files with its name."""

    def __init__(self, drive: Drive, target: Target, request: UploadRequest) -> None:
        self.request = request
        self._drive = drive
        self._wire: DriveClient = drive.wire
        self._target = target
        self._calls = Calls()
        self._stored: dict[str, Any] | None = None
        """The file in Google's last answer, once complete."""

    def _metadata(self, *, again: bool = False) -> dict[str, Any]:
        """`again`: an earlier attempt of ours has already created the file."""
        found = objects.metadata(self.request)
        if self._target.is_new and not again:
            found |= {"id": self._target.file_id, "name": self._target.name, "parents": [self._target.folder_id]}
            found["mimeType"] = _CONTENT_TYPE
        return found

    @property
    def _kind(self) -> str:
        return "files.create" if self._target.is_new else "files.update"

    def _request(
        self, upload_type: str, headers: Mapping[str, str], body: bytes | PartBody, *, again: bool = False
    ) -> DriveRequest:
        create = self._target.is_new and not again
        query = {"uploadType": upload_type, "supportsAllDrives": "true", "fields": objects.FIELDS}
        address = UPLOADS if create else f"{UPLOADS}/{self._target.file_id}"
        return DriveRequest(self._kind, "POST" if create else "PATCH", address, query, headers, body)

    def _described(self) -> RemoteFile:
        if self._stored is None:
            raise NotFound(f"{self.request.key}: nothing was sent")
        if self._stored.get("trashed"):
            raise Conflict(f"{self.request.key}: its folder was put into the bin during the upload")
        if self._target.is_new:
            self._settle()
        return objects.remote_file(self.request.key, self._stored)

    def _settle(self) -> None:
        """Two simultaneous uploads of a new name have created two files. Both sides keep the same one, as if it had
        replaced the other. Files of other programs are left alone."""
        query = f"name = {objects.quoted(self._target.name)}"
        found = [
            item
            for item in self._drive.find_all([self._target.folder_id], query)
            if item.get("name") == self._target.name and objects.made_by_us(item) and objects.has_bytes(item)
        ]
        if len(found) < 2:
            return
        in_order = sorted(found, key=lambda item: (str(item.get("createdTime")), str(item["id"])))
        mine = self._target.file_id
        if self.request.only_if_absent:
            if in_order[0]["id"] != mine:
                self._drive.trash(mine)
                raise Conflict(f"{self.request.key}: a file of that name was stored meanwhile")
            return
        for item in in_order[:-1]:
            with suppress(NotFound):
                self._drive.trash(str(item["id"]))

    def discard(self) -> None:
        """Delete a new file that differs from what was sent. If a file was replaced, Google keeps its previous content
        as an older version."""
        if self._target.is_new:
            with suppress(NotFound):
                self._drive.delete(self._target.file_id)

    def interrupt(self) -> None:
        self._calls.interrupt()


class SingleUpload(_Session):
    """Metadata and content in one request. Its answer carries the checksums."""

    def __init__(self, drive: Drive, target: Target, request: UploadRequest) -> None:
        super().__init__(drive, target, request)
        self._perhaps_there = False
        self._is_there = False

    @property
    def token(self) -> dict[str, Any] | None:
        return None

    def confirmed(self) -> Sequence[PartReceipt]:
        return ()

    def send(self, part: Part, body: PartBody, digests: Mapping[str, str]) -> PartReceipt:
        boundary = f"hsb-{secrets.token_hex(16)}"
        related = _Related(as_json(self._metadata(again=self._is_there)), body, boundary)
        headers = {"content-type": f"multipart/related; boundary={boundary}"}
        try:
            reply = self._wire.ask(self._request("multipart", headers, related, again=self._is_there), self._calls)
            stored = reply.json()
        except Conflict as conflict:
            stored = self._stored_unanswered(conflict)
        except Transient:
            self._perhaps_there = True
            raise
        self._is_there = True
        self._agrees(stored)
        self._stored = stored
        return PartReceipt(index=part.index, size_bytes=part.size_bytes, digests=dict(digests))

    def _stored_unanswered(self, conflict: Conflict) -> dict[str, Any]:
        """The id is taken by the file that we sent, in a request whose answer was lost."""
        if not (self._perhaps_there and self._target.is_new):
            raise conflict
        return self._drive.get(self._target.file_id)

    def _agrees(self, stored: Mapping[str, Any]) -> None:
        theirs, ours = str(stored.get("sha256Checksum") or ""), self.request.sha256
        if theirs and ours and theirs.lower() != ours:
            raise Integrity(f"{self.request.key}: sha256 at the service is {theirs}, of what was sent {ours}")

    def commit(self, receipts: Sequence[PartReceipt]) -> RemoteFile:
        return self._described()

    def abort(self) -> None:
        """An attempt without an answer, or with a damaged one, may have created the file."""
        if self._perhaps_there or (self._is_there and self._stored is None):
            self.discard()


class _Related:
    """Metadata and content as one multipart body. The content is not copied."""

    def __init__(self, metadata: bytes, content: PartBody, boundary: str) -> None:
        mark = f"--{boundary}".encode()
        head = b"%b\r\nContent-Type: %b\r\n\r\n%b\r\n%b\r\nContent-Type: %b\r\n\r\n" % (
            mark, JSON_TYPE.encode(), metadata, mark, _CONTENT_TYPE.encode()
        )  # fmt: skip
        self._head = io.BytesIO(head)
        self._content = content
        self._tail = io.BytesIO(b"\r\n%b--\r\n" % mark)
        self._size = len(head) + len(content) + len(self._tail.getbuffer())

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1, /) -> bytes:
        pieces = (self._head, self._content, self._tail)
        if size < 0:
            return b"".join(piece.read() for piece in pieces)
        for piece in pieces:
            data = piece.read(size)
            if data:
                return data
        return b""

    def tell(self) -> int:
        return self._head.tell() + self._content.tell() + self._tail.tell()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Only back to the start, as needed to send a request again."""
        if offset or whence:
            raise io.UnsupportedOperation("only to the start")
        for piece in (self._head, self._content, self._tail):
            piece.seek(0)
        return 0


class ResumableUpload(_Session):
    """A session that receives the file in order and reports how much it has.

    Google makes the file visible with the last byte, so the last 1 to 262,144 bytes are held back until `commit`.
    """

    def __init__(self, drive: Drive, target: Target, request: UploadRequest, token: dict[str, Any] | None) -> None:
        super().__init__(drive, target, request)
        self._received: int | None = None
        """Number of bytes that Google has; None if it must be asked."""
        self._tail = b""
        if token is None:
            self._address = self._begin()
            self._received = 0
        else:
            self._address = str(token.get("session", ""))
            if not self._wire.trusted(self._address):
                raise InvalidName(f"'{request.key}': the saved upload is not a Google Drive upload")

    @staticmethod
    def target_of(token: Mapping[str, Any]) -> Target:
        return Target(str(token.get("folder")), str(token.get("name")), str(token.get("id")), bool(token.get("new")))

    @property
    def token(self) -> dict[str, Any] | None:
        target = self._target
        return {
            "session": self._address,
            "id": target.file_id,
            "new": target.is_new,
            "folder": target.folder_id,
            "name": target.name,
        }

    @property
    def _tail_start(self) -> int:
        return max(0, (self.request.size_bytes - 1) // GRAIN_BYTES * GRAIN_BYTES)

    def _begin(self) -> str:
        headers = {
            "content-type": JSON_TYPE,
            "x-upload-content-type": _CONTENT_TYPE,
            "x-upload-content-length": str(self.request.size_bytes),
        }
        reply = self._wire.ask(self._request("resumable", headers, as_json(self._metadata())), self._calls)
        address = reply.headers.get("location", "")
        if not self._wire.trusted(address):
            raise Integrity(f"{self.request.key}: Google started an upload without a session address")
        return address

    def confirmed(self) -> Sequence[PartReceipt]:
        self._ask_received()
        have = self.request.size_bytes if self._stored else self._received or 0
        parts = (self.request.part(index) for index in range(self.request.part_count))
        return [
            PartReceipt(index=part.index, size_bytes=part.size_bytes)
            for part in parts
            if part.offset + part.size_bytes <= have
        ]

    def _ask_received(self) -> None:
        self._put("resumable status", f"bytes */{self.request.size_bytes}", b"")

    def _put(self, kind: str, content_range: str, body: bytes | PartBody) -> None:
        """Send one request to the session, then set `_received` or `_stored` from the answer."""
        self._received = None
        headers = {"content-range": content_range}
        request = DriveRequest(kind, "PUT", self._address, headers=headers, body=body, accepts=frozenset({308, *_GONE}))
        reply = self._wire.ask(request, self._calls)
        if reply.status in _GONE:
            raise NotFound(f"{self.request.key}: Google no longer knows this upload", code="session")
        if reply.status == 308:
            self._received = self._received_bytes(reply)
        else:
            self._stored = reply.json()

    def _received_bytes(self, reply: DriveReply) -> int:
        found = _RECEIVED.fullmatch(reply.headers.get("range", ""))
        return int(found[1]) + 1 if found else 0

    def send(self, part: Part, body: PartBody, digests: Mapping[str, str]) -> PartReceipt:
        receipt = PartReceipt(index=part.index, size_bytes=part.size_bytes, digests=dict(digests))
        if self._received is None and self._stored is None:
            self._ask_received()
        if self._stored is not None:
            return receipt
        last = part.offset + part.size_bytes == self.request.size_bytes
        end = self._tail_start if last else part.offset + part.size_bytes
        self._send_up_to(end, part, body)
        if last and self._stored is None:
            self._tail = self._read_tail(end - part.offset, body)
        return receipt

    def _send_up_to(self, end: int, part: Part, body: PartBody) -> None:
        while self._stored is None and (at := self._received or 0) < end:
            if at < part.offset:
                raise NotFound(f"{self.request.key}: Google has lost what it had confirmed", code="session")
            body.seek(at - part.offset)
            content_range = f"bytes {at}-{end - 1}/{self.request.size_bytes}"
            self._put("resumable upload", content_range, _Limited(body, end - at))
            if self._stored is None and (self._received or 0) <= at:
                raise Transient(f"{self.request.key}: Google accepted none of the data sent", code="no progress")

    def _read_tail(self, offset: int, body: PartBody) -> bytes:
        body.seek(offset)
        found = bytearray()
        while data := body.read(GRAIN_BYTES):
            found += data
        return bytes(found)

    def commit(self, receipts: Sequence[PartReceipt]) -> RemoteFile:
        size = self.request.size_bytes
        if self._stored is None and self._received is None:
            self._ask_received()
        if self._stored is None:
            if self._received != self._tail_start or not self._tail:
                raise NotFound(f"{self.request.key}: Google has lost what it had confirmed", code="session")
            self._put("resumable upload", f"bytes {self._tail_start}-{size - 1}/{size}", self._tail)
        if self._stored is None:
            raise Transient(f"{self.request.key}: Google has not accepted the end of the file", code="no progress")
        return self._described()

    def abort(self) -> None:
        request = DriveRequest("resumable cancel", "DELETE", self._address, accepts=_GONE | _ABORTED)
        self._wire.ask(request, self._calls)


class _Limited:
    """The next `size` bytes of a body, from its current position."""

    def __init__(self, body: PartBody, size: int) -> None:
        self._body = body
        self._start = body.tell()
        self._size = size

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1, /) -> bytes:
        left = self._start + self._size - self._body.tell()
        return self._body.read(left if size < 0 else min(size, left)) if left else b""

    def tell(self) -> int:
        return self._body.tell() - self._start

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._body.seek(self._start + offset) - self._start
