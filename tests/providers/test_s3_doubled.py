"""Repeated headers and elements, and all others that the S3 adapter reads: handled correctly, or refused."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
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


SPELT: Mapping[str, tuple[str, str]] = {
    "real": ("<E>REAL</E>", "REAL"),
    "missing": ("", ""),
    "empty": ("<E/>", ""),
    "doubled": ("<E>REAL</E><E>REAL</E>", "REAL"),
    "doubled otherwise": ("<E>7</E><E>REAL</E>", "7"),
    "huge": (f"<E>{HUGE}</E>", HUGE),
    "otherwise": ("<E>?;,=</E>", "?;,="),
    "negative": ("<E>-5</E>", "-5"),
    "nested": ("<E><E>REAL</E></E>", ""),
}
"""One element in every variant, and what it says: '' for nothing."""


def with_element(form: str, text: str, element: str, real: str) -> bytes:
    """A body whose ELEMENT is `text`, with the name `element` for E."""
    named = re.sub("<(/?)E(/?)>", rf"<\1{element}\2>", text)
    return form.replace("ELEMENT", named).replace("REAL", real).encode()


REQUEST = UploadRequest(key="x", size_bytes=20 << 20, part_size_bytes=10 << 20)
RECEIPTS = [PartReceipt(index=index, size_bytes=10 << 20, tag='"t"') for index in (0, 1)]
OURS = {"upload_id": "u", "checksum": ""}
DIGEST = hashlib.sha256(b"x").digest()
REFUSED = "refused: integrity"


def begun(provider: S3Provider) -> object:
    return provider.open_upload(REQUEST).token


def completed(provider: S3Provider) -> object:
    stored = provider.open_upload(REQUEST, token=OURS).commit(RECEIPTS)
    return stored.key, stored.size_bytes, stored.etag, dict(stored.checksums)


def confirmed(provider: S3Provider) -> object:
    return [receipt.index for receipt in provider.open_upload(REQUEST, token=OURS).confirmed()]


def unfinished(provider: S3Provider) -> object:
    return [(found.key, dict(found.token), found.started_at) for found in provider.pending_uploads("x")]


def failures(provider: S3Provider) -> object:
    failed = provider.remove_many(["a"])
    assert all(len(error.message) < 2000 for error in failed.values())
    return {key: error.kind for key, error in failed.items()}


def keeps_versions(provider: S3Provider) -> object:
    provider.learn()
    return provider.capabilities.keeps_old_versions


def whole(etag: str = "e", **checksums: str) -> object:
    return "x", 20 << 20, etag, checksums


BEGUN = "<InitiateMultipartUploadResult><UploadId>u</UploadId>ELEMENT</InitiateMultipartUploadResult>"
COMPLETED = "<CompleteMultipartUploadResult>ELEMENT</CompleteMultipartUploadResult>"
UNFINISHED = "<ListMultipartUploadsResult>{}</ListMultipartUploadsResult>"
UPLOAD = UNFINISHED.format("<Upload><Key>x</Key><UploadId>u</UploadId>ELEMENT</Upload>")
Act = Callable[[S3Provider], object]
SAYS: Mapping[str, tuple[str, str, str, Act, Callable[[str], object]]] = {
    "Bucket/Name": ("<ListAllMyBucketsResult><Buckets><Bucket>ELEMENT</Bucket></Buckets></ListAllMyBucketsResult>",
        "Name", "b", S3Provider.containers, lambda said: [said] if said else REFUSED),
    "buckets' ContinuationToken": ("<ListAllMyBucketsResult>ELEMENT</ListAllMyBucketsResult>",
        "ContinuationToken", "t", S3Provider.containers, lambda said: REFUSED if said else []),
    "begun UploadId": ("<InitiateMultipartUploadResult>ELEMENT</InitiateMultipartUploadResult>",
        "UploadId", "u", begun, lambda said: {**OURS, "upload_id": said} if said else REFUSED),
    "begun Key": (BEGUN, "Key", "x", begun, lambda said: OURS if said in ("", "x") else REFUSED),
    "begun Bucket": (BEGUN, "Bucket", "bucket", begun, lambda said: OURS if said in ("", "bucket") else REFUSED),
    "completed ETag": (COMPLETED, "ETag", "f", completed, lambda said: whole(said or "e")),
    "completed Key": (COMPLETED, "Key", "x", completed, lambda said: whole() if said in ("", "x") else REFUSED),
    "completed Bucket": (COMPLETED, "Bucket", "bucket", completed,
        lambda said: whole() if said in ("", "bucket") else REFUSED),
    "completed ChecksumSHA256": (COMPLETED, "ChecksumSHA256", base64.b64encode(DIGEST).decode(), completed,
        lambda said: whole(sha256=DIGEST.hex()) if len(said) == 44 else whole()),
    "parts' Key": ("<ListPartsResult>ELEMENT</ListPartsResult>", "Key", "x", confirmed,
        lambda said: [] if said in ("", "x") else REFUSED),
    "parts' UploadId": ("<ListPartsResult>ELEMENT</ListPartsResult>", "UploadId", "u", confirmed,
        lambda said: [] if said in ("", "u") else REFUSED),
    "parts' IsTruncated": ("<ListPartsResult>ELEMENT</ListPartsResult>",
        "IsTruncated", "true", confirmed, lambda said: []),
    "parts' marker": ("<ListPartsResult><IsTruncated>true</IsTruncated>ELEMENT</ListPartsResult>",
        "NextPartNumberMarker", "1", confirmed, lambda said: REFUSED if said else []),
    "unfinished Key": (UNFINISHED.format("<Upload>ELEMENT<UploadId>u</UploadId></Upload>"), "Key", "x", unfinished,
        lambda said: {"": [], "x": [("x", OURS, 0.0)]}.get(said, REFUSED)),
    "unfinished UploadId": (UNFINISHED.format("<Upload><Key>x</Key>ELEMENT</Upload>"), "UploadId", "u", unfinished,
        lambda said: [("x", {**OURS, "upload_id": said}, 0.0)] if said else []),
    "unfinished Initiated": (UPLOAD, "Initiated", "2026-11-22T10:00:00.000Z", unfinished,
        lambda said: [("x", OURS, 1795341600.0 if said.startswith("2026") else 0.0)]),
    "unfinished IsTruncated": (UNFINISHED.format("ELEMENT"), "IsTruncated", "true", unfinished,
        lambda said: "refused: unsupported" if said else []),
    "unfinished marker": (UNFINISHED.format("<IsTruncated>true</IsTruncated>ELEMENT"), "NextKeyMarker", "x", unfinished,
        lambda said: REFUSED if said else "refused: unsupported"),
    "unfinished upload's marker": (
        UNFINISHED.format("<IsTruncated>true</IsTruncated><NextKeyMarker>x</NextKeyMarker>ELEMENT"),
        "NextUploadIdMarker", "u", unfinished, lambda said: REFUSED),
    "unfinished ChecksumAlgorithm": (UPLOAD, "ChecksumAlgorithm", "SHA256", unfinished,
        lambda said: [("x", {**OURS, "checksum": "sha256" if said == "SHA256" else ""}, 0.0)]),
    "Deleted": ("<DeleteResult><Deleted>ELEMENT</Deleted></DeleteResult>", "Key", "a", failures,
        lambda said: {"": {"a": "configuration"}, "a": {}}.get(said, {"a": "integrity"})),
    "not deleted": ("<DeleteResult><Error>ELEMENT<Code>AccessDenied</Code></Error></DeleteResult>", "Key", "a",
        failures, lambda said: {"": {"a": "configuration"}, "a": {"a": "permission"}}.get(said, {"a": "integrity"})),
    "not deleted Code": ("<DeleteResult><Error><Key>a</Key>ELEMENT</Error></DeleteResult>", "Code", "AccessDenied",
        failures, lambda said: {"a": "permission" if said == "AccessDenied" else "provider"}),
    "not deleted Message": ("<DeleteResult><Error><Key>a</Key><Code>AccessDenied</Code>ELEMENT</Error></DeleteResult>",
        "Message", "No", failures, lambda said: {"a": "permission"}),
    "Status": ("<VersioningConfiguration>ELEMENT</VersioningConfiguration>", "Status", "Enabled", keeps_versions,
        lambda said: said == "Enabled"),
}  # fmt: skip
"""A body, an element of it and its real text, a call that reads it, and the result for each text."""


def probed(method: str, path: str, *_: object) -> tuple[int, dict[str, str], bytes]:
    """Answers to what set-up tries out, of a server that enforces nothing."""
    if method == "POST":
        result = "InitiateMultipartUploadResult" if "uploads" in path else "CompleteMultipartUploadResult"
        return 200, {}, f"<{result}><UploadId>u</UploadId><ETag>e</ETag></{result}>".encode()
    return 200, {"ETag": '"e"'}, LISTING if "list-type" in path else b""


def result_of(act: Act, provider: S3Provider) -> object:
    try:
        return act(provider)
    except ProviderError as trouble:
        return f"refused: {trouble.kind}" if len(trouble.message) < 2000 else "as long as what the server sent"


@pytest.mark.parametrize("name", SAYS)
def test_an_element_is_read_correctly_or_the_answer_is_refused(name: str) -> None:
    """For any content: exactly what the element says, or one of our errors, in bounded time and length."""
    form, element, real, act, meaning = SAYS[name]
    body = b""

    def answer(method: str, path: str, *_: object) -> tuple[int, dict[str, str], bytes]:
        if method == "DELETE":
            return 204, {}, b""
        if act is keeps_versions and "versioning" not in path:
            return probed(method, path)
        return error(404, "NoSuchKey") if method == "HEAD" else (200, {"ETag": '"e"'}, body)

    for how, (text, says) in SPELT.items():
        body = with_element(form, text, element, real)
        with stub(answer) as server:
            provider = server.provider(max_retries=0, timeout=3)
            assert result_of(act, provider) == meaning(says.replace("REAL", real)), how
            assert len(server.seen) < 40, how


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


def test_an_upload_whose_parts_cannot_all_be_listed_has_no_known_size() -> None:
    def answer(method: str, path: str, *_: object) -> tuple[int, dict[str, str], bytes]:
        if "uploadId" in path:
            part = "<Part><PartNumber>1</PartNumber><Size>7</Size><ETag>e</ETag></Part>"
            return 200, {}, f"<ListPartsResult><IsTruncated>true</IsTruncated>{part}</ListPartsResult>".encode()
        upload = "<Upload><Key>x</Key><UploadId>u</UploadId></Upload>"
        return 200, {}, UNFINISHED.format(upload).encode()

    with stub(answer) as server:
        (found,) = server.provider(max_retries=0).unfinished_uploads()
        assert (found.token["upload_id"], found.size_bytes) == ("u", None)


ERROR_ELEMENTS = ("Code", "Message", "Region", "Endpoint", "ServerTime")


@pytest.mark.parametrize("element", ERROR_ELEMENTS)
@pytest.mark.parametrize("code", ["AccessDenied", "RequestTimeTooSkewed", "PermanentRedirect"])
def test_an_error_is_recognised_whatever_its_elements_contain(element: str, code: str) -> None:
    value = code if element == "Code" else "eu-west-1"
    known = "" if element == "Code" else f"<Code>{code}</Code>"
    body = b""
    with stub(lambda *_: (403, {}, body)) as server:
        provider = server.provider(max_retries=0)
        for how, (text, _) in SPELT.items():
            body = with_element(f"<Error>ELEMENT{known}</Error>", text, element, value)
            kind = outcome(provider.scan)
            assert kind in {"permission", "authentication", "configuration", "provider"}, (how, kind)


def test_every_header_and_element_that_is_read_is_among_those_tried() -> None:
    source = "".join(path.read_text() for path in (ROOT / "providers" / "aws_s3").glob("*.py"))
    elements = set(re.findall(r'(?:findtext|iterfind)\("([A-Za-z/]+)"\)', source))
    headers = set(re.findall(r'headers\.get\("([a-z0-9-]+)"', source))
    tried = {*ELEMENTS, *PART_ELEMENTS, *ERROR_ELEMENTS, *(row[1] for row in SAYS.values())}
    around = {"Contents", "CommonPrefixes", "Upload", "Part", "Deleted", "Error", "Buckets/Bucket"}
    assert len(elements) > 20
    assert elements - tried - around == set()
    assert headers - {header.lower() for header in (*READ_HEADERS, *ALSO_READ)} == set()
