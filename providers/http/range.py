"""Ranged reads over HTTP, checked against what the answer says of the whole object."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from providers.contract.storage import RangeReader
from providers.errors import NO_RANGE, Integrity, Transient, Unsupported
from providers.http.connections import Calls
from providers.http.errors import forced_encoding
from providers.http.request import HttpAnswer

FIRST_BYTE: Final = "bytes=0-0"
"""Range header that asks for the object size: the answer contains the total."""
_RANGE: Final = re.compile(r"bytes\s+(?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)", re.IGNORECASE | re.ASCII)
_LENGTH: Final = re.compile(r"\d{1,18}", re.ASCII)


@dataclass(frozen=True)
class ContentRange:
    """`bytes first-last/total`. `first` and `last` are None for `*` (in a refusal); a total of `*` is None."""

    first: int | None
    last: int | None
    total: int | None


def content_range(headers: Mapping[str, str]) -> ContentRange | None:
    """None if missing, or not allowed by RFC 9110 (section 14.4). Header names are lower-case."""
    found = _RANGE.fullmatch(headers.get("content-range", "").strip())
    if found is None:
        return None
    first, last, total = (None if group in (None, "*") else int(group) for group in found.groups())
    return ContentRange(first, last, total)


def content_length(headers: Mapping[str, str]) -> int | None:
    """None if there is no valid Content-Length, which is not the same as 0."""
    reported = headers.get("content-length", "").strip()
    return int(reported) if _LENGTH.fullmatch(reported) else None


def whole_size(status: int, headers: Mapping[str, str]) -> int | None:
    """The object size from the answer to a GET of `FIRST_BYTE`, or None."""
    reported = content_range(headers)
    if reported is not None and status in (200, 206):  # rclone sends 200 instead of 206
        return (reported.total or None) if (reported.first, reported.last) == (0, 0) else None
    if reported is not None and status == 416:
        return 0 if (reported.first, reported.total) == (None, 0) else None
    length = content_length(headers) if status == 200 and "content-range" not in headers else None
    return None if length == 1 else length  # perhaps the requested byte with its Content-Range dropped


def unknown_size(key: str) -> Unsupported:
    return Unsupported(
        f"{key}: the server does not report the object's size, neither to HEAD nor to GET nor in a listing",
        hint="A proxy or CDN in front of the service drops Content-Length: use the service's own address.",
        code="unknown_size",
    )


def no_range(key: str) -> Unsupported:
    return Unsupported(f"{key}: the server cannot send part of an object (Range)", code=NO_RANGE)


class HttpRange(RangeReader):
    """Reader shared by all services. The request is sent when iteration begins, so that it too can be interrupted."""

    def __init__(self, key: str, offset: int, size_bytes: int) -> None:
        self._key = key
        self._offset = offset
        self._size = size_bytes
        self._calls = Calls()
        self._answer: HttpAnswer | None = None
        self._is_whole = False
        """The answer is the whole object, not a range."""
        self._asks_whole = False

    @property
    def _span_bytes(self) -> tuple[int, int] | None:
        """First and last byte to request; None to request the whole object."""
        return (self._offset, self._offset + self._size - 1) if self._size and not self._asks_whole else None

    @property
    def _range_header(self) -> dict[str, str]:
        return {} if self._span_bytes is None else {"range": "bytes={}-{}".format(*self._span_bytes)}

    def _opened(self, ask: Callable[[], HttpAnswer]) -> HttpAnswer:
        """The answer. If a range reports no object length (a total of `*`), it proves no end; if all of the object is
        wanted, it is requested again as a whole, because that ends where the object ends."""
        answer = self._answer = ask()
        reported = content_range(answer.headers)
        if self.takes_whole and self._span_bytes and reported and reported.first is not None and reported.total is None:
            answer.close()
            self._asks_whole = True
            answer = self._answer = ask()
        return answer

    def _content(self, answer: HttpAnswer) -> Iterator[bytes]:
        """The body, exactly as long as requested: Integrity if it is longer, Transient if it breaks off."""
        try:
            yield from self._asked_for(answer)
        except (Integrity, Unsupported) as error:
            raise forced_encoding(answer.headers, self._key) or error from error

    def _asked_for(self, answer: HttpAnswer) -> Iterator[bytes]:
        skip, left = (self._offset if self._is_whole else 0), self._size
        for chunk in answer.chunks():
            wanted = chunk[skip:]
            skip -= len(chunk) - len(wanted)
            left -= len(wanted)
            if left < 0 and self._size and self._is_whole and not self.takes_whole and self.total_bytes is None:
                raise no_range(self._key)  # the answer has no length
            if left < 0 and self._is_whole and (self.total_bytes or 0) > self._offset + self._size:
                yield wanted[:left]
                return
            if left < 0:
                raise Integrity(f"{self._key}: the service sends more than was requested")
            if wanted:
                yield wanted
        if left:
            early = Transient(f"{self._key}: the answer broke off {left} bytes too early", code="TRUNCATED")
            raise forced_encoding(answer.headers, self._key) or early

    def _check_range(self, answer: HttpAnswer) -> None:
        """Check the answer against the requested bytes; some servers send 200 instead of 206, ignore Range or miscount.
        Sets `total_bytes` to what the answer says."""
        try:
            if answer.status == 206 or "content-range" in answer.headers:
                self._check_positions(answer)
            else:
                self._check_whole(answer)
        except (Integrity, Unsupported) as error:
            raise forced_encoding(answer.headers, self._key) or error from error

    def _check_whole(self, answer: HttpAnswer) -> None:
        """For an answer that holds the whole object, whatever was requested."""
        length = content_length(answer.headers)
        self.total_bytes = length
        self._is_whole = True
        end = self._offset + self._size
        if not self._size and length is None and "transfer-encoding" not in answer.headers:
            raise unknown_size(self._key)  # nothing arrived, and nothing confirms that it is all
        if self._size and not self.takes_whole and (self._offset or (length or 0) > end):
            raise no_range(self._key)
        if self._size and length is not None and length < end:
            raise Integrity(f"{self._key}: the answer holds {length} bytes of the object, but {end} were expected")

    def _check_positions(self, answer: HttpAnswer) -> None:
        reported, length = content_range(answer.headers), content_length(answer.headers)
        if reported and reported.first is not None and reported.total is None and not self._asks_whole:
            raise Unsupported(f"{self._key}: the answer does not report the object's size", code=NO_RANGE)
        if reported is None or reported.first is None or reported.last is None or reported.total is None:
            raise Unsupported(
                f"{self._key}: the answer does not say which bytes it holds (Content-Range)",
                hint="Look for a proxy in front of the service, and use the service's own address.",
            )
        end = self._offset + self._size
        if reported.last < end - 1 and reported.total < end:
            raise Integrity(f"{self._key}: the object ends at byte {reported.total}, earlier than it should")
        if (reported.first, reported.last) != (self._offset, end - 1) or reported.total <= reported.last:
            raise Integrity(
                f"{self._key}: bytes {self._offset}-{end - 1} were requested, but "
                f"{reported.first}-{reported.last} of {reported.total} arrived"
            )
        if length is not None and length != self._size:
            raise Integrity(f"{self._key}: {self._size} bytes were requested, but {length} arrived")
        self.total_bytes = reported.total

    def interrupt(self) -> None:
        self._calls.interrupt()

    def close(self) -> None:
        if self._answer is not None:
            self._answer.close()
