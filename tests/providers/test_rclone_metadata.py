"""Modes and owners checked with rclone: with `-M` it reads ours, and we read what it wrote."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from providers import registry
from providers.base import BaseProvider
from providers.contract.attributes import Attributes
from providers.contract.context import ProviderContext
from providers.testing.support import content, source
from providers.testing.transfers import download, upload
from tests.servers.process import program
from tests.servers.s3_server import ACCESS_KEY, REGION, SECRET_KEY, S3Server

MIB = 1 << 20
Rclone = Callable[..., str]


@pytest.fixture
def bucket(moto_s3: S3Server) -> str:
    return moto_s3.new_bucket()


@pytest.fixture
def rclone(moto_s3: S3Server, tmp_path: Path) -> Rclone:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "RCLONE_CONFIG": "",
        "RCLONE_CONFIG_S_TYPE": "s3",
        "RCLONE_CONFIG_S_PROVIDER": "Other",
        "RCLONE_CONFIG_S_ENDPOINT": moto_s3.url,
        "RCLONE_CONFIG_S_ACCESS_KEY_ID": ACCESS_KEY,
        "RCLONE_CONFIG_S_SECRET_ACCESS_KEY": SECRET_KEY,
        "RCLONE_CONFIG_S_REGION": REGION,
    }

    def run(*arguments: str | Path) -> str:
        command = [program("rclone"), "--retries", "1", "-M", *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


@pytest.fixture
def s3(moto_s3: S3Server, bucket: str) -> Iterator[BaseProvider]:
    values = {
        "endpoint_url": moto_s3.url,
        "container": bucket,
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "region": REGION,
        "upload_chunk_size": 5 * MIB,
    }
    provider = registry.load("aws_s3")(values, context=ProviderContext())
    yield provider
    provider.close()


def local(folder: Path) -> BaseProvider:
    return registry.load("local")({"container": str(folder)}, context=ProviderContext())


def files(folder: Path) -> dict[str, int]:
    """Files with distinct modes, one of them large."""
    modes = {"key": 0o600, "group": 0o640, "program": 0o755, "large": 0o604}
    for name, mode in modes.items():
        source(folder, content(9 * MIB if name == "large" else 100), name).chmod(mode)
    return modes


def modes_in(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_s3_rclone_reads_our_modes(rclone, s3, bucket, tmp_path):
    (tmp_path / "up").mkdir()
    modes = files(tmp_path / "up")
    for name in modes:
        upload(s3, tmp_path / "up" / name, name)
    rclone("copy", f"s:{bucket}", tmp_path / "down")
    assert modes_in(tmp_path / "down") == modes
    assert (tmp_path / "down" / "large").read_bytes() == (tmp_path / "up" / "large").read_bytes()


def test_s3_modes_written_by_rclone_are_read(rclone, s3, bucket, tmp_path):
    (tmp_path / "up").mkdir()
    modes = files(tmp_path / "up")
    rclone("copy", tmp_path / "up", f"s:{bucket}")
    for name, mode in modes.items():
        assert s3.stat(name).attributes == Attributes(mode=stat.S_IFREG | mode, uid=os.getuid(), gid=os.getgid())
        download(s3, name, tmp_path / "target")
        assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == mode


def test_local_modes_are_exchanged_with_rclone(rclone, tmp_path):
    for folder in ("up", "ours", "theirs", "back"):
        (tmp_path / folder).mkdir()
    modes = files(tmp_path / "up")
    for name in modes:
        upload(local(tmp_path / "ours"), tmp_path / "up" / name, name)
    rclone("copy", tmp_path / "ours", tmp_path / "down")
    assert modes_in(tmp_path / "down") == modes
    rclone("copy", tmp_path / "up", tmp_path / "theirs")
    for name in modes:
        download(local(tmp_path / "theirs"), name, tmp_path / "back" / name)
    assert modes_in(tmp_path / "back") == modes
