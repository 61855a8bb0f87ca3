"""Optional features that a server refuses instead of ignoring, and checksums that it repeats without computing."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

import pytest

from providers.contract.capabilities import Proof
from providers.errors import Integrity
from providers.testing.transfers import download, keys, upload
from tests.providers.s3_stub import Answer, error, stub

MIB = 1 << 20


def tag(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


class SmallS3:
    """Stores objects, and implements as much of S3 as needed here."""

    def __init__(self) -> None:
        self.stored: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.parts: dict[int, bytes] = {}

    def refusal(self, method: str, query: str, headers: Mapping[str, str]) -> Answer | None:
        return None

    def kept(self, key: str, body: bytes) -> bytes:
        return body

    def returned(self, headers: Mapping[str, str], kept: bytes) -> dict[str, str]:
        return {"ETag": f'"{tag(kept)}"'}

    def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        where, _, query = path.partition("?")
        refusal = self.refusal(method, query, headers)
        if refusal is not None:
            return refusal
        key = unquote(where).removeprefix("/bucket").removeprefix("/")
        match method:
            case "PUT":
                return self._put(key, query, headers, body)
            case "POST":
                return self._post(key, query)
            case "DELETE":
                self.stored.pop(key, None)
                return 204, {}, b""
        if not key:
            return self._bucket(query)
        return self._get(method, key, headers)

    def _put(self, key: str, query: str, headers: Mapping[str, str], body: bytes) -> Answer:
        kept = self.kept(key, body)
        sent = self.returned(headers, kept)
        number = re.search(r"partNumber=(\d+)", query)
        if number:
            self.parts[int(number[1])] = kept
        else:
            self.stored[key] = kept, sent
        return 200, sent, b""

    def _post(self, key: str, query: str) -> Answer:
        if query == "delete=":
            return error(501, "NotImplemented")
        if "uploads" in query:
            root = "InitiateMultipartUploadResult"
            return 200, {}, f"<{root}><UploadId>u</UploadId></{root}>".encode()
        parts = [part for _, part in sorted(self.parts.items())]
        whole = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
        etag = f'"{whole}-{len(parts)}"'
        self.stored[key] = b"".join(parts), {"ETag": etag}
        self.parts = {}
        root = "CompleteMultipartUploadResult"
        return 200, {}, f"<{root}><ETag>{etag}</ETag></{root}>".encode()

    def _bucket(self, query: str) -> Answer:
        if "uploads" in query:
            return 200, {}, b"<ListMultipartUploadsResult/>"
        if "versioning" in query:
            return 200, {}, b"<VersioningConfiguration/>"
        asked = re.search(r"prefix=([^&]*)", query)
        prefix = unquote(asked[1]) if asked else ""
        found = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(data)}</Size></Contents>"
            for key, (data, _) in self.stored.items()
            if key.startswith(prefix)
        )
        return 200, {}, f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>".encode()

    def _get(self, method: str, key: str, headers: Mapping[str, str]) -> Answer:
        if key not in self.stored:
            return error(404, "NoSuchKey")
        data, sent = self.stored[key]
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("range", ""))
        if method == "HEAD" or span is None:
            return 200, {**sent, "Content-Length": str(len(data))}, data
        part = data[int(span[1]) : int(span[2]) + 1]
        where = f"bytes {span[1]}-{int(span[1]) + len(part) - 1}/{len(data)}"
        return 206, {**sent, "Content-Range": where}, part


class Picky(SmallS3):
    """Refuses one header or parameter."""

    def __init__(self, name: str, status: int, code: str) -> None:
        super().__init__()
        self.name = name
        self.status = status
        self.code = code

    def refusal(self, method: str, query: str, headers: Mapping[str, str]) -> Answer | None:
        if self.name not in headers and self.name not in query:
            return None
        return error(self.status, self.code) if self.code and method != "HEAD" else (self.status, {}, b"")


OPTIONAL = ("content-md5", "x-amz-checksum-sha256", "x-amz-checksum-mode", "if-match", "if-none-match", "range",
            "encoding-type", "versioning", "max-parts")  # fmt: skip
REFUSALS = {"400": (400, "InvalidArgument"), "400 without words": (400, ""), "501": (501, "NotImplemented")}


@pytest.mark.few(4)
@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("name", OPTIONAL)
def test_optional_headers_and_parameters_may_be_refused(name: str, refusal: str, tmp_path: Path) -> None:
    server = Picky(name, *REFUSALS[refusal])
    small, large = b"a" * 100, b"b" * (9 * MIB)
    (tmp_path / "small").write_bytes(small)
    (tmp_path / "large").write_bytes(large)
    with stub(server) as running:
        provider = running.provider(max_retries=0, upload_chunk_size=5 * MIB)
        for key in ("small", "large"):
            proof = upload(provider, tmp_path / key, key).proof
            assert proof in (Proof.MATCHED, Proof.READ_BACK), "nothing was seen to be enforced"
            assert keys(provider, key) == {key}
            download(provider, key, tmp_path / "target")
            assert (tmp_path / "target").read_bytes() == (tmp_path / key).read_bytes()
        assert provider.remove_many(["small", "large"]) == {}
    assert server.stored == {}


def test_a_refused_header_is_not_sent_again(tmp_path: Path) -> None:
    server = Picky("if-match", 501, "NotImplemented")
    (tmp_path / "file").write_bytes(b"abc")
    with stub(server) as running:
        provider = running.provider(max_retries=0)
        upload(provider, tmp_path / "file", "x")
        for _ in range(3):
            download(provider, "x", tmp_path / "target")
        assert sum("if-match" in headers for _, _, headers, _ in running.seen) <= 2


class Echo(SmallS3):
    """Loses a byte of every object except probes, and repeats the checksums that it received."""

    def __init__(self, repeats: str) -> None:
        super().__init__()
        self.repeats = repeats

    def kept(self, key: str, body: bytes) -> bytes:
        return body if "probe" in key or not body else body[:-1] + b"?"

    def returned(self, headers: Mapping[str, str], kept: bytes) -> dict[str, str]:
        md5, sha256 = headers.get("content-md5"), headers.get("x-amz-content-sha256", "")
        if self.repeats == "content-md5":
            return {"ETag": f'"{base64.b64decode(md5).hex() if md5 else tag(kept)}"'}
        sent = {"ETag": '"opaque"'}
        if re.fullmatch("[0-9a-f]{64}", sha256):
            sent["x-amz-checksum-sha256"] = base64.b64encode(bytes.fromhex(sha256)).decode()
        return sent


@pytest.mark.parametrize("size", [100, 9 * MIB])
@pytest.mark.parametrize("repeats", ["content-md5", "x-amz-content-sha256"])
def test_a_checksum_that_is_only_repeated_proves_nothing(repeats: str, size: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a" * size)
    with stub(Echo(repeats)) as running:
        provider = running.provider(max_retries=0, upload_chunk_size=5 * MIB)
        with pytest.raises(Integrity):
            upload(provider, tmp_path / "file", "x")
        assert provider.capabilities.repeated_checksums
