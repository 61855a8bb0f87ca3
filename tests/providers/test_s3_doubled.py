"""Repeated headers and elements, and all others that the S3 adapter reads: handled correctly, or refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from providers.aws_s3.provider import S3Provider
from providers.contract.upload import PartReceipt, UploadRequest
from providers.errors import ProviderError
from providers.testing.transfers import download, keys
from tests.cli.conftest import ROOT
from tests.providers.s3_stub import SECRET, error, stub
from tests.providers.test_hostile_s3 import (
    DATA,
    ELEMENTS,
    HUGE,
    MAY_FAIL,
    PART_ELEMENTS,
    READ_HEADERS,
    VALUES,
    OneObject,
    outcome,
)
from tests.servers.raw_http import RawRequest, RawServer

ALSO_READ = ("x-amz-meta-mode", "x-amz-meta-uid", "x-amz-meta-gid", "Content-Encoding", "Connection",
             "Transfer-Encoding")  # fmt: skip
MAY_FAIL_ALSO = {**MAY_FAIL, "Transfer-Encoding": {"transient"}, "Connection": set[str]()}
LISTING = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


class Twice:
    """DATA as `x`. One header of the answers to `on` is sent as several lines."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: tuple[str, ...] = ()
        self.on = "HEAD"

    def __call__(self, asked: RawRequest) -> bytes:
        if "list-type" in asked.path:
            status, headers, body = 200, {"Content-Length": str(len(LISTING))}, LISTING
        else:
            status, headers, body = OneObject()(asked.method, asked.path, dict(asked.headers), asked.body)
        if asked.method == "HEAD":
            body = b""
        lines = [(name, value) for name, value in headers.items() if asked.method != self.on or name != self.name]
        if asked.method == self.on and "list-type" not in asked.path:
            real = headers.get(self.name, "0")
            lines += [(self.name, line.replace("REAL", real)) for line in self.lines]
        head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        return f"HTTP/1.1 {status} Fine\r\n{head}\r\n".encode("latin-1", "replace") + body


@contextmanager
def connected(answer: Twice) -> Iterator[S3Provider]:
    with RawServer(answer) as server:
        provider = S3Provider(
            {"endpoint_url": server.url, "container": "bucket", "access_key": "KEYID", "secret_key": SECRET,
             "region": "us-east-1", "timeout": 3, "max_retries": 0}
        )  # fmt: skip
        try:
            yield provider
        finally:
            provider.close()


TWICE = (("REAL", "REAL"), ("REAL", ""), ("", "REAL"), ("REAL", "7"), ("7", "REAL"), ("REAL", HUGE))


@pytest.mark.few(4)
@pytest.mark.parametrize("header", [*READ_HEADERS, *ALSO_READ])
def test_a_repeated_header_is_handled_or_refused(header: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    odd = Twice(header)
    with connected(odd) as provider:
        for odd.on in ("HEAD", "GET"):
            for odd.lines in TWICE:
                target.write_bytes(b"an older copy")
                kind = outcome(lambda: download(provider, "x", target))
                assert target.read_bytes() == (DATA if kind == "right" else b"an older copy"), odd.lines
                allowed = {"right", *MAY_FAIL_ALSO.get(header, set())}
                assert kind in allowed or (HUGE in odd.lines and kind == "transient"), (odd.on, odd.lines[:1], kind)


@pytest.mark.parametrize("header", ALSO_READ[:4])
def test_odd_mode_owner_and_coding_headers_do_not_affect_a_download(header: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    odd = Twice(header)
    with connected(odd) as provider:
        for odd.on in ("HEAD", "GET"):
            for name, spell in VALUES.items():
                line = spell("0100644")
                odd.lines = () if line is None else (line.replace("\xff\xfe", "?"),)
                kind = outcome(lambda: download(provider, "x", target))
                too_long = name == "huge" and kind == "transient"
                assert too_long or (kind, target.read_bytes()) == ("right", DATA), name


MORE = {
    "no word, but a token": "<NextContinuationToken>t</NextContinuationToken>",
    "an empty word": "<IsTruncated/><NextContinuationToken>t</NextContinuationToken>",
    "another word": "<IsTruncated>1</IsTruncated><NextContinuationToken>t</NextContinuationToken>",
    "in capitals": "<IsTruncated>TRUE</IsTruncated><NextContinuationToken>t</NextContinuationToken>",
    "both words": "<IsTruncated>false</IsTruncated><IsTruncated>true</IsTruncated>"
    "<NextContinuationToken>t</NextContinuationToken>",
}


def listing(*names: str, head: str = "") -> bytes:
    items = "".join(f"<Contents><Key>{name}</Key><Size>1</Size></Contents>" for name in names)
    return f"<ListBucketResult>{head}{items}</ListBucketResult>".encode()


@pytest.mark.parametrize("head", MORE.values(), ids=MORE)
def test_a_listing_that_names_a_next_page_continues(head: str) -> None:
    """Half a listing would silently lead to half a restore."""

    def answer(method: str, path: str, *_: object) -> tuple[int, dict[str, str], bytes]:
        second = "continuation-token" in path
        return 200, {}, listing("b", head="<IsTruncated>false</IsTruncated>") if second else listing("a", head=head)

    with stub(answer) as server:
        assert keys(server.provider(max_retries=0)) == {"a", "b"}


@pytest.mark.parametrize("head", ["<IsTruncated>true</IsTruncated>", "<IsTruncated>1</IsTruncated>"])
def test_a_listing_that_cannot_continue_is_refused(head: str) -> None:
    with stub(lambda *_: (200, {}, listing("a", head=head))) as server, pytest.raises(ProviderError):
        keys(server.provider(max_retries=0))


@pytest.mark.parametrize(
    "doubled", ["<Key>a</Key><Key>b</Key><Size>1</Size>", "<Key>a</Key><Size>1</Size><Size>2</Size>"]
)
def test_an_object_with_two_names_or_sizes_is_refused(doubled: str) -> None:
    body = f"<ListBucketResult><Contents>{doubled}</Contents></ListBucketResult>".encode()
    with stub(lambda *_: (200, {}, body)) as server, pytest.raises(ProviderError, match="or two of them"):
        keys(server.provider(max_retries=0))


def spelt(form: str) -> dict[str, str]:
    """Bodies with one element in every variant: `form` contains ELEMENT in its place."""
    found = {
        "missing": "",
        "empty": "<E/>",
        "doubled": "<E>REAL</E><E>REAL</E>",
        "doubled otherwise": "<E>7</E><E>REAL</E>",
    }
    found |= {
        "huge": f"<E>{HUGE}</E>",
        "otherwise": "<E>?;,=</E>",
        "negative": "<E>-5</E>",
        "nested": "<E><E>REAL</E></E>",
    }
    return {name: form.replace("ELEMENT", text) for name, text in found.items()}


REQUEST = UploadRequest(key="x", size_bytes=20 << 20, part_size_bytes=10 << 20)
RECEIPTS = [PartReceipt(index=index, size_bytes=10 << 20, tag='"t"') for index in (0, 1)]
OURS = {"upload_id": "u", "checksum": ""}
SAYS: Mapping[str, tuple[str, str, str, object]] = {
    "Bucket/Name": ("<ListAllMyBucketsResult><Buckets><Bucket>ELEMENT</Bucket></Buckets></ListAllMyBucketsResult>",
        "Name", "b", lambda provider: provider.containers()),
    "buckets' ContinuationToken": ("<ListAllMyBucketsResult>ELEMENT</ListAllMyBucketsResult>",
        "ContinuationToken", "t", lambda provider: provider.containers()),
    "begun UploadId": ("<InitiateMultipartUploadResult>ELEMENT</InitiateMultipartUploadResult>",
        "UploadId", "u", lambda provider: provider.open_upload(REQUEST)),
    "begun Key": ("<InitiateMultipartUploadResult><UploadId>u</UploadId>ELEMENT</InitiateMultipartUploadResult>",
        "Key", "x", lambda provider: provider.open_upload(REQUEST)),
    "completed ETag": ("<CompleteMultipartUploadResult>ELEMENT</CompleteMultipartUploadResult>",
        "ETag", "e", lambda provider: provider.open_upload(REQUEST, token=OURS).commit(RECEIPTS)),
    "completed Key": ("<CompleteMultipartUploadResult>ELEMENT</CompleteMultipartUploadResult>",
        "Key", "x", lambda provider: provider.open_upload(REQUEST, token=OURS).commit(RECEIPTS)),
    "completed ChecksumSHA256": ("<CompleteMultipartUploadResult>ELEMENT</CompleteMultipartUploadResult>",
        "ChecksumSHA256", "e", lambda provider: provider.open_upload(REQUEST, token=OURS).commit(RECEIPTS)),
    "parts' IsTruncated": ("<ListPartsResult>ELEMENT</ListPartsResult>",
        "IsTruncated", "true", lambda provider: provider.open_upload(REQUEST, token=OURS).confirmed()),
    "parts' marker": ("<ListPartsResult><IsTruncated>true</IsTruncated>ELEMENT</ListPartsResult>",
        "NextPartNumberMarker", "1", lambda provider: provider.open_upload(REQUEST, token=OURS).confirmed()),
    "unfinished Key": ("<ListMultipartUploadsResult><Upload>ELEMENT<UploadId>u</UploadId></Upload>"
        "</ListMultipartUploadsResult>", "Key", "x", lambda provider: provider.pending_uploads("x")),
    "unfinished UploadId": ("<ListMultipartUploadsResult><Upload><Key>x</Key>ELEMENT</Upload>"
        "</ListMultipartUploadsResult>", "UploadId", "u", lambda provider: provider.pending_uploads("x")),
    "unfinished Initiated": ("<ListMultipartUploadsResult><Upload><Key>x</Key><UploadId>u</UploadId>ELEMENT</Upload>"
        "</ListMultipartUploadsResult>", "Initiated", "2026", lambda provider: provider.pending_uploads("x")),
    "unfinished marker": ("<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>ELEMENT"
        "</ListMultipartUploadsResult>", "NextKeyMarker", "x", lambda provider: provider.pending_uploads("x")),
    "unfinished upload's marker": ("<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>"
        "<NextKeyMarker>x</NextKeyMarker>ELEMENT</ListMultipartUploadsResult>", "NextUploadIdMarker", "u",
        lambda provider: provider.pending_uploads("x")),
    "unfinished ChecksumAlgorithm": ("<ListMultipartUploadsResult><Upload><Key>x</Key><UploadId>u</UploadId>ELEMENT"
        "</Upload></ListMultipartUploadsResult>", "ChecksumAlgorithm", "SHA256",
        lambda provider: provider.pending_uploads("x")),
    "Deleted": ("<DeleteResult><Deleted>ELEMENT</Deleted></DeleteResult>",
        "Key", "a", lambda provider: provider.remove_many(["a"])),
    "not deleted": ("<DeleteResult><Error>ELEMENT<Code>AccessDenied</Code></Error></DeleteResult>",
        "Key", "a", lambda provider: provider.remove_many(["a"])),
    "not deleted Code": ("<DeleteResult><Error><Key>a</Key>ELEMENT</Error></DeleteResult>",
        "Code", "AccessDenied", lambda provider: provider.remove_many(["a"])),
    "not deleted Message": ("<DeleteResult><Error><Key>a</Key><Code>AccessDenied</Code>ELEMENT</Error></DeleteResult>",
        "Message", "No", lambda provider: provider.remove_many(["a"])),
    "Status": ("<VersioningConfiguration>ELEMENT</VersioningConfiguration>", "Status", "Enabled",
        lambda provider: provider.learn()),
}  # fmt: skip


@pytest.mark.parametrize("name", SAYS)
def test_an_element_is_read_correctly_or_the_answer_is_refused(name: str) -> None:
    """For any content: one of our errors, in bounded time and length, or an answer that means what it says."""
    form, element, real, act = SAYS[name]
    body = ""

    def answer(method: str, path: str, *_: object) -> tuple[int, dict[str, str], bytes]:
        if method in ("HEAD", "DELETE"):
            return error(404, "NoSuchKey") if method == "HEAD" else (204, {}, b"")
        return 200, {"ETag": '"e"'}, body.encode()

    bodies = spelt(form)
    with stub(answer) as server:
        provider = server.provider(max_retries=0, timeout=3)
        for how, text in bodies.items():
            body = text.replace("<E", f"<{element}").replace("</E>", f"</{element}>").replace("REAL", real)
            before = len(server.seen)
            kind = outcome(lambda: act(provider))  # type: ignore[operator]
            assert kind != "as long as what the server sent", how
            assert len(server.seen) - before < 40, how


@pytest.mark.parametrize("word", ["true", "TRUE", " True ", "1"])
def test_unfinished_uploads_are_listed_to_the_end_for_every_spelling_of_truncated(word: str) -> None:
    """Otherwise an upload would seem missing, or seem to hold less than it does."""
    more = f"<IsTruncated>{word}</IsTruncated>"

    def answer(method: str, path: str, *_: object) -> tuple[int, dict[str, str], bytes]:
        second = "marker=" in path
        if "uploadId" in path:
            rest = "" if second else f"{more}<NextPartNumberMarker>1</NextPartNumberMarker>"
            part = f"<Part><PartNumber>{2 if second else 1}</PartNumber><Size>{10 << 20}</Size><ETag>e</ETag></Part>"
            return 200, {}, f"<ListPartsResult>{part}{rest}</ListPartsResult>".encode()
        rest = "" if second else f"{more}<NextKeyMarker>x</NextKeyMarker>"
        upload = f"<Upload><Key>x</Key><UploadId>{'v' if second else 'u'}</UploadId></Upload>"
        return 200, {}, f"<ListMultipartUploadsResult>{upload}{rest}</ListMultipartUploadsResult>".encode()

    with stub(answer) as server:
        provider = server.provider(max_retries=0)
        found = provider.unfinished_uploads()
        assert [(each.token["upload_id"], each.size_bytes) for each in found] == [("u", 20 << 20), ("v", 20 << 20)]
        assert len(provider.open_upload(REQUEST, token=OURS).confirmed()) == 2


ERROR_ELEMENTS = ("Code", "Message", "Region", "Endpoint", "ServerTime")


@pytest.mark.parametrize("element", ERROR_ELEMENTS)
@pytest.mark.parametrize("code", ["AccessDenied", "RequestTimeTooSkewed", "PermanentRedirect"])
def test_an_error_is_recognised_whatever_its_elements_contain(element: str, code: str) -> None:
    value = code if element == "Code" else "eu-west-1"
    known = "" if element == "Code" else f"<Code>{code}</Code>"
    body = ""
    with stub(lambda *_: (403, {}, body.encode())) as server:
        provider = server.provider(max_retries=0)
        for how, text in spelt(f"<Error>ELEMENT{known}</Error>").items():
            body = text.replace("<E>", f"<{element}>").replace("</E>", f"</{element}>").replace("<E/>", f"<{element}/>")
            body = body.replace("REAL", value)
            kind = outcome(provider.scan)
            assert kind in {"permission", "authentication", "configuration", "provider"}, (how, kind)


def test_every_header_and_element_that_is_read_is_among_those_tried() -> None:
    source = "".join(path.read_text() for path in (ROOT / "providers" / "aws_s3").glob("*.py"))
    elements = set(re.findall(r'(?:findtext|iterfind)\("([A-Za-z/]+)"\)', source))
    headers = set(re.findall(r'headers\.get\("([a-z0-9-]+)"', source))
    tried = {*ELEMENTS, *PART_ELEMENTS, *ERROR_ELEMENTS, *(element for _, element, _, _ in SAYS.values())}
    around = {"Contents", "CommonPrefixes", "Upload", "Part", "Deleted", "Error", "Buckets/Bucket"}
    assert len(elements) > 20
    assert elements - tried - around == set()
    assert headers - {header.lower() for header in (*READ_HEADERS, *ALSO_READ)} == set()
