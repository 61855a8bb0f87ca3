"""HTTP of the small Dropbox: kept connections, and bodies with a length or in chunks."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Answer:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, found: object, status: int = 200) -> Answer:
        return cls(status, json.dumps(found).encode(), {"Content-Type": "application/json"})

    @classmethod
    def text(cls, status: int, words: str) -> Answer:
        return cls(status, words.encode(), {"Content-Type": "text/plain; charset=utf-8"})


class HttpServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answering: Callable[[str, Message, bytes], Answer]) -> None:
        """`answering(path, headers, body)` is called in the connection's thread."""
        self.answering = answering
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        threading.current_thread().name = "fault-proxy"  # a server's thread, not the product's
        self._open.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves early is not an error."""

    def end_connections(self) -> None:
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: HttpServer

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size) if "chunked" not in self.headers.get("Transfer-Encoding", "") else self._chunks()
        if len(body) < size:
            self.close_connection = True
            return
        answer = self.server.answering(urlsplit(self.path).path, self.headers, body)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)
        self.wfile.flush()

    def _chunks(self) -> bytes:
        found = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def log_message(self, format: str, *args: object) -> None:
        """Silent: tests use `calls`."""
