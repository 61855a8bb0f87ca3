"""ETags in every form that servers and proxies send."""

from __future__ import annotations

import hashlib

import pytest

from providers.aws_s3 import etags, objects
from providers.aws_s3.discovery import ServerFacts
from providers.contract.capabilities import Proof
from providers.contract.upload import UploadRequest
from providers.engine.window import MemoryBody
from providers.errors import Conflict, Integrity, ProviderError, Unsupported
from providers.testing.transfers import download, read, upload
from tests.providers.s3_stub import error, stub

DATA = b"what is stored"
MD5 = hashlib.md5(DATA).hexdigest()
FORMS = {
    "quoted": f'"{MD5}"',
    "unquoted": MD5,
    "weak": f'W/"{MD5}"',
    "weak, small w": f'w/"{MD5}"',
    "weak, unquoted": f"W/{MD5}",
    "upper case": f'"{MD5.upper()}"',
    "upper case, unquoted": MD5.upper(),
    "quoted twice": f'""{MD5}""',
    "blanks": f' "{MD5}" ',
    "blanks inside": f'" {MD5} "',
    "of parts": f'"{MD5}-3"',
    "weak, of parts": f'W/"{MD5}-3"',
    "not an MD5": '"8f2c-opaque"',
    "not an MD5, upper case": '"ABCopaque"',
}


class Store:
    """One object. Its ETag is always sent in one form, and compared literally with If-Match."""

    def __init__(self, form: str, *, conditional: bool = True) -> None:
        self.form = form
        self.conditional = conditional
        self.data: bytes | None = DATA

    def __call__(self, method, path, headers, body):
        sent = {"ETag": self.form} if self.form else {}
        if method == "PUT":
            self.data = body
        if method in ("PUT", "DELETE"):
            return 200 if method == "PUT" else 204, sent, b""
        if self.data is None:
            return error(404, "NoSuchKey")
        wanted = headers.get("if-match")
        if wanted and self.conditional and wanted != self.form:
            return error(412, "PreconditionFailed")
        if "range" in headers:
            first, last = (int(text) for text in headers["range"].removeprefix("bytes=").split("-"))
            sent |= {"Content-Range": f"bytes {first}-{last}/{len(self.data)}"}
            return 206, sent, self.data[first : last + 1]
        return 200, sent, self.data


@pytest.mark.parametrize("form", FORMS)
def test_a_stored_object_can_be_fetched_with_any_form_of_etag(tmp_path, form):
    (tmp_path / "source").write_bytes(DATA)
    with stub(Store(FORMS[form])) as server:
        provider = server.provider(max_retries=0)
        provider._facts = ServerFacts()
        sent = upload(provider, tmp_path / "source", "x", replaces=False)
        fetched = download(provider, "x", tmp_path / "target")
        assert provider.stat("x").etag == sent.remote.etag == fetched.remote.etag
        assert (tmp_path / "target").read_bytes() == DATA
        server.seen.clear()
        read(provider, "x", 0, 5, etag=sent.remote.etag)
        assert len(server.seen) == 1, "what the server understands is not found out each time"


@pytest.mark.parametrize("form", [form for form in FORMS if "weak" in form])
def test_an_object_with_a_weak_etag_is_read_back(tmp_path, form):
    """It promises that the content means the same, not that its bytes are equal (RFC 9110, 8.8.1): its value proves
    nothing."""
    (tmp_path / "source").write_bytes(DATA)
    store = Store(FORMS[form])
    with stub(store) as server:
        provider = server.provider(max_retries=0)
        provider._facts = ServerFacts()
        assert upload(provider, tmp_path / "source", "x", replaces=False).proof is Proof.READ_BACK
        assert [method for method, *_ in server.seen if method == "GET"], "it was read"
        assert download(provider, "x", tmp_path / "target").proof is Proof.READ_TWICE
        store.form = FORMS["quoted"]
        assert upload(provider, tmp_path / "source", "y", replaces=False).proof is Proof.MATCHED


def test_damage_to_an_object_with_a_weak_etag_is_detected(tmp_path):
    """The server stores other bytes than it received, and reports the MD5 of those received."""

    class Damaging(Store):
        def __call__(self, method, path, headers, body):
            sent = super().__call__(method, path, headers, body)
            if method == "PUT":
                self.data = body[:-1] + b"X"
            return sent

    (tmp_path / "source").write_bytes(DATA)
    with stub(Damaging(FORMS["weak"])) as server:
        provider = server.provider(max_retries=0)
        provider._facts = ServerFacts()
        with pytest.raises(Integrity):
            upload(provider, tmp_path / "source", "x", replaces=False)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("conditional", [True, False])
def test_another_version_is_a_conflict_with_any_form_of_etag(form, conditional):
    store = Store(FORMS[form], conditional=conditional)
    with stub(store) as server:
        provider = server.provider(max_retries=0)
        etag = provider.stat("x").etag
        read(provider, "x", 0, 5, etag=etag)
        store.form = FORMS[form].replace(MD5, "0" * 32).replace(MD5.upper(), "0" * 32).replace("opaque", "other")
        with pytest.raises(Conflict, match="changed since it was looked at"):
            read(provider, "x", 0, 5, etag=etag)


@pytest.mark.parametrize(
    ("value", "text", "md5", "composite"),
    [
        (f'"{MD5}"', MD5, MD5, ""),
        (f'"{MD5.upper()}"', MD5, MD5, ""),
        (f'W/"{MD5}"', MD5, "", ""),
        (f'"{MD5}-12"', f"{MD5}-12", "", f"{MD5}-12"),
        (f'W/"{MD5}-12"', f"{MD5}-12", "", ""),
        (f'"{MD5}-"', f"{MD5}-", "", ""),
        ("", "", "", ""),
        ('""', "", "", ""),
        ('"', "", "", ""),
        ("W/", "", "", ""),
        ('"Opaque"', "Opaque", "", ""),
        ("x" * 100_000, "x" * 100_000, "", ""),
    ],
)
def test_parsing_of_etags(value, text, md5, composite):
    found = etags.parse(value)
    assert (found.text, found.md5, found.composite) == (text, md5, composite)


def test_a_weak_etag_is_not_a_checksum():
    assert objects.checksums_of({"etag": f'W/"{MD5}"'}, ServerFacts()) == {}
    assert objects.checksums_of({"etag": f'"{MD5.upper()}"'}, ServerFacts()) == {"md5": MD5}


def test_a_service_without_etags_is_reported_at_setup_and_nothing_is_left_there():
    class Bare(Store):
        """Answers everything that a check needs, without any ETag. A delete removes the object of that name alone."""

        def __init__(self) -> None:
            super().__init__("")
            self.data = None
            self.stored: set[str] = set()

        def __call__(self, method, path, headers, body):
            key = path.partition("?")[0]
            if method == "PUT":
                self.stored.add(key)
            if method == "DELETE":
                self.stored.discard(key)
            if "list-type" in path:
                return 200, {}, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
            return super().__call__(method, path, headers, body)

    store = Bare()
    with stub(store) as server:
        failure = server.provider(max_retries=0).probe().failure
        assert failure is not None
        assert (failure.kind, failure.code) == ("unsupported", "no_etag")
        assert "no ETag" in failure.message
        assert "PUT" in [method for method, *_ in server.seen]
    assert store.stored == set(), "the probe was left behind"


def test_a_part_without_an_etag_is_reported_before_the_completion():
    def answer(method, path, headers, body):
        if method == "POST":
            return 200, {}, b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
        return 200, {}, b""

    with stub(answer) as server:
        request = UploadRequest(key="x", size_bytes=20 << 20, part_size_bytes=10 << 20)
        session = server.provider().open_upload(request)
        with pytest.raises(Unsupported, match="part 1: the service sends no ETag"):
            session.send(request.part(0), MemoryBody(), {})


@pytest.mark.parametrize(
    "elements",
    [
        "<Bucket>other</Bucket><Key>x</Key>",
        "<Bucket>bucket</Bucket><Key>y</Key>",
        "<Key>y</Key>",
        "<Bucket>bucket</Bucket><Key>x</Key><UploadId></UploadId>",
    ],
)
def test_an_upload_started_for_something_else_is_rejected(elements):
    upload_id = "" if "UploadId" in elements else "<UploadId>u</UploadId>"
    body = f"<InitiateMultipartUploadResult>{elements}{upload_id}</InitiateMultipartUploadResult>".encode()
    with stub(lambda *_: (200, {}, body)) as server, pytest.raises(ProviderError) as caught:
        server.provider().open_upload(UploadRequest(key="x", size_bytes=20 << 20, part_size_bytes=10 << 20))
    assert caught.value.kind == "integrity"
