"""The queue with real worker processes over local storage: start, end, controls, folders."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from backup.instances.destination import place_of
from backup.journal import Journal, items, jobs
from backup.journal.records import JobRequest, NewItem
from backup.model.instances import InstanceState
from backup.model.transfers import Conflicts, ItemKind, ItemState, JobKind, QueueSnapshot
from backup.queue import start_worker
from backup.queue.client import Queue
from providers.errors import InvalidConfiguration, InvalidName, NotFound, Unsupported
from tests.backup.queue_support import MIB, Workbench, files_below, wait_until

ODD = os.fsdecode(b"caf\xe9 \x1b[31m")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Everything that a home directory may contain."""
    top = tmp_path / "home dir"
    (top / "sub" / "deeper").mkdir(parents=True)
    (top / "empty").mkdir()
    (top / "a").write_bytes(b"a" * 10)
    (top / "sub" / "b").write_bytes(b"")
    (top / "sub" / "deeper" / ODD).write_bytes(b"odd")
    (top / "link").symlink_to("a")
    (top / "loop").symlink_to(top)
    os.mkfifo(top / "pipe")
    return top


def test_a_folder_is_uploaded_downloaded_and_deleted(bench: Workbench, folder: Path, tmp_path: Path) -> None:
    up = bench.finish(bench.queue.queue_upload("local", [folder], "copies"))
    assert (up.skipped_symlinks, up.skipped_special, up.counts[ItemState.DONE]) == (2, 1, 4)
    assert up.done_bytes == up.size_bytes == 13
    stored = bench.storage / "copies" / "home dir"
    assert files_below(stored) == files_below(folder)
    assert (stored / "empty").is_dir()
    assert (stored / "a").stat().st_mtime_ns == (folder / "a").stat().st_mtime_ns
    skipped = {item.name: item.error for item in bench.items(up) if item.state is ItemState.SKIPPED}
    assert skipped.keys() == {"home dir/link", "home dir/loop", "home dir/pipe"}
    assert all(error and error.message for error in skipped.values())
    proofs = {item.proof is not None for item in bench.items(up) if item.kind is ItemKind.FILE and not item.error}
    assert proofs == {True}

    down = bench.finish(bench.queue.queue_download("local", ["copies/home dir/"], tmp_path / "back"))
    assert down.counts[ItemState.DONE] == 4
    assert files_below(tmp_path / "back") == {f"home dir/{name}": data for name, data in files_below(folder).items()}
    assert (tmp_path / "back" / "home dir" / "empty").is_dir()

    gone = bench.finish(bench.queue.queue_delete("local", ["copies/"]))
    assert gone.counts[ItemState.DONE] == 4
    assert list(bench.storage.iterdir()) == []


def test_a_thousand_small_files(bench: Workbench, tmp_path: Path) -> None:
    many = tmp_path / "many"
    for number in range(1000):
        path = many / str(number % 10) / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number)
    shown: list[QueueSnapshot] = []
    job = bench.queue.queue_upload("local", [many])
    bench.queue.follow(shown.append, stop=lambda: bench.queue.job(job.id).finished, interval_s=0.05)
    job = bench.finish(job)
    assert job.counts[ItemState.DONE] == 1000
    assert files_below(bench.storage / "many") == files_below(many)
    done = [found.jobs[0].done_bytes for found in shown]
    assert done == sorted(done)
    assert any(found.totals.worker_alive for found in shown)
    assert any(found.totals.uploading for found in shown)


def test_a_single_object_goes_to_the_exact_path_or_into_the_folder(bench: Workbench, tmp_path: Path) -> None:
    source = tmp_path / "x"
    source.write_bytes(b"x")
    bench.finish(bench.queue.queue_upload("local", [source], "d"))
    bench.finish(bench.queue.queue_download("local", ["d/x"], tmp_path / "new" / "name"))
    (tmp_path / "into").mkdir()
    bench.finish(bench.queue.queue_download("local", ["d/x"], tmp_path / "into"))
    assert (tmp_path / "new" / "name").read_bytes() == b"x"
    assert (tmp_path / "into" / "x").read_bytes() == b"x"


def test_conflicts(bench: Workbench, tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    (source / "same").write_bytes(b"same")
    (source / "other").write_bytes(b"old")
    bench.finish(bench.queue.queue_upload("local", [source]))
    (source / "other").write_bytes(b"new")
    (source / "more").write_bytes(b"more")

    refused = bench.finish(bench.queue.queue_upload("local", [source], conflicts=Conflicts.REFUSE))
    states = {item.name: (item.state, item.error and item.error.kind) for item in bench.items(refused)}
    assert states["s/same"] == states["s/other"] == (ItemState.FAILED, "conflict")
    assert states["s/more"] == (ItemState.DONE, None)
    assert files_below(bench.storage)["s/other"] == b"old"

    skipped = bench.finish(bench.queue.queue_upload("local", [source], conflicts=Conflicts.SKIP_UNCHANGED))
    found = {item.name: item for item in bench.items(skipped)}
    assert [found[f"s/{name}"].state for name in ("same", "more", "other")] == [
        ItemState.SKIPPED,
        ItemState.SKIPPED,
        ItemState.DONE,
    ]
    assert found["s/other"].replaced is True
    assert files_below(bench.storage)["s/other"] == b"new"

    (tmp_path / "t" / "s").mkdir(parents=True)
    (tmp_path / "t" / "s" / "same").write_bytes(b"mine")
    kept = bench.finish(bench.queue.queue_download("local", ["s/"], tmp_path / "t", conflicts=Conflicts.REFUSE))
    assert kept.counts[ItemState.FAILED] == 1
    assert (tmp_path / "t" / "s" / "same").read_bytes() == b"mine"


def test_a_file_that_vanishes_after_the_scan_fails_alone(bench: Workbench, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_bytes(b"x")
    bench.paths.state_dir.mkdir(parents=True)
    with Journal(bench.paths.journal_file) as journal, journal.transaction() as tx:
        order = JobRequest(kind=JobKind.UPLOAD, sources=(str(tmp_path),))
        place = place_of(bench.paths, "local")
        job = jobs.job(tx, jobs.add_job(tx, order, place, title="t", destination="/", now=1.0))
        for name in ("gone", "there"):
            jobs.add_items(tx, job, [NewItem(name=name, key=name, local_path=str(tmp_path / name))], now=1.0)
        jobs.scan_ended(tx, job.id)
    assert bench.queue.ensure_worker()
    done = bench.finish(bench.queue.job(job.id))
    gone, stayed = bench.items(done)
    assert (gone.state, gone.error and gone.error.kind) == (ItemState.FAILED, "not_found")
    assert stayed.state is ItemState.DONE
    (tmp_path / "gone").write_bytes(b"back")
    assert bench.queue.retry([gone.id, stayed.id]) == 1
    assert bench.finish(done).counts[ItemState.DONE] == 2


@pytest.mark.parametrize("starters", [4])
def test_concurrent_starts_start_one_worker(bench: Workbench, tmp_path: Path, starters: int) -> None:
    source = tmp_path / "x"
    source.write_bytes(b"x" * MIB)
    bench.configure("local", max_bandwidth=MIB)
    errors: list[BaseException] = []

    def queue_one(number: int) -> None:
        own = Queue(bench.paths, worker_arguments=("--linger", "0.2"))
        try:
            own.queue_upload("local", [source], str(number))
        except BaseException as error:  # reported by the test's own thread
            errors.append(error)
        finally:
            own.close()

    threads = [threading.Thread(target=queue_one, args=(number,)) for number in range(starters)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert errors == []
    wait_until(lambda: bench.queue.snapshot().totals.verified == starters)
    assert bench.log().count("at work") == 1


HELD_WORKER = """
import pathlib, sys, time
from backup.worker import __main__ as worker, scheduler
begun, go = map(pathlib.Path, sys.argv[1:3])
init = scheduler.Scheduler.__init__
def hold():
    begun.touch()
    while not go.exists():
        time.sleep(0.005)
def held(self, *args, **options):
    init(self, *args, **options)
    self.before_leaving = hold
scheduler.Scheduler.__init__ = held
worker.main(["--linger", "0"])
"""


def test_jobs_queued_while_a_worker_leaves_are_not_stranded(bench: Workbench, tmp_path: Path) -> None:
    source = tmp_path / "x"
    source.write_bytes(b"x")
    for number in range(5):
        begun, go = tmp_path / f"begun{number}", tmp_path / f"go{number}"
        leaving = subprocess.Popen(
            [sys.executable, "-c", HELD_WORKER, str(begun), str(go)], cwd=Path(__file__).parents[2]
        )
        wait_until(begun.exists)
        queued: list[int] = []

        def queue_one(queued: list[int] = queued, number: int = number) -> None:
            queued.append(bench.queue.queue_upload("local", [source], str(number)).id)

        thread = threading.Thread(target=queue_one)
        thread.start()
        wait_until(lambda: bench.queue.snapshot().jobs[:1] and len(bench.queue.snapshot().jobs) == number + 1)  # noqa: B023
        go.touch()
        thread.join(20)
        assert leaving.wait(10) == 0
        bench.finish(bench.queue.job(queued[0]))
        wait_until(lambda: bench.pid() is None)
    assert len(files_below(bench.storage)) == 5


def test_queueing_repeatedly_while_workers_leave(bench: Workbench, tmp_path: Path) -> None:
    source = tmp_path / "x"
    source.write_bytes(b"x")
    quick = Workbench(bench.paths, linger_s=0)
    try:
        for number in range(6):
            quick.finish(quick.queue.queue_upload("local", [source], str(number)))
    finally:
        quick.close()
    assert len(files_below(bench.storage)) == 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_parks_and_the_next_worker_continues(bench: Workbench, tmp_path: Path, number: signal.Signals) -> None:
    bench.configure("local", max_bandwidth=4 * MIB, upload_chunk_size=MIB)
    source = tmp_path / "big"
    source.write_bytes(os.urandom(12 * MIB))
    job = bench.queue.queue_upload("local", [source])
    wait_until(lambda: bench.only_item(job).bytes_done >= 2 * MIB)
    began = time.monotonic()
    bench.kill_worker(number)
    assert time.monotonic() - began < 5
    parked = bench.only_item(job)
    assert parked.state is ItemState.QUEUED
    assert parked.bytes_done >= 2 * MIB
    bench.configure("local", max_bandwidth=None)
    bench.queue.ensure_worker()
    bench.finish(job)
    assert files_below(bench.storage) == {"big": source.read_bytes()}


def test_a_hangup_does_not_affect_the_worker(bench: Workbench, tmp_path: Path) -> None:
    bench.configure("local", max_bandwidth=4 * MIB, upload_chunk_size=MIB)
    source = tmp_path / "big"
    source.write_bytes(os.urandom(3 * MIB))
    job = bench.queue.queue_upload("local", [source])
    pid = wait_until(lambda: bench.pid() or 0)
    assert os.getsid(pid) == pid != os.getsid(0)
    assert os.getpriority(os.PRIO_PROCESS, pid) == 10
    os.kill(pid, signal.SIGHUP)
    bench.finish(job)
    assert bench.only_item(job).attempts == 1


def test_pause_resume_cancel_and_retry(bench: Workbench, tmp_path: Path) -> None:
    bench.configure("local", max_bandwidth=MIB, upload_chunk_size=MIB)
    sources = tmp_path / "s"
    sources.mkdir()
    for name in ("a", "b"):
        (sources / name).write_bytes(os.urandom(12 * MIB))
    job = bench.queue.queue_upload("local", [sources])
    wait_until(lambda: len(bench.items(job)) == 2 and bench.queue.snapshot().items[0].bytes_done > 0)
    ids = bench.queue.item_ids(job.id)
    assert bench.queue.pause(ids) == 2
    wait_until(lambda: bench.queue.job(job.id).counts[ItemState.PAUSED] == 2, 3)
    assert bench.queue.pause(ids) == 0
    assert bench.queue.resume(ids[:1]) == 1
    wait_until(lambda: bench.queue.item(ids[0]).state is ItemState.RUNNING)
    began = time.monotonic()
    assert bench.queue.cancel(ids) == 2
    wait_until(lambda: bench.queue.job(job.id).counts[ItemState.CANCELLED] == 2, 3)
    assert time.monotonic() - began < 1.5
    wait_until(lambda: list(bench.storage.rglob("*.*")) == [])  # nothing unfinished stays, hidden or not
    bench.configure("local", max_bandwidth=None)
    assert bench.queue.retry(ids) == 2
    assert bench.finish(job).counts[ItemState.DONE] == 2
    assert files_below(bench.storage / "s") == files_below(sources)
    what = [event.what for event in bench.queue.events(ids[0])]
    assert what[-2:] == ["running", "done"]
    assert {"paused", "cancelled"} <= set(what)


def test_controls_work_on_the_journal_when_the_worker_was_killed(bench: Workbench, tmp_path: Path) -> None:
    bench.configure("local", max_bandwidth=MIB)
    source = tmp_path / "big"
    source.write_bytes(os.urandom(20 * MIB))
    job = bench.queue.queue_upload("local", [source])
    item = bench.wait_state(job, ItemState.RUNNING)
    bench.kill_worker()
    assert bench.only_item(job).state is ItemState.QUEUED
    assert bench.queue.pause([item.id]) == 1
    assert bench.only_item(job).state is ItemState.PAUSED
    assert not bench.queue.snapshot().totals.worker_alive


def test_the_bandwidth_limit_changes_on_the_fly(bench: Workbench, tmp_path: Path) -> None:
    bench.configure("local", max_bandwidth=MIB // 4, upload_chunk_size=MIB)
    source = tmp_path / "big"
    source.write_bytes(os.urandom(8 * MIB))
    began = time.monotonic()
    job = bench.queue.queue_upload("local", [source])
    wait_until(lambda: bench.only_item(job).bytes_done > 0)
    bench.queue.set_bandwidth("local", None)
    bench.finish(job)
    assert time.monotonic() - began < 15  # 32 s at the old limit


def test_an_instance_changed_after_queueing_pauses_its_items(bench: Workbench, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    bench.configure("disk", type="local", container=str(tmp_path / "one"), max_bandwidth=MIB)
    source = tmp_path / "big"
    source.write_bytes(os.urandom(10 * MIB))
    job = bench.queue.queue_upload("disk", [source])
    item = bench.wait_state(job, ItemState.RUNNING)
    bench.queue.pause([item.id])
    bench.wait_state(job, ItemState.PAUSED)
    bench.configure("disk", container=str(tmp_path / "two"))
    bench.queue.resume([item.id])
    wait_until(lambda: bench.only_item(job).error)
    paused = bench.only_item(job)
    assert paused.state is ItemState.PAUSED
    assert paused.error is not None
    assert str(tmp_path / "one") in paused.error.message
    assert str(tmp_path / "two") in paused.error.message
    assert not (tmp_path / "two").exists()
    bench.configure("disk", container=str(tmp_path / "one"), max_bandwidth=None)
    bench.queue.resume([item.id])
    bench.finish(job)
    assert files_below(tmp_path / "one") == {"big": source.read_bytes()}


def test_an_unusable_instance_is_refused_before_anything_is_queued(bench: Workbench, tmp_path: Path) -> None:
    source = tmp_path / "x"
    source.write_bytes(b"x")
    bench.configure("off", type="local", enabled=False, container=str(tmp_path / "off"))
    bench.configure("secret", type="local", encryption_enabled=True, container=str(tmp_path / "secret"))
    bench.configure("half", type="aws_s3")
    with pytest.raises(InvalidConfiguration, match=InstanceState.DISABLED):
        bench.queue.queue_upload("off", [source])
    with pytest.raises(Unsupported, match="encryption_enabled"):
        bench.queue.queue_upload("secret", [source])
    with pytest.raises(Unsupported, match="encryption_enabled"):
        bench.queue.queue_download("secret", ["x"], tmp_path)
    with pytest.raises(InvalidConfiguration, match="container"):
        bench.queue.queue_download("half", ["x"], tmp_path)
    with pytest.raises(InvalidConfiguration):
        bench.queue.queue_delete("nowhere", ["x"])
    with pytest.raises(NotFound):
        bench.queue.queue_upload("local", [tmp_path / "nothing"])
    with pytest.raises(InvalidName, match="share the name"):
        bench.queue.queue_upload("local", [source, source])
    with pytest.raises(InvalidName, match="nothing"):
        bench.queue.queue_delete("local", [])
    assert bench.queue.snapshot().jobs == ()
    assert bench.pid() is None


def test_a_download_of_nothing_says_so(bench: Workbench, tmp_path: Path) -> None:
    job = bench.finish(bench.queue.queue_download("local", ["no/such/"], tmp_path / "t"))
    assert job.error is not None
    assert job.error.kind == "not_found"


def test_a_second_queue_sees_the_same_and_the_worker_leaves_when_idle(bench: Workbench, tmp_path: Path) -> None:
    source = tmp_path / "x"
    source.write_bytes(b"x")
    job = bench.queue.queue_upload("local", [source])
    other = Queue(bench.paths)
    try:
        wait_until(lambda: other.job(job.id).finished)
        assert other.snapshot().items[0].name == "x"
        assert other.open_jobs("local") == 0
    finally:
        other.close()
    wait_until(lambda: bench.pid() is None)
    assert not bench.paths.worker_socket.exists()
    assert not bench.queue.ensure_worker()


def test_follow_reports_changes_without_a_worker(bench: Workbench, tmp_path: Path) -> None:
    source = tmp_path / "x"
    source.write_bytes(b"x")
    job = bench.finish(bench.queue.queue_upload("local", [source]))
    wait_until(lambda: bench.pid() is None)
    shown: list[QueueSnapshot] = []
    follower = threading.Thread(
        target=bench.queue.follow, args=(shown.append,), kwargs={"stop": lambda: len(shown) > 1, "interval_s": 0.02}
    )
    follower.start()
    wait_until(lambda: shown)
    with Journal(bench.paths.journal_file) as journal, journal.transaction() as tx:
        items.note(tx, bench.only_item(job).id, "looked at", now=1.0)
    follower.join(5)
    assert not follower.is_alive()


def test_a_worker_that_cannot_start_says_where_to_look(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Exception, match="ended at once") as caught:
        start_worker.ensure(bench.paths, ("--no-such-option",))
    assert "worker.log" in getattr(caught.value, "hint", "")
