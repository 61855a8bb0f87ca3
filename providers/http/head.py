"""Strict parser for the head of an HTTP/1.1 answer.

An answer without an unambiguous end is refused: every later answer on the connection could be taken for another
request's. Source: RFC 9112, sections 2.2, 5 and 6.3.
"""

from __future__ import annotations

import http.client
import re
from dataclasses import dataclass
from typing import BinaryIO, Final

MAX_LINE_BYTES: Final = 65536
MAX_HEADERS: Final = 200
MAX_INTERIM: Final = 32
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_STATUS: Final = re.compile(r"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: (.*))?", re.ASCII)
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class BrokenReplyError(http.client.HTTPException):
    """An answer that HTTP does not allow. The text says why, and repeats nothing of the server's."""


@dataclass(frozen=True)
class Head:
    """Header names are lower-case; of duplicates, the last counts."""

    minor_version: int
    status: int
    reason: str
    headers: dict[str, str]
    length: int | None
    """Content-Length, or None."""
    chunked: bool

    @property
    def closes(self) -> bool:
        """Whether the server hangs up after this answer."""
        tokens = {token.strip().lower() for token in self.headers.get("connection", "").split(",")}
        return "close" in tokens or (self.minor_version == 0 and "keep-alive" not in tokens)


def read_head(file: BinaryIO) -> Head:
    """The head of the final answer; interim ones (1xx) are skipped.

    Raises BrokenReplyError, http.client.RemoteDisconnected if nothing arrived, and OSError.
    """
    for _ in range(MAX_INTERIM + 1):
        minor_version, status, reason = _status_line(file)
        fields = _fields(file)
        if status == http.client.SWITCHING_PROTOCOLS:
            raise BrokenReplyError("it switches to a protocol that was not requested (101)")
        if status >= 200:
            length, chunked = _framing(minor_version, fields)
            return Head(minor_version, status, reason, dict(fields), length, chunked)
    raise BrokenReplyError(f"more than {MAX_INTERIM} interim answers (1xx)")


def skip_trailer(file: BinaryIO) -> None:
    """Skip the fields after the last chunk; they are not used."""
    _fields(file)


def read_line(file: BinaryIO) -> str:
    """One line without its end. Raises BrokenReplyError if the connection ends within the line."""
    line = file.readline(MAX_LINE_BYTES + 1)
    if not line.endswith(b"\n"):
        raise BrokenReplyError("a line is too long" if len(line) > MAX_LINE_BYTES else "it broke off in a line")
    return line.decode("latin-1").removesuffix("\n").removesuffix("\r")


def _status_line(file: BinaryIO) -> tuple[int, int, str]:
    line = file.readline(MAX_LINE_BYTES + 1)
    if not line:
        raise http.client.RemoteDisconnected("the server hung up without an answer")
    found = _STATUS.fullmatch(line.decode("latin-1").rstrip("\r\n")) if line.endswith(b"\n") else None
    if found is None:
        raise BrokenReplyError("its first line is not HTTP/1.1")
    return int(found[1]), int(found[2]), (found[3] or "").strip()


def _fields(file: BinaryIO) -> list[tuple[str, str]]:
    """Header lines up to the empty one, in order."""
    found: list[tuple[str, str]] = []
    for _ in range(MAX_HEADERS + 1):
        line = read_line(file)
        if not line:
            return found
        if "\r" in line or "\0" in line:
            raise BrokenReplyError("a control character in a header")
        if line[0] in " \t" and found:  # folded, as by old servers
            folded = line.strip(" \t")
            found[-1] = (found[-1][0], f"{found[-1][1]} {folded}")
            continue
        name, colon, value = line.partition(":")
        if not colon or not _NAME.fullmatch(name):
            raise BrokenReplyError("a header without a name")
        found.append((name.lower(), value.strip(" \t")))
    raise BrokenReplyError(f"more than {MAX_HEADERS} headers")


def _framing(minor_version: int, fields: list[tuple[str, str]]) -> tuple[int | None, bool]:
    """Content-Length, and whether the body is chunked. Raises BrokenReplyError for anything ambiguous."""
    lengths = [value for name, value in fields if name == "content-length"]
    codings = [value.lower() for name, value in fields if name == "transfer-encoding"]
    if len(lengths) > 1 or not all(_LENGTH.fullmatch(value) for value in lengths):
        raise BrokenReplyError("its Content-Length is not a single number")
    if codings and (codings != ["chunked"] or lengths or minor_version == 0):
        raise BrokenReplyError("its Transfer-Encoding does not define where the body ends")
    return (int(lengths[0]) if lengths else None), bool(codings)
