"""Single Google requests: streams the body, returns the answer or raises a ProviderError.

Never retries, with one exception: if the access token is refused, it is renewed and the request sent once more.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from providers.contract.upload import PartBody
from providers.errors import Authentication
from providers.google_drive import errors
from providers.google_drive.errors import DriveReply
from providers.http.connections import Calls, Pool
from providers.http.errors import with_status
from providers.http.network import Network
from providers.http.request import HttpAnswer, ask
from providers.remedies import Action, Remedy

API_URL: Final = "https://www.googleapis.com"
TOKEN_URL: Final = "https://oauth2.googleapis.com/token"
JSON_TYPE: Final = "application/json; charset=UTF-8"
_GOOGLE: Final = ".googleapis.com"


@dataclass(frozen=True)
class DriveRequest:
    kind: str
    """Drive's name for the operation, for example 'files.list'."""
    method: str
    address: str
    """A path of the API, or a complete address (an upload session)."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | PartBody = b""
    authorized: bool = True
    accepts: frozenset[int] = frozenset()
    """Statuses of 300 and above that do not raise."""


def as_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


class DriveClient:
    """May be used from several threads. Every method raises ProviderError."""

    def __init__(self, api_url: str, *, network: Network, timeout_s: float, count_call: Callable[[str], None]) -> None:
        self.api_url = api_url
        self._network = network
        self._timeout_s = timeout_s
        self._count_call = count_call
        self._lock = threading.Lock()
        self._pools: dict[str, Pool] = {}
        self.token: Callable[[str], str] = _no_token
        """Returns an access token other than the given one."""

    def close(self) -> None:
        with self._lock:
            pools = list(self._pools.values())
        for pool in pools:
            pool.close()

    def ask(self, request: DriveRequest, calls: Calls | None = None) -> DriveReply:
        """Send the request and return the whole answer. Raises for an error status that is not in `accepts`."""
        answer = self.open(request, calls or Calls())
        return DriveReply(answer.status, answer.headers, answer.rest())

    def ask_json(self, request: DriveRequest, calls: Calls | None = None) -> dict[str, Any]:
        return self.ask(request, calls).json()

    def open(self, request: DriveRequest, calls: Calls) -> HttpAnswer:
        """Send the request and return the answer with its body still unread. The caller closes it."""
        if not request.authorized:
            return self._once(request, "", calls)
        token = self.token("")
        start = 0 if isinstance(request.body, bytes) else request.body.tell()
        try:
            return self._once(request, token, calls)
        except Authentication:
            renewed = self.token(token)
            if not isinstance(request.body, bytes):
                request.body.seek(start)
            return self._once(request, renewed, calls)

    def _once(self, request: DriveRequest, token: str, calls: Calls) -> HttpAnswer:
        pool, target = self._address(request)
        headers = {"user-agent": "homeserver-backup", **request.headers}
        if token:
            headers["authorization"] = f"Bearer {token}"
        answer = ask(
            pool, calls, request.method, target, headers, request.body, count=lambda: self._count_call(request.kind)
        )
        if 200 <= answer.status < 300 or answer.status in request.accepts:
            return answer
        failure = errors.failure(DriveReply(answer.status, answer.headers, answer.rest()))
        raise with_status(failure, answer.status)

    def trusted(self, address: str) -> bool:
        """True if an address sent by the service may receive file contents and the access token."""
        if not address.isascii() or not address.isprintable():
            return False
        parts, own = urlsplit(address), urlsplit(self.api_url)
        if (parts.scheme, parts.netloc) == (own.scheme, own.netloc):
            return True
        return parts.scheme == "https" and (parts.hostname or "").endswith(_GOOGLE) and "@" not in parts.netloc

    def _address(self, request: DriveRequest) -> tuple[Pool, str]:
        whole = request.address if "://" in request.address else f"{self.api_url}{request.address}"
        parts = urlsplit(whole)
        query = "&".join(item for item in (parts.query, urlencode(request.query, quote_via=quote)) if item)
        origin = f"{parts.scheme}://{parts.netloc}"
        with self._lock:
            pool = self._pools.get(origin)
            if pool is None:
                pool = self._pools[origin] = Pool(origin, self._network, timeout_s=self._timeout_s)
        return pool, f"{parts.path or '/'}?{query}" if query else parts.path or "/"


def _no_token(stale: str) -> str:
    raise Authentication("this provider is not authorised yet", remedies=(Remedy(Action.AUTHORIZE),))
