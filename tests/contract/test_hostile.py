"""Servers and proxies that report wrong object sizes: nothing is ever restored wrongly.

Each oddity edits the replies of the real server (tests/servers/hostile.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.errors import LONGEST_WAIT_S, ProviderError
from providers.testing.faults import Edit, Fault, Reply, SeenRequest
from providers.testing.harness import Harness, Root
from providers.testing.needs import WIRED
from providers.testing.support import content
from providers.testing.transfers import download, read
from tests.servers import hostile

SIZE = 3000
OLDER = b"the user's older copy"


def any_get(harness: Harness):
    """Any request that fetches object bytes; not HEAD."""
    return lambda request: harness.requests.read(request) and request.method != "HEAD"


def ranged(edit: Edit) -> Edit:
    return lambda reply: edit(reply) if reply.header("Content-Range") else reply


def total(text: str) -> Edit:
    return ranged(hostile.respelt("Content-Range", lambda reported: f"{reported.partition('/')[0]}/{text}"))


def shifted(reply: Reply) -> Reply:
    reported, _, whole = reply.header("Content-Range").removeprefix("bytes ").partition("/")
    first, _, last = reported.partition("-")
    return reply.having("Content-Range", f"bytes {int(first) + 1}-{int(last) + 1}/{whole}")


BOASTS = {
    "a longer object": total("16777216"),
    "a shorter object": total("5"),
    "an unknown total": total("*"),
    "other positions": ranged(shifted),
    "no positions": ranged(hostile.without("Content-Range")),
    "no range at all": ranged(hostile.respelt("Content-Range", lambda reported: "rabbits 0-9/10")),
    "a range of nothing": ranged(hostile.respelt("Content-Range", lambda reported: "bytes */3000")),
}


@WIRED
@pytest.mark.parametrize("boast", BOASTS)
def test_a_range_other_than_the_requested_one_is_never_accepted(
    harness: Harness, root: Root, tmp_path: Path, boast: str
) -> None:
    root.plant({"x": content(SIZE)})
    target = tmp_path / "target"
    target.write_bytes(OLDER)
    rule = root.wired.fault(hostile.odd(BOASTS[boast]), any_get(harness), times=None)
    try:
        download(root.connect(max_retries=0), "x", target)
    except ProviderError as error:
        assert boast != "an unknown total", "the whole object proves its length"
        assert error.kind in {"integrity", "unsupported"}  # noqa: PT017 - a whole answer may as well be taken for one
        assert target.read_bytes() == OLDER
    else:
        assert boast in {"no positions", "an unknown total"}
        assert target.read_bytes() == content(SIZE)
    assert rule.hits


def in_json(names: tuple[bytes, ...], size: bytes) -> Edit:
    """The size in a JSON answer, under any of the services' names, quoted or not."""

    def spell(data: bytes) -> bytes:
        for name in names:
            for form in (b'"%b": %d', b'"%b":%d', b'"%b": "%d"', b'"%b":"%d"'):
                quote = b'"' if form.endswith(b'"') else b""
                data = data.replace(form % (name, SIZE), b'"%b": %b%b%b' % (name, quote, size, quote))
        return data

    return hostile.body(spell)


def lies(size: int) -> Edit:
    """Every way a service reports an object size, except the GET that fetches it."""
    json = in_json((b"size", b"contentLength"), b"%d" % size)

    def edit(reply: Reply) -> Reply:
        if reply.header("Content-Type").startswith("application/json"):
            return json(reply)
        return reply.having("Content-Length", str(size)) if reply.header("Content-Length") == str(SIZE) else reply

    return edit


@WIRED
@pytest.mark.parametrize("reported", [0, 1000, SIZE + 1])
def test_a_wrong_object_size_restores_nothing(harness: Harness, root: Root, tmp_path: Path, reported: int) -> None:
    root.plant({"x": content(SIZE)})
    target = tmp_path / "target"
    target.write_bytes(OLDER)

    def tells_size(request: SeenRequest) -> bool:
        return request.method == "HEAD" or not harness.requests.read(request)

    rule = root.wired.fault(hostile.odd(lies(reported)), tells_size, times=None)
    provider = root.connect(max_retries=0)
    assert provider.stat("x").size_bytes == reported
    with pytest.raises(ProviderError) as caught:
        download(provider, "x", target)
    assert rule.hits
    assert caught.value.kind == "integrity"
    assert target.read_bytes() == OLDER


@WIRED
def test_a_head_without_a_length_is_not_an_empty_object(harness: Harness, root: Root, tmp_path: Path) -> None:
    """Services that report sizes in JSON have no such HEAD; nothing changes for them."""
    data = content(SIZE)
    root.plant({"x": data, "empty": b""})
    root.wired.fault(hostile.odd(hostile.without("Content-Length")), hostile.heads, times=None)
    provider = root.connect(max_retries=0)
    assert [provider.stat(key).size_bytes for key in ("x", "empty")] == [SIZE, 0]
    download(provider, "x", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data


@WIRED
def test_an_empty_object_is_requested_before_it_counts_as_fetched(harness: Harness, root: Root, tmp_path: Path) -> None:
    root.plant({"empty": b""})
    provider = root.connect(max_retries=0)
    root.wired.forget()
    download(provider, "empty", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b""
    assert root.wired.count(any_get(harness)) >= 1
    assert read(provider, "empty", 0, 0) == b""


@WIRED
def test_the_check_detects_a_server_that_reports_wrong_sizes(harness: Harness, root: Root) -> None:
    def halved(reply: Reply) -> Reply:
        reported = reply.header("Content-Length")
        return reply.having("Content-Length", "512") if reported == "1024" else reply

    json = hostile.body(
        lambda data: (
            data.replace(b'"size": 1024', b'"size": 512')
            .replace(b'"size":1024', b'"size":512')
            .replace(b'"size": "1024"', b'"size": "512"')
            .replace(b'"contentLength": 1024', b'"contentLength": 512')
            .replace(b"<Size>1024</Size>", b"<Size>512</Size>")
        )
    )
    root.wired.fault(hostile.odd(halved), hostile.heads, times=None)
    root.wired.fault(
        hostile.odd(json), lambda seen: seen.method != "HEAD" and not harness.requests.read(seen), times=None
    )
    report = root.connect(max_retries=0).probe()
    assert report.failure is not None
    assert report.failure.kind == "integrity"
    assert "512" in report.failure.message
    assert root.stored() == {}


STRANGE: dict[str, Edit] = {
    "103 first": hostile.interim(103),
    "many 103 first": hostile.interim(103, count=5),
    "102 first": hostile.interim(102, headers=""),
    "in chunks": hostile.chunked(),
}


@WIRED
@pytest.mark.parametrize("strange", STRANGE)
def test_odd_but_legal_answers_change_nothing(harness: Harness, root: Root, tmp_path: Path, strange: str) -> None:
    data = content(SIZE)
    source = tmp_path / "source"
    source.write_bytes(data)
    provider = root.connect(max_retries=0)
    provider.learn()
    rule = root.wired.fault(hostile.odd(STRANGE[strange]), lambda seen: seen.method != "HEAD", times=None)
    provider.upload(source, "x")
    assert {file.key: file.size_bytes for file in provider.walk()} == {"x": SIZE}
    download(provider, "x", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data
    provider.delete("x")
    assert root.stored() == {}
    assert rule.hits


@WIRED
@pytest.mark.parametrize("reported", [str(hostile.HUGE_RETRY_AFTER_S), "1e99", "inf", "-5", "soon"])
def test_an_absurd_wait_is_not_accepted(harness: Harness, root: Root, reported: str) -> None:
    provider = root.connect(max_retries=0)
    root.wired.fault(Fault.status(503, headers={"Retry-After": reported}), times=None)
    with pytest.raises(ProviderError) as caught:
        provider.scan()
    assert caught.value.retryable
    assert caught.value.retry_after_s is None or 0 <= caught.value.retry_after_s <= LONGEST_WAIT_S


@WIRED
@pytest.mark.parametrize("page", ["html", "empty", "other json", "other xml"])
def test_an_answer_that_is_no_listing_is_never_an_empty_one(harness: Harness, root: Root, page: str) -> None:
    bodies = {
        "html": hostile.holding_html(),
        "empty": hostile.holding(""),
        "other json": hostile.holding('{"hello": "world"}', "application/json"),
        "other xml": hostile.holding("<Hello/>"),
    }
    root.plant({"x": content(SIZE)})
    provider = root.connect(max_retries=0)
    rule = root.wired.fault(hostile.odd(bodies[page]), harness.requests.listing, times=None)
    with pytest.raises(ProviderError):
        provider.scan()
    assert rule.hits
