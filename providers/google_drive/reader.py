"""Ranged reads of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from providers.errors import Conflict, Integrity, NotFound, PermissionDenied, ProviderError, Transient
from providers.google_drive.client import DriveClient, DriveRequest
from providers.google_drive.folders import FILES
from providers.http.range import HttpRange
from providers.http.request import HttpAnswer


class FileRange(HttpRange):
    """Sends its requests when iteration begins. `find` returns the file's id, and raises Conflict if the file is no
    longer the expected version."""

    def __init__(
        self, wire: DriveClient, find: Callable[[], str], key: str, offset: int, size_bytes: int, *, flagged_too: bool
    ) -> None:
        super().__init__(key, offset, size_bytes)
        self._wire = wire
        self._find = find
        self._flagged_too = flagged_too
        self._interrupted = False

    def __iter__(self) -> Iterator[bytes]:
        file_id = self._find()
        if self._interrupted:
            raise Transient("interrupted")
        query = {"alt": "media", "supportsAllDrives": "true"}
        if self._flagged_too:
            query["acknowledgeAbuse"] = "true"

        def ask() -> HttpAnswer:
            request = DriveRequest("files.get media", "GET", f"{FILES}/{file_id}", query, self._range_header)
            return self._wire.open(request, self._calls)

        try:
            answer = self._opened(ask)
        except ProviderError as error:
            raise self._translated(error) from error
        self._check_range(answer)
        yield from self._content(answer)

    def _translated(self, error: ProviderError) -> ProviderError:
        if error.code == "requestedRangeNotSatisfiable" or (isinstance(error, Integrity) and not error.code):
            return Integrity(f"{self._key}: the file ends before byte {self._offset}", code=error.code)
        if isinstance(error, NotFound):
            return NotFound(f"{self._key}: there is no such file", code=error.code)
        if isinstance(error, (PermissionDenied, Conflict)):
            return type(error)(
                f"{self._key}: {error.message}", hint=error.hint, remedies=error.remedies, code=error.code
            )
        return error

    def interrupt(self) -> None:
        self._interrupted = True
        super().interrupt()
