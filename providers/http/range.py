"""A range of an object that arrives as the body of one answer, and what such an answer tells of the whole."""

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
"""The Range that asks how long an object is: the total stands in the answer."""
_RANGE: Final = re.compile(r"bytes\s+(?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)", re.IGNORECASE | re.ASCII)
_LENGTH: Final = re.compile(r"\d{1,18}", re.ASCII)


@dataclass(frozen=True)
class ContentRange:
    """`bytes first-last/total`. `first` and `last` are None for `*`, which a refusal says; a total of `*` is None."""

    first: int | None
    last: int | None
    total: int | None


def content_range(headers: Mapping[str, str]) -> ContentRange | None:
    """None where there is none, or none that RFC 9110 (section 14.4) allows. Names are lower-case."""
    found = _RANGE.fullmatch(headers.get("content-range", "").strip())
    if found is None:
        return None
    first, last, total = (None if group in (None, "*") else int(group) for group in found.groups())
    return ContentRange(first, last, total)


def content_length(headers: Mapping[str, str]) -> int | None:
    """None where the length is not told, which is not the same as 0."""
    told = headers.get("content-length", "").strip()
    return int(told) if _LENGTH.fullmatch(told) else None


def whole_size(status: int, headers: Mapping[str, str]) -> int | None:
    """How long an object is, by the answer to a GET of `FIRST_BYTE`; None when that does not tell."""
    told = content_range(headers)
    if told is not None and status in (200, 206):  # rclone says 200 where 206 is meant
        return (told.total or None) if (told.first, told.last) == (0, 0) else None
    if told is not None and status == 416:
        return 0 if (told.first, told.total) == (None, 0) else None
    length = content_length(headers) if status == 200 and "content-range" not in headers else None
    return None if length == 1 else length  # that may be the byte that was asked for, its Content-Range dropped


def unknown_size(key: str) -> Unsupported:
    return Unsupported(
        f"{key}: what answers there does not say how long the object is: not to HEAD, not to GET, not in a listing",
        hint="A proxy or CDN in front of the service drops Content-Length: use the service's own address.",
        code="unknown_size",
    )


def no_range(key: str) -> Unsupported:
    return Unsupported(f"{key}: what answers there cannot send part of an object (Range)", code=NO_RANGE)


class HttpRange(RangeReader):
    """What the readers of all services share. The request goes out when iteration begins, so that it too can be
    interrupted."""

    def __init__(self, key: str, offset: int, size_bytes: int) -> None:
        self._key = key
        self._offset = offset
        self._size = size_bytes
        self._calls = Calls()
        self._answer: HttpAnswer | None = None
        self._is_whole = False
        """The answer is the whole object and no range of it."""
        self._asks_whole = False

    @property
    def _span_bytes(self) -> tuple[int, int] | None:
        """First and last byte to ask for; None: no range, but the whole object."""
        return (self._offset, self._offset + self._size - 1) if self._size and not self._asks_whole else None

    @property
    def _range_header(self) -> dict[str, str]:
        return {} if self._span_bytes is None else {"range": "bytes={}-{}".format(*self._span_bytes)}

    def _opened(self, ask: Callable[[], HttpAnswer]) -> HttpAnswer:
        """What answers. A range of an object of unknown length (a total of `*`) proves no end; where all of the object
        is wanted anyway it is asked for as a whole, since that ends where the object ends."""
        answer = self._answer = ask()
        told = content_range(answer.headers)
        if self.takes_whole and self._span_bytes and told and told.first is not None and told.total is None:
            answer.close()
            self._asks_whole = True
            answer = self._answer = ask()
        return answer

    def _content(self, answer: HttpAnswer) -> Iterator[bytes]:
        """The body, just as long as was asked for: Integrity when it is longer, Transient when it breaks off."""
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
                raise no_range(self._key)  # the answer did not say how long it is
            if left < 0 and self._is_whole and (self.total_bytes or 0) > self._offset + self._size:
                yield wanted[:left]
                return
            if left < 0:
                raise Integrity(f"{self._key}: the service sends more than was asked for")
            if wanted:
                yield wanted
        if left:
            early = Transient(f"{self._key}: the answer broke off {left} bytes too early", code="TRUNCATED")
            raise forced_encoding(answer.headers, self._key) or early

    def _check_range(self, answer: HttpAnswer) -> None:
        """That what comes is what was asked for, byte by byte; servers exist that say 200 where 206 is meant, ignore
        Range, or count otherwise. Afterwards `total_bytes` is what the answer says of the whole."""
        try:
            if answer.status == 206 or "content-range" in answer.headers:
                self._check_positions(answer)
            else:
                self._check_whole(answer)
        except (Integrity, Unsupported) as error:
            raise forced_encoding(answer.headers, self._key) or error from error

    def _check_whole(self, answer: HttpAnswer) -> None:
        """Of an answer that is the whole object, whatever was asked for."""
        length = content_length(answer.headers)
        self.total_bytes = length
        self._is_whole = True
        end = self._offset + self._size
        if not self._size and length is None and "transfer-encoding" not in answer.headers:
            raise unknown_size(self._key)  # nothing came, and nothing says that this was all
        if self._size and not self.takes_whole and (self._offset or (length or 0) > end):
            raise no_range(self._key)
        if self._size and length is not None and length < end:
            raise Integrity(f"{self._key}: the answer holds {length} bytes of the object, and {end} were expected")

    def _check_positions(self, answer: HttpAnswer) -> None:
        told, length = content_range(answer.headers), content_length(answer.headers)
        if told and told.first is not None and told.total is None and not self._asks_whole:
            raise Unsupported(f"{self._key}: the answer does not say of how many bytes it is a part", code=NO_RANGE)
        if told is None or told.first is None or told.last is None or told.total is None:
            raise Unsupported(
                f"{self._key}: the answer does not say which bytes of how many it holds (Content-Range)",
                hint="Look for a proxy in front of the service, and use the service's own address.",
            )
        end = self._offset + self._size
        if told.last < end - 1 and told.total < end:
            raise Integrity(f"{self._key}: the object ends at byte {told.total}, earlier than it should")
        if (told.first, told.last) != (self._offset, end - 1) or told.total <= told.last:
            raise Integrity(
                f"{self._key}: bytes {self._offset}-{end - 1} were asked for, and "
                f"{told.first}-{told.last} of {told.total} come"
            )
        if length is not None and length != self._size:
            raise Integrity(f"{self._key}: {self._size} bytes were asked for, and {length} come")
        self.total_bytes = told.total

    def interrupt(self) -> None:
        self._calls.interrupt()

    def close(self) -> None:
        if self._answer is not None:
            self._answer.close()
