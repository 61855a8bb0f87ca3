"""Reading of HTTP/1.1 from a socket, preserving every byte."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import parse_qsl, urlsplit

BLOCK: Final = 64 * 1024
MAX_HEAD: Final = 256 * 1024
_RDHUP: Final = getattr(select, "POLLRDHUP", 0)
_GONE: Final = _RDHUP | select.POLLHUP | select.POLLERR | select.POLLNVAL


class Gone(Exception):
    """The other side of a connection left, or was silent for too long."""


class Stream:
    """A socket with a read-ahead buffer."""

    def __init__(self, sock: socket.socket, timeout_s: float) -> None:
        self.sock = sock
        self._timeout_s = timeout_s
        self._ahead = b""

    @property
    def has_ahead(self) -> bool:
        return bool(self._ahead)

    def read(self, limit: int = BLOCK, *, watch: Stream | None = None) -> bytes:
        """Up to `limit` bytes, b'' at the end. Raises Gone if `watch` hangs up meanwhile."""
        if self._ahead:
            data, self._ahead = self._ahead[:limit], self._ahead[limit:]
            return data
        if wait_readable([self], watch=watch, timeout_s=self._timeout_s) is None:
            raise Gone("silent for too long")
        try:
            return self.sock.recv(limit)
        except OSError as error:
            raise Gone(str(error)) from error

    def push_back(self, data: bytes) -> None:
        self._ahead = data + self._ahead

    def read_line(self, watch: Stream | None = None) -> bytes:
        return self._read_until(b"\n", watch)

    def read_head(self, watch: Stream | None = None) -> bytes:
        """All bytes up to and including the empty line; b'' if the connection ends before its first byte."""
        return self._read_until(b"\r\n\r\n", watch)

    def _read_until(self, mark: bytes, watch: Stream | None) -> bytes:
        data = b""
        while mark not in data:
            more = self.read(watch=watch)
            if not more:
                if data:
                    raise Gone("ended within a head")
                return b""
            data += more
            if len(data) > MAX_HEAD:
                raise Gone("head too long")
        end = data.index(mark) + len(mark)
        self.push_back(data[end:])
        return data[:end]

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Gone(str(error)) from error

    def hung_up(self) -> bool:
        """True if the other side has left, even with unread bytes."""
        poll = select.poll()
        try:
            poll.register(self.sock, _RDHUP)
        except (OSError, ValueError):
            return True
        return any(event & _GONE for _, event in poll.poll(0))


def wait_readable(streams: list[Stream], *, watch: Stream | None = None, timeout_s: float) -> Stream | None:
    """The first of `streams` with data or at its end; None after `timeout_s`. Raises Gone if `watch` hangs up."""
    for stream in streams:
        if stream.has_ahead:
            return stream
    poll = select.poll()
    by_fd = {}
    try:
        for stream in streams:
            by_fd[stream.sock.fileno()] = stream
            poll.register(stream.sock, select.POLLIN)
        if watch is not None and watch not in streams:
            poll.register(watch.sock, _RDHUP)
        ready = poll.poll(timeout_s * 1000)
    except (OSError, ValueError) as error:
        raise Gone(str(error)) from error
    for fd, _ in ready:
        if fd in by_fd:
            return by_fd[fd]
    if ready:
        raise Gone("hung up")
    return None


@dataclass(frozen=True)
class RequestHead:
    raw: bytes
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """Lower-case names."""

    @classmethod
    def parse(cls, raw: bytes) -> RequestHead:
        first, headers = _split(raw)
        method, target, _ = first.split(" ", 2)
        parts = urlsplit(target)
        return cls(raw, method, parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), headers)

    @property
    def expects_continue(self) -> bool:
        return self.headers.get("expect", "").lower() == "100-continue"

    @property
    def body(self) -> Framing:
        return Framing.of(self.headers, otherwise=Framing.NONE)


@dataclass(frozen=True)
class ResponseHead:
    raw: bytes
    status: int
    headers: dict[str, str]
    version: str

    @classmethod
    def parse(cls, raw: bytes) -> ResponseHead:
        first, headers = _split(raw)
        version, status, *_ = first.split(" ", 2)
        return cls(raw, int(status), headers, version)

    @property
    def reason(self) -> str:
        return self.raw.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)[-1]

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The headers in their original form, including repeated ones."""
        lines = self.raw.decode("latin-1").split("\r\n")[1:]
        split = (line.partition(":") for line in lines if line)
        return tuple((name.strip(), value.strip()) for name, _, value in split)

    def body(self, method: str) -> Framing:
        if method == "HEAD" or self.status in (204, 304) or self.status < 200:
            return Framing.NONE
        return Framing.of(self.headers, otherwise=Framing.UNTIL_CLOSE)

    def ends_connection(self, method: str) -> bool:
        connection = self.headers.get("connection", "").lower()
        old = self.version == "HTTP/1.0" and connection != "keep-alive"
        return connection == "close" or old or self.body(method) is Framing.UNTIL_CLOSE


def _split(raw: bytes) -> tuple[str, dict[str, str]]:
    first, *lines = raw.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return first, {name.strip().lower(): value.strip() for name, _, value in pairs}


class Framing(Enum):
    """How the end of a body is marked."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until close"

    @classmethod
    def of(cls, headers: dict[str, str], *, otherwise: Framing) -> Framing:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return cls.CHUNKED
        return cls.LENGTH if "content-length" in headers else otherwise


@dataclass(frozen=True)
class Piece:
    """Raw bytes of a body: content, or chunk framing."""

    raw: bytes
    is_content: bool = True


def pieces(stream: Stream, framing: Framing, headers: dict[str, str], watch: Stream | None = None) -> Iterator[Piece]:
    """The body piece by piece, as it arrives. Raises Gone if it ends early."""
    match framing:
        case Framing.NONE:
            return
        case Framing.LENGTH:
            yield from _counted(stream, int(headers["content-length"]), watch)
        case Framing.CHUNKED:
            yield from _chunked(stream, watch)
        case Framing.UNTIL_CLOSE:
            while data := stream.read(watch=watch):
                yield Piece(data)


def _counted(stream: Stream, size: int, watch: Stream | None) -> Iterator[Piece]:
    while size:
        data = stream.read(min(size, BLOCK), watch=watch)
        if not data:
            raise Gone("ended within a body")
        size -= len(data)
        yield Piece(data)


def _chunked(stream: Stream, watch: Stream | None) -> Iterator[Piece]:
    while True:
        line = stream.read_line(watch)
        if not line:
            raise Gone("ended within a body")
        yield Piece(line, is_content=False)
        size = int(line.split(b";")[0], 16)
        yield from _counted(stream, size, watch)
        while True:
            line = stream.read_line(watch)
            yield Piece(line, is_content=False)
            if size or line in (b"\r\n", b""):
                break
        if not size:
            return
