"""A worker that does nothing: recorded requests are not failures, and the reason is shown."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.cli.arguments import SinceType
from backup.cli.diagnostics import ExitCode
from backup.config import file
from backup.credentials.vault_file.file import VaultFile
from backup.credentials.vault_file.unlocked import unlocked_here, vault_path
from backup.handshake import presence
from backup.handshake.presence import WorkerState
from backup.instances.destination import place_of
from backup.journal import Journal, items, jobs
from backup.journal.records import Ending, JobRequest, NewItem, Outcome
from backup.model.credentials import StoreBackend
from backup.model.transfers import ItemState, JobKind, QueueSnapshot
from backup.system.paths import Paths
from tests.backup.queue_support import Workbench, wait_until
from tests.backup.vault_tools import CHEAP, PASSPHRASE
from tests.cli.conftest import Cli, write_config
from tests.cli.test_credentials_verbs import fd_with
from tests.processes import stop_worker


@pytest.fixture
def stopped(bench: Workbench, tmp_path: Path) -> Iterator[int]:
    """The process id of a worker stopped in the middle of an upload."""
    bench.configure("local", max_bandwidth=10_000)
    (tmp_path / "big").write_bytes(bytes(400_000))
    job = bench.queue.queue_upload("local", [tmp_path / "big"])
    wait_until(lambda: bench.only_item(job).bytes_done)
    pid = wait_until(lambda: bench.pid() or 0)
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: presence.look(bench.paths).state is WorkerState.STOPPED)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGCONT)
        bench.configure("local", max_bandwidth=None)


@pytest.fixture
def bench(paths: Paths) -> Iterator[Workbench]:
    opened = Workbench(paths)
    yield opened
    opened.close()


def test_a_job_queued_beside_a_stopped_worker_has_not_failed(
    cli: Cli, bench: Workbench, stopped: int, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"1")
    followed = cli("upload", str(tmp_path / "file"), "--to", "one", "--json")
    assert (followed.code, ExitCode.QUEUED) == (14, 14)
    assert "queued, not followed" in followed.err
    assert f"kill -CONT {stopped}" in followed.err
    assert followed.json()["worker"]["code"] == "stopped"
    detached = cli("upload", str(tmp_path / "file"), "--to", "two", "--detach")
    assert detached.code == 0
    assert "warning: recorded, but not running yet" in detached.err
    waited = cli("transfers", "wait", str(followed.json()["job"]["id"]))
    assert waited.code == ExitCode.QUEUED
    os.kill(stopped, signal.SIGCONT)
    wait_until(lambda: (bench.storage / "one/file").exists() and (bench.storage / "two/file").exists())


def test_controls_are_recorded_and_status_names_the_stopped_worker(cli: Cli, bench: Workbench, stopped: int) -> None:
    shown = cli("status")
    assert f"the worker (process {stopped}) was stopped by a signal. Resume it: kill -CONT {stopped}" in shown.out
    worker = cli("status", "--json").json()["worker"]
    assert (worker["alive"], worker["state"], worker["pid"]) == (False, "stopped", stopped)
    paused = cli("transfers", "pause", "1", "--json")
    assert (paused.code, paused.json()["paused"], paused.json()["worker"]["code"]) == (0, 1, "stopped")
    assert "not running yet" in paused.err
    listed = cli("transfers", "list", "--json")
    assert listed.json()["totals"]["worker_trouble"]["code"] == "stopped"
    assert f"kill -CONT {stopped}" in listed.err
    seen: list[QueueSnapshot] = []
    bench.queue.follow(seen.append, stop=lambda: bool(seen))
    assert (seen[-1].totals.worker_alive, seen[-1].totals.rate_bytes_per_s) == (False, 0.0)
    os.kill(stopped, signal.SIGCONT)
    wait_until(lambda: bench.queue.job(1).counts[ItemState.PAUSED] == 1)


STOPS_AS_IT_WRITES = """
import fcntl, os, signal, sqlite3, sys
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(lock, fcntl.LOCK_EX)
os.write(lock, f"{os.getpid()} running".encode().ljust(64))
db = sqlite3.connect(sys.argv[2], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_worker_stopped_while_writing_is_named_and_nothing_is_queued(
    cli: Cli, bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"1")
    bench.paths.state_dir.mkdir(parents=True)
    Journal(bench.paths.journal_file).close()
    monkeypatch.setattr("backup.journal.schema._BUSY_TIMEOUT_S", 0.01)
    places = [str(bench.paths.worker_lock), str(bench.paths.journal_file)]
    with subprocess.Popen([sys.executable, "-c", STOPS_AS_IT_WRITES, *places]) as worker:
        try:
            wait_until(lambda: presence.is_stopped(bench.paths))
            refused = cli("upload", str(tmp_path / "file"), "--provider", "local")
            assert refused.code == ExitCode.FAILURE
            assert f"nothing was recorded: the worker (process {worker.pid}) was stopped" in refused.err
            assert f"kill -CONT {worker.pid}" in refused.err
        finally:
            worker.kill()
    assert cli("transfers", "list", "--json").json()["jobs"] == []


def test_status_names_a_worker_that_waits_for_room(cli: Cli, paths: Paths) -> None:
    paths.state_dir.mkdir(parents=True)
    with presence.lock_if_free(paths) as free:
        assert free
        lock = os.open(paths.worker_lock, os.O_RDWR)
        presence.announce(lock, WorkerState.WAITS_FOR_ROOM)
        os.close(lock)
        shown = cli("status", "--json").json()["worker"]
        assert (shown["state"], shown["pid"]) == ("waits_for_room", os.getpid())
        assert "waits for room on the disk of" in cli("status").out
    assert cli("status", "--json").json()["worker"]["state"] == "none"


def test_failures_since_a_time_have_an_exit_code(cli: Cli, paths: Paths) -> None:
    paths.state_dir.mkdir(parents=True)
    now = time.time()
    with Journal(paths.journal_file) as journal, journal.transaction() as tx:
        order = JobRequest(kind=JobKind.UPLOAD, sources=("/x",))
        job_id = jobs.add_job(tx, order, place_of(paths, "local"), title="x", destination="/", now=now - 7200)
        job = jobs.job(tx, job_id)
        jobs.add_items(tx, job, [NewItem(name="x", key="x")], now=now - 7200)
        jobs.scan_ended(tx, job_id)
        items.claim(tx, "local", 1, now=now - 7200)
        items.end(tx, Outcome(item_id=1, ending=Ending.FAILED), now=now - 7200)
    for verb in ("list", "wait"):
        assert cli("transfers", verb).code == 0
        assert cli("transfers", verb, "--since", "1h").code == 0
        failed = cli("transfers", verb, "--since", "3h", "--json")
        assert (failed.code, ExitCode.FAILED_SINCE) == (15, 15)
        assert (failed.json()["since"]["items"], failed.json()["since"]["jobs"]) == (1, [1])
        assert "failed since" in failed.err
    assert cli("transfers", "list", "--since", "yesterday").code == ExitCode.USAGE


def test_help_says_what_controls_do_beside_a_stopped_worker(cli: Cli) -> None:
    help_text = " ".join(cli("transfers", "--help").out.split())
    assert "exit with 0 once the request is recorded" in help_text
    assert '"worker": why it has no effect yet' in cli("transfers", "pause", "--help").out


@pytest.mark.parametrize(("text", "ago_s"), [("90m", 5400), ("24h", 86_400), ("7d", 604_800), ("30s", 30)])
def test_times_are_parsed_as_ages(text: str, ago_s: int) -> None:
    assert abs(time.time() - SinceType().convert(text, None, None) - ago_s) < 5


def test_a_resume_with_a_locked_vault_says_what_it_waits_for_and_takes_the_passphrase(
    cli: Cli, paths: Paths, bench: Workbench
) -> None:
    write_config(
        paths, cloud={"type": "aws_s3", "container": "b", "enabled": True, "endpoint_url": "http://127.0.0.1:9"}
    )
    VaultFile(vault_path(paths), cost=CHEAP).create(PASSPHRASE, label="mine")
    with file.edit(paths) as draft:
        draft.choose_store(StoreBackend.VAULT)
    fd = fd_with(PASSPHRASE.reveal())
    assert cli("set-credentials", "cloud", "-u", "AK", "--passphrase-fd", str(fd), stdin="secret\n").code == 0
    unlocked_here(vault_path(paths)).lock()
    assert stop_worker(bench.paths)
    with Journal(paths.journal_file) as journal, journal.transaction() as tx:
        order = JobRequest(kind=JobKind.UPLOAD, sources=("/x",))
        job_id = jobs.add_job(tx, order, place_of(paths, "cloud"), title="x", destination="/", now=1.0)
        jobs.add_items(tx, jobs.job(tx, job_id), [NewItem(name="x", key="x", local_path="/x")], now=1.0)
        jobs.scan_ended(tx, job_id)
        items.pause(tx, [1], now=2.0)
    result = cli("transfers", "resume", "1", "--json")
    assert result.code == 0
    assert result.json()["waits_for"]["code"] == "locked"
    assert "transfers wait for the vault" in result.err
    wait_until(lambda: (seen := bench.queue.item(1).error) and seen.code == "locked")
    opened = cli("transfers", "resume", "1", "--json", "--passphrase-fd", str(fd_with(PASSPHRASE.reveal())))
    assert (opened.code, opened.json()) == (0, {"resumed": 1})
    # The vault is open; now the service does not answer.
    wait_until(lambda: (seen := bench.queue.item(1).error) and seen.code != "locked")
    unlocked_here(vault_path(paths)).lock()
