"""Single signed S3 requests: streams the body, returns the answer or raises a ProviderError. Never retries."""

from __future__ import annotations

import functools
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

from providers.aws_s3 import errors
from providers.aws_s3.errors import S3Reply, Where
from providers.contract.upload import PartBody
from providers.errors import ProviderError, Unsupported
from providers.http.connections import Calls, Pool
from providers.http.errors import with_status
from providers.http.network import Network
from providers.http.request import HttpAnswer, ask
from providers.secret import Secret

T = TypeVar("T")


@dataclass(frozen=True)
class Endpoint:
    """Address of a bucket. `url` does not contain the bucket; with `virtual` it is put in front of the host name."""

    url: str
    region: str
    bucket: str
    virtual: bool


@dataclass(frozen=True)
class S3Request:
    kind: str
    """S3's name for the operation, for example 'PutObject'."""
    method: str
    key: str | None = None
    """The whole key, including the prefix. None: the request is about the bucket."""
    bucket: str | None = None
    """None: the provider's own bucket. '': the request is about the service."""
    query: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None
    body: bytes | PartBody = b""
    sha256: str = ""
    """SHA-256 of the body. Empty: computed for bytes, left unsigned for a streamed body."""
    signed: bool = True
    accepts: frozenset[int] = frozenset()
    """Statuses outside 200-299 that do not raise."""


class S3Client:
    """May be used from several threads. Every method raises ProviderError."""

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

    """Per bucket: the connection pool, and the path in front of its keys."""

    def close(self) -> None:
        for pool, _ in self._places.values():
            pool.close()

    def ask(self, request: S3Request, calls: Calls) -> S3Reply:
        """Send the request and return the whole answer. Also raises an error sent with status 200, as S3 does when it
        had to start answering before it was done."""
        answer = self.open(request, calls)
        reply = S3Reply(answer.status, answer.headers, answer.rest())
        if reply.is_error:
            raise with_status(errors.failure(replace(reply, status=500), self._where(request, None), self._now()), 500)
        return reply

    def open(self, request: S3Request, calls: Calls) -> HttpAnswer:
        """Send the request and return the answer with its body still unread. The caller closes it."""
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
        """Connection pool and encoded path for a request."""
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
    """True if sending twice is harmless: an unconditional PUT of the same part or object."""
    conditional = {"if-none-match", "if-match"} & (request.headers or {}).keys()
    return request.kind in ("PutObject", "UploadPart") and not conditional


def _digest(request: S3Request) -> str:
    if request.sha256:
        return request.sha256
    return hashlib.sha256(request.body).hexdigest() if isinstance(request.body, bytes) else UNSIGNED_PAYLOAD


def may_refuse_header(error: ProviderError) -> bool:
    """True if the server may have rejected an unknown header or parameter: 501, or 400 as many servers answer."""
    return type(error) is ProviderError or (isinstance(error, Unsupported) and error.code in ("", "NotImplemented"))


class Extra:
    """Optional headers or parameters. Omitted once a server has accepted a request only without them."""

    def __init__(self) -> None:
        self.understood = True

    def ask(self, fields: Mapping[str, str], call: Callable[[Mapping[str, str]], T]) -> T:
        """`call` with the fields; if they are refused, again without them. Raises ProviderError."""
        if not self.understood or not fields:
            return call({})
        try:
            return call(fields)
        except ProviderError as error:
            if not may_refuse_header(error):
                raise
        answer = call({})
        self.understood = False
        return answer


UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"


EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Keys:
    """Access keys for signing."""

    access_key: str
    secret_key: Secret
    session_token: Secret | None = None


def encoded_path(path: str) -> str:
    """A path in the form that is sent and signed. Raises UnicodeEncodeError for a name that is not Unicode."""
    return quote(path, safe="/-_.~")


def encoded_query(query: Mapping[str, str]) -> str:
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query.items())
    return "&".join(f"{name}={value}" for name, value in pairs)


def sign(
    keys: Keys, region: str, now_s: float, method: str, path: str, query: str, headers: dict[str, str], sha256: str
) -> None:
    """Add the signature to `headers` (lower-case names, with `host`). `path` and `query` are already encoded.

    AWS Signature Version 4 (Amazon S3 API Reference, "Authenticating Requests: Using the Authorization Header").
    Written out here so that the body is read only once, with its digest known beforehand. A test compares it with
    botocore.
    """
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    headers["x-amz-date"] = moment
    headers["x-amz-content-sha256"] = sha256
    if keys.session_token:
        headers["x-amz-security-token"] = keys.session_token.reveal()
    names = sorted(headers)
    signed = ";".join(names)
    lines = [f"{name}:{' '.join(headers[name].split())}" for name in names]
    canonical = "\n".join([method, path, query, *lines, "", signed, sha256])
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.digest(_signing_key(keys.secret_key, moment[:8], region), text.encode(), "sha256").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}, SignedHeaders={signed}, Signature={signature}"
    )


@functools.lru_cache(maxsize=16)
def _signing_key(secret: Secret, date: str, region: str) -> bytes:
    key = f"AWS4{secret.reveal()}".encode()
    for word in (date, region, "s3", "aws4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    return key
