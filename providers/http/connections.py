"""HTTP connections that a second thread can break off at once.

Every request runs as a `Call` that holds a descriptor of its socket, even while connecting. An interrupt shuts that
socket down: a stalled send or receive returns within milliseconds. (No SDK's transport can do that, nor tell a stall
while sending from one while connecting, hence this small pool of sockets; `http1` speaks over them.)
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, BinaryIO, Final, cast
from urllib.parse import urlsplit

from providers.contract.cancel import active_token
from providers.errors import InvalidConfiguration, ProviderError, Transient
from providers.http.errors import connection_failure
from providers.http.head import read_head
from providers.http.network import Network, Proxy, is_loopback

CONNECT_TIMEOUT_S: Final = 10.0


def checked_address(url: str, setting: str, hint: str) -> str:
    """The address in a setting, without a trailing '/'; '' remains ''. Raises InvalidConfiguration, which never repeats
    text that may hold a password."""
    trimmed = url.rstrip("/")
    if not trimmed:
        return ""
    try:
        parts = urlsplit(trimmed)
        fits = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        fits = False
    if not fits or parts.query or parts.fragment or "@" in parts.netloc:
        raise InvalidConfiguration(f"{setting}: not an address of the form https://host:port", field=setting, hint=hint)
    return trimmed


def checked_endpoint(url: str, setting: str = "endpoint_url", hint: str = "Leave it empty.") -> str:
    """As `checked_address`, for a service that receives keys or tokens in clear text: also refuses a path, and an
    address that would send them unencrypted over a network."""
    address = checked_address(url, setting, hint)
    parts = urlsplit(address)
    if address and (parts.path or (parts.scheme == "http" and not is_loopback(parts.hostname or ""))):
        raise InvalidConfiguration(
            f"{setting}: not an address of the form https://host:port (http:// only on this machine itself)",
            field=setting,
            hint=hint,
        )
    return address


class Connection:
    """A socket, and a second descriptor to break it off, usable even after TLS has taken over the first."""

    def __init__(self, sock: socket.socket, breaker: socket.socket) -> None:
        self.sock = sock
        self.breaker = breaker
        self.kept = False
        """It has carried a request before."""
        self._poll = select.poll()
        self._poll.register(sock.fileno(), select.POLLIN)

    def readable(self) -> bool:
        """Whether data has arrived or the peer has hung up."""
        return bool(self._poll.poll(0))

    def close(self) -> None:
        self.sock.close()
        self.breaker.close()

    def break_off(self) -> None:
        """Close with a reset, so that data in the send buffer is dropped instead of being sent or waiting in the
        background."""
        with suppress(OSError):
            _drop_unsent(self.breaker)
        self.close()


class Call:
    """One running request; also cancelled by the active token of the thread that begins it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._until_end = ExitStack()
        self.interrupted = False
        token = active_token()
        if token is not None:
            self._until_end.enter_context(token.calling(self.interrupt))

    def watch(self, breaker: socket.socket | None) -> None:
        """From now on `interrupt` breaks this connection. Pass None before closing it, as its descriptor number may be
        reused. Raises ConnectionAbortedError if already interrupted."""
        with self._lock:
            self._socket = breaker
            interrupted = self.interrupted
        if interrupted and breaker:
            raise ConnectionAbortedError("interrupted")

    def interrupt(self) -> None:
        with self._lock:
            self.interrupted = True
            if self._socket:
                with suppress(OSError):
                    _drop_unsent(self._socket)
                    self._socket.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        self._until_end.close()
        self.watch(None)


class Calls:
    """The requests of one session. `interrupt` ends the running ones; later ones are not affected."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: set[Call] = set()

    def begin(self) -> Call:
        call = Call()
        with self._lock:
            self._under_way.add(call)
        return call

    def end(self, call: Call) -> None:
        with self._lock:
            self._under_way.discard(call)
        call.end()

    def interrupt(self) -> None:
        with self._lock:
            calls = list(self._under_way)
        for call in calls:
            call.interrupt()


class Pool:
    """Keep-alive connections to one address. `timeout_s` is the longest time without a byte moving."""

    def __init__(self, url: str, network: Network, *, timeout_s: float, setting: str = "endpoint_url") -> None:
        """`setting` is the source of the address; errors name it."""
        parts = urlsplit(url)
        self.secure = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if self.secure else 80)
        self.authority = parts.netloc.rpartition("@")[2]
        """Value of the Host header."""
        self.proxy = network.proxy_for(parts.scheme, self.authority)
        self._network = network
        self._timeout_s = timeout_s
        self._setting = setting
        self._tls: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        self._idle: list[Connection] = []

    @property
    def target_prefix(self) -> str:
        """Text before the path in a request line: the whole address if a proxy forwards plain http."""
        return f"http://{self.authority}" if self.proxy and not self.secure else ""

    @contextmanager
    def borrowed(self, call: Call, *, fresh: bool = False) -> Iterator[Connection]:
        """A connection for one request, new if `fresh`. Return it with `give_back`, or close it; it is closed here
        after an exception."""
        idle = None if fresh else self._take()
        connection = idle or self._connect(call)
        try:
            if idle:
                call.watch(idle.breaker)
            yield connection
        except BaseException:
            call.watch(None)
            connection.break_off()
            raise

    def failure(self, error: Exception, call: Call) -> ProviderError:
        """The error for a broken connection."""
        if call.interrupted:
            return Transient("interrupted")
        peer = self if isinstance(error, ssl.SSLError) else self.proxy or self  # TLS is with the service alone
        if isinstance(error, ProxyWantsPasswordError):
            return self._network.wrong_password(peer.host, peer.port)
        return connection_failure(
            error, peer.host, peer.port, self._timeout_s, setting=self._setting, ca=self._network.ca_source
        )

    def give_back(self, connection: Connection) -> None:
        connection.kept = True
        with self._lock:
            self._idle.append(connection)

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> Connection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if not connection.readable():
                return connection
            connection.close()  # the server has hung up, or sent unrequested data

    def _connect(self, call: Call) -> Connection:
        host, port = (self.proxy.host, self.proxy.port) if self.proxy else (self.host, self.port)
        sock, breaker = _open_socket(host, port, min(CONNECT_TIMEOUT_S, self._timeout_s), call)
        try:
            if self.proxy and self.secure:
                _tunnel(sock, self.host, self.port, self.proxy)
            if self.secure:
                sock = self._tls_context().wrap_socket(sock, server_hostname=self.host)
            sock.settimeout(self._timeout_s)
        except BaseException:
            call.watch(None)
            sock.close()
            breaker.close()
            raise
        return Connection(sock, breaker)

    def _tls_context(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                self._tls = self._network.tls_context()
            return self._tls


def _drop_unsent(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _open_socket(host: str, port: int, timeout_s: float, call: Call) -> tuple[socket.socket, socket.socket]:
    """A connected socket and its second descriptor, which `call` watches."""
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in _addresses(host, port):
        sock = socket.socket(family, kind, protocol)
        breaker = sock.dup()
        try:
            sock.settimeout(timeout_s)
            call.watch(breaker)
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            call.watch(None)
            sock.close()
            breaker.close()
            if call.interrupted:
                raise
            failure = error
        else:
            return sock, breaker
    raise failure


def _addresses(host: str, port: int) -> list[tuple[Any, ...]]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label is empty, or longer than 63 characters
        raise socket.gaierror(socket.EAI_NONAME, "not a name of a host") from error


def _tunnel(sock: socket.socket, host: str, port: int, proxy: Proxy) -> None:
    at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {at} HTTP/1.1", f"Host: {at}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
    with sock.makefile("rb", buffering=0) as file:  # bytes after the head belong to TLS
        answer = read_head(cast(BinaryIO, file))
    if answer.status == http.client.PROXY_AUTHENTICATION_REQUIRED:
        raise ProxyWantsPasswordError
    if not 200 <= answer.status < 300:
        raise ProxyRefusedError(f"the proxy {proxy.host}:{proxy.port} answers {answer.status} {answer.reason}")


class ProxyWantsPasswordError(ConnectionError):
    """The proxy answers 407: it requires other credentials."""


class ProxyRefusedError(ConnectionError):
    """The proxy refuses the tunnel."""
