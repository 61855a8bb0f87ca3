"""Objects of unknown length are fetched in one stream to a proven end, or refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from providers.contract.context import ProviderContext
from providers.errors import Integrity, ProviderError, Unsupported
from providers.testing.faults import Fault, Reply
from providers.testing.support import content
from providers.testing.transfers import download, keys, read
from tests.contract.harnesses import HARNESSES, only
from tests.servers import hostile

SERVICES = only(
    tuple({harness.service: harness for harness in HARNESSES if harness.wire}.values()), lambda harness: True
)
WITH_HEADS = only(
    tuple({harness.service: harness for harness in HARNESSES if harness.wire}.values()),
    lambda harness: harness.service in ("aws_s3", "backblaze"),
)
"""The other services report sizes in JSON only."""
PART = 256 * 1024
DATA = content(2 * PART + 77)
OLDER = b"the user's older copy"


def gets(harness):
    return lambda request: harness.requests.read(request) and request.method != "HEAD"


def first_byte(harness):
    return lambda request: gets(harness)(request) and request.headers.get("range") == "bytes=0-0"


def no_total(reply: Reply) -> Reply:
    return hostile.respelt("Content-Range", lambda reported: f"{reported.partition('/')[0]}/*")(reply)


def unlengthened(harness, root, *edits):
    """No answer reports an object size: no HEAD, no range, no whole object."""
    root.wired.fault(hostile.odd(hostile.without("Content-Length")), hostile.heads, times=None)
    return root.wired.fault(hostile.odd(no_total, *edits, hostile.chunked()), gets(harness), times=None)


def fetched(root, **more):
    target = root.tmp / "target"
    target.write_bytes(OLDER)
    download(root.connect(max_retries=0, upload_chunk_size=PART, **more), "x", target)
    return target.read_bytes()


def refused(root, **more):
    with pytest.raises(ProviderError) as caught:
        fetched(root, **more)
    assert (root.tmp / "target").read_bytes() == OLDER
    return caught.value


@SERVICES
@pytest.mark.parametrize("size", [1, len(DATA)])
@pytest.mark.parametrize("length", ["reported", "not reported"])
def test_ranges_of_unknown_total_are_replaced_by_the_whole_object(harness, root, size, length):
    root.plant({"x": DATA[:size]})
    edits = [hostile.chunked()] if length == "not reported" else []
    rule = root.wired.fault(hostile.odd(no_total, *edits), gets(harness), times=None)
    assert fetched(root) == DATA[:size]
    assert rule.hits
    whole = [seen for seen in root.wired.requests if gets(harness)(seen) and "range" not in seen.headers]
    assert len(whole) == 1, "once, in one stream"


@WITH_HEADS
@pytest.mark.parametrize("size", [0, 1, 1000, len(DATA)])
def test_an_object_sized_only_by_the_listing_is_fetched_to_its_end(harness, root, size):
    root.plant({"x": DATA[:size], "x/y": b"beside it", "xx": b"too"})
    rule = unlengthened(harness, root)
    assert root.connect(max_retries=0).stat("x").size_bytes == size
    assert fetched(root) == DATA[:size]
    assert rule.hits


@WITH_HEADS
@pytest.mark.parametrize("ranges", ["kept", "ignored"])
def test_each_request_for_a_length_is_counted(harness, root, ranges):
    """Including the request for the first byte, even if the server sends the whole object and is broken off."""
    root.plant({"x": DATA})
    counted: list[str] = []
    provider = root.ready(context=ProviderContext(count_call=counted.append), max_retries=0)
    keys(provider)
    root.wired.wait_idle()
    root.wired.forget()
    counted.clear()
    edits = [whole_object] if ranges == "ignored" else []
    root.wired.fault(hostile.odd(hostile.without("Content-Length")), hostile.heads, times=None)
    rule = root.wired.fault(hostile.odd(*edits), gets(harness), times=None)
    assert provider.stat("x").size_bytes == len(DATA)
    assert rule.hits
    assert len(counted) == root.wired.count()


@WITH_HEADS
def test_the_body_of_an_object_whose_length_was_requested_is_broken_off(harness, root):
    """The server ignores Range and would send a gigabyte. Reading on would meet the early end of this answer."""
    root.plant({"x": DATA})
    root.wired.fault(hostile.odd(hostile.without("Content-Length")), hostile.heads, times=None)
    begins = hostile.odd(whole_object, hostile.having("Content-Length", str(2**30)))
    rule = root.wired.fault(begins, first_byte(harness), times=None)
    assert root.connect(max_retries=0).stat("x").size_bytes == 2**30
    assert rule.hits == 1


def whole_object(reply: Reply) -> Reply:
    """The answer of a server that ignores Range."""
    return replace(reply, status=200).holding(DATA).without("Content-Range") if reply.header("Content-Range") else reply


@WITH_HEADS
def test_without_a_listing_the_length_stays_unknown_and_nothing_is_fetched(harness, root):
    root.plant({"x": DATA})
    rule = unlengthened(harness, root)
    refusal = root.wired.fault(Fault.status(403), harness.requests.listing, times=None)
    error = refused(root)
    assert rule.hits
    assert refusal.hits
    assert isinstance(error, Unsupported)
    assert "does not report the object's size" in error.message
    assert "proxy" in error.hint


@WITH_HEADS
def test_the_listed_size_of_another_version_is_ignored(harness, root):
    root.plant({"x": DATA})
    unlengthened(harness, root)
    etag = root.connect().stat("x").etag
    other = hostile.odd(hostile.replaced(etag, etag[:-1] + ("0" if etag[-1] != "0" else "1")))
    root.wired.fault(other, harness.requests.listing, times=None)
    assert "does not report the object's size" in refused(root).message


@WITH_HEADS
@pytest.mark.parametrize("reported", ["bytes */1000", "bytes */*", "bytes 0-0/0", "*/0", ""])
def test_a_refused_first_byte_does_not_make_an_object_empty(harness, root, reported):
    root.plant({"x": DATA})
    root.wired.fault(hostile.odd(hostile.without("Content-Length")), hostile.heads, times=None)
    headers = {"Content-Range": reported} if reported else {}
    rule = root.wired.fault(Fault.status(416, headers=headers), first_byte(harness), times=None)
    assert root.connect(max_retries=0).stat("x").size_bytes == len(DATA), "the whole object was not requested"
    assert fetched(root) == DATA
    assert rule.hits


@only(HARNESSES, lambda harness: harness.service == "aws_s3")
def test_an_object_is_empty_if_the_refusal_says_so(harness, root):
    root.plant({"x": b""})
    unlengthened(harness, root)
    root.wired.fault(Fault.status(403), harness.requests.listing, times=None)
    root.wired.fault(Fault.status(416, headers={"Content-Range": "bytes */0"}), first_byte(harness), times=None)
    assert root.connect(max_retries=0).stat("x").size_bytes == 0


ENDS = {
    "one byte more": lambda reply: reply.holding(reply.body + b"x"),
    "one byte less": lambda reply: reply.holding(reply.body[:-1]),
    "nothing": lambda reply: reply.holding(b""),
    "another byte": lambda reply: reply.holding(bytes([reply.body[0] ^ 1]) + reply.body[1:]),
}


@SERVICES
@pytest.mark.parametrize("end", ENDS)
def test_a_wrong_end_is_no_success(harness, root, end):
    root.plant({"x": DATA})
    rule = unlengthened(harness, root, ENDS[end])
    assert refused(root).kind in {"integrity", "transient"}
    assert rule.hits


@SERVICES
def test_a_chunked_stream_without_its_last_chunk_has_no_end(harness, root):
    root.plant({"x": DATA[:1000]})

    def endless(reply: Reply) -> Reply:
        return replace(reply, body=reply.body.removesuffix(b"0\r\n\r\n")).having("Connection", "close")

    root.wired.fault(hostile.odd(no_total, hostile.chunked(), endless), gets(harness), times=None)
    assert refused(root, timeout=1).kind == "transient"


@WITH_HEADS
def test_an_object_is_empty_only_if_its_end_was_seen(harness, root):
    """An answer that just stops proves nothing."""
    root.plant({"x": b""})
    root.wired.fault(hostile.odd(hostile.without("Content-Length")), hostile.heads, times=None)
    stops = hostile.odd(hostile.without("Content-Length"), hostile.having("Connection", "close"))
    root.wired.fault(stops, gets(harness), times=None)
    assert "does not report the object's size" in refused(root).message


@SERVICES
def test_a_single_part_needs_a_total(harness, root):
    root.plant({"x": DATA})
    root.wired.fault(hostile.odd(no_total), gets(harness), times=None)
    with pytest.raises(Unsupported) as caught:
        read(root.connect(max_retries=0), "x", 10, 10)
    assert caught.value.code == "no_range"


@SERVICES
def test_a_range_that_was_not_requested_is_refused(harness, root):
    """Even in answer to a request for the whole object."""

    def ranged(reply: Reply) -> Reply:
        return replace(reply, status=206).having("Content-Range", f"bytes 0-{len(reply.body) - 1}/*")

    root.plant({"x": DATA[:1000]})
    root.wired.fault(hostile.odd(ranged), gets(harness), times=None)
    error = refused(root)
    assert isinstance(error, Unsupported | Integrity)
    assert "Content-Range" in error.message
