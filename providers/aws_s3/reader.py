"""A range of an object on its way down."""

from __future__ import annotations

from collections.abc import Iterator

from providers.aws_s3.wire import Request, Wire
from providers.base import RangeReader
from providers.connection import Calls
from providers.errors import Conflict, Integrity, NotFound, ProviderError, Transient, Unsupported
from providers.exchange import Answer


class ObjectRange(RangeReader):
    """The request goes out when iteration begins, so that it too can be interrupted."""

    def __init__(self, wire: Wire, request: Request, key: str, offset: int, size_bytes: int) -> None:
        self._wire = wire
        self._request = request
        self._key = key
        self._offset = offset
        self._size = size_bytes
        self._calls = Calls()
        self._answer: Answer | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            answer = self._answer = self._wire.open(self._request, self._calls)
        except ProviderError as error:
            raise self._meant(error) from error
        if not self._size:
            return
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
        """That what comes is what was asked for: servers exist that ignore If-Match, or say 200 where 206 is meant."""
        etag = answer.headers.get("etag", "")
        wanted = (self._request.headers or {}).get("if-match", "")
        if wanted and etag and etag != wanted:
            raise Conflict(f"{self._key}: changed since it was looked at")
        promised = answer.headers.get("content-length", "")
        length = int(promised) if promised.isdecimal() else self._size
        ranged = answer.headers.get("content-range", "").startswith(f"bytes {self._offset}-")
        if not ranged and (self._offset or length > self._size):
            raise Unsupported("this server cannot send part of an object (Range)")
        if length < self._size:
            end = self._offset + length
            raise Integrity(f"{self._key}: the object ends at byte {end}, earlier than it should")

    def _meant(self, error: ProviderError) -> ProviderError:
        if isinstance(error, Conflict):
            return Conflict(f"{self._key}: changed since it was looked at", code=error.code)
        if error.code == "InvalidRange":
            return Integrity(f"{self._key}: the object ends before byte {self._offset}", code=error.code)
        if isinstance(error, NotFound) and error.code != "NoSuchBucket":
            return NotFound(f"{self._key}: there is no such object", code=error.code)
        return error

    def interrupt(self) -> None:
        self._calls.interrupt()

    def close(self) -> None:
        if self._answer is not None:
            self._answer.close()
