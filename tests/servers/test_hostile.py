"""The odd answers of test servers, seen by a client that shows every byte."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import Edit
from tests.providers.s3_stub import Stub, stub
from tests.servers import hostile


@pytest.fixture
def server() -> Iterator[Stub]:
    with stub(lambda *_: (200, {"ETag": '"e"', "Connection": "close"}, b"<Root>body</Root>")) as made:
        yield made


def answered(server: Stub, edit: Edit, method: str = "GET") -> bytes:
    with FaultProxy(server.port) as proxy, socket.create_connection(("127.0.0.1", proxy.port), 10) as sock:
        proxy.fault(hostile.odd(edit))
        sock.sendall(f"{method} /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        found = b""
        while data := sock.recv(65536):
            found += data
        return found


def test_a_header_is_dropped_doubled_and_respelt(server: Stub) -> None:
    assert b"Content-Length" not in answered(server, hostile.without("Content-Length"), "HEAD")
    assert answered(server, hostile.doubled("ETag")).count(b'ETag: "e"') == 2
    assert b'ETag: W/"e"' in answered(server, hostile.respelt("ETag", lambda etag: f"W/{etag}"))


def test_interim_replies_come_first(server: Stub) -> None:
    found = answered(server, hostile.interim(103, count=2))
    assert found.startswith(b"HTTP/1.1 103 Early\r\nLink: ")
    assert found.count(b"HTTP/1.1 103") == 2
    assert b"HTTP/1.1 200 OK\r\n" in found
    assert found.endswith(b"\r\n\r\n<Root>body</Root>")


def test_a_body_is_changed_with_its_length_or_sent_in_chunks(server: Stub) -> None:
    found = answered(server, hostile.replaced("Root", "Other"))
    assert b"Content-Length: 19" in found
    assert found.endswith(b"<Other>body</Other>")
    found = answered(server, hostile.chunked())
    assert b"Content-Length" not in found
    assert found.endswith(b"11\r\n<Root>body</Root>\r\n0\r\n\r\n")
