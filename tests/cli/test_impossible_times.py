"""File times that 64 bits of nanoseconds cannot hold cost only the time, never the file or the files beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.cli.diagnostics import ExitCode
from backup.queue.client import Queue
from backup.system.paths import Paths
from providers.testing.fault_proxy import FaultProxy
from tests.cli.conftest import Cli, s3_instance, write_config
from tests.processes import stop_worker
from tests.servers import hostile
from tests.servers.s3_server import S3Server

BEYOND_S = 16_000_000_000
"""The year 2477, which XFS, Btrfs, ZFS and tmpfs can hold."""
DATA = bytes(70_000)


@pytest.fixture(autouse=True)
def _worker_stopped(paths: Paths) -> Iterator[None]:
    yield
    if paths.journal_file.exists():
        assert stop_worker(paths)


def dated(path: Path, seconds: int) -> Path:
    path.write_bytes(DATA)
    os.utime(path, (seconds, seconds))
    return path


@pytest.mark.parametrize("seconds", [BEYOND_S, -BEYOND_S, 2**40])
def test_a_file_from_the_far_future_or_past_is_stored_and_restored_with_its_neighbours(
    cli: Cli, paths: Paths, tmp_path: Path, seconds: int
):
    write_config(paths, local={"type": "local", "enabled": True, "upload_chunk_size": 65536})
    (tmp_path / "d").mkdir()
    dated(tmp_path / "d" / "odd", seconds)
    dated(tmp_path / "d" / "usual", 1_700_000_000)
    sent = cli("upload", str(tmp_path / "d"))
    assert (sent.code, "uploaded 2 items" in sent.out) == (0, True), sent.err
    assert cli("download", "d/", "--to", f"{tmp_path}/to/").code == 0
    assert (tmp_path / "to/d/odd").read_bytes() == DATA
    assert (paths.local_storage / "d/odd").stat().st_mtime != 0, "not a date that it never had"
    assert (tmp_path / "to/d/usual").stat().st_mtime == 1_700_000_000


def test_an_object_dated_beyond_64_bits_is_restored(
    cli: Cli, paths: Paths, moto_s3: S3Server, moto_proxy: FaultProxy, aws_credentials: None, tmp_path: Path
):
    bucket = moto_s3.new_bucket()
    moto_s3.admin.put_object(Bucket=bucket, Key="x", Body=DATA)
    rule = moto_proxy.fault(
        hostile.odd(hostile.having("Last-Modified", "Fri, 31 Dec 9999 00:00:00 GMT")), hostile.heads, times=None
    )
    write_config(paths, s3=s3_instance(moto_s3, bucket, port=moto_proxy.port, timeout=10))
    result = cli("download", "x", "--provider", "s3", "--to", str(tmp_path / "x"))
    assert (result.code, "downloaded 1 item" in result.out, bool(rule.hits)) == (0, True, True), result.err
    assert (tmp_path / "x").read_bytes() == DATA


def test_a_job_whose_worker_ends_again_and_again_is_no_success(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("backup.cli.follow._LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(Queue, "ensure_worker", lambda self: None)
    (tmp_path / "file").write_bytes(b"1")
    result = cli("upload", str(tmp_path / "file"))
    assert result.code == ExitCode.QUEUED
    assert "the worker ends again and again before the job is finished" in result.err
    assert "worker.log" in result.err
