"""What passes over a connection of `providers.connection`: bodies out, answers in, and what it means when it breaks."""

from __future__ import annotations

import email.utils
import http.client
import re
import select
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from providers.connection import Call, Calls, Pool
from providers.errors import InvalidConfiguration, ProviderError, Transient
from providers.upload import PartBody

CHUNK_BYTES: Final = 128 * 1024
_MAX_REPLY_BYTES: Final = 64 << 20
"""No answer that is not an object is nearly as long."""


def stream(connection: http.client.HTTPConnection, body: PartBody) -> bool:
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


class Answer:
    """An answer that is still arriving. Header names are lower-case. `failed` says what a broken connection means."""

    def __init__(
        self,
        pool: Pool,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
        call: Call,
        calls: Calls,
        failed: Callable[[Exception, Call, Pool], ProviderError],
        *,
        reusable: bool,
    ) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
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
                data = self._response.read1(CHUNK_BYTES)
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
                raise Transient("the answer is longer than any that is due")
        return bytes(found)

    def interrupt(self) -> None:
        self._call.interrupt()

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._calls.end(self._call)
        if self._reusable and self._response.isclosed() and not self._call.interrupted:
            self._pool.give_back(self._connection)
        else:
            self._response.close()
            self._connection.close()


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Retry-After as seconds; the form with a date counts from the reply's own Date."""
    value = headers.get("retry-after", "")
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    until, sent = http_date(value), http_date(headers.get("date", ""))
    return max(0.0, until - sent) if until is not None and sent is not None else None


def http_date(value: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError):
        return None


def connection_failure(error: Exception, host: str, port: int, timeout_s: float) -> ProviderError:
    """What a failed connection means: each cause with its own words and cure."""
    at = f"{host}:{port}"
    if isinstance(error, socket.gaierror):
        return Transient(
            f"the name {host} cannot be found", hint="Check endpoint_url, and the DNS of this machine.", code="DNS"
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return InvalidConfiguration(
            f"endpoint_url: the certificate of {at} is not trusted: {error.verify_message}",
            field="endpoint_url",
            hint="Use the name it was made for; a CA of your own goes into the system's store or AWS_CA_BUNDLE.",
        )
    if isinstance(error, ssl.SSLError) and error.reason in {"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"}:
        return InvalidConfiguration(
            f"endpoint_url: {at} does not speak TLS", field="endpoint_url", hint="Write http:// if that is meant."
        )
    if isinstance(error, ConnectionRefusedError):
        return Transient(
            f"{at} refuses the connection",
            hint="See that the service runs, and check the port in endpoint_url.",
            code="REFUSED",
        )
    if isinstance(error, TimeoutError):
        return Transient(
            f"{at}: no byte has moved for {timeout_s:g} s",
            hint="Check the network and firewalls; what was sent is kept.",
            code="TIMEOUT",
        )
    reason = str(error) or type(error).__name__
    if isinstance(error, http.client.HTTPException) and not isinstance(error, http.client.RemoteDisconnected):
        return Transient(f"{at} broke off, or does not speak HTTP: {type(error).__name__}", hint="Check endpoint_url.")
    return Transient(f"the connection to {at} broke: {reason}", code="CONNECTION")
