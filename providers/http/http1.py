"""HTTP/1.1 over our own connections: sends head and first body bytes together, and reads the answer.

`http.client` sends head and body separately, which wakes a server twice, and parses headers with the mail package. For
small objects that is half of all work.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Mapping
from typing import BinaryIO, Final, cast

from providers.contract.upload import PartBody
from providers.http.connections import Connection
from providers.http.head import MAX_INTERIM, MAX_LINE_BYTES, BrokenReplyError, read_head, read_line, skip_trailer

CHUNK_BYTES: Final = 128 * 1024
_INTERIM: Final = re.compile(rb"HTTP/1\.[0-9] 1(?!01)")
_INTERIM_BYTES: Final = len(b"HTTP/1.1 103")
_CHUNK_SIZE: Final = re.compile(r"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")


def head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """Request line and headers. Raises ValueError for a line break within one."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if any("\n" in line or "\r" in line for line in lines):
        raise ValueError("a line break in a header")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def send(connection: Connection, first: bytes, body: bytes | PartBody) -> bool:
    """Send the head and the body. Returns False if the server answered (surely with an error) before it had all of
    it."""
    sock = connection.sock
    look = not isinstance(sock, ssl.SSLSocket)  # under TLS, session tickets also make it readable
    if isinstance(body, bytes):
        chunk, left = memoryview(first + body), 0
    else:
        opening = body.read(CHUNK_BYTES)
        chunk, left = memoryview(first + opening), len(body) - len(opening)
    while True:
        try:
            while chunk:
                chunk = chunk[sock.send(chunk) :]
        except (BrokenPipeError, ConnectionResetError):
            if not connection.readable():
                raise
            return False  # it hung up, but may have sent the reason
        if isinstance(body, bytes) or left <= 0:
            return True
        chunk = memoryview(body.read(CHUNK_BYTES))
        left -= len(chunk)
        if not chunk:
            return True
        if look and _answered(connection):
            return False


def _answered(connection: Connection) -> bool:
    """Whether a final answer has begun; interim ones (1xx) promise nothing and are skipped."""
    for _ in range(MAX_INTERIM):
        if not connection.readable():
            return False
        seen = connection.sock.recv(MAX_LINE_BYTES, socket.MSG_PEEK)
        if len(seen) < _INTERIM_BYTES and seen and b"HTTP/1.1 1xx".startswith(seen[:10]):
            return False  # the rest of it is still on its way
        end = seen.find(b"\r\n\r\n")
        if not _INTERIM.match(seen) or (end < 0 and len(seen) == MAX_LINE_BYTES):
            return True
        if end < 0:
            return False
        connection.sock.recv(end + 4)
    return True


class HttpResponse:
    """The answer to one request; header names are lower-case. Raises OSError, http.client.HTTPException."""

    def __init__(self, connection: Connection, method: str) -> None:
        self._sock = connection.sock
        self._file = cast(BinaryIO, connection.sock.makefile("rb"))
        try:
            answer = read_head(self._file)
        except BaseException:
            self._file.close()
            raise
        self.status = answer.status
        self.headers = answer.headers
        no_body = method == "HEAD" or answer.status in (http.client.NO_CONTENT, http.client.NOT_MODIFIED)
        self._chunked = answer.chunked and not no_body
        self._left = 0 if no_body or answer.chunked else answer.length
        """Bytes left of the body or of the current chunk; None: until the server hangs up."""
        self.ended = self._left == 0 and not self._chunked
        """The body was read to its end."""
        self.will_close = answer.closes or (self._left is None and not self._chunked)

    @property
    def left_bytes(self) -> int | None:
        """Bytes of the body still to come, if known."""
        return None if self._chunked else self._left

    def read(self, limit: int) -> bytes:
        """The next bytes of the body; b'' at its end or when the connection ends. `ended` tells the two apart."""
        if self.ended or (self._chunked and not self._left and not self._next_chunk()):
            return b""
        data: bytes = self._file.read1(limit if self._left is None else min(limit, self._left))  # type: ignore[attr-defined]
        if self._left is None:
            self.ended = not data
            return data
        self._left -= len(data)
        if data and not self._left:
            if not self._chunked:
                self.ended = True
            elif read_line(self._file):
                raise BrokenReplyError("a chunk is longer than its size")
        return data

    def _next_chunk(self) -> bool:
        """Read the next chunk size; False after the last chunk."""
        size = _CHUNK_SIZE.fullmatch(read_line(self._file))
        if size is None:
            raise BrokenReplyError("a chunk without a size")
        self._left = int(size[1], 16)
        if not self._left:
            skip_trailer(self._file)
            self.ended = True
        return not self.ended

    def alone(self) -> bool:
        """Whether nothing followed the answer. Extra data would be taken for the answer to the next request."""
        timeout_s = self._sock.gettimeout()
        try:
            self._sock.settimeout(0)
            return not self._file.peek(1)  # type: ignore[attr-defined]
        except ssl.SSLWantReadError:
            return True
        except OSError:
            return False
        finally:
            self._sock.settimeout(timeout_s)

    def close(self) -> None:
        self._file.close()
