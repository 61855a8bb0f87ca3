"""One request and its answer over an interruptible connection. The service interprets the answer."""

from __future__ import annotations

import http.client
import logging
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from providers.contract.listing import takes_parts
from providers.contract.upload import PartBody
from providers.errors import Transient
from providers.http import http1
from providers.http.connections import Call, Calls, Connection, Pool, ProxyWantsPasswordError
from providers.http.errors import forced_encoding
from providers.http.http1 import HttpResponse

_LOG: Final = logging.getLogger(__name__)
_WITH_BODY: Final = frozenset({"PUT", "POST", "PATCH"})
_READING: Final = frozenset({"GET", "HEAD"})
_DIED: Final = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
_MAX_REPLY_BYTES: Final = 64 << 20
"""Longer than any answer that is not an object."""


def ask(
    pool: Pool,
    calls: Calls,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes | PartBody = b"",
    *,
    count: Callable[[], None],
    repeatable: bool = False,
) -> HttpAnswer:
    """Send one request and return its answer as soon as its head has arrived. The caller closes the answer.

    `target` is path and query, encoded. `headers` have lower-case names; Host, Content-Length and proxy headers are
    added. `count` is called for each request sent. Raises the ProviderError for a broken connection, and the errors of
    reading `body`.

    Never retries, with one exception. If a kept connection turns out to be dead, a request that reads, or that is
    `repeatable` and was sent completely, is sent once more over a new one. A server may hang up at any time between two
    requests (RFC 9112, 9.3.1); that is no failure of the request.
    """
    sent = {"host": pool.authority, "accept-encoding": "identity", **headers}
    if method in _WITH_BODY:
        sent.setdefault("content-length", str(len(body)))
    if pool.proxy and pool.proxy.authorization and not pool.secure:
        sent["proxy-authorization"] = pool.proxy.authorization
    first = http1.head(method, f"{pool.target_prefix}{target}", sent)
    start = 0 if isinstance(body, bytes) else body.tell()
    call = calls.begin()
    try:
        try:
            count()
            return _from_service(_exchange(pool, calls, call, method, first, body), pool)
        except _KeptConnectionDied as error:
            safe = method in _READING or (repeatable and error.was_written)
            if call.interrupted or not safe:
                raise pool.failure(error.reason, call) from error.reason
            _LOG.debug("a kept connection was dead: %s goes out again", method)
            if not isinstance(body, bytes):
                body.seek(start)
            count()
            return _from_service(_exchange(pool, calls, call, method, first, body, fresh=True), pool)
    except (OSError, http.client.HTTPException) as error:
        calls.end(call)
        raise pool.failure(error, call) from error
    except BaseException:
        calls.end(call)
        raise


def _from_service(answer: HttpAnswer, pool: Pool) -> HttpAnswer:
    """Raises ProxyWantsPasswordError if the answer comes from the proxy, not from the service."""
    if pool.proxy and answer.status == http.client.PROXY_AUTHENTICATION_REQUIRED:
        answer.close()
        raise ProxyWantsPasswordError
    return answer


class _KeptConnectionDied(Exception):
    def __init__(self, reason: Exception, *, was_written: bool) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.was_written = was_written
        """The whole request was sent."""


def _exchange(
    pool: Pool, calls: Calls, call: Call, method: str, first: bytes, body: bytes | PartBody, *, fresh: bool = False
) -> HttpAnswer:
    with pool.borrowed(call, fresh=fresh) as connection:
        whole = False
        try:
            whole = http1.send(connection, first, body)
            response = HttpResponse(connection, method)
        except _DIED as error:
            if connection.kept:
                raise _KeptConnectionDied(error, was_written=whole) from error
            raise
        return HttpAnswer(pool, connection, response, call, calls, reusable=whole)


class HttpAnswer:
    """An arriving answer. Header names are lower-case."""

    def __init__(
        self,
        pool: Pool,
        connection: Connection,
        response: HttpResponse,
        call: Call,
        calls: Calls,
        *,
        reusable: bool,
    ) -> None:
        self.status = response.status
        self.headers = response.headers
        self._pool = pool
        self._connection = connection
        self._response = response
        self._call = call
        self._calls = calls
        self._reusable = reusable and not response.will_close
        self._open = True

    def chunks(self) -> Iterator[bytes]:
        """The body as it arrives. A connection that ends before the body is Transient."""
        response = self._response
        while not response.ended:
            try:
                data = response.read(http1.CHUNK_BYTES)
            except (OSError, http.client.HTTPException) as error:
                self._reusable = False
                raise self._pool.failure(error, self._call) from error
            if data:
                yield data
            elif not response.ended:
                self._reusable = False
                early = f"{response.left_bytes} bytes " if response.left_bytes else ""
                reason = "interrupted" if self._call.interrupted else f"the answer broke off {early}too early"
                raise Transient(reason, code="TRUNCATED")

    def rest(self) -> bytes:
        """The whole body of an answer that is not an object; closes the answer."""
        found = bytearray()
        try:
            for chunk in self.chunks():
                found += chunk
                if len(found) > _MAX_REPLY_BYTES:
                    self._reusable = False
                    raise Transient("the answer is longer than any expected one")
        except Transient as error:
            if self._call.interrupted or not 0 < len(found) <= _MAX_REPLY_BYTES:
                raise
            if not takes_parts():
                error.cut_short = True
                raise
        finally:
            self.close()
        changed = forced_encoding(self.headers, self._pool.authority) if found else None
        if changed:
            raise changed
        return bytes(found)

    def interrupt(self) -> None:
        self._call.interrupt()

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._calls.end(self._call)
        usable = self._reusable and self._response.ended and not self._call.interrupted and self._response.alone()
        self._response.close()
        if usable:
            self._pool.give_back(self._connection)
        else:
            self._connection.close()
