"""Every header and element that the S3 service reads: missing, doubled, misspelt, empty, huge. The result is always
right or a ProviderError with a clear message; never a wrong result, never a crash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from providers.aws_s3.discovery import ServerFacts
from providers.contract.upload import PartReceipt, UploadRequest
from providers.engine.window import MemoryBody
from providers.errors import LONGEST_WAIT_S, NotFound, ProviderError
from providers.http.range import content_length
from providers.testing.transfers import download, read, upload
from tests.providers.s3_stub import Answer, error, stub

DATA = b"0123456789" * 10
MD5 = hashlib.md5(DATA).hexdigest()
SHA256 = hashlib.sha256(DATA).hexdigest()
HUGE = "9" * 60_000
Headers = dict[str, str]
Spell = Callable[[str], str | None]
"""Replaces a value; None removes it."""

VALUES: Mapping[str, Spell] = {
    "missing": lambda value: None,
    "empty": lambda value: "",
    "blank": lambda value: "   ",
    "huge": lambda value: HUGE,
    "nonsense": lambda value: "\xff\xfe?;,=&<>",
    "upper case": str.upper,
    "lower case": str.lower,
    "with blanks": lambda value: f"  {value}  ",
    "twice in one": lambda value: f"{value}, {value}",
    "negative": lambda value: "-5",
    "not a number": lambda value: "NaN",
    "beyond all numbers": lambda value: "1" + "0" * 30,
    "another number": lambda value: "7",
}


class OneObject:
    """A server that holds DATA as `x` and alters one header of it, or one element of a listing."""

    def __init__(self, name: str = "", spell: Spell = lambda value: value, on: str = "") -> None:
        self.name = name
        self.spell = spell
        self.on = on

    def headers(self, method: str, fields: Headers) -> Headers:
        if not self.name or (self.on and method not in self.on.split()):
            return fields
        value = self.spell(fields.get(self.name, "0"))
        rest = {name: known for name, known in fields.items() if name != self.name}
        return rest if value is None else {**rest, self.name: value}

    def __call__(self, method: str, path: str, asked: Headers, body: bytes) -> Answer:
        if "list-type" in path:
            return 200, {}, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
        fields = {
            "ETag": f'"{MD5}"',
            "Last-Modified": "Sun, 22 Nov 2026 10:00:00 GMT",
            "x-amz-meta-mtime": "1700000000.5",
            "x-amz-meta-sha256": SHA256,
            "x-amz-version-id": "v1",
        }
        status, content = 200, DATA
        if method == "GET" and "range" in asked:
            first, last = (int(text) for text in asked["range"].removeprefix("bytes=").split("-"))
            status, content = 206, DATA[first : last + 1]
            fields["Content-Range"] = f"bytes {first}-{first + len(content) - 1}/{len(DATA)}"
        if method == "PUT":
            fields["ETag"] = f'"{hashlib.md5(body).hexdigest()}"'
            content = b""
        fields["Content-Length"] = str(len(content))
        return status, self.headers(method, fields), content


def outcome(act: Callable[[], Any]) -> str:
    """'right', or the kind of the error; any other exception is a crash."""
    try:
        act()
    except ProviderError as trouble:
        return trouble.kind if len(trouble.message) < 2000 else "as long as what the server sent"
    return "right"


READ_HEADERS = (
    "ETag", "Content-Length", "Content-Range", "Last-Modified", "x-amz-meta-mtime", "x-amz-meta-sha256",
    "x-amz-version-id", "x-amz-checksum-sha256", "x-amz-server-side-encryption", "Content-Type", "Server",
    "x-amz-server-side-encryption-customer-algorithm", "x-amz-bucket-region", "Retry-After", "Date",
)  # fmt: skip
MAY_FAIL = {
    "ETag": {"unsupported", "conflict", "integrity"},
    "Content-Length": {"integrity", "transient", "unsupported"},
    "Content-Range": {"integrity", "unsupported"},
    "x-amz-meta-sha256": {"integrity"},
    "x-amz-checksum-sha256": {"integrity"},
}
"""The other headers do not affect which object is fetched."""


@pytest.mark.few(4)
@pytest.mark.parametrize("on", ["HEAD", "GET"])
@pytest.mark.parametrize("header", READ_HEADERS)
def test_a_download_is_right_or_refused_with_any_header(header, on, tmp_path):
    target = tmp_path / "target"
    odd = OneObject(header, on=on)
    with stub(odd) as server:
        provider = server.provider(max_retries=0, timeout=3)
        for value, odd.spell in VALUES.items():
            target.write_bytes(b"an older copy")
            kind = outcome(lambda: download(provider, "x", target))
            assert target.read_bytes() == (DATA if kind == "right" else b"an older copy"), value
            too_long = value == "huge" and kind == "transient"  # longer than any header line
            assert too_long or kind == "right" or kind in MAY_FAIL.get(header, set()), (value, kind)


@pytest.mark.parametrize("header", ["ETag", "x-amz-checksum-sha256", "x-amz-server-side-encryption"])
def test_an_upload_is_proved_or_refused_with_any_header(header, tmp_path):
    (tmp_path / "source").write_bytes(DATA)
    odd = OneObject(header)
    with stub(odd) as server:
        provider = server.provider(max_retries=0, timeout=3)
        provider._facts = ServerFacts(md5_enforced=True)
        for value, odd.spell in VALUES.items():
            kind = outcome(lambda: upload(provider, tmp_path / "source", "x", replaces=False))
            assert kind in {"right", "integrity", "conflict", "transient", "unsupported"}, value


ELEMENTS = ("Key", "Size", "ETag", "LastModified", "IsTruncated", "NextContinuationToken", "EncodingType", "Prefix")


def listing(element: str, spell: Spell, times: int = 1) -> bytes:
    def tagged(name: str, value: str) -> str:
        text = spell(value) if name == element else value
        shown = (text or "").replace("&", "&amp;").replace("<", "&lt;").replace("\xff\xfe", "ÿþ")
        return "" if text is None else f"<{name}>{shown}</{name}>" * (times if name == element else 1)

    item = (
        tagged("Key", "d/a")
        + tagged("Size", "3")
        + tagged("ETag", '"e"')
        + tagged("LastModified", "2026-11-22T10:00:00Z")
    )
    ends = tagged("IsTruncated", "false") + tagged("NextContinuationToken", "t") + tagged("EncodingType", "url")
    folders = f"<CommonPrefixes>{tagged('Prefix', 'd/f/')}</CommonPrefixes>"
    return f"<ListBucketResult>{ends}<Contents>{item}</Contents>{folders}</ListBucketResult>".encode()


@pytest.mark.parametrize("element", ELEMENTS)
def test_a_listing_is_right_or_refused_with_any_element(element):
    bodies = {value: listing(element, spell) for value, spell in VALUES.items()}
    bodies["doubled"] = listing(element, lambda value: value, 2)
    body = b""
    with stub(lambda *_: (200, {}, body)) as server:
        provider = server.provider(max_retries=0)
        for value, body in bodies.items():  # noqa: B007 - what the server answers
            found = []
            kind = outcome(lambda: found.append(provider.scan("d/", delimiter="/")))  # noqa: B023 - called at once
            assert kind in {"right", "integrity", "unsupported"}, value
            expected = 7 if (element, value) == ("Size", "another number") else 3
            assert all((file.key[:2], file.size_bytes) == ("d/", expected) for page in found for file in page.files)


ROOTS = ("", "<Error><Code>AccessDenied</Code></Error>", "<Other/>", "<html><body>Hi</body></html>", "{}", "<", "\0")


@pytest.mark.parametrize("body", ROOTS)
def test_every_call_requires_the_documented_root(body):
    """None of them accepts another answer with status 200."""

    def answer(method, path, headers, content):
        if method == "HEAD":
            return 200, {"ETag": '"e"', "Content-Length": "1"}, b""
        return 200, {"ETag": '"e"'}, body.encode()

    request = UploadRequest(key="x", size_bytes=20 << 20, part_size_bytes=10 << 20)
    receipts = [PartReceipt(index=index, size_bytes=10 << 20, tag='"t"') for index in (0, 1)]
    with stub(answer) as server:
        provider = server.provider(max_retries=0)
        begun = provider.open_upload(request, token={"upload_id": "u", "checksum": ""})
        for act in (
            provider.scan,
            provider.containers,
            lambda: provider.pending_uploads("x"),
            lambda: provider.open_upload(request),
            begun.confirmed,
            lambda: begun.commit(receipts),
            provider.check_container,
        ):
            assert outcome(act) != "right"
        failed = provider.remove_many(["a", "b"])
        assert set(failed) == {"a", "b"}


def listed_parts(element: str, spell: Spell) -> bytes:
    values = {"PartNumber": "1", "Size": str(10 << 20), "ETag": f'"{MD5}"', "ChecksumSHA256": "", "Key": "x"}
    values |= {"UploadId": "u"}

    def tag(name: str) -> str:
        text = spell(values[name]) if name == element else values[name]
        return "" if text is None else f"<{name}>{text.replace('&', '&amp;').replace('<', '&lt;')}</{name}>"

    part = "".join(map(tag, ("PartNumber", "Size", "ETag", "ChecksumSHA256")))
    return f"<ListPartsResult>{tag('Key')}{tag('UploadId')}<Part>{part}</Part></ListPartsResult>".encode()


PART_ELEMENTS = ("PartNumber", "Size", "ETag", "ChecksumSHA256", "Key", "UploadId")


@pytest.mark.parametrize("element", PART_ELEMENTS)
def test_oddly_listed_parts_are_sent_again_and_never_trusted(element):
    request = UploadRequest(key="x", size_bytes=20 << 20, part_size_bytes=10 << 20)
    body = b""
    with stub(lambda *_: (200, {}, body)) as server:
        session = server.provider(max_retries=0).open_upload(request, token={"upload_id": "u", "checksum": ""})
        for value, spell in VALUES.items():
            body = listed_parts(element, spell)
            found: list[PartReceipt] = []
            kind = outcome(lambda: found.extend(session.confirmed()))  # noqa: B023 - called at once
            assert kind in {"right", "integrity"}, value
            assert all((part.index, part.size_bytes) == (0, 10 << 20) for part in found), value


@pytest.mark.parametrize("status", [400, 403, 405, 501])
@pytest.mark.parametrize("code", ["NotImplemented", "InvalidArgument", "InvalidRequest", ""])
def test_a_header_refused_in_an_unusual_way_is_no_fact_and_no_failure(status, code):
    """Conditions and checksums the server does not know: 501 is documented, many send 400."""

    def answer(method, path, headers, body):
        if headers.keys() & {"if-none-match", "x-amz-checksum-sha256", "content-md5"} and method == "PUT":
            return error(status, code) if code else (status, {}, b"")
        if "?uploads" in path:
            root = "InitiateMultipartUploadResult"
            return 200, {}, f"<{root}><UploadId>u</UploadId></{root}>".encode()
        if method == "POST":
            return 200, {}, b"<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"
        return 200, {"ETag": '"e"'}, b""

    with stub(answer) as server:
        provider = server.provider(max_retries=0)
        kind = outcome(provider.learn)
        facts = provider._known_facts()
    if status in (403,) and code != "NotImplemented":
        assert kind in {"permission", "right"}
    else:
        assert kind == "right"
    assert not facts.conditional
    assert not facts.checksum_enforced


@pytest.mark.parametrize(
    "value", ["1e9", "inf", "-1", "99999999999999999999", "100000000", "soon", "", "Thu, 01 Jan 9999 00:00:00 GMT"]
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_accepted_within_bounds(value, status):
    fields = {"Retry-After": value, "Date": "Sun, 22 Nov 2026 10:00:00 GMT"}
    with stub(lambda *_: (status, fields, b"")) as server, pytest.raises(ProviderError) as caught:
        server.provider(max_retries=0).scan()
    assert caught.value.kind == "rate_limited"
    assert caught.value.retry_after_s is None or 0 <= caught.value.retry_after_s <= LONGEST_WAIT_S


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("InvalidObjectState", "archived; restore it first"),
        ("RestoreAlreadyInProgress", "is being restored now"),
        ("KMS.DisabledException", "KMS.DisabledException"),
        ("KMS.NotFoundException", "KMS.NotFoundException"),
    ],
)
def test_an_inaccessible_object_is_reported_with_the_way_to_it(code, says, tmp_path):
    def answer(method, path, headers, body):
        if method == "HEAD":
            return 200, {"ETag": '"e"', "Content-Length": "100"}, b""
        return error(400 if code.startswith("KMS") else 403, code, "The operation is not valid.")

    with stub(answer) as server, pytest.raises(ProviderError, match=says) as caught:
        download(server.provider(max_retries=0), "x", tmp_path / "target")
    assert "changed" not in caught.value.message
    assert "restore" in caught.value.hint.lower() or "KMS" in caught.value.hint
    assert not caught.value.retryable


def test_a_missing_answer_is_not_found():
    with stub(lambda *_: error(404, "NoSuchKey")) as server, pytest.raises(NotFound):
        read(server.provider(max_retries=0), "x", 0, 1)


def test_a_length_is_a_plain_number_or_unknown():
    lengths = {"": None, "5": 5, "0": 0, "+5": None, "5 ": 5, "-5": None, "5, 5": None, "٥": None, "1" * 30: None}
    assert {text: content_length({"content-length": text}) for text in lengths} == lengths


def test_a_part_is_sent_with_what_it_needs():
    with stub(lambda *_: (200, {"ETag": f'"{MD5}"'}, b"")) as server:
        request = UploadRequest(key="x", size_bytes=20 << 20, part_size_bytes=10 << 20)
        session = server.provider().open_upload(request, token={"upload_id": "u", "checksum": ""})
        receipt = session.send(request.part(0), MemoryBody(DATA), {"md5": MD5})
        assert server.seen[0][3] == DATA
    assert (receipt.tag, receipt.digests) == (f'"{MD5}"', {"md5": MD5})
