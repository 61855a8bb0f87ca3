"""Two builds of the program over one state folder. A worker makes way if its files were replaced, or if the journal
becomes newer; otherwise they work together."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.credentials import unlocking
from backup.handshake import presence, takeover
from backup.instances.destination import place_of
from backup.journal import Journal, jobs, schema
from backup.journal.migrations import MIGRATIONS
from backup.journal.records import JobRequest
from backup.model.credentials import StoreBackend
from backup.model.transfers import ItemState, JobKind
from backup.queue.client import Queue
from backup.system import build
from backup.system.paths import Paths
from providers.errors import InvalidConfiguration
from providers.secret import Secret
from tests.backup.queue_support import Workbench, files_below, wait_until
from tests.backup.vault_tools import CHEAP
from tests.cli.conftest import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Another checkout of the same program."""
    folder = tmp_path / "checkout"
    for package in ("backup", "providers"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def bench(paths: Paths) -> Iterator[Workbench]:
    opened = Workbench(paths, linger_s=60)
    yield opened
    opened.close()


def begin_worker(bench: Workbench, checkout: Path) -> int:
    """The pid of a running worker of that checkout."""
    bench.paths.state_dir.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-P", "-m", "backup.worker", "--linger", "60"]
    worker = subprocess.Popen(command, env=environment, cwd="/", stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=worker.wait, daemon=True).start()
    return int(wait_until(lambda: bench.pid() or 0))


@pytest.mark.few(2)
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL, None])
def test_jobs_queued_beside_a_stopped_worker_run_when_it_leaves(
    bench: Workbench, checkout: Path, tmp_path: Path, sent: signal.Signals | None
) -> None:
    """Without a further command, whether it was asked to leave while stopped, or is asked when it continues."""
    pid = begin_worker(bench, checkout)
    if sent is None:
        (checkout / "backup" / "system" / "text.py").write_text("raise ImportError('of another build')\n")
    stop_between_writes(bench, pid)
    if sent is signal.SIGTERM:
        os.kill(pid, sent)
    for number in range(2):
        (tmp_path / str(number)).write_bytes(b"content")
    queued = [bench.queue.queue_upload("local", [tmp_path / str(number)]) for number in range(2)]
    assert bench.queue.trouble is not None
    assert bench.queue.trouble.code == "stopped"
    os.kill(pid, signal.SIGKILL if sent is signal.SIGKILL else signal.SIGCONT)
    for job in queued:
        assert bench.finish(job, 10).counts[ItemState.DONE] == 1
    wait_until(lambda: bench.pid() not in (None, pid))


def test_a_stopped_worker_that_was_not_replaced_serves_again(bench: Workbench, checkout: Path, tmp_path: Path) -> None:
    pid = begin_worker(bench, checkout)
    stop_between_writes(bench, pid)
    (tmp_path / "file").write_bytes(b"content")
    job = bench.queue.queue_upload("local", [tmp_path / "file"])
    wait_until(lambda: presence.is_awaited(bench.paths))
    os.kill(pid, signal.SIGCONT)
    bench.finish(job, 10)
    wait_until(lambda: not presence.is_awaited(bench.paths))
    assert bench.pid() == pid


def test_two_builds_lose_nothing_when_their_worker_is_killed_repeatedly(
    bench: Workbench, checkout: Path, tmp_path: Path
) -> None:
    (checkout / "backup" / "another.py").write_text('"""Another build."""\n')
    begin_worker(bench, checkout)
    top = tmp_path / "top"
    top.mkdir()
    for number in range(20):
        (top / str(number)).write_bytes(str(number).encode() * 1000)
    queued = []
    for round_ in range(2):
        queued.append(bench.queue.queue_upload("local", [top], f"ours-{round_}"))
        bench.kill_worker_of(queued[-1])
        theirs = begin_worker(bench, checkout)
        queued.append(bench.queue.queue_upload("local", [top], f"theirs-{round_}"))
        os.kill(theirs, signal.SIGKILL)
        bench.queue.ensure_worker()
    assert [bench.finish(job).counts[ItemState.DONE] for job in queued] == [20] * 4
    stored = files_below(bench.storage)
    assert len([name for name in stored if ".hsb" not in name]) == 80
    assert all(
        stored[f"{where}/top/{n}"] == str(n).encode() * 1000 for n in range(20) for where in ("ours-0", "theirs-1")
    )


def stop_between_writes(bench: Workbench, pid: int) -> None:
    """Nothing could be queued while another worker is in the middle of one."""

    def stopped() -> bool:
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: presence.is_stopped(bench.paths), every_s=0.001)
        db = sqlite3.connect(bench.paths.journal_file, timeout=0, isolation_level=None)
        try:
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            os.kill(pid, signal.SIGCONT)
            return False
        finally:
            db.close()
        return True

    wait_until(stopped)


def upload(bench: Workbench, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    job = bench.finish(bench.queue.queue_upload("local", [tmp_path / "file"]))
    assert job.counts[ItemState.DONE] == 1


def test_two_checkouts_of_one_build_or_of_two_work_together(bench: Workbench, checkout: Path, tmp_path: Path) -> None:
    (checkout / "backup" / "another.py").write_text('"""Another build."""\n')
    pid = begin_worker(bench, checkout)
    status = bench.queue.worker_status()
    assert status is not None
    assert status["build"] not in ("", build.current().id)
    upload(bench, tmp_path)
    assert bench.pid() == pid


def test_a_worker_whose_files_were_replaced_makes_way(bench: Workbench, checkout: Path, tmp_path: Path) -> None:
    pid = begin_worker(bench, checkout)
    for file in (checkout / "backup").rglob("*.py"):
        os.utime(file, (1, 1))  # touched is not replaced
    assert takeover.is_serving(bench.paths)
    (checkout / "backup" / "system" / "text.py").write_text("raise ImportError('of another build')\n")
    upload(bench, tmp_path)
    assert bench.pid() not in (None, pid)
    status = bench.queue.worker_status()
    assert status is not None
    assert status["build"] == build.current().id
    assert "makes way" not in bench.log()  # logged by the process that asked, not by the worker
    assert bench.log().count("at work") == 2


def test_a_worker_whose_files_were_replaced_takes_no_work_and_another_one_takes_over(
    bench: Workbench, checkout: Path, tmp_path: Path
) -> None:
    """Even if no command asks it: what waited may become due, and modules of another build would fail that. The next
    worker gets the vault's key."""
    unlocking.create(bench.paths, Secret("a passphrase"), StoreBackend.VAULT, cost=CHEAP)
    pid = begin_worker(bench, checkout)
    bench.queue.credentials_changed()
    assert bench.queue.worker_unlocked()
    (checkout / "backup" / "another.py").write_text('"""Another build."""\n')
    (tmp_path / "file").write_bytes(b"content")
    order = JobRequest(kind=JobKind.UPLOAD, sources=(str(tmp_path / "file"),), resolved=True)
    with Journal(bench.paths.journal_file) as journal, journal.transaction() as tx:
        job_id = jobs.add_job(tx, order, place_of(bench.paths, "local"), title="f", destination="/", now=time.time())
    wait_until(lambda: bench.queue.job(job_id).finished)
    assert bench.queue.job(job_id).counts[ItemState.DONE] == 1
    wait_until(lambda: bench.pid() not in (None, pid))
    assert "another one takes over" in bench.log()
    assert bench.queue.worker_unlocked()


def test_a_worker_whose_checkout_is_gone_makes_way(bench: Workbench, checkout: Path, tmp_path: Path) -> None:
    pid = begin_worker(bench, checkout)
    shutil.rmtree(checkout)
    upload(bench, tmp_path)
    assert bench.pid() != pid


def test_a_worker_of_an_older_journal_is_parked_before_the_migration(
    bench: Workbench, checkout: Path, tmp_path: Path
) -> None:
    """The other checkout has one script less, and its program refuses the journal by name."""
    migrations = checkout / "backup" / "journal" / "migrations.py"
    older = '(*MIGRATIONS[:-2], MIGRATIONS[-2] + _FOLDERS_IN_WORK.replace("folders_in_work", "former_table"))'
    migrations.write_text(f"{migrations.read_text()}\nMIGRATIONS = {older}\n")
    file = checkout / "backup" / "journal" / "folders_in_work.py"  # it does not know the table of that script either
    file.write_text(file.read_text().replace(" folders_in_work ", " former_table "))
    begin_worker(bench, checkout)
    pid = bench.pid()
    wait_until(lambda: version(bench.paths.journal_file) == len(MIGRATIONS) - 1)
    upload(bench, tmp_path)
    assert version(bench.paths.journal_file) == len(MIGRATIONS)
    assert bench.pid() != pid
    refused = subprocess.run(
        [sys.executable, "-P", "-m", "backup", "transfers", "list"], cwd="/", timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(checkout)}, capture_output=True, text=True,
    )  # fmt: skip
    assert refused.returncode == 3
    assert f"written by a newer version of this program (journal version {len(MIGRATIONS)}" in refused.stderr
    assert bench.pid() != pid


def version(path: Path) -> int:
    if not path.exists():
        return 0
    db = sqlite3.connect(path)
    try:
        return int(db.execute("PRAGMA user_version").fetchone()[0])
    finally:
        db.close()


def test_a_worker_of_the_version_before_the_handshake_makes_way(
    bench: Workbench, checkout: Path, tmp_path: Path
) -> None:
    """It reports neither build nor journal version."""
    listener = checkout / "backup" / "worker" / "listener.py"
    text = listener.read_text()
    for line in ("            build=build.current().id,\n", "            journal_version=len(MIGRATIONS),\n"):
        assert line in text
        text = text.replace(line, "")
    listener.write_text(text)
    pid = begin_worker(bench, checkout)
    upload(bench, tmp_path)
    assert bench.pid() != pid


def test_a_broken_worker_makes_way(bench: Workbench, checkout: Path, tmp_path: Path) -> None:
    """It cannot load the modules it needs: neither "wake" nor "stop" gets an answer."""
    listener = checkout / "backup" / "worker" / "listener.py"
    text = listener.read_text().replace('"wake": self._on_wake,', '"wake": lambda call: 1 / 0,')
    listener.write_text(text.replace('"stop": self._stop,', '"stop": lambda call: 1 / 0,'))
    pid = begin_worker(bench, checkout)
    upload(bench, tmp_path)
    assert bench.pid() != pid


def test_the_build_depends_on_the_files_and_not_on_their_folder(checkout: Path) -> None:
    def build_id() -> str:
        done = subprocess.run(
            [sys.executable, "-P", "-c", "from backup.system import build; print(build.current().id)"],
            cwd="/", env={**os.environ, "PYTHONPATH": str(checkout)}, capture_output=True, text=True, check=True,
            timeout=30,
        )  # fmt: skip
        return done.stdout.strip()

    assert build_id() == build.current().id
    (checkout / "providers" / "engine" / "proof.py").write_text("")
    assert build_id() != build.current().id


def test_parking_for_a_change_of_the_environment(bench: Workbench, tmp_path: Path) -> None:
    park = [sys.executable, "-P", "-m", "backup.worker.park"]
    (tmp_path / "file").write_bytes(b"content")
    bench.finish(bench.queue.queue_upload("local", [tmp_path / "file"]))
    assert bench.pid()
    assert subprocess.run(park, cwd=ROOT, timeout=30, check=False).returncode == 0
    assert bench.pid() is None
    assert subprocess.run([*park, "--go-on"], cwd=ROOT, timeout=30, check=False).returncode == 0
    assert bench.pid() is None  # nothing to do


def test_an_older_program_refuses_a_newer_journal_by_name(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    Journal(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(InvalidConfiguration, match=rf"newer version .*journal version {len(MIGRATIONS) + 1}"):
        Journal(path)
    assert path.read_bytes() == before
    assert not schema.is_older(path)


def test_the_key_of_the_vault_is_taken_over(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    monkeypatch.setattr(unlocking, "accept", lambda paths, key: taken.append(key.reveal()))
    asked: list[str] = []

    class Client:
        def call(self, method: str, *, timeout_s: float) -> object:
            asked.append(method)
            return {"key": "of the vault"} if method == "handover" else None

    takeover._stop(bench.paths, Client())  # type: ignore[arg-type]
    assert (asked, taken) == (["handover", "stop"], ["of the vault"])
    Queue(bench.paths).close()


def test_front_ends_report_an_update_and_another_build(monkeypatch: pytest.MonkeyPatch) -> None:
    now, changed = [0.0], [False]
    monkeypatch.setattr(build, "replaced", lambda: changed[0])
    notice = build.BuildNotice(lambda: now[0])
    own = build.current().id
    assert [notice.of(""), notice.of(own)] == ["", ""]
    assert "The worker runs another build" in notice.of("other")
    changed[0] = True
    assert notice.of(own) == ""
    now[0] = 11.0
    assert "Quit it and start it again" in notice.of(own)
    assert "Quit it and start it again" in notice.of("other")


def test_a_console_over_a_worker_of_another_build_says_so(bench: Workbench, checkout: Path) -> None:
    (checkout / "backup" / "another.py").write_text('"""Another build."""\n')
    begin_worker(bench, checkout)
    heard: list[str] = []
    bench.queue.follow(lambda snapshot: heard.append(snapshot.notice), stop=lambda: bool(heard and heard[-1]))
    assert "another build" in heard[-1]
