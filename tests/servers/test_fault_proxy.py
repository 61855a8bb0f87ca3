"""The fault proxy itself, between a plain HTTP client and a plain HTTP server."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from providers.testing.fault_proxy import THREAD_NAME, FaultProxy
from providers.testing.faults import Action, Fault, Side

MIB = 1 << 20


class Echo(BaseHTTPRequestHandler):
    """PUT stores a body, GET returns it, POST answers in chunks."""

    protocol_version = "HTTP/1.1"
    kept: bytes = b""
    hosts: list[str]

    def do_PUT(self) -> None:
        type(self).kept = self.rfile.read(int(self.headers["Content-Length"]))
        self.hosts.append(self.headers["Host"])
        self._reply(b"")

    def do_GET(self) -> None:
        self._reply(self.kept)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while self.rfile.readline() != b"0\r\n":
                self.rfile.readline()
            self.rfile.readline()
        else:
            self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in (b"first ", b"second"):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")

    def do_DELETE(self) -> None:
        self.send_response(204)
        self.end_headers()

    def _reply(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


class QuietServer(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Broken connections are expected here."""


@pytest.fixture
def echo() -> Iterator[type[Echo]]:
    class Handler(Echo):
        hosts: list[str] = []  # noqa: RUF012 - one list a test

    server = QuietServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    with FaultProxy(server.server_port) as Handler.proxy:  # type: ignore[attr-defined]
        yield Handler
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def proxy(echo: type[Echo]) -> FaultProxy:
    return echo.proxy  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    yield connection
    connection.close()


def ask(
    client: http.client.HTTPConnection, method: str, path: str = "/x", body: bytes | None = None
) -> tuple[int, bytes]:
    try:
        client.request(method, path, body)
        reply = client.getresponse()
        return reply.status, reply.read()
    except OSError:
        client.close()
        raise


def test_requests_are_forwarded_unchanged_over_one_kept_connection(echo, proxy, client):
    body = bytes(range(256)) * 4096
    assert ask(client, "PUT", "/a%20b?x=1&flag=", body) == (200, b"")
    assert ask(client, "GET") == (200, body)
    assert ask(client, "HEAD") == (200, b"")
    assert ask(client, "POST", body=b"abc") == (200, b"first second")
    assert ask(client, "DELETE") == (204, b"")
    assert ask(client, "GET") == (200, body)

    assert [request.method for request in proxy.requests] == ["PUT", "GET", "HEAD", "POST", "DELETE", "GET"]
    put = proxy.requests[0]
    assert (put.path, dict(put.query), put.body_bytes, put.status) == ("/a%20b", {"x": "1", "flag": ""}, MIB, 200)
    assert proxy.requests[1].reply_bytes == MIB
    assert proxy.requests[3].reply_bytes == len(b"first second")
    assert echo.hosts == [f"127.0.0.1:{proxy.port}"]
    assert proxy.open_connections == 1


def test_a_line_cut_after_some_bytes_resets_all_requests(echo, proxy, client):
    rule = proxy.fault(Fault.cut_line(MIB * 3 // 2), lambda request: request.method == "PUT", times=None)
    assert ask(client, "PUT", body=b"a" * MIB) == (200, b"")
    for _ in range(2):
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            ask(client, "PUT", body=b"b" * MIB)
    assert ask(client, "GET") == (200, b"a" * MIB)
    assert [request.body_bytes for request in proxy.requests] == [MIB, MIB // 2, 0, 0]
    rule.release()
    assert ask(client, "PUT", body=b"c" * MIB) == (200, b"")


def test_expect_continue_is_passed_on(proxy, client):
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as raw:
        raw.sendall(b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 100 ")
        raw.sendall(b"hello")
        assert raw.recv(100).startswith(b"HTTP/1.1 200 ")
    assert ask(client, "GET") == (200, b"hello")


def test_a_chunked_request_body_is_counted_by_its_content(proxy):
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as raw:
        raw.sendall(b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        raw.sendall(b"3\r\nabc\r\n2;note=1\r\nde\r\n0\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 200 ")
    assert proxy.requests[0].body_bytes == 5


def test_a_chosen_status_answers_the_nth_match_a_number_of_times(echo, proxy, client):
    rule = proxy.fault(
        Fault.status(503, "<busy/>", retry_after_s=2), when=lambda request: request.method == "PUT", skip=1, times=2
    )
    client.request("PUT", "/x", b"one")
    assert client.getresponse().read() == b""
    for _ in range(2):
        client.request("PUT", "/x", b"two")
        reply = client.getresponse()
        assert (reply.status, reply.headers["Retry-After"], reply.read()) == (503, "2", b"<busy/>")
    assert ask(client, "GET") == (200, b"one")
    assert ask(client, "PUT", body=b"three") == (200, b"")
    assert rule.hits == 2
    assert [request.forwarded for request in proxy.requests] == [True, False, False, True, True]
    assert echo.kept == b"three"


def test_an_early_status_does_not_wait_for_the_body(proxy):
    proxy.fault(Fault.status(413, "no", early=True))
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as raw:
        raw.sendall(b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert raw.makefile("rb").read().startswith(b"HTTP/1.1 413 ")


def test_a_status_to_head_has_no_body(proxy, client):
    proxy.fault(Fault.status(403, "<Error/>"))
    assert ask(client, "HEAD") == (403, b"")
    assert ask(client, "HEAD") == (200, b"")


def test_refusing_and_listening_again(proxy, client):
    with proxy.refusing(), pytest.raises(ConnectionRefusedError):
        ask(client, "GET")
    assert ask(client, "GET")[0] == 200


def test_a_refused_request_never_reaches_the_server(proxy, client):
    proxy.fault(Fault.refuse())
    with pytest.raises(ConnectionResetError):
        ask(client, "PUT", body=b"lost")
    assert ask(client, "GET") == (200, b"")


def test_reset_in_a_request_and_in_a_reply(echo, proxy, client):
    echo.kept = b"x" * MIB
    proxy.fault(Fault.reset(at=100_000), when=lambda request: request.method == "PUT")
    with pytest.raises(ConnectionError):
        ask(client, "PUT", body=b"y" * 8 * MIB)
    proxy.wait_idle()
    assert proxy.requests[0].body_bytes == 100_000
    client.close()

    proxy.fault(Fault.reset(Side.RESPONSE, at=1000), when=lambda request: request.method == "GET")
    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        ask(client, "GET")
    proxy.wait_idle()
    assert proxy.requests[1].reply_bytes == 1000


def test_truncation_ends_with_a_fin(echo, proxy, client):
    echo.kept = b"x" * 1000
    proxy.fault(Fault.truncate(at=600))
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(client, "GET")
    assert caught.value.partial == b"x" * 600


@pytest.mark.parametrize("side", list(Side))
def test_a_flipped_byte(echo, proxy, client, side):
    method = "PUT" if side is Side.REQUEST else "GET"
    proxy.fault(Fault.flip(side, at=2), when=lambda request: request.method == method)
    ask(client, "PUT", body=b"abcdef")
    assert ask(client, "GET") == (200, b"ab\x9cdef")
    assert echo.kept == (b"ab\x9cdef" if side is Side.REQUEST else b"abcdef")


def test_a_lost_reply_was_still_served(echo, proxy, client):
    proxy.fault(Fault.lost_reply())
    with pytest.raises(ConnectionResetError):
        ask(client, "PUT", body=b"kept")
    assert echo.kept == b"kept"
    assert proxy.requests[0].ok
    assert proxy.requests[0].fault is Action.LOSE_REPLY


def test_a_stalled_request_continues_when_released(echo, proxy):
    rule = proxy.fault(Fault.stall(at=3))
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as raw:
        raw.sendall(b"PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabcdef")
        rule.wait_held()
        assert proxy.requests[0].body_bytes == 3
        rule.release()
        assert raw.recv(100).startswith(b"HTTP/1.1 200 ")
    assert echo.kept == b"abcdef"


@pytest.mark.parametrize(
    "fault", [Fault.stall(), Fault.stall(Side.RESPONSE, at=None), Fault.stall(Side.RESPONSE, at=1)]
)
def test_a_stalled_request_ends_when_the_client_leaves(echo, proxy, client, fault):
    echo.kept = b"abc"
    rule = proxy.fault(fault)
    client.request("GET", "/x")
    rule.wait_held()
    assert client.sock is not None
    client.sock.shutdown(socket.SHUT_RDWR)
    rule.wait_let_go(timeout_s=2)
    proxy.wait_idle(timeout_s=2)


def test_a_slow_request_takes_its_time(proxy, client):
    proxy.fault(Fault.slow(200_000))
    started = time.monotonic()
    ask(client, "PUT", body=b"x" * 100_000)
    assert 0.4 < time.monotonic() - started < 2


def test_delay_and_parallel_requests(proxy):
    proxy.fault(Fault.delay(0.3), times=None)
    clients = [http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10) for _ in range(4)]
    threads = [threading.Thread(target=ask, args=(client, "GET")) for client in clients]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread, client in zip(threads, clients, strict=True):
        thread.join()
        client.close()
    assert time.monotonic() - started >= 0.3
    assert proxy.peak_parallel() == 4
    assert proxy.count(lambda request: request.status == 200) == 4


def test_a_wait_that_times_out_reports_the_seen_requests(proxy, client):
    ask(client, "GET", "/seen")
    with pytest.raises(AssertionError, match="GET /seen -> 200"):
        proxy.wait_for(lambda seen: len(seen) == 2, timeout_s=0.05)


def test_closing_ends_held_requests_and_all_threads(echo):
    with socket.create_connection(("127.0.0.1", echo.proxy.port), 10) as raw:
        rule = echo.proxy.fault(Fault.stall())
        raw.sendall(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        rule.wait_held()
        echo.proxy.close()
    assert not [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]
