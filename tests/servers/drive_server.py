"""Google Drive for tests: the part of its REST API (v3) that backup programs use, including OAuth.

    with DriveServer() as server:
        provider = registry.load("google_drive")({"endpoint_url": server.url, ...})

Checked with rclone (tests/providers/test_google_drive_rclone.py). Sources: Drive API v3 reference, "Upload file data",
"Search for files and folders", "Resolve errors".
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from providers.testing.fault_proxy import THREAD_NAME
from tests.servers.drive_fields import masked
from tests.servers.drive_oauth import Authority, Denied
from tests.servers.drive_store import GRAIN, Refused, Session, Store, invalid

_RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)")
_CONTENT_RANGE: Final = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_BOUNDARY: Final = re.compile(r"^multipart/related;.*boundary=\"?([^\";]+)")
_BLOCK: Final = 64 * 1024
_FILES: Final = "/drive/v3/files"
_UPLOADS: Final = "/upload/drive/v3/files"


class DriveServer:
    """Listens on a free loopback port. Use it as a context manager."""

    def __init__(self) -> None:
        self.store = Store()
        self.authority = Authority()
        self.flagged: set[str] = set()
        """Ids of files that Google considers harmful."""
        self.ids_given_at_once: list[int] = []
        self._http = _Listener(("127.0.0.1", 0), _Handler)
        self._http.drive = self
        self.port: int = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), name=THREAD_NAME, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    drive: DriveServer

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        threading.current_thread().name = THREAD_NAME
        super().process_request_thread(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores clients that leave early."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    timeout = 60
    server: _Listener

    def setup(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().setup()

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    # Requests

    @property
    def _drive(self) -> DriveServer:
        return self.server.drive

    @property
    def _store(self) -> Store:
        return self.server.drive.store

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        self._path = unquote(parts.path)
        self._query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self._left = int(self.headers.get("Content-Length") or 0)
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            self._left = -1
        try:
            self._route()
        except Refused as refused:
            self._skip()
            self._refuse(refused)
        except Denied as denied:
            self._skip()
            self._answer(denied.status, denied.body)

    def _route(self) -> None:
        if self._path in ("/token", "/device/code", "/revoke", "/o/oauth2/v2/auth", "/o/oauth2/auth"):
            self._oauth()
            return
        if self._path == _UPLOADS and "upload_id" in self._query:
            self._session(self._query["upload_id"])  # the address suffices
            return
        self._authenticate()
        method = self.command
        if self._path == "/drive/v3/about":
            self._about()
        elif self._path == _FILES:
            self._list() if method == "GET" else self._create()
        elif self._path == f"{_FILES}/generateIds":
            self._generate_ids()
        elif self._path.startswith(f"{_FILES}/"):
            self._one(*self._path.removeprefix(f"{_FILES}/").split("/"))
        elif self._path == _UPLOADS or self._path.startswith(f"{_UPLOADS}/"):
            self._upload(self._path.removeprefix(_UPLOADS).strip("/"))
        else:
            raise Refused(404, "notFound", "Not Found")

    def _authenticate(self) -> None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if not token:
            raise Refused(403, "forbidden", "Method doesn't allow unregistered callers. Please use API Key or OAuth.")
        if token not in self._drive.authority.tokens:
            raise Refused(401, "authError", "Invalid Credentials")

    def _oauth(self) -> None:
        authority = self._drive.authority
        if self.command == "GET":
            address = authority.consent(self._query)
            self.send_response(302)
            self.send_header("Location", address)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        form = dict(parse_qsl(self._body().decode()))
        if self._path == "/revoke":
            authority.revoke(form.get("token", ""))
            self._answer(200, {})
            return
        self._answer(200, authority.device(form) if self._path == "/device/code" else authority.token(form))

    def _about(self) -> None:
        if "fields" not in self._query:
            raise invalid("The 'fields' parameter is required for this method.")
        used = sum(len(item.data) for _, item in self._store.walk("0ARootOfMyDriveUk9PVA"))
        about = {
            "kind": "drive#about",
            "user": {"emailAddress": self._drive.authority.account, "displayName": "Backup", "permissionId": "0123"},
            "storageQuota": {"limit": "16106127360", "usage": str(used), "usageInDrive": str(used)},
        }
        self._send_fields(about)

    # Files

    def _list(self) -> None:
        page = self._store.page(
            self._query.get("q", ""),
            self._query.get("orderBy", ""),
            int(self._query.get("pageSize", "100")),
            self._query.get("pageToken", ""),
        )
        self._send_fields(page, "nextPageToken,files(kind,id,name,mimeType)")

    def _generate_ids(self) -> None:
        count = int(self._query.get("count", "10"))
        if not 1 <= count <= 1000:
            raise invalid("Invalid value for count.")
        self._drive.ids_given_at_once.append(count)
        self._answer(200, {"kind": "drive#generatedIds", "ids": [self._store.new_id() for _ in range(count)]})

    def _create(self) -> None:
        self._described(self._store.create(self._json()))

    def _one(self, file_id: str, action: str = "") -> None:
        method = self.command
        if action == "copy" and method == "POST":
            self._described(self._store.copy(file_id, self._json()))
        elif method == "GET" and self._query.get("alt") == "media":
            self._download(file_id)
        elif method == "GET":
            self._described(self._store.item(file_id))
        elif method == "PATCH":
            add, remove = self._query.get("addParents", ""), self._query.get("removeParents", "")
            self._described(self._store.update(file_id, self._json(), add=add, remove=remove))
        elif method == "DELETE":
            self._store.delete(file_id)
            self._send(204, b"")
        else:
            raise Refused(405, "methodNotAllowed", "Method Not Allowed")

    def _download(self, file_id: str) -> None:
        item = self._store.item(file_id)
        if item.is_folder:
            raise Refused(403, "fileNotDownloadable", "Only files with binary content can be downloaded.")
        if item.id in self._drive.flagged and self._query.get("acknowledgeAbuse") != "true":
            raise Refused(403, "cannotDownloadAbusiveFile", "This file has been identified as malware or spam.")
        data = item.data
        found = _RANGE.fullmatch(self.headers.get("Range") or "")
        headers = {"Content-Type": item.facts["mimeType"]}
        if not found:
            self._send(200, data, headers)
            return
        start, end = int(found[1]), int(found[2] or len(data))
        if start >= len(data):
            headers = {"Content-Range": f"bytes */{len(data)}"}
            raise Refused(416, "requestedRangeNotSatisfiable", "Request range not satisfiable")
        piece = data[start : end + 1]
        headers["Content-Range"] = f"bytes {start}-{start + len(piece) - 1}/{len(data)}"
        self._send(206, piece, headers)

    # Uploads

    def _upload(self, file_id: str) -> None:
        if file_id:
            self._store.item(file_id)
        match self._query.get("uploadType"):
            case "multipart":
                metadata, data = self._related()
                item = self._store.update(file_id, metadata, data) if file_id else self._store.create(metadata, data)
                self._described(item)
            case "resumable":
                self._begin(file_id)
            case "media":
                data = self._body()
                self._described(self._store.update(file_id, {}, data) if file_id else self._store.create({}, data))
            case _:
                raise invalid("Unknown uploadType.")

    def _related(self) -> tuple[dict[str, Any], bytes]:
        """Both parts of a multipart/related body, byte for byte (an email parser would change the content)."""
        found = _BOUNDARY.search(self.headers.get("Content-Type") or "")
        mark = f"\r\n--{found[1]}".encode() if found else b""
        before, *parts = (b"\r\n" + self._body()).split(mark) if mark else [b"?"]
        if before or len(parts) != 3 or not parts[2].startswith(b"--"):
            raise Refused(400, "badContent", "Malformed multipart body.")
        described, content = (part.partition(b"\r\n\r\n")[2] for part in parts[:2])
        return _object(described), content

    def _begin(self, file_id: str) -> None:
        total = self.headers.get("X-Upload-Content-Length")
        session = self._store.begin(self._json(), file_id, int(total) if total else None)
        fields = f"&fields={self._query['fields']}" if "fields" in self._query else ""
        scheme = "https" if self.headers.get("Host", "").endswith(".googleapis.com") else "http"
        address = f"{scheme}://{self.headers['Host']}{_UPLOADS}?uploadType=resumable{fields}"
        self._send(200, b"", {"Location": f"{address}&upload_id={session.upload_id}"})

    def _session(self, upload_id: str) -> None:
        session = self._store.session(upload_id)
        if self.command == "DELETE":
            self._store.cancel(upload_id)
            self._send(499, b"")
            return
        found = _CONTENT_RANGE.fullmatch(self.headers.get("Content-Range") or "")
        if not found and self.headers.get("Content-Range"):
            raise invalid("Failed to parse Content-Range header.")
        if session.done is not None:
            self._skip()
            self._send_fields(session.done)
            return
        if found and found[1] is None:
            if session.total == 0:
                self._send_fields(self._store.finish(session))
            else:
                self._so_far(session)
            return
        self._receive(session, found)

    def _receive(self, session: Session, found: re.Match[str] | None) -> None:
        first, last = (int(found[1]), int(found[2])) if found else (0, self._left - 1)
        total = session.total if not found or found[3] == "*" else int(found[3])
        if session.total is not None and total != session.total:
            raise invalid("The total size is not the one that was announced.")
        if first != len(session.received) or last - first + 1 != self._left:
            raise Refused(503, "backendError", "Invalid request. The range does not begin where the upload is.")
        is_last = total is not None and last + 1 == total
        if not is_last and self._left % GRAIN:
            raise invalid(f"The chunk is no multiple of {GRAIN} bytes.")
        session.requests += 1
        number, chunk = session.requests, bytearray()
        try:
            while data := self._read(_BLOCK):
                chunk += data
        except (OSError, EOFError):
            del chunk[len(chunk) // GRAIN * GRAIN :]
            raise
        finally:
            if number == session.requests:  # otherwise a newer request has replaced this one
                session.received += chunk
        if is_last:
            self._send_fields(self._store.finish(session))
        else:
            self._so_far(session)

    def _so_far(self, session: Session) -> None:
        received = len(session.received)
        self._send(308, b"", {"Range": f"bytes=0-{received - 1}"} if received else {})

    # Bodies

    def _read(self, size: int) -> bytes:
        """The next bytes of the request's body. Raises EOFError if the client leaves too early."""
        wanted = min(size, self._left)
        data = self.rfile.read(wanted) if wanted else b""
        if len(data) < wanted:
            raise EOFError
        self._left -= len(data)
        return data

    def _body(self) -> bytes:
        if self._left < 0:
            return self._chunked()
        return b"".join(iter(lambda: self._read(_BLOCK), b""))

    def _chunked(self) -> bytes:
        found = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        self._left = 0
        return found

    def _skip(self) -> None:
        self._body()

    def _json(self) -> dict[str, Any]:
        return _object(self._body() or b"{}")

    def _described(self, item: Any) -> None:
        self._send_fields(self._store.described(item), "kind,id,name,mimeType")

    def _send_fields(self, answer: Mapping[str, Any], default: str = "*") -> None:
        self._answer(200, masked(answer, self._query.get("fields", default)))

    def _answer(self, status: int, answer: Mapping[str, Any]) -> None:
        self._send(status, json.dumps(answer).encode(), {"Content-Type": "application/json; charset=UTF-8"})

    def _refuse(self, refused: Refused) -> None:
        self._answer(refused.status, error_body(refused.status, refused.reason, refused.message))

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            if status != 204 or name != "Content-Length":
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


def error_body(status: int, reason: str, message: str, domain: str = "global") -> dict[str, Any]:
    item = {"domain": domain, "reason": reason, "message": message}
    return {"error": {"code": status, "message": message, "errors": [item]}}


def _object(data: Any) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refused(400, "parseError", "Parse Error")
    return found
