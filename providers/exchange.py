"""One request and its answer over an interruptible connection; what it means is the service's matter."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping
from typing import Final

from providers import http1
from providers.connection import Call, Calls, Connection, Pool
from providers.errors import Transient
from providers.http1 import Response
from providers.upload import PartBody

_WITH_BODY: Final = frozenset({"PUT", "POST", "PATCH"})
_MAX_REPLY_BYTES: Final = 64 << 20
"""No answer that is not an object is nearly as long."""


def ask(
    pool: Pool, calls: Calls, method: str, target: str, headers: Mapping[str, str], body: bytes | PartBody = b""
) -> Answer:
    """Send one request, and give its answer as soon as the head of it is there; close that. Never retries.

    `target` is path and query, encoded. `headers` have lower-case names; Host, Content-Length and what a proxy wants
    are added. Raises the ProviderError that a broken connection means, and what reading `body` raises.
    """
    sent = {"host": pool.authority, **headers}
    if method in _WITH_BODY:
        sent.setdefault("content-length", str(len(body)))
    if pool.proxy and pool.proxy.authorization and not pool.secure:
        sent["proxy-authorization"] = pool.proxy.authorization
    first = http1.head(method, f"{pool.target_prefix}{target}", sent)
    call = calls.begin()
    try:
        with pool.borrowed(call) as connection:
            whole = http1.send(connection, first, body)
            return Answer(pool, connection, Response(connection, method), call, calls, reusable=whole)
    except (OSError, http.client.HTTPException) as error:
        calls.end(call)
        raise pool.failure(error, call) from error
    except BaseException:
        calls.end(call)
        raise


class Answer:
    """An answer that is still arriving. Header names are lower-case."""

    def __init__(
        self,
        pool: Pool,
        connection: Connection,
        response: Response,
        call: Call,
        calls: Calls,
        *,
        reusable: bool,
    ) -> None:
        self.status = response.status
        self.headers = response.told
        self._pool = pool
        self._connection = connection
        self._response = response
        self._call = call
        self._calls = calls
        self._reusable = reusable and not response.will_close
        self._open = True

    def chunks(self) -> Iterator[bytes]:
        """The body as it arrives. A connection that ends before Content-Length is Transient."""
        left = self._response.length
        while True:
            try:
                data = self._response.read1(http1.CHUNK_BYTES)
            except (OSError, http.client.HTTPException) as error:
                self._reusable = False
                raise self._pool.failure(error, self._call) from error
            if not data:
                break
            if left is not None:
                left -= len(data)
            yield data
        if left:
            self._reusable = False
            reason = "interrupted" if self._call.interrupted else f"the answer broke off {left} bytes too early"
            raise Transient(reason, code="TRUNCATED")

    def rest(self) -> bytes:
        """The whole body, of an answer that is no object; closes it."""
        found = bytearray()
        try:
            for chunk in self.chunks():
                found += chunk
                if len(found) > _MAX_REPLY_BYTES:
                    self._reusable = False
                    raise Transient("the answer is longer than any that was expected")
        finally:
            self.close()
        return bytes(found)

    def interrupt(self) -> None:
        self._call.interrupt()

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._calls.end(self._call)
        read_whole = self._response.isclosed() or self._response.length == 0
        self._response.close()
        if self._reusable and read_whole and not self._call.interrupted:
            self._pool.give_back(self._connection)
        else:
            self._connection.close()
