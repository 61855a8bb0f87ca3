"""Parts of the worker without a process: verdicts on errors, group commits, progress, logind, facts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from backup.credentials.vault_file.errors import VaultLocked
from backup.instances.request_counts import CallCounts, CallsOnDisk, sent_for
from backup.instances.server_facts import FactsOnDisk
from backup.journal import Journal, items, jobs
from backup.journal.records import Destination, Ending, Item, JobRequest, NewItem
from backup.model.transfers import (
    ItemKind,
    ItemState,
    ItemView,
    JobKind,
    JobView,
    LiveItem,
    LiveState,
    QueueSnapshot,
    QueueTotals,
)
from backup.queue import logind
from backup.queue.client import Queue
from backup.queue.live import merge
from backup.system.paths import Paths
from backup.worker.batch_writer import BatchWriter
from backup.worker.items.transfer import MAX_FAILURES, MAX_SLOWED, Chances, backoff_s, delete_many, judge
from backup.worker.progress import Meter, ProgressBoard
from providers.contract.cancel import CancelToken
from providers.engine.parallel import run_parts
from providers.errors import (
    Authentication,
    Cancelled,
    Conflict,
    Integrity,
    NotFound,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    Transient,
)
from tests.backup.queue_support import wait_until
from tests.providers.memory import MemoryProvider, MemoryStore

NOW = 1000.0
CHANCES = Chances(now=lambda: NOW, clock=lambda: 0.0, uniform=lambda low, high: high)


def item(*, failures: int = 0, attempts: int = 1, key: str = "k") -> Item:
    return Item(
        id=1, job_id=1, place_id=1, instance="i", job_kind=JobKind.UPLOAD, kind=ItemKind.FILE, name="n", key=key,
        local_path="/n", size_bytes=10, bytes_done=0, attempts=attempts, failures=failures, replaces=None, begun=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("error", "failures", "ending", "wait_until"),
    [
        (Cancelled("x"), 0, Ending.STOPPED, None),
        (Authentication("x"), 0, Ending.WAITING, None),
        (VaultLocked("x"), 3, Ending.WAITING, None),
        (Transient("x"), 0, Ending.WAITING, NOW + 10),
        (Transient("x"), 3, Ending.WAITING, NOW + 80),
        (Transient("x"), MAX_FAILURES - 2, Ending.WAITING, NOW + 900),
        (Transient("x"), MAX_FAILURES - 1, Ending.FAILED, None),
        (RateLimited("x", retry_after_s=7), 0, Ending.WAITING, NOW + 7),
        (RateLimited("x"), MAX_FAILURES, Ending.WAITING, NOW + 900),
        (RateLimited("x"), MAX_SLOWED - 1, Ending.FAILED, None),
        (Integrity("changed"), 0, Ending.WAITING, NOW),
        (Integrity("changed"), 1, Ending.FAILED, None),
        (QuotaExceeded("x"), 0, Ending.FAILED, None),
        (NotFound("x"), 0, Ending.FAILED, None),
        (Conflict("x"), 0, Ending.FAILED, None),
    ],
)
def test_the_outcome_of_an_item_after_an_error(
    error: ProviderError, failures: int, ending: Ending, wait_until: float | None
) -> None:
    outcome = judge(error, item(failures=failures), CHANCES)
    assert (outcome.ending, outcome.wait_until) == (ending, wait_until)
    assert (outcome.error is None) == (ending is Ending.STOPPED)


def test_daily_limits_are_waited_for_and_then_the_hint_promises_nothing() -> None:
    shortest = Chances(uniform=lambda low, high: low)
    assert sum(backoff_s(failures, RateLimited("x"), shortest) for failures in range(MAX_SLOWED - 1)) > 24 * 3600
    given_up = judge(RateLimited("x"), item(failures=MAX_SLOWED - 1), CHANCES)
    assert given_up.error is not None
    assert "by itself" not in given_up.error.hint
    assert "retry later" in given_up.error.hint


def test_deleting_an_object_again_succeeds_and_deleting_one_that_never_existed_fails() -> None:
    class Provider(MemoryProvider):
        def remove_many(self, keys: list[str]) -> dict[str, ProviderError]:
            return {key: NotFound("gone") for key in keys if key != "there"}

    group = [item(key="there"), item(key="again", attempts=2), item(key="never")]
    outcomes = delete_many(Provider(MemoryStore()), group, CancelToken(), CHANCES)
    assert [outcome.ending for outcome in outcomes] == [Ending.DONE, Ending.DONE, Ending.FAILED]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite") as opened:
        yield opened


def test_many_small_changes_share_commits_and_stay_in_order(journal: Journal) -> None:
    broken: list[Exception] = []
    writer = BatchWriter(journal, on_failure=broken.append)
    order: list[int] = []
    for number in range(300):
        writer.post(lambda tx, number=number: order.append(number))  # type: ignore[misc]
    assert writer.run(lambda tx: len(order)) == 300
    assert order == list(range(300))
    assert journal.revision() < 30
    on_disk = journal.revision()
    writer.post(lambda tx: order.append(-1), lambda: order.append(journal.revision() - on_disk))
    assert writer.close(5)
    assert order[-2:] == [-1, 1]
    assert broken == []


def test_one_bad_change_does_not_affect_others(journal: Journal) -> None:
    broken: list[Exception] = []
    writer = BatchWriter(journal, on_failure=broken.append)
    place = Destination(instance="i", type="local", container="", settings="")
    order = JobRequest(kind=JobKind.UPLOAD, sources=("/x",))

    def bad(tx: object) -> None:
        raise ValueError("bad")

    results: list[object] = []

    def run(change: object) -> None:
        try:
            results.append(writer.run(change))  # type: ignore[arg-type]
        except ValueError as error:
            results.append(str(error))

    good = [lambda tx: jobs.add_job(tx, order, place, title="", destination="", now=1.0)] * 3
    threads = [threading.Thread(target=run, args=(change,)) for change in (*good[:2], bad, good[2])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert sorted(map(str, results)) == ["1", "2", "3", "bad"]
    assert broken == []
    writer.post(bad)
    assert writer.close(5)
    assert [str(error) for error in broken] == ["bad"]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_rate_is_of_the_last_five_seconds_and_falls_when_nothing_moves() -> None:
    clock = Clock()
    meter = Meter(clock)
    for _ in range(100):
        clock.now += 0.1
        meter.add(1000)
    assert meter.rate_bytes_per_s() == pytest.approx(10_000, rel=0.1)
    clock.now += 2.5
    assert meter.rate_bytes_per_s() == pytest.approx(5_000, rel=0.15)
    clock.now += 5
    assert meter.rate_bytes_per_s() == 0


def test_progress_never_goes_back_and_resumed_bytes_do_not_count_as_rate() -> None:
    clock = Clock()
    board = ProgressBoard(clock)
    entry = board.enter(7, held_bytes=5000)
    entry.moved(0, 9000)
    entry.moved(5000, 9000)
    clock.now += 1
    assert board.state().rate_bytes_per_s == 0
    entry.moved(6000, 9000)
    entry.moved(5500, 9000)
    (shown,) = board.state().items
    assert (shown.id, shown.bytes_done, shown.verifying) == (7, 6000, False)
    assert shown.left_s == pytest.approx(3000 / shown.rate_bytes_per_s)
    entry.verifying()
    (shown,) = board.state().items
    assert (shown.verifying, shown.left_s) == (True, None)
    version = board.state().version
    board.leave(7)
    assert board.state().items == ()
    assert board.state().version > version


def test_live_progress_is_merged_with_the_journal() -> None:
    running = ItemView(
        id=1, job_id=3, job_kind=JobKind.UPLOAD, instance="i", kind=ItemKind.FILE, state=ItemState.RUNNING, name="n",
        key="k", local_path="/n", size_bytes=100, bytes_done=20,
    )  # fmt: skip
    snapshot = QueueSnapshot(
        totals=QueueTotals(uploading=1, size_bytes=200, done_bytes=120), jobs=(), items=(running,), item_count=1
    )
    moving = LiveItem(id=1, bytes_done=50, rate_bytes_per_s=10.0, left_s=5.0, verifying=False)
    merged = merge(snapshot, [running], LiveState(version=1, rate_bytes_per_s=10.0, items=(moving,)))
    assert (merged.items[0].bytes_done, merged.items[0].left_s) == (50, 5.0)
    assert (merged.totals.done_bytes, merged.totals.left_s, merged.totals.worker_alive) == (150, 5.0, True)
    assert merge(snapshot, [], None) == snapshot


def test_items_claimed_ahead_are_shown_as_queued() -> None:
    def claimed(number: int) -> ItemView:
        return ItemView(
            id=number, job_id=3, job_kind=JobKind.UPLOAD, instance="i", kind=ItemKind.FILE, state=ItemState.RUNNING,
            name=f"n{number}", key="k", local_path="/n", size_bytes=100, bytes_done=0,
        )  # fmt: skip

    job = JobView(
        id=3, kind=JobKind.UPLOAD, instance="i", title="t", destination="/", created_at=0, scanning=False,
        counts={ItemState.RUNNING: 3, ItemState.QUEUED: 7}, size_bytes=1000, done_bytes=0,
    )  # fmt: skip
    found = tuple(claimed(number) for number in (1, 2, 3))
    snapshot = QueueSnapshot(totals=QueueTotals(uploading=3, queued=7), jobs=(job,), items=found, item_count=10)
    moving = LiveItem(id=1, bytes_done=50, rate_bytes_per_s=10.0, left_s=5.0, verifying=False)
    merged = merge(snapshot, found[:1], LiveState(version=1, items=(moving,)))
    assert [item.state for item in merged.items] == [ItemState.RUNNING, ItemState.QUEUED, ItemState.QUEUED]
    assert (merged.totals.uploading, merged.totals.queued) == (1, 9)
    assert merged.jobs[0].counts == {ItemState.RUNNING: 1, ItemState.QUEUED: 9}
    assert merged.jobs[0].done_bytes == 50


def test_facts_are_remembered_across_processes(paths: Paths) -> None:
    FactsOnDisk(paths).remember("server", {"md5": True, "at": 1.5})
    other = FactsOnDisk(paths)
    assert other.recall("server") == {"md5": True, "at": 1.5}
    assert other.recall("another") is None
    with Journal(paths.journal_file) as journal:
        assert journal.revision() == 0  # no view shows facts


def test_facts_that_cannot_be_stored_cause_no_failure(paths: Paths) -> None:
    paths.journal_file.parent.mkdir(parents=True)
    paths.journal_file.write_bytes(b"no database" * 100)
    facts = FactsOnDisk(paths)
    facts.remember("server", {})
    assert facts.recall("server") is None


def test_requests_of_a_process_without_a_batch_writer_are_recorded_soon_and_at_its_end(paths: Paths) -> None:
    calls = CallsOnDisk(paths)
    count = calls.counter("cloud")
    count("List")
    with closing(Queue(paths)) as queue:
        wait_until(lambda: queue.calls("cloud") == {"List": 1})
        count("List")
        with sent_for({"a": 1}):
            count("Delete")
        calls.write()
        assert queue.calls("cloud") == {"List": 2, "Delete": 1}


def test_counts_that_cannot_be_stored_cause_no_failure(paths: Paths) -> None:
    paths.journal_file.parent.mkdir(parents=True)
    paths.journal_file.write_bytes(b"no database" * 100)
    calls = CallsOnDisk(paths)
    calls.counter("cloud")("List")
    calls.write()
    assert paths.journal_file.read_bytes() == b"no database" * 100


def test_requests_belong_to_the_item_that_they_are_sent_for() -> None:
    """Of several deletes, those that the service takes one by one; a batch belongs to no item."""
    calls = CallCounts()
    count = calls.counter("cloud")

    class Provider(MemoryProvider):
        def remove(self, key: str) -> None:
            count("Delete")

    with sent_for({"a": 1, "b": 2}):
        Provider(MemoryStore()).remove_many(["a", "b"])
        count("Batch")
    with sent_for(3):
        run_parts(range(4), lambda _: count("Part"), 2, CancelToken())
    count("List")
    one = {("cloud", "Delete"): 1}
    assert calls.take() == {0: {("cloud", "Batch"): 1, ("cloud", "List"): 1}, 1: one, 2: one, 3: {("cloud", "Part"): 4}}
    assert calls.take() == {}


@pytest.mark.parametrize(
    ("main", "drop_in", "kills"),
    [
        (None, None, False),
        ("[Login]\n#KillUserProcesses=yes\n", None, False),
        ("[Login]\nKillUserProcesses=yes\n", None, True),
        ("[Login]\nKillUserProcesses=yes\n", "[Login]\nKillUserProcesses=no\n", False),
        ("[Login]\n", "[Login]\nKillUserProcesses=1\n", True),
        ("no section\n", None, False),
    ],
)
def test_what_logind_does_at_logout(tmp_path: Path, main: str | None, drop_in: str | None, kills: bool) -> None:
    if main is not None:
        (tmp_path / "logind.conf").write_text(main)
    if drop_in is not None:
        (tmp_path / "logind.conf.d").mkdir()
        (tmp_path / "logind.conf.d" / "50-own.conf").write_text(drop_in)
    assert logind.kills_user_processes([tmp_path]) is kills


def test_belonging_to_a_login_session_is_read_from_the_control_group(tmp_path: Path) -> None:
    group = tmp_path / "cgroup"
    group.write_text("0::/user.slice/user-1000.slice/session-3.scope\n")
    assert logind.in_session(group)
    group.write_text("0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope\n")
    assert not logind.in_session(group)
    assert not logind.in_session(tmp_path / "none")


def test_items_of_a_place_pause_with_the_reason(journal: Journal) -> None:
    place = Destination(instance="i", type="local", container="", settings="")
    with journal.transaction() as tx:
        order = JobRequest(kind=JobKind.UPLOAD, sources=("/x",))
        job = jobs.job(tx, jobs.add_job(tx, order, place, title="", destination="", now=1.0))
        jobs.add_items(tx, job, [NewItem(name=name, key=name) for name in "abc"], now=1.0)
        items.claim(tx, "i", 1, now=1.0)
        reason = judge(Authentication("moved"), item(), CHANCES).error
        assert reason is not None
        assert items.pause_place(tx, job.place_id, reason, now=2.0) == 2
