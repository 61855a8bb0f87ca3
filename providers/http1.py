"""HTTP/1.1 over a connection of ours: a request as one piece with the start of its body, and the answer to it.

`http.client` sends head and body apart, which wakes a server twice, and reads headers with the mail package; for small
objects that is half of all work. Its reading of bodies (lengths, chunks) is used as it is.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from typing import Final

from providers.connection import Connection
from providers.upload import PartBody

CHUNK_BYTES: Final = 128 * 1024
_MAX_LINE_BYTES: Final = 65536
_MAX_HEADERS: Final = 200
_MAX_LENGTH_DIGITS: Final = 18


def head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """Request line and headers. Raises ValueError for what would end a line early."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if any("\n" in line or "\r" in line for line in lines):
        raise ValueError("a line break in a header")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def send(connection: Connection, first: bytes, body: bytes | PartBody) -> bool:
    """Send the head and the body as it is read; False when the server answered (surely an error) before it had all of
    it."""
    sock = connection.sock
    look = not isinstance(sock, ssl.SSLSocket)  # under TLS, session tickets make it readable too
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
            return False  # it hung up, but may have said why
        if isinstance(body, bytes) or left <= 0:
            return True
        chunk = memoryview(body.read(CHUNK_BYTES))
        left -= len(chunk)
        if not chunk:
            return True
        if look and connection.readable():
            return False


class Response(http.client.HTTPResponse):
    """The answer to one request; `told` are its headers, names in lower case, the last of equal ones."""

    told: dict[str, str]

    def __init__(self, connection: Connection, method: str) -> None:
        super().__init__(connection.sock, method=method)
        self._of = method
        try:
            self.begin()
        except BaseException:
            self.close()
            raise

    def begin(self) -> None:
        """Read status and headers. Raises OSError, http.client.HTTPException."""
        self.version = 11
        while True:
            self.status, self.reason = self._status_line()
            self.told = self._headers()
            if self.status != http.client.CONTINUE:
                break
        self.code = self.status
        self.chunked = self.told.get("transfer-encoding", "").lower() == "chunked"
        self.chunk_left = None
        self.length = self._length()
        close = self.told.get("connection", "").lower()
        self.will_close = "close" in close or (self.version == 10 and "keep-alive" not in close)
        if not self.chunked and self.length is None:
            self.will_close = True

    def _length(self) -> int | None:
        """How long the body is; None: until its last chunk, or the end of the connection."""
        bare = self.status in (http.client.NO_CONTENT, http.client.NOT_MODIFIED) or 100 <= self.status < 200
        if bare or self._of == "HEAD":
            return 0
        promised = self.told.get("content-length", "")
        if len(promised) > _MAX_LENGTH_DIGITS:
            raise http.client.HTTPException("a length that nothing has")
        return int(promised) if promised.isascii() and promised.isdecimal() and not self.chunked else None

    def _status_line(self) -> tuple[int, str]:
        line = self._line()
        if not line:
            raise http.client.RemoteDisconnected("the server hung up without an answer")
        version, _, rest = line.partition(" ")
        code, _, reason = rest.partition(" ")
        if not version.startswith("HTTP/1.") or len(code) != 3 or not code.isdecimal() or code < "100":
            raise http.client.BadStatusLine(line[:100])
        self.version = 10 if version == "HTTP/1.0" else 11
        return int(code), reason.strip()

    def _headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for _ in range(_MAX_HEADERS):
            line = self._line()
            if line in ("\r\n", "\n", ""):
                return found
            name, _, value = line.partition(":")
            found[name.strip().lower()] = value.strip()
        raise http.client.HTTPException(f"more than {_MAX_HEADERS} headers")

    def _line(self) -> str:
        line = self.fp.readline(_MAX_LINE_BYTES + 1)
        if len(line) > _MAX_LINE_BYTES:
            raise http.client.LineTooLong("header line")
        return line.decode("latin-1")
