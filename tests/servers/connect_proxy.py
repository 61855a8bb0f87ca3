"""An HTTPS proxy (CONNECT) that terminates TLS, so that a client with fixed host names talks to our test servers.

    with ConnectProxy({"api.example.com": server.port}, tmp_path) as proxy:
        run(environment={"HTTPS_PROXY": proxy.url}, arguments=["--ca-cert", str(proxy.ca_file)])

At the start, an authority whose key never leaves this process issues a certificate for these hosts. Any other host is
refused, so that no test reaches the network.
"""

from __future__ import annotations

import contextlib
import datetime
import select
import socket
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST: Final = "127.0.0.1"
_BLOCK: Final = 64 * 1024
_HEAD_LIMIT: Final = 64 * 1024
_DAY: Final = datetime.timedelta(days=1)


class ConnectProxy:
    """Listens on a free loopback port; `hosts` maps a host name to the loopback port of a plain HTTP server."""

    def __init__(self, hosts: Mapping[str, int], folder: Path, *, timeout_s: float = 30.0) -> None:
        self._hosts = dict(hosts)
        self._timeout_s = timeout_s
        self.ca_file = folder / "test-ca.pem"
        """The authority's certificate, for `--ca-cert`, SSL_CERT_FILE or `cafile`."""
        self._tls = _server_context(sorted(hosts), folder, self.ca_file)
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://{HOST}:{self.port}"
        self.refused: list[str] = []
        """Requested hosts that are not in the table."""

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every connection and wait for the threads."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            sockets, threads = list(self._sockets), list(self._threads)
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive(), "a thread of the proxy did not end"

    def _spawn(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name="connect-proxy", daemon=True)  # type: ignore[arg-type]
        with self._lock:
            self._threads = [*(old for old in self._threads if old.is_alive()), thread]
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.settimeout(self._timeout_s)
            self._remember(client)
            self._spawn(self._serve, client)

    def _remember(self, sock: socket.socket) -> None:
        with self._lock:
            self._sockets.add(sock)

    def _forget(self, sock: socket.socket) -> None:
        with self._lock:
            self._sockets.discard(sock)
        sock.close()

    def _serve(self, client: socket.socket) -> None:
        """Serve one tunnel: CONNECT, the handshake, then bytes in both directions until either side ends."""
        inner: ssl.SSLSocket | None = None
        server: socket.socket | None = None
        try:
            host = _asked_host(client)
            port = self._hosts.get(host)
            if port is None:
                with self._lock:
                    self.refused.append(host)
                client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            inner = self._tls.wrap_socket(client, server_side=True)
            self._remember(inner)
            server = socket.create_connection((HOST, port), self._timeout_s)
            self._remember(server)
            _relay(inner, server, self._timeout_s)
        except (OSError, ValueError):
            return  # the client does not trust the certificate, or left early
        finally:
            for sock in (inner, server, client):
                if sock is not None:
                    self._forget(sock)


def _asked_host(client: socket.socket) -> str:
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(_BLOCK)
        if not data or len(head) > _HEAD_LIMIT:
            raise ValueError("no request")
        head += data
    method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
    if method != "CONNECT":
        raise ValueError(f"{method} is not CONNECT")
    return target.rpartition(":")[0].lower()


def _relay(inner: ssl.SSLSocket, server: socket.socket, timeout_s: float) -> None:
    """Bytes in both directions until either side ends. Single-threaded: an SSL object is not thread-safe."""
    inner.setblocking(False)
    while True:
        ready = [inner] if inner.pending() else select.select([inner, server], [], [], timeout_s)[0]
        if not ready:
            return
        if inner in ready:
            try:
                data = inner.recv(_BLOCK)
            except ssl.SSLWantReadError:
                continue
            if not data:
                return
            server.sendall(data)
        else:
            data = server.recv(_BLOCK)
            if not data:
                return
            _send_tls(inner, data, timeout_s)


def _send_tls(inner: ssl.SSLSocket, data: bytes, timeout_s: float) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[inner.send(view) :]
        except ssl.SSLWantWriteError:
            if not select.select([], [inner], [], timeout_s)[1]:
                raise TimeoutError("the client takes nothing") from None


def _server_context(hosts: list[str], folder: Path, ca_file: Path) -> ssl.SSLContext:
    authority = ec.generate_private_key(ec.SECP256R1())
    issuer = _name("test authority")
    root = _certificate(issuer, issuer, authority, authority, x509.BasicConstraints(ca=True, path_length=0), [])
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = _certificate(
        _name(hosts[0]), issuer, key, authority, x509.BasicConstraints(ca=False, path_length=None), hosts
    )
    ca_file.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    chain = folder / "test-server.pem"
    chain.touch(mode=0o600)
    chain.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + leaf.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(chain)
    chain.unlink()
    return context


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    constraints: x509.BasicConstraints,
    hosts: list[str],
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(constraints, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(authority_key, critical=False)
    )
    if hosts:
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    else:
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
            decipher_only=False,
        )  # fmt: skip
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(signer, hashes.SHA256())
