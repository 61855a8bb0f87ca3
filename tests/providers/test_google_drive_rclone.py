"""rclone as a check: it accepts our server as Google Drive, reads our files, and writes files that we read."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from providers import registry
from providers.base import BaseProvider
from providers.contract.context import ProviderContext
from providers.testing.suite.objects.test_names import NAMES
from providers.testing.support import content, source
from providers.testing.transfers import download, keys, upload
from tests.servers.connect_proxy import ConnectProxy
from tests.servers.drive_oauth import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN
from tests.servers.drive_server import DriveServer
from tests.servers.process import program

HOSTS = ("www.googleapis.com", "oauth2.googleapis.com")
MIB = 1 << 20

Rclone = Callable[..., str]


@pytest.fixture
def server() -> Iterator[DriveServer]:
    with DriveServer() as server:
        server.store.folder("Backups")
        server.authority.tokens.add("rclone's-token")
        yield server


@pytest.fixture
def proxy(server: DriveServer, tmp_path: Path) -> Iterator[ConnectProxy]:
    (tmp_path / "tls").mkdir()
    with ConnectProxy(dict.fromkeys(HOSTS, server.port), tmp_path / "tls") as proxy:
        yield proxy
        assert proxy.refused == []


@pytest.fixture
def rclone(proxy: ConnectProxy, tmp_path: Path) -> Rclone:
    """Runs rclone with the remote `d:`, which can reach only our server."""
    token = {"access_token": "rclone's-token", "token_type": "Bearer", "expiry": "2099-01-01T00:00:00Z"}
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "HTTPS_PROXY": proxy.url,
        "RCLONE_CONFIG": "",
        "RCLONE_CONFIG_D_TYPE": "drive",
        "RCLONE_CONFIG_D_SCOPE": "drive",
        "RCLONE_CONFIG_D_CLIENT_ID": CLIENT_ID,
        "RCLONE_CONFIG_D_TOKEN": json.dumps(token),
        "RCLONE_DRIVE_PACER_MIN_SLEEP": "1ms",
    }
    fixed = ["--ca-cert", str(proxy.ca_file), "--retries", "1", "--low-level-retries", "1", "--contimeout", "5s"]

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(
            [program("rclone"), *fixed, *map(str, arguments)],
            env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


SETTINGS: dict[str, Any] = {
    "container": "Backups",
    "client_id": CLIENT_ID,
    "client_secret": CLIENT_SECRET,
    "refresh_token": REFRESH_TOKEN,
    "upload_chunk_size": MIB,
}


@pytest.fixture
def provider(server: DriveServer) -> Iterator[BaseProvider]:
    found = registry.load("google_drive")({**SETTINGS, "endpoint_url": server.url}, context=ProviderContext())
    yield found
    found.close()


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def planted(folder: Path) -> dict[str, bytes]:
    files = {"one.bin": content(100_000), "a/two.txt": b"two", "a/b/three": b"", "a/ba ck\\slash's ": b"odd"}
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        source((folder / name).parent, data, (folder / name).name)
    return files


def test_we_read_files_written_by_rclone(rclone, provider, tmp_path):
    files = planted(tmp_path / "up")
    rclone("copy", tmp_path / "up", "d:Backups")
    rclone("check", tmp_path / "up", "d:Backups", "--one-way")
    assert keys(provider) == set(files)
    for name, data in files.items():
        download(provider, name, tmp_path / "target")
        assert (tmp_path / "target").read_bytes() == data
        assert provider.stat(name).mtime_ns == 1_700_000_000_123_000_000


def test_rclone_reads_files_written_by_us(rclone, provider, tmp_path):
    files = planted(tmp_path / "up")
    for name in files:
        upload(provider, tmp_path / "up" / name, name)
    rclone("check", tmp_path / "up", "d:Backups")
    rclone("copy", "d:Backups", tmp_path / "down")
    assert tree(tmp_path / "down") == files
    listed = json.loads(rclone("lsjson", "-R", "--files-only", "--hash", "d:Backups"))
    assert {item["Path"]: item["Size"] for item in listed} == {name: len(data) for name, data in files.items()}
    assert {item["Path"]: (item["Hashes"]["md5"], item["Hashes"]["sha256"]) for item in listed} == {
        file.key: (file.checksums["md5"], file.checksums["sha256"]) for file in provider.walk()
    }


def test_neither_program_sends_the_other_s_files_again(server, rclone, provider, tmp_path):
    """Both use size and modification time to detect changes."""
    planted(tmp_path / "up")
    for name in planted(tmp_path / "up"):
        upload(provider, tmp_path / "up" / name, name)
    before = {path: item.facts["headRevisionId"] for path, item in server.store.walk(server.store.folder("Backups"))}
    rclone("sync", tmp_path / "up", "d:Backups")
    after = {path: item.facts["headRevisionId"] for path, item in server.store.walk(server.store.folder("Backups"))}
    assert after == before


def test_large_files_both_ways(server, rclone, provider, tmp_path):
    data = content(13 * MIB + 5)
    path = source(tmp_path, data)
    upload(provider, path, "ours.bin")
    rclone("copyto", path, "d:Backups/theirs.bin", "--drive-chunk-size", "1Mi", "--drive-upload-cutoff", "2Mi")
    ours, theirs = provider.stat("ours.bin"), provider.stat("theirs.bin")
    assert ours.checksums == theirs.checksums
    assert ours.mtime_ns is not None
    assert theirs.mtime_ns == ours.mtime_ns // 1_000_000 * 1_000_000
    rclone("copyto", "d:Backups/ours.bin", tmp_path / "ours")
    download(provider, "theirs.bin", tmp_path / "theirs")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes() == data


def test_a_file_overwritten_by_rclone_does_not_count_as_ours(rclone, provider, tmp_path):
    """Our SHA-256 stays in the metadata when another program changes the content, but is no longer used."""
    upload(provider, source(tmp_path, b"ours"), "x")
    other = tmp_path / "other"
    other.write_bytes(b"theirs, and longer")
    rclone("copyto", other, "d:Backups/x")
    found = provider.stat("x")
    assert found.recorded_sha256 == ""
    download(provider, "x", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"theirs, and longer"


@pytest.mark.few(4)
@pytest.mark.parametrize("name", sorted(set(NAMES) - {"long segment"}))
def test_both_use_the_same_names(rclone, provider, tmp_path, name):
    key = NAMES[name]
    if not key or "\0" in key or key.startswith("/") or ".." in key.split("/") or "." in key.split("/") or "//" in key:
        assert key not in keys(provider)
        return
    if len(key) > provider.capabilities.max_key_bytes:
        return
    upload(provider, source(tmp_path, b"data"), key)
    rclone("copy", "d:Backups", tmp_path / "down")
    assert tree(tmp_path / "down") == {key: b"data"}
    provider.delete(key)
    rclone("copy", tmp_path / "down", "d:Backups")
    assert keys(provider) == {key}


def test_move_copy_and_delete(rclone, provider, tmp_path):
    planted(tmp_path / "up")
    rclone("copy", tmp_path / "up", "d:Backups")
    rclone("moveto", "d:Backups/one.bin", "d:Backups/moved/two.bin")
    rclone("copyto", "d:Backups/a/two.txt", "d:Backups/copied.txt")
    rclone("deletefile", "d:Backups/a/two.txt")
    rclone("mkdir", "d:Backups/empty")
    rclone("rmdir", "d:Backups/empty")
    rclone("purge", "d:Backups/a/b")
    assert keys(provider) == {"moved/two.bin", "copied.txt", "a/ba ck\\slash's "}
    provider.delete("copied.txt")
    listed = set(rclone("lsf", "-R", "--files-only", "d:Backups").splitlines())
    assert listed == {"moved/two.bin", "a/ba ck\\slash's "}


def test_a_listing_of_many_pages(server, rclone, provider):
    folder = server.store.folder("Backups/many")
    names = {f"{number:04}" for number in range(1_203)}
    for name in names:
        server.store.create({"name": name, "parents": [folder]}, b"x")
    assert set(rclone("lsf", "d:Backups/many").splitlines()) == names
    assert {file.key.rpartition("/")[2] for file in provider.walk("many/")} == names


def test_rclone_about(server, rclone):
    server.store.create({"name": "x", "parents": [server.store.folder("Backups")]}, b"12345")
    assert json.loads(rclone("about", "--json", "d:"))["used"] == 5


def test_the_real_addresses_of_google(proxy, tmp_path, monkeypatch):
    """Without an endpoint setting: the real host names, over TLS and the proxy from the environment."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("SSL_CERT_FILE", str(proxy.ca_file))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    provider = registry.load("google_drive")(SETTINGS, context=ProviderContext())
    data = content(3 * MIB + 5)
    try:
        assert provider.probe().failure is None
        upload(provider, source(tmp_path, data), "in parts/large", connections=1)
        upload(provider, source(tmp_path, b"small"), "small")
        assert keys(provider) == {"in parts/large", "small"}
        download(provider, "in parts/large", tmp_path / "target")
    finally:
        provider.close()
    assert (tmp_path / "target").read_bytes() == data


def test_modes_both_ways(rclone, provider, tmp_path):
    """`rclone -M` keeps mode and owner in Drive's properties."""
    (tmp_path / "up").mkdir()
    path = source(tmp_path / "up", b"a key", "ours")
    path.chmod(0o640)
    upload(provider, path, "ours")
    rclone("copyto", "-M", "d:Backups/ours", tmp_path / "ours")
    assert (tmp_path / "ours").stat().st_mode & 0o777 == 0o640
    rclone("copyto", "-M", path, "d:Backups/theirs")
    download(provider, "theirs", tmp_path / "theirs")
    assert (tmp_path / "theirs").stat().st_mode & 0o777 == 0o640
