"""A range of an object that arrives as the body of one answer."""

from __future__ import annotations

from collections.abc import Iterator

from providers.base import RangeReader
from providers.connection import Calls
from providers.errors import Integrity, Transient, Unsupported
from providers.exchange import Answer


class HttpRange(RangeReader):
    """What the readers of all services share. The request goes out when iteration begins, so that it too can be
    interrupted."""

    def __init__(self, key: str, offset: int, size_bytes: int) -> None:
        self._key = key
        self._offset = offset
        self._size = size_bytes
        self._calls = Calls()
        self._answer: Answer | None = None

    def _content(self, answer: Answer) -> Iterator[bytes]:
        """The body, just as long as was asked for: Integrity when it is longer, Transient when it breaks off."""
        left = self._size
        for chunk in answer.chunks():
            left -= len(chunk)
            if left < 0:
                raise Integrity(f"{self._key}: the service sends more than was asked for")
            yield chunk
        if left:
            raise Transient(f"{self._key}: the answer broke off {left} bytes too early", code="TRUNCATED")

    def _check_range(self, answer: Answer) -> None:
        """That what comes is what was asked for: servers exist that say 200 where 206 is meant, or ignore Range."""
        promised = answer.headers.get("content-length", "")
        length = int(promised) if promised.isdecimal() else self._size
        ranged = answer.headers.get("content-range", "").startswith(f"bytes {self._offset}-")
        if not ranged and (self._offset or length > self._size):
            raise Unsupported("what answers there cannot send part of an object (Range)")
        if length < self._size:
            end = self._offset + length
            raise Integrity(f"{self._key}: the object ends at byte {end}, earlier than it should")

    def interrupt(self) -> None:
        self._calls.interrupt()

    def close(self) -> None:
        if self._answer is not None:
            self._answer.close()
