"""A range of a file on its way down."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from providers.base import RangeReader
from providers.connection import Calls
from providers.errors import Conflict, Integrity, NotFound, PermissionDenied, ProviderError, Transient, Unsupported
from providers.exchange import Answer
from providers.google_drive.folders import FILES
from providers.google_drive.wire import Request, Wire


class FileRange(RangeReader):
    """The requests go out when iteration begins. `find` gives the file's id, and raises Conflict when the file is not
    any more the one that is meant."""

    def __init__(
        self, wire: Wire, find: Callable[[], str], key: str, offset: int, size_bytes: int, *, flagged_too: bool
    ) -> None:
        self._wire = wire
        self._find = find
        self._key = key
        self._offset = offset
        self._size = size_bytes
        self._flagged_too = flagged_too
        self._calls = Calls()
        self._answer: Answer | None = None
        self._interrupted = False

    def __iter__(self) -> Iterator[bytes]:
        file_id = self._find()
        if not self._size:
            return
        if self._interrupted:
            raise Transient("interrupted")
        query = {"alt": "media", "supportsAllDrives": "true"}
        if self._flagged_too:
            query["acknowledgeAbuse"] = "true"
        headers = {"range": f"bytes={self._offset}-{self._offset + self._size - 1}"}
        request = Request("files.get media", "GET", f"{FILES}/{file_id}", query, headers)
        try:
            answer = self._answer = self._wire.open(request, self._calls)
        except ProviderError as error:
            raise self._meant(error) from error
        self._check(answer)
        left = self._size
        for chunk in answer.chunks():
            left -= len(chunk)
            if left < 0:
                raise Integrity(f"{self._key}: the service sends more than was asked for")
            yield chunk
        if left:
            raise Transient(f"{self._key}: the answer broke off {left} bytes too early", code="TRUNCATED")

    def _check(self, answer: Answer) -> None:
        """That what comes is what was asked for."""
        promised = answer.headers.get("content-length", "")
        length = int(promised) if promised.isdecimal() else self._size
        ranged = answer.headers.get("content-range", "").startswith(f"bytes {self._offset}-")
        if not ranged and (self._offset or length > self._size):
            raise Unsupported("what answers there cannot send part of a file (Range)")
        if length < self._size:
            end = self._offset + length
            raise Integrity(f"{self._key}: the file ends at byte {end}, earlier than it should")

    def _meant(self, error: ProviderError) -> ProviderError:
        if error.code == "requestedRangeNotSatisfiable" or (isinstance(error, Integrity) and not error.code):
            return Integrity(f"{self._key}: the file ends before byte {self._offset}", code=error.code)
        if isinstance(error, NotFound):
            return NotFound(f"{self._key}: there is no such file", code=error.code)
        if isinstance(error, (PermissionDenied, Conflict)):
            return type(error)(f"{self._key}: {error.message}", hint=error.hint, code=error.code)
        return error

    def interrupt(self) -> None:
        self._interrupted = True
        self._calls.interrupt()

    def close(self) -> None:
        if self._answer is not None:
            self._answer.close()
