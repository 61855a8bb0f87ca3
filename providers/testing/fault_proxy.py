"""A proxy in front of an HTTP server that counts all requests and makes selected ones fail.

    with FaultProxy(server_port) as proxy:
        rule = proxy.fault(Fault.status(503, retry_after_s=2), when=put_part(2), times=1)
        ...
        proxy.wait_for(lambda seen: len(seen) == 3)
        assert proxy.count(put_part(2)) == 2

Requests are forwarded unchanged, with their Host header, so signatures for the proxy's host and port remain valid.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, Self, TypeVar

from providers.testing.exchange import Exchange, Hangup, Reset
from providers.testing.faults import Fault, Rule, SeenRequest, When, any_request
from providers.testing.wire import Gone, RequestHead, Stream

HOST: Final = "127.0.0.1"
THREAD_NAME: Final = "fault-proxy"
_RST_ON_CLOSE: Final = struct.pack("ii", 1, 0)

_T = TypeVar("_T")


class FaultProxy:
    """Listens on a free loopback port, one thread per connection. Use it as a context manager."""

    def __init__(self, upstream_port: int, *, timeout_s: float = 30.0) -> None:
        self._upstream_port = upstream_port
        self._timeout_s = timeout_s
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._rules: list[Rule] = []
        self._seen: list[SeenRequest] = []
        self._sockets: set[socket.socket] = set()
        self._clients: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = _bound(0)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://{HOST}:{self.port}"

    def __enter__(self) -> Self:
        self._listen(self._listener)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all connections, including stalled ones, and wait for the threads."""
        self._closing.set()
        self._stop_listening(self._listener)
        self.cut_connections()
        deadline = time.monotonic() + 10
        while alive := [thread for thread in self._threads if thread.is_alive()]:
            assert time.monotonic() < deadline, "a thread of the fault proxy did not end"
            alive[0].join(1)

    # Faults.

    def fault(self, fault: Fault, when: When = any_request, *, times: int | None = 1, skip: int = 0) -> Rule:
        """Make the next `times` matching requests fail, after `skip` good ones. `times` None: all of them.

        Newer rules are tried first; only one rule applies to a request.
        """
        rule = Rule(fault, when, skip=skip, times=times, changed=self._changed)
        with self._changed:
            self._rules.insert(0, rule)
        return rule

    def clear_faults(self) -> None:
        """Remove all rules, and release stalled requests."""
        with self._changed:
            rules, self._rules = self._rules, []
        for rule in rules:
            rule.release()

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Inside the context, connections are refused; open ones are cut."""
        keep = _bound(self.port)
        self._stop_listening(self._listener)
        self.cut_connections()
        try:
            yield
        finally:
            self._listener = keep
            self._listen(keep)

    def cut_connections(self) -> None:
        with self._changed:
            sockets = list(self._sockets)
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    # What was seen.

    @property
    def requests(self) -> tuple[SeenRequest, ...]:
        """All requests in order of arrival, including those in progress."""
        with self._changed:
            return tuple(self._seen)

    @property
    def open_connections(self) -> int:
        """Number of current client connections."""
        with self._changed:
            return len(self._clients)

    def count(self, when: When = any_request) -> int:
        return sum(1 for request in self.requests if when(request))

    def body_bytes(self, when: When = any_request) -> int:
        """Number of content bytes sent by clients in matching requests."""
        return sum(request.body_bytes for request in self.requests if when(request))

    def forget(self) -> None:
        """Reset the counts."""
        with self._changed:
            self._seen = [request for request in self._seen if not request.done]

    def peak_parallel(self, when: When = any_request) -> int:
        """Largest number of matching requests in progress at the same time."""
        now = time.monotonic()
        chosen = [request for request in self.requests if when(request)]
        spans = [(one.started_at, (one.replied_at or one.ended_at or now) if one.done else now) for one in chosen]
        return max((sum(1 for begin, end in spans if begin <= at < end) for at, _ in spans), default=0)

    def wait_for(self, reached: Callable[[tuple[SeenRequest, ...]], _T], timeout_s: float = 10.0) -> _T:
        """Wait until `reached(requests)` is true and return its result. AssertionError after `timeout_s`."""
        with self._changed:
            if self._changed.wait_for(lambda: reached(tuple(self._seen)), timeout_s):
                return reached(tuple(self._seen))
        seen = ", ".join(f"{request.method} {request.path} -> {request.status}" for request in self.requests)
        raise AssertionError(f"not seen within {timeout_s:g} s; seen: {seen or 'nothing'}")

    def wait_idle(self, timeout_s: float = 10.0) -> None:
        """Wait until no request is in progress."""
        self.wait_for(lambda seen: all(request.done for request in seen), timeout_s)

    def wait_disconnected(self, timeout_s: float = 10.0) -> None:
        """Wait until no client is connected."""
        self.wait_for(lambda _: not self._clients, timeout_s)

    # Connections.

    def _listen(self, listener: socket.socket) -> None:
        listener.listen(128)
        self._spawn(self._accept, listener)

    def _stop_listening(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name=THREAD_NAME, daemon=True)
        thread.start()
        self._threads = [*(old for old in self._threads if old.is_alive()), thread]

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._changed:
                self._sockets.add(client)
                self._clients.add(client)
            if self._closing.is_set():
                self._drop(client)
                return
            self._spawn(self._serve, client)

    def _drop(self, sock: socket.socket, *, reset: bool = False) -> None:
        with contextlib.suppress(OSError):
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
            else:
                _finish_writing(sock)
        sock.close()
        with self._changed:
            self._sockets.discard(sock)
            self._clients.discard(sock)
            self._changed.notify_all()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(self._timeout_s)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        upstream: list[Stream] = []
        reset = False
        try:
            with contextlib.suppress(Gone, Hangup):  # both ends are closed below with a FIN
                stream = Stream(client, self._timeout_s)
                while raw := stream.read_head():
                    if not self._exchange(stream, upstream, RequestHead.parse(raw)):
                        break
        except Reset:
            reset = True
        finally:
            for server in upstream:
                self._drop(server.sock, reset=reset)
            self._drop(client, reset=reset)

    def _exchange(self, client: Stream, upstream: list[Stream], head: RequestHead) -> bool:
        length = head.headers.get("content-length")
        with self._changed:
            seen = SeenRequest(
                index=len(self._seen), method=head.method, path=head.path, query=head.query, headers=head.headers,
                started_at=time.monotonic(), declared_bytes=int(length) if length else None,
            )  # fmt: skip
            rule = next((rule for rule in self._rules if rule.meets(seen)), None)
            seen.fault = rule.fault.action if rule else None
            self._seen.append(seen)
            self._changed.notify_all()

        def connect() -> Stream:
            if not upstream:
                upstream.append(self._connect())
            return upstream[0]

        try:
            return Exchange(
                client, connect, head, seen, rule, self._closing, self._changed, self._timeout_s
            ).run()  # fmt: skip
        finally:
            with self._changed:
                seen.ended_at = time.monotonic()
                self._changed.notify_all()

    def _connect(self) -> Stream:
        try:
            sock = socket.create_connection((HOST, self._upstream_port), self._timeout_s)
        except OSError as error:
            raise Reset from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._changed:
            self._sockets.add(sock)
        return Stream(sock, self._timeout_s)


def _bound(port: int) -> socket.socket:
    """A socket that reserves a port. Connections are refused until it listens."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((HOST, port))
    return sock


def _finish_writing(sock: socket.socket) -> None:
    """Send FIN and briefly read the rest: closing with unread bytes would cause a reset."""
    sock.shutdown(socket.SHUT_WR)
    sock.settimeout(0.2)
    while sock.recv(1 << 20):
        continue
