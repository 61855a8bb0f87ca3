"""The SDK's HTTP layer over connections that a second thread can break off at once.

The SDK builds every request and reads every answer; what it leaves to `requests` (sockets, timeouts, streaming a body)
is done here instead: with `requests` a stalled call cannot be interrupted, and `timeout` does not hold while sending.
Its retries, which sleep for up to 64 s, have no part in this.
"""

from __future__ import annotations

import http.client
import json
import select
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from b2sdk.v3 import B2Http, B2HttpApiConfig

from providers.aws_s3.connection import Call, Calls, Pool
from providers.backblaze import replies
from providers.errors import Transient
from providers.upload import PartBody

CHUNK_BYTES: Final = 128 * 1024
_MAX_REPLY_BYTES: Final = 64 << 20
"""No answer that is not an object is nearly as long."""
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
                response.finish()
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
        call = calls.begin()
        pool = self._pool(url)
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
        connection: http.client.HTTPConnection,
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
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in sent.items():
            connection.putheader(name, value)
        whole = True
        if data is None or isinstance(data, bytes):
            connection.endheaders(data or None)
        else:
            data.seek(0)
            connection.endheaders()
            whole = _stream(connection, data)
        return Response(self, pool, connection, connection.getresponse(), call, calls, url=url, reusable=whole)

    def failed(self, error: Exception, call: Call, pool: Pool) -> Exception:
        """What a broken connection means."""
        if call.interrupted:
            return Transient("interrupted")
        peer = pool.proxy or pool
        return replies.connection_failure(error, peer.host, peer.port, self._timeout_s)


def name_of_call(path: str) -> str:
    """B2's name of the API call that a path is."""
    if path.startswith("/file/"):
        return DOWNLOAD
    return next((segment for segment in path.split("/") if segment.startswith("b2_")), "other")


def _stream(connection: http.client.HTTPConnection, body: PartBody) -> bool:
    """Send the body as it is read; False when the server answered (surely an error) before it had all of it."""
    sock = connection.sock
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    look = not isinstance(sock, ssl.SSLSocket)  # under TLS, session tickets make it readable too
    while True:
        chunk = memoryview(body.read(CHUNK_BYTES))
        if not chunk:
            return True
        if look and poll.poll(0):
            return False
        try:
            while chunk:
                chunk = chunk[sock.send(chunk) :]
        except (BrokenPipeError, ConnectionResetError):
            if not poll.poll(0):
                raise
            return False  # it hung up, but may have said why


class Response:
    """An answer that is still arriving, with what the SDK uses of `requests.Response`. Header names are lower-case."""

    def __init__(
        self,
        transport: Transport,
        pool: Pool,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
        call: Call,
        calls: Calls,
        *,
        url: str,
        reusable: bool,
    ) -> None:
        self.status_code = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.url = url
        self._transport = transport
        self._pool = pool
        self._connection = connection
        self._response = response
        self._call = call
        self._calls = calls
        self._reusable = reusable and not response.will_close
        self._open = True

    @property
    def content(self) -> bytes:
        found = bytearray()
        for chunk in self.chunks():
            found += chunk
            if len(found) > _MAX_REPLY_BYTES:
                self._reusable = False
                raise Transient("the answer is longer than any that B2 gives")
        return bytes(found)

    def chunks(self) -> Iterator[bytes]:
        """The body as it arrives. A connection that ends before Content-Length is Transient."""
        left = self._response.length
        while True:
            try:
                data = self._response.read1(CHUNK_BYTES)
            except (OSError, http.client.HTTPException) as error:
                self._reusable = False
                raise self._transport.failed(error, self._call, self._pool) from error
            if not data:
                break
            if left is not None:
                left -= len(data)
            yield data
        if left:
            self._reusable = False
            reason = "interrupted" if self._call.interrupted else f"the answer broke off {left} bytes too early"
            raise Transient(reason, code="TRUNCATED")

    def finish(self) -> None:
        """Read what is left, and free the connection."""
        try:
            for _ in self.chunks():
                continue
        finally:
            self.close()

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        if self._reusable and not self._response.length:
            self._response.read()  # `read1` leaves a response that it has emptied open
        self._calls.end(self._call)
        if self._reusable and self._response.isclosed() and not self._call.interrupted:
            self._pool.give_back(self._connection)
        else:
            self._response.close()
            self._connection.close()
