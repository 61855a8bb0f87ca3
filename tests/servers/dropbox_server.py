"""A small Dropbox in memory: the HTTP API, its token endpoint and the actions of its authorisation page.

    with DropboxServer() as server:
        code = server.allow(address)          # what the person does in the browser
        ...
        assert server.files() == {"/backups/x": b"..."}

Checked with rclone (tests/providers/test_dropbox_rclone.py).
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

from tests.servers.dropbox_http import Answer, HttpServer
from tests.servers.dropbox_store import MAX_REQUEST, BadInput, Refused, Store, content_hash

APP_KEY: Final = "testappkey12345"
REFRESH_TOKEN: Final = "TESTREFRESHTOKEN-must-never-be-shown"
ACCOUNT_ID: Final = "dbid:AAtestaccount"
EMAIL: Final = "franz@example.com"
SCOPES: Final = ("account_info.read", "files.content.read", "files.content.write", "files.metadata.read")
_NEEDS: Final = {
    "users/get_current_account": "account_info.read",
    "users/get_space_usage": "account_info.read",
    "files/get_metadata": "files.metadata.read",
    "files/list_folder": "files.metadata.read",
    "files/list_folder/continue": "files.metadata.read",
    "files/download": "files.content.read",
}
_CONTENT: Final = {"files/upload", "files/download"}


@dataclass
class _Grant:
    """Permissions of one authorisation."""

    account_id: str
    email: str
    scopes: tuple[str, ...]
    challenge: str = ""
    expires_at: float = 0.0


@dataclass
class _Access:
    grant: _Grant
    refresh_token: str
    good_until: float


class NoAccess(Exception):
    """Answered with status 401."""


class DropboxServer:
    """Listens on a free loopback port, for all Dropbox hosts. Use it as a context manager."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self.store = Store(now)
        self.token_lasts_s = 14400
        self.code_lasts_s = 600.0
        self.enforces_hash = True
        self.calls: list[str] = []
        """Routes in order of arrival."""
        self._lock = threading.Lock()
        self._grants: dict[str, _Grant] = {REFRESH_TOKEN: _Grant(ACCOUNT_ID, EMAIL, SCOPES)}
        self._access: dict[str, _Access] = {}
        self._codes: dict[str, _Grant] = {}
        self._numbers = itertools.count(1)
        self._server = HttpServer(self.answer)
        self.port: int = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="fault-proxy")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.end_connections()
        self._server.server_close()
        self._thread.join(10)

    # The person in the browser, and the one at the App Console

    def allow(
        self, address: str, *, email: str = EMAIL, account_id: str = ACCOUNT_ID, app_scopes: tuple[str, ...] = SCOPES
    ) -> str:
        """Open the address and allow. Returns the code that the page shows. AssertionError if the page would refuse."""
        parts = urlsplit(address)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert parts.path == "/oauth2/authorize"
        assert query["client_id"] == APP_KEY, "this app does not exist"
        assert query["response_type"] == "code"
        assert query["token_access_type"] == "offline"
        assert query["code_challenge_method"] == "S256"
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", query["code_challenge"])
        assert "redirect_uri" not in query
        wanted = tuple(query["scope"].split()) if "scope" in query else app_scopes
        granted = tuple(scope for scope in wanted if scope in app_scopes)
        code = f"code-{secrets.token_urlsafe(24)}"
        expires_at = self.now() + self.code_lasts_s
        with self._lock:
            self._codes[code] = _Grant(account_id, email, granted, query["code_challenge"], expires_at)
        return code

    def revoke(self, refresh_token: str = REFRESH_TOKEN) -> None:
        """The person revokes the access."""
        with self._lock:
            self._grants.pop(refresh_token, None)
            self._access = {name: item for name, item in self._access.items() if item.refresh_token != refresh_token}

    def expire_access_tokens(self) -> None:
        with self._lock:
            for item in self._access.values():
                item.good_until = 0.0

    def lose_scope(self, scope: str) -> None:
        with self._lock:
            for grant in self._grants.values():
                grant.scopes = tuple(item for item in grant.scopes if item != scope)

    def access_token(self) -> str:
        """A long-lived token, as another program would bring it."""
        with self._lock:
            return self._new_access(self._grants[REFRESH_TOKEN], REFRESH_TOKEN, 10**9)

    def knows(self, refresh_token: str) -> bool:
        with self._lock:
            return refresh_token in self._grants

    def files(self) -> dict[str, bytes]:
        with self.store.lock:
            return {node.display: node.data for node in self.store.nodes.values() if node.data is not None}

    def put(self, path: str, data: bytes) -> None:
        self.store.write({"path": path, "mode": "overwrite"}, data, "path")

    # Tokens

    def token(self, form: dict[str, str]) -> Answer:
        with self._lock:
            if form.get("client_id") != APP_KEY:
                return _oauth_error("invalid_client: Invalid client_id or client_secret", "invalid_client")
            if form.get("grant_type") == "refresh_token":
                return self._refreshed(form.get("refresh_token", ""))
            if form.get("grant_type") == "authorization_code":
                return self._exchanged(form.get("code", ""), form.get("code_verifier", ""))
            return _oauth_error("grant_type is not supported", "unsupported_grant_type")

    def _refreshed(self, refresh_token: str) -> Answer:
        grant = self._grants.get(refresh_token)
        if grant is None:
            return _oauth_error("refresh token is invalid or revoked")
        access = self._new_access(grant, refresh_token, self.token_lasts_s)
        return Answer.json({"access_token": access, "token_type": "bearer", "expires_in": self.token_lasts_s})

    def _exchanged(self, code: str, verifier: str) -> Answer:
        grant = self._codes.pop(code, None)
        if grant is None or grant.expires_at < self.now():
            return _oauth_error("code doesn't exist or has expired")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if challenge != grant.challenge:
            return _oauth_error("invalid code verifier")
        refresh_token = f"refresh-{secrets.token_urlsafe(24)}"
        self._grants[refresh_token] = grant
        access = self._new_access(grant, refresh_token, self.token_lasts_s)
        tokens = {"access_token": access, "token_type": "bearer", "expires_in": self.token_lasts_s}
        tokens |= {"refresh_token": refresh_token, "scope": " ".join(grant.scopes)}
        return Answer.json({**tokens, "account_id": grant.account_id, "uid": "12345"})

    def _new_access(self, grant: _Grant, refresh_token: str, lasts_s: float) -> str:
        name = f"sl.test-{next(self._numbers)}"
        self._access[name] = _Access(grant, refresh_token, self.now() + lasts_s)
        return name

    def _who(self, headers: Any, route: str) -> _Access:
        header = headers.get("Authorization")
        if header is None:
            words = 'Must provide HTTP header "Authorization" or URL parameter "authorization".'
            raise BadInput(f'Error in call to API function "{route}": {words}')
        with self._lock:
            found = self._access.get(str(header).removeprefix("Bearer "))
        if found is None:
            raise NoAccess("invalid_access_token")
        if found.good_until <= self.now():
            raise NoAccess("expired_access_token")
        needed = _NEEDS.get(route, "files.content.write" if route.startswith("files/") else "")
        if needed and needed not in found.grant.scopes:
            raise NoAccess("missing_scope", needed)
        return found

    # Requests

    def answer(self, path: str, headers: Any, body: bytes) -> Answer:
        if path == "/oauth2/token":
            self.calls.append("oauth2/token")
            return self.token({name: values[0] for name, values in parse_qs(body.decode()).items()})
        route = path.removeprefix("/2/")
        self.calls.append(route)
        try:
            access = self._who(headers, route)
            return self._routed(route, headers, body, access)
        except Refused as refused:
            return Answer.json(refused.body, 409)
        except BadInput as bad:
            return Answer.text(400, f'Error in call to API function "{route}": {bad}')
        except NoAccess as no:
            tag, *scope = no.args
            error = {".tag": tag, **({"required_scope": scope[0]} if scope else {})}
            return Answer.json({"error_summary": f"{tag}/...", "error": error}, 401)

    def _routed(self, route: str, headers: Any, body: bytes, access: _Access) -> Answer:
        if route in _CONTENT or (route.startswith("files/upload_session/") and "batch" not in route):
            return self._content(route, headers, body)
        if body and headers.get_content_type() != "application/json":
            raise BadInput(f'Bad HTTP "Content-Type" header: "{headers.get("Content-Type")}"')
        try:
            arguments = json.loads(body) if body else {}
        except ValueError:
            raise BadInput("could not decode input as JSON") from None
        handler = _ROUTES.get(route)
        if handler is None:
            return Answer.text(404, f"Unknown API function: {route}")
        return Answer.json(handler(self, arguments or {}, access))

    def _content(self, route: str, headers: Any, body: bytes) -> Answer:
        header = headers.get("Dropbox-API-Arg", "")
        try:  # documented as escaped ASCII; rclone's bare UTF-8 is accepted too
            arguments = json.loads(header.encode("latin-1").decode("utf-8"))
        except ValueError:
            raise BadInput('HTTP header "Dropbox-API-Arg": could not decode input as JSON') from None
        if "\x7f" in header:
            raise BadInput('HTTP header "Dropbox-API-Arg": not safe in a header')
        if route == "files/download":
            return self._download(arguments, headers)
        if headers.get("Content-Type") != "application/octet-stream":
            raise BadInput(f'Bad HTTP "Content-Type" header: "{headers.get("Content-Type")}"')
        if len(body) > MAX_REQUEST:
            raise Refused("payload_too_large")
        digest = arguments.get("content_hash")
        if digest is not None and self.enforces_hash and digest != content_hash(body):
            raise Refused("content_hash_mismatch")
        store = self.store
        match route:
            case "files/upload":
                return Answer.json(store.write(arguments, body, "path", "reason"))
            case "files/upload_session/start":
                return Answer.json({"session_id": store.begin(body, bool(arguments.get("close")))})
            case "files/upload_session/append_v2":
                store.append(arguments, body)
                return Answer.json(None)
            case "files/upload_session/finish":
                return Answer.json(store.finish(arguments, body))
        return Answer.text(404, f"Unknown API function: {route}")

    def _download(self, arguments: dict[str, Any], headers: Any) -> Answer:
        if headers.get("Content-Type") not in (None, "", "application/octet-stream", "text/plain; charset=utf-8"):
            raise BadInput(f'Bad HTTP "Content-Type" header: "{headers.get("Content-Type")}"')
        with self.store.lock:
            node = self.store.get(arguments.get("path"), "path")
            if node.data is None:
                raise Refused("path", "not_file")
            data, metadata = node.data, node.metadata()
        reply_headers = {"Dropbox-API-Result": json.dumps(metadata), "Content-Type": "application/octet-stream"}
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("Range", ""))
        if not found:
            return Answer(200, data, reply_headers)
        first, last = int(found[1]), min(int(found[2] or len(data) - 1), len(data) - 1)
        if first >= len(data):
            return Answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        reply_headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return Answer(206, data[first : last + 1], reply_headers)

    # RPC

    def account(self, arguments: dict[str, Any], access: _Access) -> dict[str, Any]:
        root = {".tag": "user", "root_namespace_id": "1", "home_namespace_id": "1"}
        name = {"display_name": "Franz Ferdinand", "given_name": "Franz", "surname": "Ferdinand"}
        found = {"account_id": access.grant.account_id, "email": access.grant.email, "name": name, "root_info": root}
        return {**found, "email_verified": True, "disabled": False, "locale": "en", "account_type": {".tag": "basic"}}

    def space(self, arguments: dict[str, Any], access: _Access) -> dict[str, Any]:
        used = sum(len(data) for data in self.files().values())
        return {"used": used, "allocation": {".tag": "individual", "allocated": self.store.quota_bytes}}

    def metadata(self, arguments: dict[str, Any], access: _Access) -> dict[str, Any]:
        if arguments.get("path") == "":
            raise BadInput("path: The root folder is unsupported.")
        with self.store.lock:
            return self.store.get(arguments.get("path"), "path").metadata()

    def finish_batch(self, arguments: dict[str, Any], access: _Access) -> dict[str, Any]:
        entries = []
        for entry in arguments.get("entries", ()):
            try:
                self.store.require_closed(entry.get("cursor"))
                entries.append({".tag": "success", **_untagged(self.store.finish(entry, b""))})
            except Refused as refused:
                entries.append({".tag": "failure", "failure": refused.body["error"]})
        return {"entries": entries}

    def revoke_access(self, arguments: dict[str, Any], access: _Access) -> None:
        self.revoke(access.refresh_token)


def _untagged(metadata: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if name != ".tag"}


def _oauth_error(words: str, code: str = "invalid_grant") -> Answer:
    return Answer.json({"error": code, "error_description": words}, 400)


_ROUTES: Final[dict[str, Callable[[DropboxServer, dict[str, Any], _Access], Any]]] = {
    "auth/token/revoke": DropboxServer.revoke_access,
    "check/user": lambda server, arguments, access: {"result": arguments.get("query", "")},
    "users/get_current_account": DropboxServer.account,
    "users/get_space_usage": DropboxServer.space,
    "files/get_metadata": DropboxServer.metadata,
    "files/list_folder": lambda server, arguments, access: server.store.list_folder(arguments),
    "files/list_folder/continue": lambda server, arguments, access: server.store.list_more(arguments.get("cursor")),
    "files/create_folder_v2": lambda server, arguments, access: server.store.make_folder(
        arguments.get("path"), bool(arguments.get("autorename"))
    ),
    "files/delete_v2": lambda server, arguments, access: server.store.delete(
        arguments.get("path"), arguments.get("parent_rev")
    ),
    "files/move_v2": lambda server, arguments, access: server.store.relocate(arguments, keep=False),
    "files/copy_v2": lambda server, arguments, access: server.store.relocate(arguments, keep=True),
    "files/upload_session/finish_batch_v2": DropboxServer.finish_batch,
}
