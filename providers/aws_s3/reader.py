"""Ranged reads of an object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from providers.aws_s3 import etags
from providers.aws_s3.client import Extra, S3Client, S3Request, may_refuse_header
from providers.contract.objects import RemoteFile
from providers.errors import Conflict, Integrity, NotFound, ProviderError
from providers.http.connections import Calls
from providers.http.range import FIRST_BYTE, HttpRange, content_length, whole_size
from providers.http.request import HttpAnswer

WITH_CHECKSUMS: Final = {"x-amz-checksum-mode": "ENABLED"}


class Tolerance:
    """Request features that the server has been seen to support."""

    def __init__(self) -> None:
        self.conditions = True
        """If-Match is supported."""
        self.ranges = Extra()


class ObjectRange(HttpRange):
    """GetObject of one version, ensured by If-Match and by the answer's ETag: some servers ignore the condition, and
    some compare it with an ETag in another form."""

    def __init__(
        self, wire: S3Client, whole: str, key: str, offset: int, size_bytes: int, etag: str, tolerance: Tolerance
    ) -> None:
        super().__init__(key, offset, size_bytes)
        self._wire = wire
        self._whole = whole
        self._etag = etag
        self._tolerance = tolerance

    def __iter__(self) -> Iterator[bytes]:
        try:
            answer = self._opened(self._open)
        except ProviderError as error:
            raise self._translated(error) from error
        self._check_range(answer)
        yield from self._content(answer)

    def _open(self) -> HttpAnswer:
        """Uses If-Match while the server supports it; otherwise checks only the answer's ETag."""
        if not self._etag:
            return self._asked({})
        refused = False
        if self._tolerance.conditions:
            try:
                return self._compared(self._asked({"if-match": etags.condition(self._etag)}), required=False)
            except ProviderError as error:
                if not (isinstance(error, Conflict) or may_refuse_header(error)):
                    raise
                refused = True
        answer = self._compared(self._asked({}), required=True)
        self._tolerance.conditions = not refused and self._tolerance.conditions
        return answer

    def _asked(self, condition: dict[str, str]) -> HttpAnswer:
        """Send GetObject; without the range header if the server refuses it, so the whole object comes."""

        def ask(more: Mapping[str, str]) -> HttpAnswer:
            return self._wire.open(
                S3Request("GetObject", "GET", self._whole, headers={**condition, **more}), self._calls
            )

        return self._tolerance.ranges.ask(self._range_header, ask)

    def _compared(self, answer: HttpAnswer, *, required: bool) -> HttpAnswer:
        found = answer.headers.get("etag", "")
        if not etags.may_be_same(found, self._etag) or (required and not etags.parse(found).text):
            answer.close()
            raise self._changed()
        return answer

    def _changed(self, code: str = "") -> Conflict:
        return Conflict(f"{self._key}: changed since it was looked at", code=code)

    def _translated(self, error: ProviderError) -> ProviderError:
        if isinstance(error, Conflict):
            return self._changed(error.code)
        if error.code == "InvalidRange":
            return Integrity(f"{self._key}: the object ends before byte {self._offset}", code=error.code)
        if isinstance(error, NotFound) and error.code != "NoSuchBucket":
            return NotFound(f"{self._key}: there is no such object", code=error.code)
        return error


def size_of(wire: S3Client, whole: str, key: str, head: Mapping[str, str]) -> int | None:
    """The size from the HEAD. If a proxy dropped it there, from a GET: the total of a one-byte range, or the content
    length. None if all of them lack it.

    Raises Conflict if the object has been replaced meanwhile.
    """
    length = content_length(head)
    if length is not None:
        return length
    answer = _asked(wire, whole, key, head, {"range": FIRST_BYTE})
    size_bytes = whole_size(answer.status, answer.headers)
    if size_bytes is None:  # moto refuses this range of an empty object and omits its size
        size_bytes = content_length(_asked(wire, whole, key, head, {}).headers)
    return size_bytes


def _asked(wire: S3Client, whole: str, key: str, head: Mapping[str, str], headers: Mapping[str, str]) -> HttpAnswer:
    """Status and headers of a GET. The body is not read."""
    accepts = frozenset({416}) if headers else frozenset()
    answer = wire.open(S3Request("GetObject", "GET", whole, headers=headers, accepts=accepts), Calls())
    answer.close()
    if not etags.may_be_same(answer.headers.get("etag", ""), head.get("etag", "")):
        raise Conflict(f"{key}: changed while it was looked at")
    return answer


def part_size_of(wire: S3Client, whole: str, found: RemoteFile) -> int | None:
    """Size of the first part; None if the server ignores partNumber and answers for the whole object."""
    if any(value.endswith("-1") for value in found.checksums.values()):
        return found.size_bytes
    request = S3Request("HeadObject", "HEAD", whole, query={"partNumber": "1"}, headers=WITH_CHECKSUMS)
    try:
        size_bytes = content_length(wire.ask(request, Calls()).headers)
    except ProviderError as error:
        if error.retryable:
            raise
        return None
    return size_bytes if size_bytes and size_bytes < found.size_bytes else None
