"""Route to a service: the instance's own proxy and certificates, else those of the user's environment, never those of
the process that does the work."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

import pytest

from providers.contract.context import ProviderContext
from providers.errors import InvalidConfiguration, NotFound, ProviderError
from providers.testing.needs import WIRED
from tests.servers.connect_proxy import ConnectProxy

HOST = "storage.test"
ADDRESS = {"backblaze": "realm"}


def connect(harness, root, environment=None, **values):
    """A connection to a host that only a proxy can resolve."""
    address = {ADDRESS.get(harness.service, "endpoint_url"): f"https://{HOST}"}
    context = ProviderContext(environment=environment or {})
    return root.connect(context=context, **{**address, "max_retries": 0, "timeout": 5, **values})


@pytest.fixture
def asked():
    """A proxy that refuses everything: its address, and the lines it received."""
    heads: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                heads.append(client.recv(65536))
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}", heads
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


@pytest.fixture
def tls(root, tmp_path):
    root.wired.forget()
    with ConnectProxy({HOST: root.wired.port}, tmp_path) as proxy:
        yield proxy


@WIRED
def test_the_proxy_setting_is_used_with_the_password_from_the_store(harness, root, asked):
    address, heads = asked
    with pytest.raises(ProviderError):
        connect(harness, root, proxy=f"http://a%20user@{address}", proxy_password="p:ss").list_files()
    assert heads[0].startswith(f"CONNECT {HOST}:443 ".encode())
    assert b"Proxy-Authorization: Basic YSB1c2VyOnA6c3M=\r\n" in heads[0]


@WIRED
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_the_environment_of_the_user_counts_not_that_of_the_process(harness, root, asked, name, monkeypatch):
    address, heads = asked
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with pytest.raises(ProviderError):
        connect(harness, root, {name: f"http://{address}"}).list_files()
    assert heads[0].startswith(f"CONNECT {HOST}:443 ".encode())
    heads.clear()
    for environment in (
        {},
        {name: f"http://{address}", "NO_PROXY": HOST},
        {name: f"http://{address}", "no_proxy": "*"},
    ):
        with pytest.raises(ProviderError, match=f"the name {HOST} cannot be resolved"):
            connect(harness, root, environment).list_files()
    assert heads == []


@WIRED
def test_the_proxy_setting_overrides_the_environment(harness, root, asked):
    address, heads = asked
    environment = {"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "*"}
    with pytest.raises(ProviderError):
        connect(harness, root, environment, proxy=address).list_files()
    assert len(heads) == 1


@WIRED
def test_an_invalid_proxy_is_refused_by_setting_and_never_repeated(harness, root):
    for wrong in ("http://u:canary@h:1", "u:canary@h:1", "socks5://h:1", "http://", "http://h:port", "//"):
        with pytest.raises(InvalidConfiguration, match=r"^proxy: ") as caught:
            connect(harness, root, proxy=wrong).list_files()
        assert caught.value.field == "proxy"
        assert "canary" not in caught.value.message + caught.value.hint


@WIRED
@pytest.mark.parametrize("source", ["ca_bundle", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_own_certificates_are_trusted(harness, root, tls, source, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca_file))  # of the process, not requested by the user
    with pytest.raises(InvalidConfiguration, match="not trusted") as caught:
        connect(harness, root, proxy=tls.url).list_files()
    assert "ca_bundle" in caught.value.hint
    assert root.wired.requests == ()
    environment, settings = (
        ({}, {"ca_bundle": str(tls.ca_file)}) if source == "ca_bundle" else ({source: str(tls.ca_file)}, {})
    )
    provider = connect(harness, root, environment, proxy=tls.url, **settings)
    with suppress(NotFound):  # a server that takes the first host label for the bucket
        assert provider.list_files() == []
    assert root.wired.requests


@WIRED
def test_unreadable_certificates_are_named(harness, root, tls, tmp_path):
    absent = str(tmp_path / "absent")
    for source in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        with pytest.raises(InvalidConfiguration, match=rf"{source}: .*{absent}"):
            connect(harness, root, {source: absent}, proxy=tls.url).list_files()
    with pytest.raises(InvalidConfiguration, match=rf"ca_bundle: .*{absent}") as caught:
        connect(harness, root, proxy=tls.url, ca_bundle=absent).list_files()
    assert caught.value.field == "ca_bundle"
    assert root.wired.requests == ()
