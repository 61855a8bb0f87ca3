"""Forbidden or out-of-step HTTP answers: never taken for another request's answer, never a success."""

from __future__ import annotations

import hashlib
import io
import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from providers.aws_s3.discovery import ServerFacts
from providers.aws_s3.provider import S3Provider
from providers.contract.context import ProviderContext
from providers.contract.upload import UploadRequest
from providers.errors import PermissionDenied, ProviderError, Transient, Unsupported
from providers.http import errors
from tests.servers.raw_http import RawAnswer, RawServer, reply

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nContent-Length: 7\r\n\r\n"
DENIED = reply(b"<Error><Code>AccessDenied</Code><Message>No</Message></Error>", status="403 Forbidden")


MADE: list[S3Provider] = []


@pytest.fixture(autouse=True)
def _closed():
    yield
    while MADE:
        MADE.pop().close()


def s3(server, *, counted=None, **values):
    context = ProviderContext(count_call=(counted if counted is not None else []).append)
    config = {"endpoint_url": server.url, "container": "bucket", "access_key": "K", "secret_key": "S", "timeout": 5}
    MADE.append(S3Provider({**config, "region": "us-east-1", **values}, context=context))
    return MADE[-1]


def listing(key):
    item = f"<Contents><Key>{key}</Key><Size>1</Size></Contents>"
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{item}</ListBucketResult>".encode()


def listed(provider):
    return [file.key for file in provider.scan().files]


class Body(io.BytesIO):
    def __len__(self):
        return self.getbuffer().nbytes


def put(provider, data, **more):
    request = UploadRequest(key="x", size_bytes=len(data), part_size_bytes=8 << 20, **more)
    session = provider.open_upload(request)
    return session.send(request.part(0), Body(data), {"md5": hashlib.md5(data).hexdigest()})


def etag_of(body):
    return f'ETag: "{hashlib.md5(body).hexdigest()}"'


# Interim answers


@pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints", "199"])
def test_interim_answers_are_skipped(status):
    interim = f"HTTP/1.1 {status}\r\nLink: x\r\n\r\n".encode() * 3
    with RawServer(lambda asked: interim + reply(listing(f"k{asked.turn}"))) as server:
        provider = s3(server)
        assert [listed(provider) for _ in range(3)] == [["k0"], ["k1"], ["k2"]]
        assert server.connections == 1


def test_a_refusal_after_early_hints_is_a_refusal():
    with RawServer(lambda asked: HINTS + (reply(b"", 'ETag: "e"') if asked.method == "HEAD" else DENIED)) as server:
        provider = s3(server)
        with pytest.raises(PermissionDenied):
            provider.remove("x")


@pytest.mark.parametrize("answer", [HINTS * 10_000, HINTS * 33 + reply(listing("k"))], ids=["no end", "too many"])
def test_the_number_of_interim_answers_is_limited(answer):
    with RawServer(lambda asked: RawAnswer(answer, close=True)) as server:
        provider = s3(server)
        with pytest.raises(Transient, match="interim answers"):
            provider.scan()


@pytest.mark.parametrize("before", [b"", HINTS])
def test_another_protocol_is_refused(before):
    switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"
    with RawServer(lambda asked: before + switch + reply(listing("k"))) as server:
        provider = s3(server)
        with pytest.raises(Transient, match="not requested"):
            provider.remove("x")
        assert server.connections == 1


@pytest.mark.parametrize("pieces", [1, 3])
def test_an_interim_answer_while_a_body_is_sent_does_not_end_it(pieces):
    """A server may send 102 or 103 before it has the whole body; a final answer at that moment is an error."""
    data = bytes(range(256)) * (4 << 12)
    with RawServer(
        lambda asked: reply(b"", etag_of(asked.body)),
        early=lambda headers: b"HTTP/1.1 102 Processing\r\n\r\n" * pieces + HINTS[:40] * (pieces > 1),
        before_answer=HINTS[40:] * (pieces > 1),
    ) as server:
        provider = s3(server)
        receipt = put(provider, data)
        assert receipt.digests["md5"] == hashlib.md5(data).hexdigest()
        assert [len(asked.body) for asked in server.seen] == [len(data)]


# Answers without a clear end

CUT = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


def framed(*lines, body=CUT, first="HTTP/1.1 200 OK"):
    return "".join(f"{line}\r\n" for line in (first, *lines)).encode("latin-1") + b"\r\n" + body


N = len(CUT)
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (N, CUT)
LENGTHS = [
    [f"Content-Length: {N}", f"Content-Length: {N}"],
    [f"Content-Length: {N}", f"Content-Length: {N + 1}"],
    [f"Content-Length: {N}", f"content-length: {N}"],
    *([f"Content-Length: {value}"] for value in (
        f"{N}, {N}", f"+{N}", f"-{N}", f"{N}.0", f"0x{N:x}", f"{N}e0", "", "abc", f"{N}\xb2", f"{N};", f'"{N}"',
        f"{N}\x0b", f"\xa0{N}", "6_9", "6 9", "9" * 19, "9" * 5000,
    )),
    [f"Content-Length : {N}"],
    ["Content-Length: 6", " 9"],
    [f"Content-Length: {N}\rX: y"],
    [f" Content-Length: {N}"],
]  # fmt: skip
CODINGS = [
    ["Transfer-Encoding: gzip, chunked"],
    ["Transfer-Encoding: chunked, gzip"],
    ["Transfer-Encoding: chunked, chunked"],
    ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    ["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"],
    ["Transfer-Encoding: chunked", f"Content-Length: {len(CHUNKED)}"],
    [f"Content-Length: {N}", "Transfer-Encoding: chunked"],
    ["Transfer-Encoding: identity"],
    ["Transfer-Encoding: xchunked"],
    ["Transfer-Encoding: \x0bchunked"],
    ["Transfer-Encoding: chunked;q=1"],
    ["Transfer-Encoding:"],
]


@pytest.mark.parametrize("lines", LENGTHS, ids=lambda lines: ascii(" | ".join(lines))[:40])
def test_a_length_that_is_not_a_single_number_is_a_broken_reply(lines):
    with (
        RawServer(lambda asked: RawAnswer(framed(*lines), close=True)) as server,
        pytest.raises(Transient, match="broke off, or"),
    ):
        s3(server).scan()


@pytest.mark.parametrize("lines", CODINGS, ids=lambda lines: ascii(" | ".join(lines)))
def test_a_transfer_coding_without_a_clear_end_is_a_broken_reply(lines):
    answer = framed(*lines, body=CHUNKED)
    with (
        RawServer(lambda asked: RawAnswer(answer, close=True)) as server,
        pytest.raises(Transient, match="broke off, or"),
    ):
        s3(server).scan()


HEADS = {
    "no status": framed(first="HTTP/1.1 OK"),
    "a long status": framed(first="HTTP/1.1 2000 OK"),
    "a status below 100": framed(first="HTTP/1.1 099 OK"),
    "another protocol": framed(first="HTTP/2 200 OK"),
    "no version": framed(first="HTTP/1.x 200 OK"),
    "chunks in HTTP/1.0": framed("Transfer-Encoding: chunked", body=CHUNKED, first="HTTP/1.0 200 OK"),
    "a header without colon": framed("nonsense", f"Content-Length: {N}"),
    "a header without name": framed(": x", f"Content-Length: {N}"),
    "a NUL": framed(f"Content-Length: {N}", "X: a\0b"),
    "a head that ends early": f"HTTP/1.1 200 OK\r\nContent-Length: {N}\r\n".encode(),
    "a header that ends early": b"HTTP/1.1 200 OK\r\nContent-Length: 1",
    "a status that ends early": b"HTTP/1.1 200",
    "a line without end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
    "201 headers": framed(*(f"X-{number}: x" for number in range(200)), f"Content-Length: {N}"),
    "headers without end": framed(*(f"X-{number}: x" for number in range(5000))),
    "chunks without size": framed("Transfer-Encoding: chunked", body=b"\r\n" + CUT + b"\r\n0\r\n\r\n"),
    "chunks of negative size": framed("Transfer-Encoding: chunked", body=b"-5\r\n" + CUT + b"\r\n0\r\n\r\n"),
    "chunks with a sign": framed("Transfer-Encoding: chunked", body=b"+" + CHUNKED),
    "chunks with a prefix": framed("Transfer-Encoding: chunked", body=b"0x" + CHUNKED),
    "chunks with an underscore": framed("Transfer-Encoding: chunked", body=b"4_5\r\n" + CHUNKED[4:]),
    "chunks that are longer": framed("Transfer-Encoding: chunked", body=b"5\r\n" + CUT + b"\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("name", HEADS)
def test_an_invalid_answer_is_a_broken_reply(name):
    with RawServer(lambda asked: RawAnswer(HEADS[name], close=True)) as server, pytest.raises(Transient) as caught:
        s3(server).scan()
    assert caught.value.code in ("CONNECTION", "TRUNCATED")
    assert "nonsense" not in caught.value.message


def test_two_hundred_headers_are_accepted():
    answer = framed(*(f"X-{number}: x" for number in range(199)), f"Content-Length: {N}")
    with RawServer(lambda asked: answer) as server:
        provider = s3(server)
        assert provider.scan().files == ()


GOOD = {
    "a length with zeros in front": framed(f"Content-Length: 000{N}"),
    "blanks around a length": framed(f"Content-Length: \t {N} \t"),
    "no reason": framed(f"Content-Length: {N}", first="HTTP/1.1 200"),
    "a folded header": framed("X: a", "\tb", f"Content-Length: {N}"),
    "bare line feeds": framed(f"Content-Length: {N}", body=b"").replace(b"\r\n", b"\n") + CUT,
    "chunks": framed("Transfer-Encoding: Chunked", body=CHUNKED),
    "chunks with extensions and a trailer": framed(
        "transfer-encoding: chunked", body=b"%X ; a=b\r\n%b\r\n000;x\r\nX-Sum: 1\r\n\r\n" % (N, CUT)
    ),
    "another header's underscore": framed("Content_Length: 1", f"Content-Length: {N}"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_valid_answer_is_accepted_and_the_connection_kept(name):
    with RawServer(lambda asked: GOOD[name]) as server:
        provider = s3(server)
        assert [provider.scan().files for _ in range(2)] == [(), ()]
        assert server.connections == 1


# Truncated bodies


@pytest.mark.parametrize(
    "answer",
    [
        framed(f"Content-Length: {N + 1}"),
        framed(f"Content-Length: {N}", body=CUT[:-1]),
        framed("Transfer-Encoding: chunked", body=b"%x\r\n%b" % (N + 1, CUT)),
        framed("Transfer-Encoding: chunked", body=b"%x\r\n%b\r\n" % (N, CUT)),
        framed("Transfer-Encoding: chunked", body=b"%x\r\n%b\r\n0\r\n" % (N, CUT)),
    ],
    ids=["one byte short", "cut", "in a chunk", "without a last chunk", "without a trailer"],
)  # fmt: skip
def test_a_truncated_body_is_refused_even_if_it_can_be_parsed(answer):
    with RawServer(lambda asked: RawAnswer(answer, close=True)) as server, pytest.raises(Transient):
        s3(server).scan()
    assert len(server.seen) == 1, "only a dead kept connection justifies another request"


# Kept connections


def test_a_connection_with_unrequested_data_is_not_reused():
    """Unrequested data would be taken for the next answer."""
    with RawServer(lambda asked: reply(listing(f"c{asked.connection}t{asked.turn}"))) as server:
        provider = s3(server)
        assert listed(provider) == ["c0t0"]
        server.push(reply(listing("forged")))
        wait_readable(provider)
        assert listed(provider) == ["c1t0"]


@pytest.mark.parametrize("extra", [reply(listing("forged")), b"\r\n", b"H"], ids=["an answer", "a line", "a byte"])
def test_an_answer_followed_by_more_data_ends_its_connection(extra):
    with RawServer(lambda asked: reply(listing(f"c{asked.connection}t{asked.turn}")) + extra) as server:
        provider = s3(server)
        assert [listed(provider), listed(provider)] == [["c0t0"], ["c1t0"]]


def test_a_connection_closed_by_the_server_is_not_reused():
    counted: list[str] = []
    with RawServer(lambda asked: reply(listing("k"))) as server:
        provider = s3(server, counted=counted)
        listed(provider)
        server.hang_up()
        wait_readable(provider)
        assert listed(provider) == ["k"]
        assert (len(server.seen), counted) == (2, ["ListObjectsV2"] * 2)


def wait_readable(provider):
    """Waits until the data sent to the idle connections has arrived."""
    ((pool, _),) = provider._wire._places.values()
    deadline = time.monotonic() + 5
    while not all(connection.readable() for connection in pool._idle):
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)


def test_a_connection_answered_early_is_not_reused():
    """The rest of the body is still unsent, and the server might read it as a request."""
    data = b"x" * (4 << 20)
    refusal = reply(b"<Error><Code>EntityTooLarge</Code></Error>", status="413 Too Large")
    answers = itertools.count()

    def early(headers):
        return refusal if headers.get("content-length") == str(len(data)) else b""

    def answer(asked):
        return b"" if asked.body else reply(listing(f"c{asked.connection}n{next(answers)}"))

    with RawServer(answer, early=early) as server:
        provider = s3(server)
        with pytest.raises(Unsupported, match="EntityTooLarge"):
            put(provider, data)
        assert listed(provider) == ["c1n0"]


def dying(on):
    """Answers all requests except those that `on` selects on a used connection; there it hangs up."""

    def answer(asked):
        if asked.turn and on(asked):
            return RawAnswer(b"", close=True)
        if asked.method == "GET":
            return reply(listing("k"))
        return reply(b"", etag_of(asked.body) if asked.body else 'ETag: "e"')

    return answer


def test_a_read_is_sent_again_when_a_kept_connection_dies():
    counted: list[str] = []
    with RawServer(dying(lambda asked: True)) as server:
        provider = s3(server, counted=counted, max_retries=0)
        for _ in range(3):
            assert listed(provider) == ["k"]
            assert provider.stat("x").etag == "e"
        assert len(server.seen) == len(counted) == 11, "each request sent is counted"


def test_an_object_is_sent_again_when_a_kept_connection_dies():
    data = b"x" * 300_000
    counted: list[str] = []
    with RawServer(dying(lambda asked: asked.method == "PUT")) as server:
        provider = s3(server, counted=counted)
        listed(provider)
        assert put(provider, data).digests["md5"] == hashlib.md5(data).hexdigest()
        assert [asked.body == data for asked in server.seen] == [False, True, True]
        assert counted == ["ListObjectsV2", "PutObject", "PutObject"]


def test_a_request_is_sent_again_over_a_new_connection():
    """Other kept connections are as old, and as likely to be dead."""
    both = threading.Barrier(2, timeout=5)

    def answer(asked):
        if asked.connection < 2 and asked.turn:
            return RawAnswer(b"", close=True)
        if asked.connection < 2:
            both.wait()
        return reply(listing("k"))

    with RawServer(answer) as server:
        provider = s3(server)
        threads = [threading.Thread(target=listed, args=(provider,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert listed(provider) == ["k"]
        assert server.connections == 3


def test_a_request_is_sent_again_only_once():
    with RawServer(lambda asked: RawAnswer(b"", close=True) if server.seen[1:] else reply(listing("k"))) as server:
        provider = s3(server)
        listed(provider)
        with pytest.raises(Transient):
            listed(provider)
        assert len(server.seen) == 3


def begun(provider, key="x", **more):
    return provider.open_upload(UploadRequest(key=key, **more))


def refused_in_batch(provider):
    raise provider.remove_many(["x"])["x"]


CHANGING = {
    "delete": lambda provider: provider.remove("x"),
    "a new bucket": lambda provider: provider.create_container("bucket"),
    "a new multipart upload": lambda provider: begun(provider, size_bytes=20 << 20, part_size_bytes=10 << 20),
    "delete of many": refused_in_batch,
    "an object if there is none": lambda provider: put(provider, b"x", only_if_absent=True),
}


@pytest.mark.parametrize("act", CHANGING)
def test_a_request_that_changes_something_is_sent_once(act):
    """Whether it took effect is unknown: the loop checks before it sends anything again."""
    with RawServer(dying(lambda asked: asked.method in ("DELETE", "PUT", "POST"))) as server:
        provider = s3(server)
        provider._facts = ServerFacts(conditional=True)
        listed(provider)
        with pytest.raises(Transient):
            CHANGING[act](provider)
        changing = [asked for asked in server.seen if asked.method not in ("GET", "HEAD")]
        assert len(changing) == 1


def test_the_loop_handles_a_new_connection_that_dies():
    with RawServer(lambda asked: RawAnswer(b"", close=True)) as server:
        with pytest.raises(Transient):
            s3(server).scan()
        assert len(server.seen) == 1


def test_a_slow_kept_connection_is_not_dead():
    with RawServer(lambda asked: reply(listing("k")) if not asked.turn else b"") as server:
        provider = s3(server, timeout=1)
        listed(provider)
        with pytest.raises(Transient, match="no byte has moved"):
            listed(provider)
        assert len(server.seen) == 2


# Unsuccessful statuses


@pytest.mark.parametrize("status", [300, 301, 304, 305, 308, 399, 600, 999])
def test_a_status_outside_200_to_299_is_never_success(status):
    def answer(asked):
        return reply(b"", 'ETag: "e"') if asked.method == "HEAD" else reply(b"", 'ETag: "e"', status=f"{status} Odd")

    with RawServer(answer) as server:
        provider = s3(server)
        for act in (lambda: provider.remove("x"), lambda: put(provider, b"data"), provider.scan):
            with pytest.raises(ProviderError):
                act()


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 22 Nov 2026 10:00:00 GMT",
        "Sun, 22 Nov 2026 10:00:00 -0000",
        "Sunday, 22-Nov-26 10:00:00 GMT",
        "Sun Nov 22 10:00:00 2026",
    ],
)
def test_a_date_is_in_gmt_whatever_the_zone_of_this_machine(in_tokyo: None, text: str) -> None:
    assert errors.http_date(text) == 1795341600.0
