"""The SDK's HTTP layer over connections that a second thread can break off at once.

The SDK builds every request and reads every answer; what it leaves to `requests` (sockets, timeouts, streaming a body)
is done here instead: with `requests` a stalled call cannot be interrupted, and `timeout` does not hold while sending.
Its retries, which sleep for up to 64 s, have no part in this.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from b2sdk.v3 import B2Http, B2HttpApiConfig

from providers import http1
from providers.backblaze import replies
from providers.connection import Call, Calls, Connection, Pool
from providers.errors import ProviderError, Transient
from providers.exchange import Answer
from providers.upload import PartBody

DOWNLOAD: Final = "b2_download_file_by_name"


class Transport(B2Http):  # type: ignore[misc]
    """One request at a time per thread, any number of threads. Raises ProviderError, or for 401 the SDK's own."""

    def __init__(self, *, timeout_s: float, count_call: Callable[[str], None]) -> None:
        super().__init__(B2HttpApiConfig(install_clock_skew_hook=False))
        self._timeout_s = timeout_s
        self._count_call = count_call
        self._lock = threading.Lock()
        self._pools: dict[str, Pool] = {}
        self._here = threading.local()

    def close(self) -> None:
        with self._lock:
            pools = list(self._pools.values())
        for pool in pools:
            pool.close()

    @contextmanager
    def within(self, calls: Calls) -> Iterator[None]:
        """Requests that this thread makes inside belong to `calls`, which can interrupt them."""
        before = getattr(self._here, "calls", None)
        self._here.calls = calls
        try:
            yield
        finally:
            self._here.calls = before

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        data: bytes | PartBody | None = None,
        try_count: int = 1,
        params: Mapping[str, Any] | None = None,
        *,
        stream: bool = False,
        _timeout: float | None = None,
    ) -> Response:
        """One attempt, whatever `try_count` says. `params` repeats a JSON body, as the SDK does it."""
        call_name = name_of_call(urlsplit(url).path)
        response = self._open(method, url, headers, data, call_name)
        if response.status_code in (200, 206):
            if method == "HEAD":  # the SDK takes the headers and never closes
                response.close()
            return response
        try:
            body = b"" if method == "HEAD" else response.content
        finally:
            response.close()
        host = urlsplit(url).hostname or ""
        raise replies.failure(response.status_code, response.headers, body, call_name, host)

    def request_content_return_json(self, *args: Any, **kwargs: Any) -> Any:
        """As the SDK's, but what is no JSON is told as such."""
        try:
            return super().request_content_return_json(*args, **kwargs)
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise replies.not_b2(200, {}) from None

    def answer(self, url: str) -> tuple[int, bytes]:
        """Status and body of a plain GET, whatever the status."""
        response = self._open("GET", url, {}, None, replies.AUTHORIZE)
        try:
            return response.status_code, response.content
        finally:
            response.close()

    def _open(
        self, method: str, url: str, headers: Mapping[str, str], data: bytes | PartBody | None, call_name: str
    ) -> Response:
        calls = getattr(self._here, "calls", None) or Calls()
        pool = self._pool(url)
        call = calls.begin()
        try:
            self._count_call(call_name)
            with pool.borrowed(call) as connection:
                return self._exchange(method, url, headers, data, pool, connection, call, calls)
        except (OSError, http.client.HTTPException) as error:
            calls.end(call)
            raise self.failed(error, call, pool) from error
        except BaseException:
            calls.end(call)
            raise

    def _pool(self, url: str) -> Pool:
        parts = urlsplit(url)
        with self._lock:
            if parts.netloc not in self._pools:
                address = urlunsplit((parts.scheme, parts.netloc, "", "", ""))
                self._pools[parts.netloc] = Pool(address, timeout_s=self._timeout_s)
            return self._pools[parts.netloc]

    def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        data: bytes | PartBody | None,
        pool: Pool,
        connection: Connection,
        call: Call,
        calls: Calls,
    ) -> Response:
        parts = urlsplit(url)
        target = f"{pool.target_prefix}{parts.path or '/'}" + (f"?{parts.query}" if parts.query else "")
        sent = {"Host": pool.authority, "User-Agent": self.user_agent, **headers}
        if method == "POST":
            sent["Content-Length"] = str(len(data or b""))
        if pool.proxy and pool.proxy.authorization and not pool.secure:
            sent["Proxy-Authorization"] = pool.proxy.authorization
        if data is not None and not isinstance(data, bytes):
            data.seek(0)
        whole = http1.send(connection, http1.head(method, target, sent), data or b"")
        found = http1.Response(connection, method)
        response = Response(self.failed, pool, connection, found, call, calls, reusable=whole)
        response.url = url
        return response

    def failed(self, error: Exception, call: Call, pool: Pool | None) -> ProviderError:
        """What a broken connection means."""
        if call.interrupted or pool is None:
            return Transient("interrupted")
        peer = pool.proxy or pool
        return replies.connection_failure(error, peer.host, peer.port, self._timeout_s)


def name_of_call(path: str) -> str:
    """B2's name of the API call that a path is."""
    if path.startswith("/file/"):
        return DOWNLOAD
    return next((segment for segment in path.split("/") if segment.startswith("b2_")), "other")


class Response(Answer):
    """An answer with what the SDK uses of `requests.Response`."""

    url: str

    @property
    def status_code(self) -> int:
        return self.status

    @property
    def content(self) -> bytes:
        return self.rest()
