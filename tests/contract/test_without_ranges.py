"""Servers that ignore Range still deliver large objects, in one stream; a compressing proxy is named."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import replace

import pytest

from providers.errors import ProviderError, Transient, Unsupported
from providers.testing.faults import Action, Fault
from providers.testing.support import DownloadMemory, content, source
from providers.testing.transfers import download, keys, read, upload
from tests.contract.harnesses import HARNESSES, only
from tests.servers import hostile

SERVICES = only(
    tuple({harness.service: harness for harness in HARNESSES if harness.wire}.values()), lambda harness: True
)
PART = 256 * 1024
DATA = content(3 * PART + 77)


def ignoring_ranges(harness, data=DATA, *edits):
    """The answer is always 200 with the whole object, whatever range was requested."""

    def whole(reply):
        if not 200 <= reply.status < 300:
            return reply
        return replace(reply, status=200).without("Content-Range").holding(data)

    return hostile.odd(whole, *edits)


def gets(harness):
    return lambda request: harness.requests.read(request) and request.method != "HEAD"


def fetched(root, **more):
    target = root.tmp / "target"
    result = download(root.connect(max_retries=2, upload_chunk_size=PART, **more), "x", target)
    return result, target.read_bytes()


@SERVICES
@pytest.mark.parametrize("length", ["reported", "not reported"])
def test_a_large_object_comes_in_one_stream(harness, root, length):
    root.plant({"x": DATA})
    edits = [hostile.chunked()] if length == "not reported" else []
    root.wired.fault(ignoring_ranges(harness, DATA, *edits), when=gets(harness), times=None)
    result, got = fetched(root)
    assert got == DATA
    assert result.sha256 == hashlib.sha256(DATA).hexdigest()
    whole = [request for request in root.wired.requests if gets(harness)(request)]
    assert len(whole) <= 8, "the parts begun at once, then one stream"


@SERVICES
def test_a_broken_stream_starts_again_and_skips_the_bytes_it_has(harness, root):
    root.plant({"x": DATA})
    root.wired.fault(ignoring_ranges(harness), when=gets(harness), times=None)
    memory = DownloadMemory()
    provider = root.connect(max_retries=0, upload_chunk_size=PART, connection_pool_size=1)
    half = len(DATA) // 2
    cut = ignoring_ranges(harness, DATA, lambda reply: replace(reply, body=DATA[:half]))
    root.wired.fault(cut, when=gets(harness), skip=1, times=1)
    with pytest.raises(Transient):
        download(provider, "x", root.tmp / "target", checkpoint=memory)
    saved = memory.load()
    assert saved is not None
    assert (saved.part_size_bytes, saved.done) == (len(DATA), ())
    root.wired.forget()
    root.wired.fault(cut, when=gets(harness), times=1)
    result = download(root.connect(max_retries=1, upload_chunk_size=PART), "x", root.tmp / "target", checkpoint=memory)
    assert (root.tmp / "target").read_bytes() == DATA
    assert result.remote.size_bytes == len(DATA)
    assert root.wired.count(gets(harness)) <= 4


@SERVICES
def test_wrong_bytes_in_one_stream_are_no_success_either(harness, root):
    root.plant({"x": DATA})
    for other in (DATA + b"x", DATA[:-1], b"", bytes([DATA[0] ^ 1]) + DATA[1:]):
        (root.tmp / "target").write_bytes(b"older")
        rule = root.wired.fault(ignoring_ranges(harness, other), when=gets(harness), times=None)
        with pytest.raises(ProviderError):
            fetched(root)
        assert (root.tmp / "target").read_bytes() == b"older"
        rule.release()


@SERVICES
def test_a_single_part_is_not_cut_out_of_the_whole_object(harness, root):
    """It would cost the whole object for each part."""
    root.plant({"x": DATA})
    root.wired.fault(ignoring_ranges(harness), when=gets(harness), times=None)
    for offset in (0, 5):
        with pytest.raises(Unsupported) as caught:
            read(root.connect(max_retries=0), "x", offset, 10)
        assert caught.value.code == "no_range"
    assert read(root.connect(), "x", 0, len(DATA)) == DATA


@only(HARNESSES, lambda harness: harness.service == "aws_s3")
def test_a_multipart_object_in_one_stream_is_compared_part_by_part(harness, root):
    part = harness.limits.part_bytes
    data = content(2 * part + 3)
    upload(root.connect(), source(root.tmp, data), "x")
    root.wired.fault(ignoring_ranges(harness, data), when=gets(harness), times=None)
    result, got = fetched(root)
    assert got == data
    assert result.proof.value == "matched"


# Forced compression


def compressed(reply):
    return reply.holding(gzip.compress(reply.body, mtime=0)).having("Content-Encoding", "gzip")


@SERVICES
@pytest.mark.parametrize("length", ["reported", "not reported"])
def test_a_proxy_that_compresses_objects_is_named(harness, root, length):
    root.plant({"x": bytes(300_000)})
    edits = [compressed, *([hostile.chunked()] if length == "not reported" else [])]
    root.wired.fault(hostile.odd(*edits), when=gets(harness), times=None)
    with pytest.raises(Unsupported, match=r"compressed \(gzip\)") as caught:
        fetched(root)
    assert "proxy" in caught.value.hint
    assert not (root.tmp / "target").exists()


@SERVICES
def test_a_proxy_that_compresses_answers_is_named(harness, root):
    root.plant({"x": b"1"})
    root.wired.fault(hostile.odd(compressed), when=harness.requests.listing, times=None)
    with pytest.raises(Unsupported, match=r"compressed \(gzip\)") as caught:
        keys(root.connect(max_retries=0))
    assert "proxy" in caught.value.hint


@SERVICES
def test_requests_refuse_compression(harness, root):
    root.plant({"x": b"1"})
    rule = root.wired.fault(Fault.delay(0), times=None)
    fetched(root)
    assert rule.hits
    seen = root.wired.requests
    assert {request.headers.get("accept-encoding") for request in seen} == {"identity"}
    assert {request.fault for request in seen} == {Action.DELAY}


@only(HARNESSES, lambda harness: harness.service == "aws_s3")
def test_an_object_may_be_stored_compressed(harness, root):
    """Its Content-Encoding is then part of its metadata, and its bytes are stored as they are."""
    data = gzip.compress(json.dumps(list(range(100_000))).encode(), mtime=0)
    root.plant({"x": data})
    root.wired.fault(hostile.odd(hostile.having("Content-Encoding", "gzip")), when=gets(harness), times=None)
    assert fetched(root)[1] == data
