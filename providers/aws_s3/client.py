"""One signed S3 request at a time: sent as it is read, answered or turned into a ProviderError. Never retries."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

from providers.aws_s3 import errors
from providers.aws_s3.errors import S3Reply, Where
from providers.aws_s3.signature import UNSIGNED_PAYLOAD, Keys, encoded_path, encoded_query, sign
from providers.contract.upload import PartBody
from providers.errors import ProviderError, Unsupported
from providers.http.connections import Calls, Pool
from providers.http.errors import with_status
from providers.http.network import Network
from providers.http.request import HttpAnswer, ask

T = TypeVar("T")


@dataclass(frozen=True)
class Endpoint:
    """Where a bucket is served. `url` has no bucket in it; `virtual` puts the bucket in front of the host name."""

    url: str
    region: str
    bucket: str
    virtual: bool


@dataclass(frozen=True)
class S3Request:
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
    accepts: frozenset[int] = frozenset()
    """Statuses outside 200-299 that are answers, no errors."""


class S3Client:
    """Usable from several threads. Everything raises ProviderError."""

    def __init__(
        self,
        endpoint: Endpoint,
        keys: Callable[[], Keys],
        *,
        timeout_s: float,
        network: Network,
        now: Callable[[], float],
        count_call: Callable[[str], None],
    ) -> None:
        self.endpoint = endpoint
        self._keys = keys
        self._timeout_s = timeout_s
        self._network = network
        self._now = now
        self._count_call = count_call
        self._places: dict[str, tuple[Pool, str]] = {}
        """Where each bucket is asked for, and the path that stands before its keys."""

    def close(self) -> None:
        for pool, _ in self._places.values():
            pool.close()

    def ask(self, request: S3Request, calls: Calls) -> S3Reply:
        """The whole answer of a request that succeeds. Raises the error that the service tells otherwise, also inside
        an answer that begins with 200, as S3 does where it had to answer before it was through."""
        answer = self.open(request, calls)
        reply = S3Reply(answer.status, answer.headers, answer.rest())
        if reply.tells_error:
            raise with_status(errors.failure(replace(reply, status=500), self._where(request, None), self._now()), 500)
        return reply

    def open(self, request: S3Request, calls: Calls) -> HttpAnswer:
        """An answer whose body is still to be read; close it."""
        keys = self._keys() if request.signed else None
        pool, path = self._address(request)
        query = encoded_query(request.query) if request.query else ""
        headers = {"host": pool.authority, **(request.headers or {})}
        if keys is not None:
            sign(keys, self.endpoint.region, self._now(), request.method, path, query, headers, _digest(request))
        answer = ask(
            pool,
            calls,
            request.method,
            f"{path}?{query}" if query else path,
            headers,
            request.body,
            count=lambda: self._count_call(request.kind),
            repeatable=_is_repeatable(request),
        )
        if 200 <= answer.status < 300 or answer.status in request.accepts:
            return answer
        reply = S3Reply(answer.status, answer.headers, answer.rest())
        raise with_status(errors.failure(reply, self._where(request, keys), self._now()), answer.status)

    def _where(self, request: S3Request, keys: Keys | None) -> Where:
        bucket = self.endpoint.bucket if request.bucket is None else request.bucket
        return Where(self.endpoint.url, bucket, self.endpoint.region, keys.access_key if keys else "")

    def _address(self, request: S3Request) -> tuple[Pool, str]:
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
        return Pool(url, self._network, timeout_s=self._timeout_s), encoded_path(path)


def _is_repeatable(request: S3Request) -> bool:
    """An unconditional PUT of the same part or object changes nothing when it comes twice."""
    conditional = {"if-none-match", "if-match"} & (request.headers or {}).keys()
    return request.kind in ("PutObject", "UploadPart") and not conditional


def _digest(request: S3Request) -> str:
    if request.sha256:
        return request.sha256
    return hashlib.sha256(request.body).hexdigest() if isinstance(request.body, bytes) else UNSIGNED_PAYLOAD


def may_refuse_a_header(error: ProviderError) -> bool:
    """Whether an error may mean a header or parameter that the server does not know: 501, or as many say, 400."""
    return type(error) is ProviderError or (isinstance(error, Unsupported) and error.code in ("", "NotImplemented"))


class Extra:
    """Headers or parameters of one kind. Left out once a server was seen to answer only without them."""

    def __init__(self) -> None:
        self.understood = True

    def ask(self, fields: Mapping[str, str], call: Callable[[Mapping[str, str]], T]) -> T:
        """`call` with the fields, or without them where they are refused. Raises ProviderError."""
        if not self.understood or not fields:
            return call({})
        try:
            return call(fields)
        except ProviderError as error:
            if not may_refuse_a_header(error):
                raise
        answer = call({})
        self.understood = False
        return answer
