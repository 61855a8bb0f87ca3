"""Ranged reads of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from providers.backblaze.client import Account
from providers.errors import Conflict, Integrity, NotFound, ProviderError
from providers.http.range import HttpRange


class FileRange(HttpRange):
    """b2_download_file_by_name."""

    def __init__(self, account: Account, name: str, key: str, offset: int, size_bytes: int, etag: str) -> None:
        super().__init__(key, offset, size_bytes)
        self._account = account
        self._name = name
        self._etag = etag

    def __iter__(self) -> Iterator[bytes]:
        try:
            answer = self._opened(lambda: self._account.open(self._name, self._span_bytes, self._calls))
        except ProviderError as error:
            raise self._translated(error) from error
        self._check(answer.headers)
        self._check_range(answer)
        yield from self._content(answer)

    def _check(self, headers: Mapping[str, str]) -> None:
        """A download by name returns the newest version. Raises Conflict if that is not the expected one."""
        if self._etag and headers.get("x-bz-file-id", self._etag) != self._etag:
            raise Conflict(f"{self._key}: changed since it was looked at")

    def _translated(self, error: ProviderError) -> ProviderError:
        if isinstance(error, Integrity):
            return Integrity(f"{self._key}: the object ends before byte {self._offset}", code=error.code)
        if isinstance(error, NotFound) and error.code != "bad_bucket_id":
            return NotFound(f"{self._key}: there is no such object", code=error.code)
        return error
