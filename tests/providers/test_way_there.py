"""TLS and proxies on the way to a service: which servers are trusted, which proxies are used."""

from __future__ import annotations

import contextlib
import secrets
import select
import socket
import ssl
import threading
import warnings
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from providers import registry
from providers.contract.context import ProviderContext
from providers.errors import InvalidConfiguration, ProviderError, Transient
from providers.http.network import Network, is_loopback
from providers.http.settings import NetworkSettings
from tests.servers.raw_http import RawAnswer, RawServer, reply

NAME = "storage.test"
LISTING = reply(b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
SERVICES = {"aws_s3": "endpoint_url", "backblaze": "realm", "dropbox": "endpoint_url", "google_drive": "endpoint_url"}
CREDENTIALS = {
    "aws_s3": {"access_key": "K", "secret_key": "S", "region": "us-east-1"},
    "backblaze": {"application_key_id": "K", "application_key": "S"},
    "dropbox": {"app_key": "K", "refresh_token": "S"},
    "google_drive": {"client_id": "K", "client_secret": "S", "refresh_token": "S"},
}


@pytest.fixture
def connect():
    made = []

    def connected(service, url, environment=None, **values):
        config = {"container": "bucket", "timeout": 5, "max_retries": 0, SERVICES[service]: url, **CREDENTIALS[service]}
        context = ProviderContext(environment=environment or {})
        made.append(registry.load(service)({**config, **values}, context=context))
        return made[-1]

    yield connected
    for provider in made:
        provider.close()


class Authority:
    """A certificate with its key, and what it can sign; self-signed without an issuer."""

    def __init__(self, folder, common_name, issuer=None, *, names=(), ca=False, valid_from=-1, valid_to=1):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
        by = issuer or self
        now, day = datetime.now(UTC), timedelta(days=1)
        builder = x509.CertificateBuilder().subject_name(self.name).issuer_name(by.name)
        builder = builder.public_key(self.key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now + valid_from * day).not_valid_after(now + valid_to * day)
        if ca:
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        if names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        self.pem = builder.sign(by.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        self.path = folder / f"{secrets.token_hex(4)}.pem"
        self.path.write_bytes(self.pem)

    def serving(self):
        """A server's TLS context."""
        private = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.path.write_bytes(private + self.pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path)
        return context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Server contexts by certificate defect, and a file to trust them by."""
    folder = tmp_path_factory.mktemp("tls")
    ours, anothers = (Authority(folder, "127.0.0.1", names=names) for names in ((NAME, "localhost"), ("another.test",)))
    root = Authority(folder, "root", ca=True)
    intermediate = Authority(folder, "intermediate", root, ca=True)
    of_both = {"names": (NAME, "localhost")}
    expired = Authority(folder, NAME, root, valid_from=-3, valid_to=-2, **of_both)
    early = Authority(folder, NAME, root, valid_from=1, valid_to=2, **of_both)
    below = Authority(folder, NAME, intermediate, **of_both)
    old = ours.serving()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    return {
        "ours": (ours.serving(), str(ours.path)),
        "another's": (anothers.serving(), str(anothers.path)),
        "self-signed": (ours.serving(), str(root.path)),
        "expired": (expired.serving(), str(root.path)),
        "too early": (early.serving(), str(root.path)),
        "without its intermediate": (below.serving(), str(root.path)),
        "TLS 1.1": (old, str(ours.path)),
    }


REFUSED = {
    "another's": ("not valid for '{host}'", "to a name in the certificate"),
    "self-signed": ("not trusted: self-signed certificate", "ca_bundle"),
    "expired": ("not trusted: certificate has expired", "needs a new certificate"),
    "too early": ("not trusted: certificate is not yet valid", "clock"),
    "without its intermediate": ("not trusted: unable to get local issuer", "intermediate certificate"),
    "TLS 1.1": ("insecure version of TLS", "TLS 1.2"),
}


@pytest.mark.parametrize("way", ["straight", "through a proxy"])
@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("what", REFUSED)
def test_an_untrusted_server_is_refused_by_name(connect, certificates, service, what, way):
    """In a tunnel, the service is named and not the proxy. Nothing is sent to either."""
    tls, path = certificates[what]
    with (
        RawServer(lambda asked: LISTING, tls=tls) as server,
        Relay(b"HTTP/1.1 200 OK\r\n\r\n", server.port) as proxy,
    ):
        host = "localhost" if way == "straight" else NAME
        values = {} if way == "straight" else {"proxy": proxy.url}
        provider = connect(service, f"https://{host}:{server.port}", ca_bundle=path, **values)
        with pytest.raises(InvalidConfiguration) as caught:
            provider.list_files()
        assert len(proxy.heads) == len(values)
        assert server.seen == []
    words, cure = REFUSED[what]
    error = caught.value
    assert words.format(host=host) in error.message
    assert cure in error.hint
    assert f"{host}:{server.port}" in error.message
    assert error.field == SERVICES[service]


def test_a_server_that_selects_an_old_version_is_refused(connect):
    """Other servers refuse our versions."""
    hello = b"\x03\x02" + bytes(32) + b"\x00" + b"\xc0\x13" + b"\x00"
    handshake = b"\x02" + len(hello).to_bytes(3, "big") + hello
    answer = b"\x16\x03\x02" + len(handshake).to_bytes(2, "big") + handshake
    with (
        RawServer(lambda asked: LISTING, on_connect=answer) as server,
        pytest.raises(InvalidConfiguration, match="insecure version of TLS"),
    ):
        connect("aws_s3", f"https://127.0.0.1:{server.port}").list_files()


# Host names


@pytest.mark.parametrize("service", SERVICES)
def test_a_certificate_for_another_name_is_not_accepted(connect, certificates, service):
    """Even a trusted one whose common name (no longer used) would match."""
    tls, path = certificates["another's"]
    with RawServer(lambda asked: LISTING, tls=tls) as server:
        provider = connect(service, f"https://127.0.0.1:{server.port}", ca_bundle=path)
        with pytest.raises(InvalidConfiguration, match="IP address mismatch") as caught:
            provider.list_files()
        assert "not trusted" in caught.value.message
        assert server.seen == [], "nothing was sent"


def test_a_certificate_for_the_right_name_is_accepted(connect, certificates):
    tls, path = certificates["ours"]
    with RawServer(lambda asked: LISTING, tls=tls) as server:
        assert connect("aws_s3", f"https://localhost:{server.port}", ca_bundle=path).list_files() == []


# Through a proxy


class Relay:
    """A proxy that answers CONNECT with exactly `head`, and then relays everything to `port`."""

    def __init__(self, head, port):
        self.heads = []
        self._head, self._port = head, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(client,), daemon=True))
            self._threads[-1].start()

    def _serve(self, client):
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            self.heads.append(client.recv(65536))
            client.sendall(self._head)
            ends = {client: server, server: client}
            with contextlib.suppress(OSError):
                while ready := select.select(list(ends), [], [], 10)[0]:
                    data = ready[0].recv(65536)
                    if not data:
                        return
                    ends[ready[0]].sendall(data)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nX-Proxy: yes\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
)
def test_a_tunnel_begins_right_after_the_proxy_s_answer(connect, certificates, head):
    tls, path = certificates["ours"]
    with RawServer(lambda asked: LISTING, tls=tls) as server, Relay(head, server.port) as proxy:
        provider = connect("aws_s3", f"https://{NAME}:9443", proxy=proxy.url, ca_bundle=path)
        assert provider.list_files() == []
        provider.close()
        assert proxy.heads[0].startswith(f"CONNECT {NAME}:9443 HTTP/1.1\r\nHost: {NAME}:9443\r\n".encode())


REFUSALS = [
    b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://portal.test/\r\n\r\n",
    b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 503 Busy\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"",
]


@pytest.mark.parametrize(
    ("service", "answer"),
    [*((service, REFUSALS[0]) for service in SERVICES), *(("aws_s3", answer) for answer in REFUSALS[1:])],
)
def test_a_refusing_proxy_gets_nothing_more(connect, service, answer):
    """Neither TLS nor a request goes to it, and the message names the proxy."""
    with RawServer(lambda asked: RawAnswer(answer, close=True)) as proxy:
        with pytest.raises(Transient) as caught:
            connect(service, f"https://{NAME}", proxy=proxy.url).list_files()
        assert f"127.0.0.1:{proxy.port}" in caught.value.message
        assert [(asked.method, asked.path) for asked in proxy.seen] == [("CONNECT", f"{NAME}:443")]
    if answer.startswith(b"HTTP/1.1 40"):
        assert answer.split()[1].decode() in caught.value.message


WANTS_PASSWORD = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("url", [f"https://{NAME}", f"http://{NAME}"])
@pytest.mark.parametrize("by", ["setting", "environment"])
def test_a_proxy_that_requires_a_password_is_asked_once(connect, url, by):
    """Waiting provides no password: the user has to."""
    with RawServer(lambda asked: RawAnswer(WANTS_PASSWORD)) as proxy:
        environment = {"http_proxy": proxy.url, "https_proxy": proxy.url}
        how = {"proxy": proxy.url} if by == "setting" else {"environment": environment}
        with pytest.raises(InvalidConfiguration) as caught:
            connect("aws_s3", url, max_retries=3, **how).list_files()
        assert len(proxy.seen) == 1
        assert f"the proxy 127.0.0.1:{proxy.port} answers 407" in caught.value.message
    expected = ("proxy", True) if by == "setting" else ("", False)
    assert (caught.value.field, "proxy_password" in caught.value.hint) == expected


# Addresses of this machine


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "localhost.", "app.localhost", "127.0.0.1", "127.0.0.2", "127.255.255.254", "127.1",
     "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::1%lo", "0.0.0.0", "::", "ip6-localhost", "localhost.localdomain"],
)  # fmt: skip
def test_all_names_of_this_machine_are_recognised(host):
    assert is_loopback(host)
    environment = {"http_proxy": "http://proxy.test:3128", "HTTPS_PROXY": "http://proxy.test:3128"}
    network = Network(NetworkSettings(), environment)
    authority = f"[{host}]:9000" if ":" in host else f"{host}:9000"
    assert network.proxy_for("http", authority) is None
    assert network.proxy_for("https", authority) is None


@pytest.mark.parametrize(
    "host",
    ["storage.test", "localhost.storage.test", "notlocalhost", "128.0.0.1", "10.0.0.1", "192.168.1.1", "::2", "fe80::1",
     "127.0.0.1.storage.test", "::ffff:10.0.0.1", "", "1.127.0.0"],
)  # fmt: skip
def test_other_machines_are_reached_through_the_proxy(host):
    assert not is_loopback(host)
    network = Network(NetworkSettings(), {"HTTP_PROXY": "http://proxy.test:3128"})
    authority = f"[{host}]:9000" if ":" in host else f"{host}:9000"
    assert network.proxy_for("http", authority) is not None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_server_on_this_machine_bypasses_the_environment_s_proxy(connect, host):
    with RawServer(lambda asked: LISTING) as server, RawServer(lambda asked: LISTING) as proxy:
        environment = {"http_proxy": proxy.url, "HTTP_PROXY": proxy.url, "no_proxy": ""}
        assert connect("aws_s3", f"http://{host}:{server.port}", environment).list_files() == []
        assert (len(server.seen), proxy.seen) == (1, [])
        assert connect("aws_s3", "http://storage.test:1", environment).list_files() == []
        assert len(proxy.seen) == 1


def test_the_proxy_setting_applies_even_to_this_machine(connect):
    """The user who sets a proxy for this instance wants it used."""
    with RawServer(lambda asked: LISTING) as proxy:
        assert connect("aws_s3", "http://localhost:1", proxy=proxy.url).list_files() == []
        assert proxy.seen[0].path.startswith("http://localhost:1/bucket")


@pytest.mark.parametrize("service", ["backblaze", "dropbox", "google_drive"])
@pytest.mark.parametrize("host", ["127.0.0.2", "[::1]", "localhost", "app.localhost"])
def test_plain_http_is_allowed_only_for_this_machine(service, host):
    config = {"container": "c", **CREDENTIALS[service]}
    assert registry.load(service)({**config, SERVICES[service]: f"http://{host}:9000"})
    with pytest.raises(ProviderError):
        registry.load(service)({**config, SERVICES[service]: "http://192.168.1.1:9000"})
