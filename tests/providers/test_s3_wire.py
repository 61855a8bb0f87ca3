"""The S3 service against misbehaving servers and networks, and its few requests to good ones."""

from __future__ import annotations

import base64
import filecmp
import hashlib
import io
import os
import socket
import ssl
import threading
import time
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from providers.aws_s3.discovery import KeySpelling, ServerFacts
from providers.contract.cancel import CancelToken, acting_for
from providers.contract.context import FactsInMemory, ProviderContext
from providers.contract.upload import PartReceipt, UploadRequest
from providers.engine.upload import run_upload
from providers.errors import (
    Conflict,
    Integrity,
    InvalidConfiguration,
    NotFound,
    PermissionDenied,
    ProviderError,
    Transient,
    Unsupported,
)
from tests.providers.s3_stub import SECRET, error, stub
from tests.servers.s3_server import ACCESS_KEY, SECRET_KEY

EMPTY_LIST = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
SOON_S = 1.0


class Body(io.BytesIO):
    """Counts the bytes read from it."""

    def __init__(self, data):
        super().__init__(data)
        self.bytes_read = 0
        self.seeks = 0

    def __len__(self):
        return len(self.getbuffer())

    def read(self, size=-1, /):
        data = super().read(size)
        self.bytes_read += len(data)
        return data

    def seek(self, *args):
        self.seeks += 1
        return super().seek(*args)


def send_one(provider, data, **more):
    request = UploadRequest(
        key="x", size_bytes=len(data), part_size_bytes=8 << 20, sha256=hashlib.sha256(data).hexdigest(), **more
    )
    session = provider.open_upload(request)
    body = Body(data)
    receipt = session.send(request.part(0), body, {"md5": hashlib.md5(data).hexdigest()})
    return session.commit([receipt]), body


def stored(method, path, headers, body):
    return 200, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}, b""


def test_a_small_object_is_one_request_read_once_with_its_digests():
    data = os.urandom(300_000)
    with stub(stored) as server:
        remote, body = send_one(server.provider(), data, mtime_ns=1_700_000_000_500_000_000)
        ((method, path, headers, got),) = server.seen
    assert (method, path, got) == ("PUT", "/bucket/x", data)
    assert (body.bytes_read, body.seeks) == (len(data), 0)
    assert headers["x-amz-content-sha256"] == hashlib.sha256(data).hexdigest() == headers["x-amz-meta-sha256"]
    assert headers["x-amz-meta-mtime"] == "1700000000.500000000"
    assert headers["content-md5"]
    assert "expect" not in headers
    assert remote.checksums == {"md5": hashlib.md5(data).hexdigest()}


def test_live_connections_are_reused_and_dead_ones_are_not():
    with stub(lambda *_: (200, {}, EMPTY_LIST)) as server:
        provider = server.provider()
        for _ in range(5):
            provider.scan()
        assert (len(server.seen), server.connections) == (5, 1)
    with stub(lambda *_: (200, {"Connection": "close"}, EMPTY_LIST)) as server:
        provider = server.provider()
        replies = [provider.scan() for _ in range(3)]
        assert server.connections == 3
    assert len(replies) == 3
    provider.close()
    provider.close()


def test_an_etag_that_is_not_ours_is_an_integrity_error():
    with stub(lambda *_: (200, {"ETag": '"' + "0" * 32 + '"'}, b"")) as server, pytest.raises(Integrity, match="md5"):
        send_one(server.provider(), b"data")


def test_under_kms_the_etag_proves_nothing():
    headers = {"ETag": '"' + "0" * 32 + '"', "x-amz-server-side-encryption": "aws:kms"}
    with stub(lambda *_: (200, headers, b"")) as server:
        remote, _ = send_one(server.provider(), b"data")
    assert remote.checksums == {}


def test_a_completion_that_fails_after_status_200_is_not_a_success():
    def answer(method, path, headers, body):
        return (
            error(200, "InternalError")
            if "uploadId" in path
            else (200, {}, b"<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>")
        )

    with stub(answer) as server:
        request = UploadRequest(key="x", size_bytes=20 << 20, part_size_bytes=10 << 20)
        session = server.provider().open_upload(request)
        receipts = [PartReceipt(index=index, size_bytes=10 << 20, tag='"t"') for index in (0, 1)]
        with pytest.raises(Transient, match="InternalError"):
            session.commit(receipts)


def test_a_body_that_ends_early_is_transient_and_a_short_object_an_integrity_error():
    def answer(method, path, headers, body):
        if path == "/bucket/cut":
            return 206, {"Content-Length": "100", "Content-Range": "bytes 0-99/100"}, b"x" * 40
        return 206, {"Content-Range": "bytes 0-39/40"}, b"x" * 40

    with stub(answer) as server:
        provider = server.provider()
        for key, expected in (("cut", Transient), ("short", Integrity)):
            reader = provider.read_range(key, 0, 100)
            with pytest.raises(expected):
                list(reader)
            reader.close()


def test_a_server_that_ignores_ranges_or_conditions_is_detected():
    with stub(lambda *_: (200, {"ETag": '"new"'}, b"0123456789")) as server:
        provider = server.provider()
        for expected, range_ in ((Unsupported, (5, 2, "")), (Unsupported, (0, 2, "")), (Conflict, (0, 10, "old"))):
            offset, size, etag = range_
            reader = provider.read_range("x", offset, size, etag=etag)
            with pytest.raises(expected):
                list(reader)
            reader.close()


@pytest.mark.parametrize("status", [200, 404])
def test_a_web_page_instead_of_s3(status):
    page = b"<!DOCTYPE html><html><body>It works!</body></html>"
    with stub(lambda *_: (status, {"Content-Type": "text/html"}, page)) as server:
        provider = server.provider(max_retries=0)
        failure = provider.probe().failure
    if status == 200:
        assert failure is not None
        assert (failure.kind, failure.code) == ("configuration", "endpoint_url")
        assert "does not answer like S3" in failure.message
    else:
        assert failure is not None


def test_a_404_to_head_is_explained_once():
    def answer(method, path, headers, body):
        if method == "HEAD":
            return 404, {}, b""
        return error(404, "NoSuchBucket") if "gone" in path else (200, {}, EMPTY_LIST)

    with stub(answer) as server:
        with pytest.raises(NotFound, match="the bucket gone does not exist"):
            server.provider(container="gone").stat("x")
        provider = server.provider()
        server.seen.clear()
        for _ in range(3):
            with pytest.raises(NotFound, match="x: there is no such object"):
                provider.stat("x")
        assert [method for method, *_ in server.seen] == ["HEAD", "GET", "HEAD", "HEAD"]


def test_a_403_to_head_is_explained():
    def answer(method, path, headers, body):
        return (403, {}, b"") if method == "HEAD" else error(403, "SignatureDoesNotMatch")

    with stub(answer) as server, pytest.raises(ProviderError) as caught:
        server.provider().stat("x")
    assert caught.value.kind == "authentication"


def test_no_secret_in_any_error():
    with stub(lambda *_: error(403, "SignatureDoesNotMatch", "we computed something else")) as server:
        provider = server.provider(session_token="T0KEN-must-never-be-shown")
        with pytest.raises(ProviderError) as caught:
            provider.scan()
    shown = repr(caught.value) + str(caught.value) + caught.value.hint + repr(provider.settings) + provider.location
    assert SECRET not in shown
    assert "T0KEN" not in shown


def test_virtual_host_style_puts_the_bucket_into_the_name(monkeypatch):
    real = socket.getaddrinfo
    asked = []

    def resolve(host, *args, **kwargs):
        asked.append(host)
        return real("127.0.0.1", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with stub(lambda *_: (200, {}, EMPTY_LIST)) as server:
        url = f"http://s3.test:{server.port}"
        server.provider(endpoint_url=url, addressing_style="virtual").scan()
        server.provider(endpoint_url=f"{url}/base/", addressing_style="path").scan()
        (_, first, headers, _), (_, second, _, _) = server.seen
    assert asked == ["bucket.s3.test", "s3.test"]
    assert headers["host"] == f"bucket.s3.test:{server.port}"
    assert first.startswith("/?")
    assert second.startswith("/base/bucket?")


def test_a_request_is_signed_for_the_region():
    with stub(lambda *_: (200, {}, EMPTY_LIST)) as server:
        server.provider(region="eu-central-1").scan()
        assert "/eu-central-1/s3/aws4_request" in server.seen[0][2]["authorization"]


@pytest.mark.parametrize("values", [{"endpoint_url": "http://a..b"}, {"endpoint_url": f"http://{'a' * 64}.test"}])
def test_an_invalid_host_name_is_not_found(values):
    """Python's own error for these is not an OSError."""
    with stub(lambda *_: (200, {}, EMPTY_LIST)) as server:
        with pytest.raises(Transient, match="cannot be resolved") as caught:
            server.provider(**values).scan()
        assert caught.value.code == "DNS"


def test_an_answer_with_an_impossible_length():
    with (
        stub(lambda *_: (200, {"Content-Length": "9" * 5000}, EMPTY_LIST)) as server,
        pytest.raises(Transient, match="broke off, or does not speak HTTP"),
    ):
        server.provider().scan()


def test_an_invalid_proxy_address_is_named_without_its_password(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://user:pw@proxy.test:port")
    with stub(lambda *_: (200, {}, EMPTY_LIST)) as server:
        with pytest.raises(InvalidConfiguration, match="HTTP_PROXY") as caught:
            server.provider(endpoint_url="http://s3.test:9000").scan()
        assert "pw" not in caught.value.message + caught.value.hint


def test_the_environment_s_proxy_is_used(monkeypatch):
    with stub(lambda *_: (200, {}, EMPTY_LIST)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://user:p%40ss@127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        proxy.provider(endpoint_url="http://s3.test:9000").scan()
        ((_, path, headers, _),) = proxy.seen
        assert path.startswith("http://s3.test:9000/bucket?")
        assert headers["host"] == "s3.test:9000"
        assert headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """An untrusted certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_tls_is_checked_and_a_private_ca_can_be_set(certificate, monkeypatch):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    data = os.urandom(1_000_000)
    with stub(lambda method, *rest: (200, {}, EMPTY_LIST) if method == "GET" else stored(method, *rest), tls) as server:
        url = f"https://localhost:{server.port}"
        with pytest.raises(InvalidConfiguration, match="not trusted: self-signed") as caught:
            server.provider(endpoint_url=url).scan()
        assert caught.value.field == "endpoint_url"
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        provider = server.provider(endpoint_url=url)
        assert provider.scan().files == ()
        send_one(provider, data)
        assert server.seen[-1][3] == data
        provider.close()


def test_an_unreadable_certificate_file_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "absent.pem"))
    with (
        stub(lambda *_: (200, {}, EMPTY_LIST)) as server,
        pytest.raises(InvalidConfiguration, match=r"AWS_CA_BUNDLE: .*absent\.pem"),
    ):
        server.provider(endpoint_url=f"https://127.0.0.1:{server.port}").scan()


def test_https_to_a_plain_port():
    with (
        stub(lambda *_: (200, {}, EMPTY_LIST)) as server,
        pytest.raises(InvalidConfiguration, match="does not speak TLS"),
    ):
        server.provider(endpoint_url=f"https://127.0.0.1:{server.port}").scan()


@pytest.fixture
def mute():
    """Accepts connections, but neither reads nor answers."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)
    taken = []
    arrived = threading.Event()

    def accept():
        while True:
            try:
                taken.append(listener.accept()[0])
            except OSError:
                return
            arrived.set()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()[1], arrived
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()
    for connection in taken:
        connection.close()


def mute_provider(port, **values):
    with stub(stored) as server:
        return server.provider(endpoint_url=f"http://127.0.0.1:{port}", **values)


def failing_after(act, wait, interrupt):
    """The error of `act` after `interrupt`, and how long that took."""
    caught = []

    def run():
        try:
            act()
        except ProviderError as trouble:
            caught.append(trouble)

    thread = threading.Thread(target=run)
    thread.start()
    assert wait(10)
    began = time.monotonic()
    interrupt()
    thread.join(10)
    return caught[0], time.monotonic() - began


def test_an_upload_that_stalls_is_interrupted_at_once_and_can_be_used_again(mute):
    port, arrived = mute
    provider = mute_provider(port)
    data = os.urandom(8 << 20)  # more than both sides' buffers
    request = UploadRequest(key="x", size_bytes=len(data), part_size_bytes=8 << 20)
    session = provider.open_upload(request)
    trouble, elapsed_s = failing_after(
        lambda: session.send(request.part(0), Body(data), {"md5": "00" * 16}), arrived.wait, session.interrupt
    )
    assert isinstance(trouble, Transient)
    assert elapsed_s < SOON_S


def test_a_download_that_stalls_before_its_first_byte_is_interrupted_at_once(mute):
    port, arrived = mute
    reader = mute_provider(port).read_range("x", 0, 10)
    trouble, elapsed_s = failing_after(lambda: list(reader), arrived.wait, reader.interrupt)
    reader.close()
    assert isinstance(trouble, Transient)
    assert elapsed_s < SOON_S


def test_a_call_without_a_session_is_interrupted_by_the_active_token(mute):
    port, arrived = mute
    provider = mute_provider(port)
    token = CancelToken()

    def listing():
        with acting_for(token):
            provider.scan()

    trouble, elapsed_s = failing_after(listing, arrived.wait, token.cancel)
    assert isinstance(trouble, Transient)
    assert elapsed_s < SOON_S


def test_a_connection_that_is_not_yet_established_is_interrupted():
    """A full backlog: the SYN is never answered."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
        fillers.append(filler)
    provider = mute_provider(port)
    token, begun = CancelToken(), threading.Event()
    provider._wire._count_call = lambda kind: begun.set()

    def listing():
        with acting_for(token):
            provider.scan()

    trouble, elapsed_s = failing_after(listing, begun.wait, token.cancel)
    assert isinstance(trouble, Transient)
    assert elapsed_s < SOON_S
    for filler in [listener, *fillers]:
        filler.close()


@pytest.mark.parametrize("size", [10, 8 << 20])
def test_timeout_limits_the_time_without_a_byte_moving(mute, size):
    port, _ = mute
    provider = mute_provider(port, timeout=1)
    began = time.monotonic()
    with pytest.raises(Transient, match="no byte has moved for 1 s"):
        send_one(provider, b"x" * size)
    assert 0.9 < time.monotonic() - began < 3


def test_parts_in_progress_use_little_memory(rclone_s3, tmp_path):
    """Five at once, up and down, take less than half the size of one."""
    part, size = 8 << 20, 40 << 20
    path = tmp_path / "source"
    with path.open("wb") as file:
        for block in range(size >> 20):
            file.write(bytes([block]) * (1 << 20))
    with stub(stored) as server:
        provider = server.provider(
            endpoint_url=rclone_s3.url, container=rclone_s3.new_bucket(), access_key=ACCESS_KEY, secret_key=SECRET_KEY,
            upload_chunk_size=part, connection_pool_size=5, timeout=60,
        )  # fmt: skip
        provider.learn()
        tracemalloc.start()
        try:
            provider.upload(path, "x")
            provider.download("x", tmp_path / "target")
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak_bytes < part / 2
    assert filecmp.cmp(path, tmp_path / "target", shallow=False)


def test_facts_are_tested_once_and_remembered(rclone_s3):
    facts = FactsInMemory()
    calls: list[str] = []
    bucket = rclone_s3.new_bucket()
    with stub(stored) as server:

        def connect():
            return server.provider(
                context=ProviderContext(facts=facts, count_call=calls.append),
                endpoint_url=f"http://127.0.0.1:{rclone_s3.port}",
                container=bucket,
                access_key=ACCESS_KEY,
                secret_key=SECRET_KEY,
            )

    first = connect()
    assert first.capabilities.enforced_checksums == frozenset()
    first.learn()
    assert first._known_facts() == ServerFacts(md5_enforced=True, listed_keys=KeySpelling.FORM, keeps_folders=False)
    assert first.capabilities.enforced_checksums == {"md5"}
    assert not first.scan().files, "the trial is left behind"
    calls.clear()
    second = connect()
    second.learn()
    assert second.capabilities == first.capabilities
    assert calls == []
    first.close()
    second.close()


def test_a_small_upload_costs_one_request(rclone_s3, tmp_path):
    calls: list[str] = []
    with stub(stored) as server:
        provider = server.provider(
            context=ProviderContext(count_call=calls.append),
            endpoint_url=f"http://127.0.0.1:{rclone_s3.port}",
            container=rclone_s3.new_bucket(),
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
        )
    provider.learn()
    calls.clear()
    (tmp_path / "x").write_bytes(b"data")
    run_upload(provider, tmp_path / "x", "x", cancel=CancelToken(), replaces=False)
    assert calls == ["PutObject"]
    provider.close()


def test_facts_of_one_server_are_not_applied_to_another(moto_s3):
    with stub(stored) as server:
        provider = server.provider(endpoint_url=f"http://127.0.0.1:{moto_s3.port}", container=moto_s3.new_bucket())
    provider.learn()
    assert provider._known_facts() == ServerFacts(conditional=True, listed_keys=KeySpelling.FORM)
    assert provider.capabilities.conditional_commit
    provider.close()


def test_a_server_that_enforces_sha256_receives_and_returns_it():
    def answer(method, path, headers, body):
        real = base64.b64encode(hashlib.sha256(body).digest()).decode()
        checksum = headers.get("x-amz-checksum-sha256", real)
        if checksum != real:
            return error(400, "BadDigest")
        if path.endswith("?uploads="):
            return 200, {}, b"<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>"
        if method == "POST":
            return 200, {}, b"<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>"
        return 200, {"ETag": '"opaque"', "x-amz-checksum-sha256": checksum}, b""

    with stub(answer) as server:
        provider = server.provider()
        provider.learn()
        facts = provider._known_facts()
        assert facts.checksum_enforced
        assert not facts.etag_is_md5
        assert provider.capabilities.part_digests == ("md5", "sha256")
        remote, _ = send_one(provider, b"data")
        assert remote.checksums == {"sha256": hashlib.sha256(b"data").hexdigest()}


def test_an_error_during_a_probe_is_not_a_fact():
    def answer(method, path, headers, body):
        if headers.get("content-md5"):
            return error(503, "SlowDown")
        if path.endswith("?uploads="):
            return 200, {}, b"<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>"
        return (
            (200, {}, b"<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>")
            if method == "POST"
            else (200, {"ETag": '"e"'}, b"")
        )

    with stub(answer) as server:
        provider = server.provider()
        with pytest.raises(ProviderError) as caught:
            provider.learn()
        assert caught.value.kind == "rate_limited"
        assert provider._known_facts() == ServerFacts()
        assert server.seen[-1][0] == "DELETE", "the trial is left behind"


def test_a_batch_delete_reports_failures_by_key():
    def answer(method, path, headers, body):
        assert b"<Key>p/a&amp;b</Key>" in body
        return (
            200,
            {},
            b"<DeleteResult><Deleted><Key>p/c</Key></Deleted><Error><Key>p/a&amp;b</Key><Code>AccessDenied</Code><Message>No</Message></Error></DeleteResult>",
        )

    with stub(answer) as server:
        failed = server.provider(prefix="p").remove_many(["a&b", "c", ".."])
        assert [method for method, *_ in server.seen] == ["POST"]
    assert {key: error.kind for key, error in failed.items()} == {"a&b": "permission", "..": "name"}


def test_keys_that_the_service_was_too_busy_to_delete_may_be_retried():
    answers = "".join(
        f"<Error><Key>{code}</Key><Code>{code}</Code><Message>Later</Message></Error>"
        for code in ("SlowDown", "InternalError", "Strange")
    )
    with stub(
        lambda *_: (200, {}, f"<DeleteResult><Deleted><Key>gone</Key></Deleted>{answers}</DeleteResult>".encode())
    ) as server:
        failed = server.provider().remove_many(["SlowDown", "InternalError", "Strange", "gone"])
    assert {key: error.retryable for key, error in failed.items()} == {
        "SlowDown": True, "InternalError": True, "Strange": False
    }  # fmt: skip


def test_a_name_that_xml_cannot_carry_is_deleted_separately():
    with stub(lambda method, *_: (200 if method == "HEAD" else 204, {"ETag": "x"}, b"")) as server:
        assert server.provider().remove_many(["a\x01b"]) == {}
        assert [(method, path) for method, path, *_ in server.seen][-1] == ("DELETE", "/bucket/a%01b")


def test_another_account_s_bucket_is_a_conflict_and_our_own_is_not():
    def answer(method, path, headers, body):
        if method == "PUT":
            return error(409, "BucketAlreadyExists")
        return error(403, "AccessDenied") if "theirs" in path else (200, {}, EMPTY_LIST)

    with stub(answer) as server:
        provider = server.provider()
        provider.create_container("mine")
        with pytest.raises(Conflict, match="not yours"):
            provider.create_container("theirs")
        assert server.seen[0][3] == b""
        server.provider(region="eu-west-1").create_container("mine")
        assert b"<LocationConstraint>eu-west-1</LocationConstraint>" in server.seen[-2][3]


def test_a_key_that_may_not_head_may_still_delete():
    def answer(method, path, headers, body):
        return (204, {}, b"") if method == "DELETE" else error(403, "AccessDenied")

    with stub(answer) as server:
        server.provider().remove("x")
        assert server.seen[-1][0] == "DELETE"
        with pytest.raises(PermissionDenied):
            server.provider().scan()
