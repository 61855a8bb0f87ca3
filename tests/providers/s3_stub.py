"""A server with scripted answers, for behaviour that no real S3 server shows on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from providers.aws_s3.provider import S3Provider
from providers.contract.context import ProviderContext

SECRET = "SECRET-must-never-be-shown"
Answer = tuple[int, dict[str, str], bytes]


class Stub:
    """`answer(method, path, headers, body)` decides; `seen` records the requests."""

    def __init__(self, answer: Callable[..., Answer], tls: Any = None) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.connections = 0
        self.made: list[S3Provider] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                stub.connections += 1
                super().setup()

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:
                    self.close_connection = True

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return self.serve
                raise AttributeError(name)

            def serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {key.lower(): value for key, value in self.headers.items()}
                stub.seen.append((self.command, self.path, headers, body))
                status, fields, content = answer(self.command, self.path, headers, body)
                self.send_response(status)
                fields = {"Content-Length": str(len(content)), **fields}
                for key, value in fields.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)
                if fields["Content-Length"] != str(len(content)) and self.command != "HEAD":
                    self.close_connection = True

            def log_message(self, *args: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port: int = self.server.server_address[1]

    def provider(self, *, context: ProviderContext | None = None, **values: Any) -> S3Provider:
        config = {
            "endpoint_url": f"http://127.0.0.1:{self.port}",
            "container": "bucket",
            "access_key": "KEYID",
            "secret_key": SECRET,
            "region": "us-east-1",
            "timeout": 5,
            **values,
        }
        made = S3Provider(config, context=context)
        self.made.append(made)
        return made


@contextmanager
def stub(answer: Callable[..., Answer], tls: Any = None) -> Iterator[Stub]:
    made = Stub(answer, tls)
    thread = threading.Thread(target=made.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        for provider in made.made:
            provider.close()
        made.server.shutdown()
        made.server.server_close()
        thread.join()


def error(status: int, code: str, message: str = "No.", **headers: str) -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return status, headers, body
