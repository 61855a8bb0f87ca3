"""An answer over an interruptible connection; what it means is the service's matter."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from typing import Final

from providers import http1
from providers.connection import Call, Calls, Connection, Pool
from providers.errors import ProviderError, Transient
from providers.http1 import Response

_MAX_REPLY_BYTES: Final = 64 << 20
"""No answer that is not an object is nearly as long."""


class Answer:
    """An answer that is still arriving. Header names are lower-case."""

    def __init__(
        self,
        failed: Callable[[Exception, Call, Pool | None], ProviderError],
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
        self._failed = failed
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
                raise self._failed(error, self._call, self._pool) from error
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
        found = bytearray()
        for chunk in self.chunks():
            found += chunk
            if len(found) > _MAX_REPLY_BYTES:
                self._reusable = False
                raise Transient("the answer is longer than any that was expected")
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
