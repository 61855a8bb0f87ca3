"""A server whose answers are written byte by byte, for answers that no HTTP library would send.

with RawServer(lambda asked: RawAnswer(b"HTTP/1.1 204 No Content\\r\\n\\r\\n")) as server:
    ...
    assert [asked.method for asked in server.seen] == ["DELETE"]
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final, Self

HOST: Final = "127.0.0.1"
_SILENT_S: Final = 20.0


@dataclass(frozen=True)
class RawRequest:
    """One request; `connection` and `turn` (within the connection) count from 0."""

    connection: int
    turn: int
    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True)
class RawAnswer:
    """The answer to one request; b'' sends nothing. `close` hangs up afterwards."""

    data: bytes
    close: bool = False


def reply(body: bytes = b"", *head: str, status: str = "200 OK") -> bytes:
    """A correct answer."""
    lines = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *head))
    return f"{lines}\r\n".encode("latin-1") + body


class RawServer:
    """Listens on a free loopback port, one thread a connection. Use it as a context manager."""

    def __init__(
        self,
        answer: Callable[[RawRequest], RawAnswer | bytes],
        *,
        tls: ssl.SSLContext | None = None,
        on_connect: bytes = b"",
        early: Callable[[Mapping[str, str]], bytes] | None = None,
        before_answer: bytes = b"",
    ) -> None:
        """`on_connect` is sent before any request, `early(headers)` before the request's body is read,
        `before_answer` afterwards."""
        self._answer = answer
        self._tls = tls
        self._on_connect = on_connect
        self._early = early
        self._before_answer = before_answer
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://{HOST}:{self.port}"
        self.seen: list[RawRequest] = []
        self.connections = 0

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            sockets, threads = list(self._sockets), list(self._threads)
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive(), "a thread of the server did not end"

    def push(self, data: bytes) -> None:
        """Send data on every open connection without a request."""
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            sock.sendall(data)

    def hang_up(self) -> None:
        """Close every open connection with a FIN."""
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name="raw-http", daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            number, self.connections = self.connections, self.connections + 1
            self._spawn(self._serve, sock, number)

    def _serve(self, sock: socket.socket, number: int) -> None:
        sock.settimeout(_SILENT_S)
        try:
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
        except OSError:
            sock.close()
            return
        with self._lock:
            self._sockets.add(sock)
        try:
            sock.sendall(self._on_connect)
            with sock.makefile("rb") as file:
                turn = 0
                while (asked := self._read(file, sock, number, turn)) is not None:
                    self.seen.append(asked)
                    answer = self._answer(asked)
                    answer = RawAnswer(answer) if isinstance(answer, bytes) else answer
                    sock.sendall(self._before_answer + answer.data)
                    if answer.close:
                        return
                    turn += 1
        except OSError:
            return
        finally:
            with self._lock:
                self._sockets.discard(sock)
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _read(self, file: BinaryIO, sock: socket.socket, number: int, turn: int) -> RawRequest | None:
        first = file.readline().decode("latin-1").split()
        if len(first) != 3:
            return None
        headers = {}
        while (line := file.readline().decode("latin-1")).strip():
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        if self._early:
            sock.sendall(self._early(headers))
        body = file.read(int(headers.get("content-length", 0))) or b""
        return RawRequest(number, turn, first[0], first[1], headers, body)
