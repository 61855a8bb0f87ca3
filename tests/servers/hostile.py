"""Odd but legal answers, and answers that broken servers and proxies actually give.

Each is an edit of a real server's reply, so it works in front of any test server:

    with FaultProxy(server.port) as proxy:
        proxy.fault(odd(without("Content-Length")), heads, times=None)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from providers.testing.faults import Edit, Fault, Reply, SeenRequest


def odd(*edits: Edit) -> Fault:
    """The server's reply, after each edit in turn."""

    def all_of_them(reply: Reply) -> Reply:
        for edit in edits:
            reply = edit(reply)
        return reply

    return Fault.rewrite(all_of_them)


def heads(request: SeenRequest) -> bool:
    return request.method == "HEAD"


def gets(request: SeenRequest) -> bool:
    return request.method == "GET"


# Heads of replies.


def interim(status: int = 103, count: int = 1, headers: str = "Link: </style.css>; rel=preload\r\n") -> Edit:
    """`count` interim replies (1xx) before the real one."""
    head = f"HTTP/1.1 {status} Early\r\n{headers}\r\n".encode()
    return lambda reply: replace(reply, interim=head * count)


def status(code: int) -> Edit:
    return lambda reply: replace(reply, status=code)


def without(*names: str) -> Edit:
    return lambda reply: reply.without(*names)


def having(name: str, *values: str) -> Edit:
    return lambda reply: reply.having(name, *values)


def doubled(name: str) -> Edit:
    """The header twice, with the same value."""
    return lambda reply: reply.having(name, reply.header(name), reply.header(name)) if reply.header(name) else reply


def respelt(name: str, spell: Callable[[str], str]) -> Edit:
    """The header with its value spelt differently. A missing header stays missing."""
    return lambda reply: reply.having(name, spell(reply.header(name))) if reply.header(name) else reply


def chunked() -> Edit:
    """The body in chunks, without a length in advance."""

    def edit(reply: Reply) -> Reply:
        body = b"%x\r\n%b\r\n" % (len(reply.body), reply.body) if reply.body else b""
        return replace(reply.without("Content-Length").having("Transfer-Encoding", "chunked"), body=body + b"0\r\n\r\n")

    return edit


# Bodies.


def body(spell: Callable[[bytes], bytes]) -> Edit:
    return lambda reply: reply.holding(spell(reply.body))


def replaced(old: str, new: str) -> Edit:
    """Replaces all occurrences of a text in the body."""
    return body(lambda data: data.replace(old.encode(), new.encode()))


def holding(text: str | bytes, content_type: str = "application/xml") -> Edit:
    return lambda reply: reply.holding(text).having("Content-Type", content_type)


def holding_html() -> Edit:
    return holding("<!DOCTYPE html><html><body><h1>It works!</h1></body></html>", "text/html")


HUGE_RETRY_AFTER_S = 100_000_000
"""Three years."""
