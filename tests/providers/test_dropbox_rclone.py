"""rclone as a check: it accepts our server as Dropbox, reads our files, and writes files that we read."""

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
from tests.servers.dropbox_server import APP_KEY, REFRESH_TOKEN, DropboxServer
from tests.servers.process import program

HOSTS = ("api.dropboxapi.com", "content.dropboxapi.com", "notify.dropboxapi.com")
MIB = 1 << 20

Rclone = Callable[..., str]


@pytest.fixture
def server() -> Iterator[DropboxServer]:
    with DropboxServer() as server:
        server.store.make_folder("/Backups", False)
        yield server


@pytest.fixture
def rclone(server: DropboxServer, tmp_path: Path) -> Iterator[Rclone]:
    """Runs rclone with the remote `d:`, which can reach only our server."""
    token = {"access_token": server.access_token(), "token_type": "bearer", "expiry": "2099-01-01T00:00:00Z"}
    (tmp_path / "tls").mkdir()
    with ConnectProxy(dict.fromkeys(HOSTS, server.port), tmp_path / "tls") as proxy:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "HTTPS_PROXY": proxy.url,
            "RCLONE_CONFIG": "",
            "RCLONE_CONFIG_D_TYPE": "dropbox",
            "RCLONE_CONFIG_D_CLIENT_ID": APP_KEY,
            "RCLONE_CONFIG_D_TOKEN": json.dumps(token),
        }
        fixed = ["--ca-cert", str(proxy.ca_file), "--retries", "1", "--low-level-retries", "1", "--contimeout", "5s"]

        def run(*arguments: str | Path) -> str:
            done = subprocess.run(
                [program("rclone"), *fixed, *map(str, arguments)],
                env=environment, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr[-3000:]
            return done.stdout

        yield run
        assert proxy.refused == []


@pytest.fixture
def provider(server: DropboxServer) -> Iterator[BaseProvider]:
    values: dict[str, Any] = {"endpoint_url": server.url, "container": "Backups", "app_key": APP_KEY}
    found = registry.load("dropbox")({**values, "refresh_token": REFRESH_TOKEN}, context=ProviderContext())
    yield found
    found.close()


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def planted(folder: Path) -> dict[str, bytes]:
    files = {"one.bin": content(100_000), "a/two.txt": b"two", "a/b/three": b"", "a/ba ck\\slash ": b"odd"}
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        source((folder / name).parent, data, (folder / name).name)
    return files


@pytest.mark.parametrize("batch", ["off", "sync"])
def test_we_read_files_written_by_rclone(server, rclone, provider, tmp_path, batch):
    """Copy and check, with single commits and with rclone's default batches."""
    files = planted(tmp_path / "up")
    rclone("copy", tmp_path / "up", "d:Backups", "--dropbox-batch-mode", batch)
    rclone("check", tmp_path / "up", "d:Backups", "--one-way")
    assert keys(provider) == set(files)
    for name, data in files.items():
        download(provider, name, tmp_path / "target")
        assert (tmp_path / "target").read_bytes() == data
        assert provider.stat(name).mtime_ns == 1_700_000_000_000_000_000


def test_rclone_reads_files_written_by_us(rclone, provider, tmp_path):
    files = planted(tmp_path / "up")
    for name in files:
        upload(provider, tmp_path / "up" / name, name)
    rclone("check", tmp_path / "up", "d:Backups")
    rclone("copy", "d:Backups", tmp_path / "down")
    assert tree(tmp_path / "down") == files
    listed = json.loads(rclone("lsjson", "-R", "--files-only", "--hash", "d:Backups"))
    assert {item["Path"]: item["Size"] for item in listed} == {name: len(data) for name, data in files.items()}
    assert {item["Path"]: item["Hashes"]["dropbox"] for item in listed} == {
        file.key: file.checksums["dropbox_hash"] for file in provider.walk()
    }


def test_large_files_both_ways(server, rclone, provider, tmp_path):
    data = content(13 * MIB + 5)
    path = source(tmp_path, data)
    upload(provider, path, "ours.bin")
    rclone("copyto", path, "d:Backups/theirs.bin", "--dropbox-chunk-size", "5Mi", "--dropbox-batch-mode", "off")
    assert server.files() == {"/Backups/ours.bin": data, "/Backups/theirs.bin": data}
    ours, theirs = provider.stat("ours.bin"), provider.stat("theirs.bin")
    assert (ours.checksums, ours.mtime_ns) == (theirs.checksums, theirs.mtime_ns)
    rclone("copyto", "d:Backups/ours.bin", tmp_path / "ours")
    download(provider, "theirs.bin", tmp_path / "theirs")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes() == data


@pytest.mark.few(2)
@pytest.mark.parametrize("nanoseconds", [0, 499_999_999, 500_000_000, 999_999_999])
def test_both_store_the_same_mtime(rclone, provider, tmp_path, nanoseconds):
    """Otherwise each would send the other's files again."""
    path = source(tmp_path, b"x")
    os.utime(path, ns=(1_700_000_001_000_000_000 + nanoseconds,) * 2)
    upload(provider, path, "ours")
    rclone("copyto", path, "d:Backups/theirs")
    assert provider.stat("ours").mtime_ns == provider.stat("theirs").mtime_ns


STAND_INS = {"stand-ins": "AC／DC ␀/．/．．/a␠b/c＼d␡/e␠"}


@pytest.mark.few(4)
@pytest.mark.parametrize("name", sorted(set(NAMES | STAND_INS) - {"nfd", "long segment"}))
def test_both_use_the_same_names(server, rclone, provider, tmp_path, name):
    key = (NAMES | STAND_INS)[name]
    if not key or "\0" in key or key.startswith("/") or ".." in key.split("/") or "." in key.split("/") or "//" in key:
        assert key not in keys(provider)
        return
    if len(key) > 4096:
        assert provider.capabilities.max_key_bytes < len(key)
        return
    upload(provider, source(tmp_path, b"data"), key)
    rclone("copy", "d:Backups", tmp_path / "down")
    assert tree(tmp_path / "down") == {key: b"data"}
    provider.delete(key)
    rclone("copy", tmp_path / "down", "d:Backups")
    assert keys(provider) == {key}


def test_move_copy_and_delete(server, rclone, provider, tmp_path):
    planted(tmp_path / "up")
    rclone("copy", tmp_path / "up", "d:Backups")
    rclone("moveto", "d:Backups/one.bin", "d:Backups/moved/two.bin")
    rclone("copyto", "d:Backups/a/two.txt", "d:Backups/copied.txt")
    rclone("deletefile", "d:Backups/a/two.txt")
    rclone("mkdir", "d:Backups/empty")
    rclone("rmdir", "d:Backups/empty")
    rclone("purge", "d:Backups/a/b")
    assert keys(provider) == {"moved/two.bin", "copied.txt", "a/ba ck\\slash "}
    provider.delete("copied.txt")
    assert set(rclone("lsf", "-R", "--files-only", "d:Backups").splitlines()) == {"moved/two.bin", "a/ba ck\\slash "}


def test_a_listing_of_many_pages(server, rclone, provider):
    many = {f"/Backups/many/{number:04}": b"x" for number in range(1_203)}
    for path, data in many.items():
        server.put(path, data)
    names = {path.rpartition("/")[2] for path in many}
    assert set(rclone("lsf", "d:Backups/many").splitlines()) == names
    assert {file.key.rpartition("/")[2] for file in provider.walk("many/")} == names


def test_rclone_about(server, rclone):
    server.put("/Backups/x", b"12345")
    assert json.loads(rclone("about", "--json", "d:"))["used"] == 5
