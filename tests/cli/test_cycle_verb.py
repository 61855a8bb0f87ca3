"""`test-cycle`: every step is shown, and nothing is ever left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backup.cli.diagnostics import ExitCode
from backup.instances import opening
from backup.system.paths import Paths
from providers.errors import PermissionDenied, QuotaExceeded, Transient
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import Fault, Side, any_request
from tests.cli.conftest import ROOT, Cli, s3_instance, write_config
from tests.providers.memory import MemoryProvider, MemoryStore
from tests.servers.s3_requests import put_part
from tests.servers.s3_server import S3Server

STEPS = ["create", "upload", "list", "download", "compare", "delete"]


def visible(paths: Paths) -> list[str]:
    return [entry.name for entry in paths.local_storage.rglob("*") if not entry.name.startswith(".")]


def test_it_passes_on_local_storage_without_any_configuration(program: Cli, paths: Paths):
    result = program("test-cycle")
    assert result.code == 0, result.err
    assert [line.split()[0] for line in result.out.splitlines()[1:7]] == STEPS
    assert "passed in" in result.out
    assert not paths.config_file.exists()
    assert visible(paths) == []


def test_its_json_has_the_time_of_each_step(cli: Cli):
    document = cli("test-cycle", "--size", "100KiB", "--json").json()
    assert document["ok"]
    assert document["size_bytes"] == 102400
    assert [step["name"] for step in document["steps"]] == STEPS
    assert all(step["elapsed_s"] > 0 for step in document["steps"])


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    store = MemoryStore()
    monkeypatch.setattr(
        opening,
        "open_provider",
        lambda paths, name, *, context: MemoryProvider(
            store, context=context, timeout=5, retry_delay=0, max_retries=0, upload_chunk_size=65536
        ),
    )
    return store


@pytest.mark.parametrize(
    ("call", "step", "error", "code"),
    [
        ("send", "upload", QuotaExceeded("the disk is full"), ExitCode.QUOTA),
        ("commit", "upload", Transient("reset"), ExitCode.NETWORK),
        ("scan", "list", PermissionDenied("no ListBucket"), ExitCode.PERMISSION),
    ],
)
def test_the_failed_step_is_reported_and_nothing_is_left(
    cli: Cli, memory: MemoryStore, call: str, step: str, error: Exception, code: ExitCode
):
    def fail(name: str, _: object) -> None:
        if name == call:
            raise error

    memory.trouble = fail
    result = cli("test-cycle", "--size", "200KiB", "--json")
    assert result.code == code
    assert f"failed at the step {step}" in result.err
    states = {item["name"]: item["state"] for item in result.json()["steps"]}
    assert states[step] == "failed"
    assert states["delete"] == "not_run"
    assert memory.objects == {}
    assert memory.sessions == {}


def test_a_file_that_cannot_be_removed_is_named_with_the_command_to_do_it(cli: Cli, memory: MemoryStore):
    def fail(name: str, _: object) -> None:
        if name in {"remove", "remove_many"}:
            raise PermissionDenied("no DeleteObject")

    memory.trouble = fail
    result = cli("test-cycle", "--size", "1KiB", "--json")
    assert result.code == ExitCode.PERMISSION
    document = result.json()
    assert document["left_behind"]["kind"] == "permission"
    assert f"delete --provider local {document['key']}" in result.err


def test_downloaded_bytes_that_differ_fail(cli: Cli, paths: Paths, monkeypatch: pytest.MonkeyPatch):
    def swap(self: object, key: str, target: Path, progress: object) -> bool:
        target.write_bytes(os.urandom(1024))
        return True

    monkeypatch.setattr("providers.base.BaseProvider.download", swap)
    result = cli("test-cycle", "--size", "1KiB")
    assert result.code == ExitCode.INTEGRITY
    assert "failed at the step compare" in result.err
    assert visible(paths) == []


def test_an_unknown_size_is_a_usage_error(cli: Cli):
    assert cli("test-cycle", "--size", "many").code == ExitCode.USAGE


@pytest.fixture
def s3(paths: Paths, rclone_s3: S3Server, rclone_proxy: FaultProxy, aws_credentials: None) -> str:
    """An instance `s3` behind the fault proxy, with parts of 5 MiB; its bucket. Its timeout is long, so that
    a signal comes first."""
    bucket = rclone_s3.new_bucket()
    patient = s3_instance(rclone_s3, bucket, port=rclone_proxy.port, upload_chunk_size=5 * 2**20, timeout=60)
    write_config(paths, s3=patient)
    return bucket


def left(server: S3Server, bucket: str) -> tuple[set[str], list[tuple[str, str]]]:
    return server.keys(bucket), server.unfinished_uploads(bucket)


def test_it_passes_on_s3(cli: Cli, rclone_s3: S3Server, s3: str):
    result = cli("test-cycle", "--provider", "s3", "--size", "6MiB")
    assert result.code == 0, result.err
    assert left(rclone_s3, s3) == (set(), [])


def test_a_connection_cut_midway_leaves_nothing(cli: Cli, rclone_s3: S3Server, rclone_proxy: FaultProxy, s3: str):
    rclone_proxy.fault(
        Fault.reset(Side.REQUEST, at=2**20), put_part(2), times=2
    )  # a dead kept connection costs one more
    result = cli("test-cycle", "--provider", "s3", "--size", "12MiB")
    assert result.code == ExitCode.NETWORK
    assert "failed at the step upload" in result.err
    assert left(rclone_s3, s3) == (set(), [])


@pytest.mark.few(1)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_on_a_stalled_connection_it_leaves_nothing(
    rclone_s3: S3Server, rclone_proxy: FaultProxy, s3: str, number: signal.Signals
):
    rule = rclone_proxy.fault(Fault.stall(Side.REQUEST, at=2**20), put_part(2))
    process = subprocess.Popen(
        [sys.executable, "-m", "backup", "test-cycle", "--provider", "s3", "--size", "12MiB"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    rule.wait_held()
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == ExitCode.INTERRUPTED, err
    assert "interrupted" in err
    assert left(rclone_s3, s3) == (set(), [])


@pytest.mark.few(1)
@pytest.mark.parametrize("verb", ["test-cycle --provider s3", "test-providers s3"])
def test_interrupted_without_an_answer_it_names_what_may_be_left(
    rclone_proxy: FaultProxy, s3: str, cli: Cli, verb: str
):
    assert cli("set-config", "s3", "timeout", "300").code == 0
    cycle = verb.startswith("test-cycle")
    rule = rclone_proxy.fault(Fault.stall(Side.REQUEST), put_part(2) if cycle else any_request, times=None)
    argv = [sys.executable, "-m", "backup", *verb.split()]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    rule.wait_held()
    rclone_proxy.fault(Fault.stall(Side.REQUEST), any_request, times=None)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=40)
    assert process.returncode == ExitCode.INTERRUPTED, err
    assert ("may still be at s3" in err and "delete --provider s3" in err) is cycle
