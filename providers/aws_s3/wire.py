"""One signed S3 request at a time: sent as it is read, answered or turned into a ProviderError. Never retries."""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from providers.aws_s3 import http1, replies
from providers.aws_s3.connection import Call, Calls, Connection, Pool
from providers.aws_s3.http1 import Response
from providers.aws_s3.replies import Reply, Where
from providers.aws_s3.signature import UNSIGNED_PAYLOAD, Keys, encoded_path, encoded_query, sign
from providers.errors import ProviderError, Transient
from providers.upload import PartBody

_MAX_REPLY_BYTES: Final = 64 << 20
"""No answer that is not an object is nearly as long."""


@dataclass(frozen=True)
class Endpoint:
    """Where a bucket is served. `url` has no bucket in it; `virtual` puts the bucket in front of the host name."""

    url: str
    region: str
    bucket: str
    virtual: bool


@dataclass(frozen=True)
class Request:
    kind: str
    """S3's name of the operation: 'PutObject'."""
    method: str
    key: str | None = None
    """The whole key, prefix included; None asks about the bucket."""
    bucket: str | None = None
    """None: the instance's own; '' asks about the service."""
    query: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None
    body: bytes | PartBody = b""
    sha256: str = ""
    """Of the body. Empty: computed for bytes, left unsigned for what is streamed."""
    signed: bool = True


class Wire:
    """Usable from several threads. Everything raises ProviderError."""

    def __init__(
        self,
        endpoint: Endpoint,
        keys: Callable[[], Keys],
        *,
        timeout_s: float,
        ca_bundle: str,
        now: Callable[[], float],
        count_call: Callable[[str], None],
    ) -> None:
        self.endpoint = endpoint
        self._keys = keys
        self._timeout_s = timeout_s
        self._ca_bundle = ca_bundle
        self._now = now
        self._count_call = count_call
        self._places: dict[str, tuple[Pool, str]] = {}
        """Where each bucket is asked for, and the path that stands before its keys."""

    def close(self) -> None:
        for pool, _ in self._places.values():
            pool.close()

    def ask(self, request: Request, calls: Calls) -> Reply:
        """The whole answer of a request that succeeds. Raises the error that the service tells otherwise."""
        answer = self.open(request, calls)
        try:
            return Reply(answer.status, answer.headers, answer.rest())
        finally:
            answer.close()

    def open(self, request: Request, calls: Calls) -> Answer:
        """An answer whose body is still to be read; close it."""
        call = calls.begin()
        pool = None
        try:
            keys = self._keys() if request.signed else None
            pool, path = self._address(request)
            self._count_call(request.kind)
            with pool.borrowed(call) as connection:
                answer = self._exchange(request, keys, pool, path, connection, call, calls)
        except (OSError, http.client.HTTPException) as error:
            calls.end(call)
            raise self.failed(error, call, pool) from error
        except BaseException:
            calls.end(call)
            raise
        if answer.status < 300:
            return answer
        try:
            reply = Reply(answer.status, answer.headers, b"" if request.method == "HEAD" else answer.rest())
        finally:
            answer.close()
        raise replies.failure(reply, self._where(request, keys), self._now())

    def failed(self, error: Exception, call: Call, pool: Pool | None) -> ProviderError:
        """What a broken connection means."""
        if call.interrupted:
            return Transient("interrupted")
        if pool is None:
            return Transient(str(error))
        peer = pool.proxy or pool
        return replies.connection_failure(error, peer.host, peer.port, self._timeout_s)

    def _where(self, request: Request, keys: Keys | None) -> Where:
        bucket = self.endpoint.bucket if request.bucket is None else request.bucket
        return Where(self.endpoint.url, bucket, self.endpoint.region, keys.access_key if keys else "")

    def _address(self, request: Request) -> tuple[Pool, str]:
        """Where a request goes, and the encoded path that it asks for."""
        bucket = self.endpoint.bucket if request.bucket is None else request.bucket
        known = self._places.get(bucket)
        if known is None:
            known = self._places.setdefault(bucket, self._place(bucket))
        pool, base = known
        path = base if request.key is None else f"{base}/{encoded_path(request.key)}"
        return pool, path or "/"

    def _place(self, bucket: str) -> tuple[Pool, str]:
        parts = urlsplit(self.endpoint.url)
        authority = f"{bucket}.{parts.netloc}" if bucket and self.endpoint.virtual else parts.netloc
        path = parts.path.rstrip("/")
        if bucket and not self.endpoint.virtual:
            path = f"{path}/{bucket}"
        url = urlunsplit((parts.scheme, authority, "", "", ""))
        return Pool(url, timeout_s=self._timeout_s, ca_bundle=self._ca_bundle), encoded_path(path)

    def _exchange(
        self,
        request: Request,
        keys: Keys | None,
        pool: Pool,
        path: str,
        connection: Connection,
        call: Call,
        calls: Calls,
    ) -> Answer:
        headers = {"host": pool.authority, **(request.headers or {})}
        query = encoded_query(request.query) if request.query else ""
        if keys is not None:
            sign(keys, self.endpoint.region, self._now(), request.method, path, query, headers, _digest(request))
        target = f"{pool.target_prefix}{path}?{query}" if query else f"{pool.target_prefix}{path}"
        if pool.proxy and pool.proxy.authorization and not pool.secure:
            headers["proxy-authorization"] = pool.proxy.authorization
        if request.method in ("PUT", "POST"):
            headers["content-length"] = str(len(request.body))
        whole = http1.send(connection, http1.head(request.method, target, headers), request.body)
        return Answer(self, pool, connection, Response(connection, request.method), call, calls, reusable=whole)


def _digest(request: Request) -> str:
    if request.sha256:
        return request.sha256
    return hashlib.sha256(request.body).hexdigest() if isinstance(request.body, bytes) else UNSIGNED_PAYLOAD


class Answer:
    """An answer that is still arriving. Header names are lower-case."""

    def __init__(
        self,
        wire: Wire,
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
        self._wire = wire
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
                raise self._wire.failed(error, self._call, self._pool) from error
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
                raise Transient("the answer is longer than any that S3 gives")
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
