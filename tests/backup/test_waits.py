"""Waits of the worker: never longer than an hour at a time, in real time."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from backup.instances.destination import place_of
from backup.instances.request_counts import CallCounts
from backup.instances.server_facts import FactsOnDisk
from backup.journal import Journal, items, jobs, views, work
from backup.journal.records import Destination, Ending, Hold, Item, JobRequest, NewItem, Outcome
from backup.model.transfers import ItemState, JobKind
from backup.system.paths import Paths
from backup.system.private_files import private_folder
from backup.system.text import until
from backup.worker.batch_writer import BatchWriter
from backup.worker.clock import WorkerClock, elapsed_s
from backup.worker.context import WorkerContext
from backup.worker.items import transfer
from backup.worker.items.transfer import Chances, backoff_s, judge
from backup.worker.progress import ProgressBoard
from backup.worker.scheduler import Scheduler
from backup.worker.shared_provider import SharedProvider
from backup.worker.wakeup import Wakeup
from providers.contract.cancel import CancelToken
from providers.contract.report import ErrorInfo
from providers.contract.retry import RetryPolicy
from providers.errors import Cancelled, RateLimited, Transient
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import Fault
from tests.backup.queue_support import Workbench, wait_until
from tests.cli.conftest import Cli, cli  # noqa: F401  # a fixture
from tests.servers.s3_requests import list_objects, put_object
from tests.servers.s3_server import S3Server
from tui.rows.transfers import state_words

TEN_YEARS_S = 3.2e8
BUSY = ErrorInfo("rate_limited", "slow down")


class Times:
    """A system clock and elapsed time, both set by the test."""

    def __init__(self) -> None:
        self.wall_s = 1.7e9
        self.passed_s = 50.0

    def passes(self, seconds: float) -> None:
        self.wall_s += seconds
        self.passed_s += seconds


@pytest.fixture
def journal(paths: Paths) -> Iterator[Journal]:
    private_folder(paths.state_dir)
    with Journal(paths.journal_file) as opened:
        yield opened


def claimed(journal: Journal, now: float) -> Item:
    order = JobRequest(kind=JobKind.UPLOAD, sources=("/x",))
    place = Destination(instance="off", type="local", container="/srv", settings="{}")
    with journal.transaction() as tx:
        job_id = jobs.add_job(tx, order, place, title="x", destination="/", now=now)
        jobs.add_items(tx, jobs.job(tx, job_id), [NewItem(name="x", key="x", local_path="/x")], now=now)
        jobs.scan_ended(tx, job_id)
        (item,) = items.claim(tx, "off", 1, now=now)
    return item


def state(journal: Journal) -> tuple[ItemState, float | None]:
    with journal.look() as db:
        item = views.item(db, 1)
    return item.state, item.wait_until


@pytest.mark.parametrize(
    ("asked_s", "waits_s"),
    [(7.0, 7.0), (3599.0, 3599.0), (1e8, 3600.0), (math.inf, 3600.0), (math.nan, 10.0), (-5.0, 10.0), (0.0, 10.0)],
)
def test_one_wait_is_at_most_an_hour_whatever_the_service_asks(asked_s: float, waits_s: float) -> None:
    chances = Chances(uniform=lambda low, high: high)
    assert backoff_s(0, RateLimited("slow", retry_after_s=asked_s), chances) == waits_s


def test_repeated_waits_requested_by_a_service_use_up_no_attempt(journal: Journal) -> None:
    item = claimed(journal, 1.0)
    chances = Chances(now=lambda: 100.0)
    for failures in (0, transfer.MAX_FAILURES, 10 * transfer.MAX_FAILURES):
        worn = Item(**{name: getattr(item, name) for name in item.__struct_fields__} | {"failures": failures})
        outcome = judge(RateLimited("slow", retry_after_s=1e9), worn, chances)
        assert (outcome.ending, outcome.wait_until, outcome.counts_as_failure) == (Ending.WAITING, 3700.0, False)
    assert judge(Transient("reset"), worn, chances).ending is Ending.FAILED


def test_a_long_wait_holds_no_connection() -> None:
    waited: list[float] = []
    calls: list[int] = []

    def call() -> None:
        calls.append(1)
        raise RateLimited("slow", retry_after_s=61.0)

    policy = RetryPolicy(3, 1.0, patience_s=60.0, sleep=lambda seconds, cancel: waited.append(seconds))
    with pytest.raises(RateLimited):
        policy.run(call, CancelToken())
    assert (len(calls), waited) == (1, [])


def test_waits_in_the_journal_are_clamped_and_move_with_the_clock(journal: Journal) -> None:
    claimed(journal, 1.0)
    with journal.transaction() as tx:
        items.end(tx, Outcome(item_id=1, ending=Ending.WAITING, error=BUSY, wait_until=math.inf), now=2.0)
        work.hold(tx, Hold(instance="off", error=BUSY, until=1e12))
        work.clamp_waits(tx, now=1000.0)
        work.move_waits(tx, 50.0)
        assert [row["until"] for row in tx.execute("SELECT until FROM holds")] == [4650.0]
    assert state(journal) == (ItemState.WAITING, 4650.0)


@pytest.mark.parametrize(
    ("written_s", "clamped_s", "moved_s"),
    [(500.0, 500.0, 550.0), (4600.0, 4600.0, 4650.0), (4600.5, 4600.0, 4650.0), (1e12, 4600.0, 4650.0)],
)
def test_waits_of_clean_ups_are_limited_too(
    journal: Journal, written_s: float, clamped_s: float, moved_s: float
) -> None:
    claimed(journal, 1.0)

    def waits_s() -> list[float]:
        with journal.look() as db:
            return [row["wait_until"] for row in db.execute("SELECT wait_until FROM cleanups")]

    with journal.transaction() as tx:
        tx.execute("INSERT INTO cleanups (item_id, instance, wait_until) VALUES (1, 'off', ?)", (written_s,))
        work.clamp_waits(tx, now=1000.0)
    assert waits_s() == [clamped_s]
    with journal.transaction() as tx:
        work.move_waits(tx, 50.0)
    assert waits_s() == [moved_s]


def test_a_clean_up_that_is_due_stays_due_whatever_the_clock_does(journal: Journal) -> None:
    claimed(journal, 1.0)
    with journal.transaction() as tx:
        tx.execute("INSERT INTO cleanups (item_id, instance) VALUES (1, 'off')")
        work.move_waits(tx, 1e9)
        assert [due.item_id for due in work.due_cleanups(tx, now=5.0)] == [1]


@pytest.mark.parametrize("step_s", [TEN_YEARS_S, -TEN_YEARS_S])
def test_a_corrected_clock_neither_shortens_nor_lengthens_a_wait(journal: Journal, paths: Paths, step_s: float) -> None:
    times = Times()
    clock = WorkerClock(wall=lambda: times.wall_s, elapsed=lambda: times.passed_s)
    claimed(journal, clock.now())
    with journal.transaction() as tx:
        ends = Outcome(item_id=1, ending=Ending.WAITING, error=BUSY, wait_until=clock.now() + 600)
        items.end(tx, ends, now=clock.now())
        work.hold(tx, Hold(instance="off", error=BUSY))  # nothing is to begin in this test
    writer = BatchWriter(journal, on_failure=lambda error: None)
    worker = WorkerContext(
        paths=paths, journal=journal, writer=writer, board=ProgressBoard(), facts=FactsOnDisk(paths, journal),
        calls=CallCounts(), wake=lambda: None, clock=clock, chances=Chances(now=clock.now, clock=clock.elapsed_s),
    )  # fmt: skip
    with closing(Scheduler(worker, Wakeup(), linger_s=1)) as scheduler:
        times.passes(100)
        times.wall_s += step_s
        scheduler._round()
        assert state(journal) == (ItemState.WAITING, times.wall_s + 500)  # as it is shown
        times.passes(499)
        scheduler._round()
        assert state(journal)[0] is ItemState.WAITING
        times.passes(2)  # the same while the machine is suspended
        scheduler._round()
        assert state(journal) == (ItemState.QUEUED, None)
    assert writer.close(5)


def test_elapsed_time_includes_sleep_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    assert abs(WorkerClock().now() - time.time()) < 1
    slept = SimpleNamespace(CLOCK_BOOTTIME=7, clock_gettime={7: 9e5}.__getitem__, monotonic=lambda: 5.0)
    monkeypatch.setattr("backup.worker.clock.time", slept)
    assert elapsed_s() == 9e5
    monkeypatch.setattr("backup.worker.clock.time", SimpleNamespace(monotonic=lambda: 5.0))  # not Linux
    assert elapsed_s() == 5.0


class Naps(CancelToken):
    """Its waits take the time that a test sets, and not longer than requested."""

    def __init__(self, times: Times, sleeps_s: list[float]) -> None:
        super().__init__()
        self.times = times
        self.sleeps_s = sleeps_s
        self.waited: list[float] = []

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.times.passes(seconds + (self.sleeps_s.pop() if self.sleeps_s else 0.0))


def test_a_wait_within_a_call_ends_after_the_machine_slept_through_it() -> None:
    """System timers pause while the machine is suspended: no wait relies on one for long."""
    times = Times()
    clock = WorkerClock(wall=lambda: times.wall_s, elapsed=lambda: times.passed_s)
    awake, asleep = Naps(times, []), Naps(times, [3600.0])
    clock.sleep(60.0, awake)
    assert (sum(awake.waited), max(awake.waited)) == (60.0, 1.0)
    clock.sleep(60.0, asleep)
    assert asleep.waited == [1.0]
    asleep.cancel()
    with pytest.raises(Cancelled):
        clock.sleep(0.0, asleep)


def test_providers_of_the_worker_wait_by_the_clock_that_counts_sleep(journal: Journal, paths: Paths) -> None:
    """Covers retries of up to 60 s, and the bandwidth limit."""
    times = Times()
    clock = WorkerClock(wall=lambda: times.wall_s, elapsed=lambda: times.passed_s)
    writer = BatchWriter(journal, on_failure=lambda error: None)
    worker = WorkerContext(
        paths=paths, journal=journal, writer=writer, board=ProgressBoard(), facts=FactsOnDisk(paths, journal),
        calls=CallCounts(), wake=lambda: None, clock=clock, chances=Chances(now=clock.now, clock=clock.elapsed_s),
    )  # fmt: skip
    shared = SharedProvider("local", worker)
    with closing(shared._open(None)) as provider:
        naps, began_s = Naps(times, [600.0]), times.passed_s
        calls: list[int] = []

        def busy() -> None:
            calls.append(1)
            if len(calls) == 1:
                raise RateLimited("slow", retry_after_s=50.0)

        provider.retry.run(busy, naps)
        assert (calls, naps.waited, times.passed_s - began_s) == ([1, 1], [1.0], 601.0)
        provider.limiter.rate_bytes_per_s = 10
        naps = Naps(times, [])
        for _ in range(2):
            provider.limiter.take(100, naps)
        assert sum(naps.waited) > 9
    assert writer.close(5)


def test_until_is_a_time_of_this_day() -> None:
    noon = time.mktime((2026, 11, 27, 12, 0, 0, 0, 0, -1))
    assert until(noon + 9120) == "until 14:32"
    assert until(1e300) == "until -"


def test_items_queued_behind_a_pause_say_until_when(cli: Cli, journal: Journal, bench: Workbench) -> None:  # noqa: F811
    until_s = time.time() + 900
    with journal.transaction() as tx:
        order = JobRequest(kind=JobKind.UPLOAD, sources=("/x",))
        job_id = jobs.add_job(tx, order, place_of(bench.paths, "local"), title="x", destination="/", now=1.0)
        jobs.add_items(tx, jobs.job(tx, job_id), [NewItem(name="x", key="x", local_path="/x")], now=1.0)
        jobs.scan_ended(tx, job_id)
        work.hold(tx, Hold(instance="local", error=BUSY, until=until_s))
    shown = cli("transfers", "list")
    assert shown.out.count(until(until_s)) == 2  # the job, and its file
    assert f"{until(until_s)}: slow down" in shown.out
    listed = cli("transfers", "list", "--json").json()
    assert [(row["wait_until"], row["state"]) for row in listed["items"]] == [(until_s, "queued")]
    assert (listed["jobs"][0]["wait_until"], listed["jobs"][0]["waits_for"]["message"]) == (until_s, "slow down")
    assert bench.queue.job(1).held is None
    bench.queue.pause([1])
    assert until(until_s) not in cli("transfers", "list").out


def test_a_waiting_scan_says_until_when_and_continues_at_once_when_resumed(
    cli: Cli,  # noqa: F811
    bench: Workbench,
    moto_s3: S3Server,
    moto_proxy: FaultProxy,
    tmp_path: Path,
) -> None:
    bucket = moto_s3.new_bucket()
    moto_s3.put(bucket, "d/a", b"alpha")
    bench.configure_s3("cloud", moto_proxy.url, bucket, max_retries=0)
    moto_proxy.fault(Fault.status(503, headers={"Retry-After": "99999999"}), list_objects(), times=1)
    job = bench.queue.queue_download("cloud", ["d/"], tmp_path / "back")
    wait_until(lambda: bench.queue.job(job.id).wait_until)
    waits = bench.queue.job(job.id)
    assert waits.wait_until is not None
    assert waits.waits_for is not None
    assert 3500 < waits.wait_until - time.time() <= 3600
    assert until(waits.wait_until) in cli("transfers", "list").out
    assert bench.queue.resume([], [job.id]) == 1
    assert bench.finish(job).counts[ItemState.DONE] == 1
    assert bench.queue.job(job.id).wait_until is None


def test_the_wait_of_a_scan_is_clamped_and_moves_with_the_clock(journal: Journal) -> None:
    with journal.transaction() as tx:
        order = JobRequest(kind=JobKind.DOWNLOAD, sources=("x/",), to="/")
        place = Destination(instance="off", type="local", container="/srv", settings="{}")
        job_id = jobs.add_job(tx, order, place, title="x", destination="/", now=1.0)
        jobs.scan_waits(tx, job_id, BUSY, until=1e12)
        work.clamp_waits(tx, now=1000.0)
        work.move_waits(tx, 50.0)
        assert views.job(tx, job_id).wait_until == 4650.0
        assert jobs.jobs_to_scan(tx, now=4649.0) == []
        assert [job.id for job in jobs.jobs_to_scan(tx, now=4650.0)] == [job_id]
        work.release(tx, "another", now=1.0)
        assert views.job(tx, job_id).waits_for == BUSY
        work.release(tx, "off", now=1.0)
        assert (views.job(tx, job_id).wait_until, views.job(tx, job_id).waits_for) == (None, None)


def test_a_service_that_asks_for_years_is_waited_for_an_hour(
    bench: Workbench, moto_s3: S3Server, moto_proxy: FaultProxy, tmp_path: Path
) -> None:
    moto_proxy.fault(Fault.status(503, headers={"Retry-After": "99999999"}), put_object(), times=None)
    bench.configure_s3("cloud", moto_proxy.url, moto_s3.new_bucket(), max_retries=5)
    file = tmp_path / "file"
    file.write_bytes(b"x")
    job = bench.queue.queue_upload("cloud", [file])
    wait_until(lambda: bench.only_item(job).wait_until)
    item = bench.only_item(job)
    assert item.wait_until is not None
    assert 3500 < item.wait_until - time.time() <= 3600
    assert moto_proxy.count(put_object()) == 1


THREE_YEARS_S = 3 * 365 * 86_400.0


@pytest.fixture
def waiting_for_years(journal: Journal, bench: Workbench, moto_s3: S3Server, moto_proxy: FaultProxy) -> int:
    """A job whose file and instance wait for three years, as a corrected clock may leave them, while no worker runs.
    Its service still asks for a pause."""
    moto_proxy.fault(Fault.status(503, headers={"Retry-After": "99999999"}), put_object(), times=None)
    bench.configure_s3("cloud", moto_proxy.url, moto_s3.new_bucket(), max_retries=0)
    file, now = bench.paths.state_dir / "file", time.time()
    file.write_bytes(b"x")
    with journal.transaction() as tx:
        order = JobRequest(kind=JobKind.UPLOAD, sources=(str(file),))
        job_id = jobs.add_job(tx, order, place_of(bench.paths, "cloud"), title="x", destination="/", now=now)
        jobs.add_items(tx, jobs.job(tx, job_id), [NewItem(name="x", key="x", local_path=str(file))], now=now)
        jobs.scan_ended(tx, job_id)
        (item,) = items.claim(tx, "cloud", 1, now=now)
        later = now + THREE_YEARS_S
        items.end(tx, Outcome(item_id=item.id, ending=Ending.WAITING, error=BUSY, wait_until=later), now=now)
        work.hold(tx, Hold(instance="cloud", error=BUSY, until=later))
    return job_id


def shown_waits(cli: Cli) -> list[float]:  # noqa: F811
    """How far ahead the waits of job and file are in `transfers list`; asserts that its text says the same."""
    listed = cli("transfers", "list", "--json").json()
    moments = [row["wait_until"] for row in (*listed["jobs"], *listed["items"]) if row["wait_until"] is not None]
    words = cli("transfers", "list").out
    assert all(until(moment) in words for moment in moments)
    return [moment - time.time() for moment in moments]


def test_a_wait_of_years_in_the_journal_is_shown_as_an_hour_while_no_worker_runs(
    cli: Cli,  # noqa: F811
    waiting_for_years: int,
    bench: Workbench,
) -> None:
    ahead_s = shown_waits(cli)
    assert len(ahead_s) == 2
    assert all(3500 < seconds <= 3600 for seconds in ahead_s), ahead_s
    row = bench.queue.item(1)
    assert row.wait_until is not None
    assert state_words(row)[0].startswith(f"{until(row.wait_until)}")


def test_a_worker_that_starts_on_a_wait_of_years_waits_for_an_hour_at_most(
    cli: Cli,  # noqa: F811
    waiting_for_years: int,
    bench: Workbench,
    moto_proxy: FaultProxy,
) -> None:
    """Waiting items are tried at once; the pause that the service then asks for is bounded."""
    bench.queue.ensure_worker()
    wait_until(lambda: moto_proxy.count(put_object()))
    (wait,) = wait_until(lambda: [item.wait_until for item in bench.queue.snapshot().items if item.wait_until])
    assert 3500 < wait - time.time() <= 3600
    ahead_s = shown_waits(cli)
    assert ahead_s
    assert all(3500 < seconds <= 3600 for seconds in ahead_s), ahead_s
