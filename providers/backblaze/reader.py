"""A range of a file on its way down."""

from __future__ import annotations

from collections.abc import Iterator

from providers.backblaze.account import Account
from providers.backblaze.transport import Response
from providers.base import RangeReader
from providers.connection import Calls
from providers.errors import Conflict, Integrity, NotFound, ProviderError, Transient


class FileRange(RangeReader):
    """The request goes out when iteration begins, so that it too can be interrupted."""

    def __init__(self, account: Account, name: str, key: str, offset: int, size_bytes: int, etag: str) -> None:
        self._account = account
        self._name = name
        self._key = key
        self._offset = offset
        self._size = size_bytes
        self._etag = etag
        self._calls = Calls()
        self._response: Response | None = None

    def __iter__(self) -> Iterator[bytes]:
        if not self._size:
            self._check(self._account.head(self._name, self._calls))
            return
        try:
            last = self._offset + self._size - 1
            response = self._response = self._account.open(self._name, self._offset, last, self._calls)
        except ProviderError as error:
            raise self._meant(error) from error
        self._check(response.headers)
        left = self._size
        promised = response.headers.get("content-length", "")
        if promised.isdecimal() and int(promised) < self._size:
            raise Integrity(
                f"{self._key}: the object ends at byte {self._offset + int(promised)}, earlier than it should"
            )
        for chunk in response.chunks():
            left -= len(chunk)
            if left < 0:
                raise Integrity(f"{self._key}: the service sends more than was asked for")
            yield chunk
        if left:
            raise Transient(f"{self._key}: the answer broke off {left} bytes too early", code="TRUNCATED")

    def _check(self, headers: dict[str, str]) -> None:
        """Downloads by name give the newest version; another one than was looked at is a conflict."""
        if self._etag and headers.get("x-bz-file-id", self._etag) != self._etag:
            raise Conflict(f"{self._key}: changed since it was looked at")

    def _meant(self, error: ProviderError) -> ProviderError:
        if isinstance(error, Integrity):
            return Integrity(f"{self._key}: the object ends before byte {self._offset}", code=error.code)
        if isinstance(error, NotFound) and error.code != "bad_bucket_id":
            return NotFound(f"{self._key}: there is no such object", code=error.code)
        return error

    def interrupt(self) -> None:
        self._calls.interrupt()

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
