"""Rare but legal answers change nothing.

A transforming proxy sends 203 instead of 200 (RFC 9110, section 15.3.4), texts have unused surroundings, types are
wrong or missing. A 206 with less than was requested (section 15.3.7) is refused.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from providers.errors import Integrity
from providers.testing.faults import Edit, Reply
from providers.testing.needs import WIRED
from providers.testing.support import content, source
from providers.testing.transfers import download, keys, read, upload
from tests.servers import hostile

BOM = b"\xef\xbb\xbf"
OTHERS = {200: 203, 201: 203, 204: 202}


def another_success(reply: Reply) -> Reply:
    return replace(reply, status=OTHERS.get(reply.status, reply.status))


def is_text(reply: Reply) -> bool:
    return reply.header("Content-Type").partition(";")[0].endswith(("json", "xml"))


def padded(reply: Reply) -> Reply:
    """XML may have a byte order mark, JSON surrounding blanks."""
    if not is_text(reply) or not reply.body:
        return reply
    return reply.holding(BOM + reply.body if reply.body.startswith(b"<") else b"\r\n\t " + reply.body + b" \n")


def typed(content_type: str) -> Edit:
    def edit(reply: Reply) -> Reply:
        if not is_text(reply) or reply.status >= 300:
            return reply
        return reply.having("Content-Type", content_type) if content_type else reply.without("Content-Type")

    return edit


STRANGE = {
    "another success": another_success,
    "padding": padded,
    "no type": typed(""),
    "another type": typed("text/plain; charset=utf-8"),
}


@WIRED
@pytest.mark.parametrize("strange", STRANGE)
def test_rare_but_legal_answers_change_nothing(harness, root, strange):
    root.plant({"there": content(1000), "d/e": b"2"})
    rule = root.wired.fault(hostile.odd(STRANGE[strange]), lambda seen: seen.method != "HEAD", times=None)
    provider = root.connect(max_retries=0)
    data = content(2 * harness.limits.part_bytes + 1)
    upload(provider, source(root.tmp, data), "parts")
    upload(provider, source(root.tmp, content(10)), "one")
    assert keys(provider) == {"there", "d/e", "parts", "one"}
    assert provider.scan("", delimiter="/").prefixes == ("d/",)
    download(provider, "there", root.tmp / "target")
    assert (root.tmp / "target").read_bytes() == content(1000)
    assert read(provider, "there", 10, 20) == content(1000)[10:30]
    assert provider.delete("one") is True
    assert rule.hits
    rule.release()
    assert root.stored() == {"there": content(1000), "d/e": b"2", "parts": data}


def half(reply: Reply) -> Reply:
    """A range that ends half-way; answers to whole requests are unchanged."""
    content_range = reply.header("Content-Range")
    if not content_range or len(reply.body) < 2:
        return reply
    first, total = content_range.removeprefix("bytes ").partition("-")[0], content_range.rpartition("/")[2]
    body = reply.body[: len(reply.body) // 2]
    return reply.holding(body).having("Content-Range", f"bytes {first}-{int(first) + len(body) - 1}/{total}")


@WIRED
def test_a_range_shorter_than_requested_restores_nothing(harness, root):
    """None of the four services does it. Asking for the rest again and again has no bound, so it is refused."""
    root.plant({"x": content(3000)})
    target = root.tmp / "target"
    target.write_bytes(b"an older copy")
    rule = root.wired.fault(hostile.odd(half), harness.requests.read, times=None)
    with pytest.raises(Integrity, match="bytes 0-2999 were requested, but 0-1499 of 3000 arrived"):
        download(root.connect(max_retries=0), "x", target)
    assert rule.hits
    assert target.read_bytes() == b"an older copy"
