"""A range of an object on its way down."""

from __future__ import annotations

from collections.abc import Iterator

from providers.aws_s3.wire import Request, Wire
from providers.errors import Conflict, Integrity, NotFound, ProviderError
from providers.exchange import Answer
from providers.http_range import HttpRange


class ObjectRange(HttpRange):
    """GetObject."""

    def __init__(self, wire: Wire, request: Request, key: str, offset: int, size_bytes: int) -> None:
        super().__init__(key, offset, size_bytes)
        self._wire = wire
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        try:
            answer = self._answer = self._wire.open(self._request, self._calls)
        except ProviderError as error:
            raise self._meant(error) from error
        if not self._size:
            return
        self._check(answer)
        yield from self._content(answer)

    def _check(self, answer: Answer) -> None:
        """That it is the object that was meant (servers exist that ignore If-Match), and the range."""
        etag = answer.headers.get("etag", "")
        wanted = (self._request.headers or {}).get("if-match", "")
        if wanted and etag and etag != wanted:
            raise Conflict(f"{self._key}: changed since it was looked at")
        self._check_range(answer)

    def _meant(self, error: ProviderError) -> ProviderError:
        if isinstance(error, Conflict):
            return Conflict(f"{self._key}: changed since it was looked at", code=error.code)
        if error.code == "InvalidRange":
            return Integrity(f"{self._key}: the object ends before byte {self._offset}", code=error.code)
        if isinstance(error, NotFound) and error.code != "NoSuchBucket":
            return NotFound(f"{self._key}: there is no such object", code=error.code)
        return error
