"""Single Dropbox requests: streams the body, returns the answer or raises a ProviderError. Retries only once, with a
new access token after a 401.

Does not use Dropbox's SDK, which cannot be interrupted, reads a whole request into memory before sending, and retries
on its own. Source: https://www.dropbox.com/developers/documentation/http/documentation
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from providers.contract.upload import PartBody
from providers.dropbox import errors
from providers.dropbox.errors import DropboxReply
from providers.dropbox.tokens import DropboxTokens
from providers.http.connections import Calls, Pool
from providers.http.errors import with_status
from providers.http.network import Network
from providers.http.request import HttpAnswer, ask
from providers.secret import Secret

API: Final = "https://api.dropboxapi.com"
CONTENT: Final = "https://content.dropboxapi.com"
WEB: Final = "https://www.dropbox.com"
TOKEN_ROUTE: Final = "oauth2/token"


@dataclass(frozen=True)
class DropboxRequest:
    route: str
    """Dropbox's name for the operation, for example 'files/get_metadata'."""
    arguments: Mapping[str, Any] | None = None
    body: bytes | PartBody | None = None
    """Content of an upload; None for a JSON request."""
    body_bytes: int = 0
    content: bool = False
    """Sent to the content host, with the arguments in a header."""
    headers: Mapping[str, str] = field(default_factory=dict)
    signed: bool = True
    accepts: frozenset[int] = frozenset()
    """Error statuses that the caller handles itself."""
    about: str = ""
    """Subject for error messages, usually the key."""


class DropboxClient:
    """May be used from several threads. Every method raises ProviderError."""

    def __init__(
        self,
        endpoint_url: str,
        app_key: str,
        refresh_token: Secret | None,
        *,
        network: Network,
        timeout_s: float,
        save_secret: Callable[[Secret, Secret], bool],
        clock: Callable[[], float],
        count_call: Callable[[str], None],
        access_token: Secret | None = None,
    ) -> None:
        """`access_token`: an existing token to start with."""
        self._timeout_s = timeout_s
        self._count_call = count_call
        self._api = Pool(endpoint_url or API, network, timeout_s=timeout_s)
        self._content = Pool(endpoint_url or CONTENT, network, timeout_s=timeout_s)
        self._tokens = DropboxTokens(
            app_key, refresh_token, ask=self.ask_for_token, save=save_secret, clock=clock, access=access_token
        )

    def close(self) -> None:
        self._api.close()
        self._content.close()

    def ask(self, request: DropboxRequest, calls: Calls) -> DropboxReply:
        """Send the request and return the whole answer. Raises for statuses other than success and `accepts`."""
        return _read(self.open(request, calls))

    def ask_for_token(self, form: Mapping[str, str], calls: Calls) -> DropboxReply:
        """Send a form to the token endpoint. Returns refusals instead of raising."""
        body = urlencode(form).encode("ascii")
        request = DropboxRequest(
            TOKEN_ROUTE, body=body, body_bytes=len(body), signed=False, accepts=frozenset({400, 401, 403, 404})
        )
        return self.ask(request, calls)

    def open(self, request: DropboxRequest, calls: Calls) -> HttpAnswer:
        """Send the request and return the answer with its body still unread. The caller closes it."""
        if not request.signed:
            return self._checked(request, self._send(request, None, calls))
        token = self._tokens.access(calls)
        answer = self._send(request, token, calls)
        if answer.status != 401:
            return self._checked(request, answer)
        reply = _read(answer)
        if "missing_scope" in reply.tags:
            raise with_status(errors.failure(reply, request.about or request.route), reply.status)
        token = self._tokens.access(calls, instead_of=token)
        if request.body is not None and not isinstance(request.body, bytes):
            request.body.seek(len(request.body) - request.body_bytes)
        return self._checked(request, self._send(request, token, calls))

    def _checked(self, request: DropboxRequest, answer: HttpAnswer) -> HttpAnswer:
        if 200 <= answer.status < 300 or answer.status in request.accepts:
            return answer
        raise with_status(errors.failure(_read(answer), request.about or request.route), answer.status)

    def _send(self, request: DropboxRequest, token: Secret | None, calls: Calls) -> HttpAnswer:
        headers, body, size = _framed(request)
        headers["content-length"] = str(size)
        if token is not None:
            headers["authorization"] = f"Bearer {token.reveal()}"
        path = "/oauth2/token" if request.route == TOKEN_ROUTE else f"/2/{request.route}"
        pool = self._content if request.content else self._api
        return ask(pool, calls, "POST", path, headers, body, count=lambda: self._count_call(request.route))


def _framed(request: DropboxRequest) -> tuple[dict[str, str], bytes | PartBody, int]:
    """Headers, body and body length. Dropbox refuses a body in a request without arguments."""
    headers = dict(request.headers)
    if request.route == TOKEN_ROUTE:
        headers["content-type"] = "application/x-www-form-urlencoded"
    elif request.content:
        headers["dropbox-api-arg"] = _header_json(request.arguments)
        if request.body is not None:
            headers["content-type"] = "application/octet-stream"
    elif request.arguments is not None:
        headers["content-type"] = "application/json"
        body = json.dumps(request.arguments).encode("ascii")
        return headers, body, len(body)
    return headers, request.body if request.body is not None else b"", request.body_bytes


def _header_json(arguments: Mapping[str, Any] | None) -> str:
    """JSON that is safe in a header: ASCII without DEL."""
    return json.dumps(arguments or {}).replace("\x7f", "\\u007f")


def _read(answer: HttpAnswer) -> DropboxReply:
    return DropboxReply(answer.status, answer.headers, answer.rest())
