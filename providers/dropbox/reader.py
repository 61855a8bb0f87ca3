"""Ranged reads of a file."""

from __future__ import annotations

from collections.abc import Iterator

from providers.dropbox.client import DropboxClient, DropboxRequest
from providers.dropbox.names import same
from providers.dropbox.objects import name_of
from providers.errors import Conflict, Integrity, NotFound
from providers.http.errors import json_object
from providers.http.range import HttpRange
from providers.http.request import HttpAnswer


class FileRange(HttpRange):
    """files/download."""

    def __init__(self, wire: DropboxClient, path: str, key: str, offset: int, size_bytes: int, etag: str) -> None:
        super().__init__(key, offset, size_bytes)
        self._wire = wire
        self._path = path
        self._etag = etag

    def __iter__(self) -> Iterator[bytes]:
        answer = self._opened(self._open)
        self._check(answer)
        yield from self._content(answer)

    def _open(self) -> HttpAnswer:
        request = DropboxRequest(
            "files/download",
            {"path": self._path},
            content=True,
            headers=self._range_header,
            accepts=frozenset({416}),
            about=self._key,
        )
        return self._wire.open(request, self._calls)

    def _check(self, answer: HttpAnswer) -> None:
        """Checks that the answer is for the expected version. Its metadata come in a header."""
        if answer.status == 416:
            raise Integrity(f"{self._key}: the file ends before byte {self._offset}", code="416")
        metadata = json_object(answer.headers.get("dropbox-api-result", "").encode("latin-1")) or {}
        if self._etag and metadata.get("rev") != self._etag:
            raise Conflict(f"{self._key}: changed since it was looked at")
        if metadata and not same(name_of(metadata), self._path.rpartition("/")[2]):
            raise NotFound(f"{self._key}: there is no such file, only '{name_of(metadata)}'")
        size = metadata.get("size")
        if isinstance(size, int) and size < self._offset + self._size:
            raise Integrity(f"{self._key}: the file ends at byte {size}, earlier than it should")
        self._check_range(answer)
        if isinstance(size, int) and self.total_bytes not in (None, size):
            raise Integrity(f"{self._key}: Dropbox says both {size} and {self.total_bytes} bytes")
        self.total_bytes = size if isinstance(size, int) else self.total_bytes
