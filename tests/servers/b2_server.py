"""Backblaze B2 over HTTP: the SDK's simulator behind a small threaded server, run as a separate process.

    python tests/servers/b2_server.py        prints `listening on http://127.0.0.1:PORT`

It implements the native API in the versions used by b2sdk (v4) and rclone (v1). Addresses in its answers come from
the request's Host header, so a client behind a proxy stays behind it. An upload URL serves one request at a time and
becomes invalid after a failure. Functions for tests that are not part of the API are below /test/.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.servers import b2_backdoor
from tests.servers.b2_service import RANGE, Json, Refused, Service


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    service: Service
    _unread = 0
    """Unread bytes of the request body: if there are any, the connection cannot be kept."""

    def do_POST(self) -> None:
        self._answering(self._post)

    def do_GET(self) -> None:
        self._answering(self._get)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Silent: the fault proxy counts requests."""

    def _answering(self, act: Callable[[str, Json, bytes], None]) -> None:
        url = urlsplit(self.path)
        self._unread = int(self.headers.get("Content-Length") or 0)
        try:
            if "/b2_upload_" in url.path:
                self._upload(url.path)
            else:
                act(url.path, parse_qs(url.query), self._body())
        except Refused as refused:
            self._json(refused.status, {"status": refused.status, "code": refused.code, "message": str(refused)})
        except OSError:
            self.close_connection = True

    def _body(self) -> bytes:
        data = self.rfile.read(self._unread)
        if len(data) < self._unread:
            raise ConnectionResetError("the client went away")
        self._unread = 0
        return data

    def _upload(self, path: str) -> None:
        with self.service.upload_url(path, self.headers.get("Authorization", "")) as url:
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = self.service.upload(url, headers, self._body())
        self._json(200, answer)

    def _post(self, path: str, query: Json, data: bytes) -> None:
        args = json.loads(data) if data else {}
        if path.startswith("/test/"):
            self._json(200, b2_backdoor.CALLS[path](self.service, args))
        elif path.endswith("/b2_authorize_account"):
            self._authorize(path)
        else:
            token = self.headers.get("Authorization", "")
            self._json(200, self.service.call(path.rpartition("/")[2], token, args, self._base))

    def _get(self, path: str, query: Json, data: bytes) -> None:
        if path.endswith("/b2_authorize_account"):
            self._authorize(path)
        elif path == "/test/object":
            self._bytes(200, {}, self.service.sim.bucket_named(query["bucket"][0]).visible(query["name"][0]).data_bytes)
        else:
            self._download(self.service.content(path, query, self.headers.get("Authorization", "")))

    def _authorize(self, path: str) -> None:
        version = int(re.search(r"/v(\d)/", path)[1])  # type: ignore[index]
        self._json(200, self.service.authorize(version, self.headers.get("Authorization", ""), self._base))

    def _download(self, file: Any) -> None:
        whole: bytes = file.data_bytes
        asked = RANGE.match(self.headers.get("Range", ""))
        headers = {
            name: value for name, value in file.as_download_headers().items() if value is not None
        }  # fmt: skip
        if not asked:
            self._bytes(200, headers, whole)
            return
        first, last = int(asked[1]), min(int(asked[2] or len(whole) - 1), len(whole) - 1)
        if first > last:
            raise Refused(416, "range_not_satisfiable", "The Range in the request is outside the size of the file")
        headers["Content-Range"] = f"bytes {first}-{last}/{len(whole)}"
        self._bytes(206, headers, whole[first : last + 1])

    @property
    def _base(self) -> str:
        return f"http://{self.headers['Host']}"

    def _json(self, status: int, answer: Any) -> None:
        body = json.dumps(answer, default=list).encode()
        self._bytes(status, {"Content-Type": "application/json;charset=utf-8"}, body)

    def _bytes(self, status: int, headers: Json, body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() != "content-length":
                self.send_header(name, str(value))
        self.send_header("Content-Length", str(len(body)))
        if self._unread:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    Handler.service = Service()
    server = Server(("127.0.0.1", 0), Handler)
    print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)  # noqa: T201
    server.serve_forever()


if __name__ == "__main__":
    main()
