"""`--since` never reports a false success: every failure since then counts, whenever it was queued, forgotten or
not."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.cli.diagnostics import ExitCode
from backup.instances.destination import place_of
from backup.journal import Journal, controls, items, jobs, pruning, views
from backup.journal.records import Ending, JobRequest, NewItem, Outcome
from backup.model.transfers import ItemState, JobKind
from backup.system.paths import Paths
from providers.contract.report import ErrorInfo
from tests.backup.queue_support import Workbench
from tests.cli.conftest import Cli

DAY_S = 86400.0
FORMER = Path(__file__).parents[1] / "backup" / "journals" / "version_4_stored.sql"
BROKEN = ErrorInfo("transient", "the listing broke off")


@pytest.fixture
def journal(paths: Paths) -> Iterator[Journal]:
    paths.state_dir.mkdir(parents=True)
    with Journal(paths.journal_file) as opened:
        yield opened


@pytest.fixture
def bench(paths: Paths) -> Iterator[Workbench]:
    opened = Workbench(paths)
    yield opened
    opened.close()


def queued(tx: sqlite3.Connection, paths: Paths, now: float) -> int:
    order = JobRequest(kind=JobKind.UPLOAD, sources=("/x",))
    return jobs.add_job(tx, order, place_of(paths, "local"), title="x", destination="/", now=now)


def failed(tx: sqlite3.Connection, paths: Paths, *, created_at: float, failed_at: float, files: int = 1) -> int:
    job_id = queued(tx, paths, created_at)
    names = [str(number) for number in range(files)]
    jobs.add_items(tx, jobs.job(tx, job_id), [NewItem(name=name, key=name) for name in names], now=created_at)
    jobs.scan_ended(tx, job_id)
    for item in items.claim(tx, "local", files, now=created_at):
        items.end(tx, Outcome(item_id=item.id, ending=Ending.FAILED), now=failed_at)
    return job_id


@pytest.mark.parametrize("verb", ["list", "wait"])
def test_a_job_queued_before_and_broken_after_it_counts(cli: Cli, paths: Paths, journal: Journal, verb: str) -> None:
    now = time.time()
    with journal.transaction() as tx:
        jobs.scan_broke(tx, queued(tx, paths, now - 7200), BROKEN, now=now - 60)
        jobs.scan_broke(tx, queued(tx, paths, now - 9000), BROKEN, now=now - 8000)
    result = cli("transfers", verb, "--since", "1h", "--json")
    assert result.code == ExitCode.FAILED_SINCE
    since = result.json()["since"]
    assert (since["items"], since["jobs"], since["known_from"], since["forgotten"]) == (0, [1], None, 0)
    assert since["broken_jobs"] == 1
    assert "1 broken job (jobs 1); see" in result.err
    assert cli("transfers", verb, "--since", "30s").code == 0
    assert "history_days" not in result.err


def test_the_worker_records_when_a_scan_breaks(bench: Workbench, tmp_path: Path) -> None:
    before = time.time()
    job = bench.queue.queue_download("local", ["never-there/"], tmp_path)
    assert bench.finish(job).error is not None
    with sqlite3.connect(bench.paths.journal_file) as db:
        db.execute("UPDATE jobs SET created_at = created_at - 7200")
    db.close()
    assert bench.queue.failed_since(before - 60).jobs == (job.id,)
    assert bench.queue.failed_since(time.time() + 60).jobs == ()


def test_broken_jobs_are_counted_alike_everywhere(cli: Cli, paths: Paths, journal: Journal) -> None:
    now = time.time()
    with journal.transaction() as tx:
        for queued_at, broke_at in ((now - 9 * DAY_S, now - 60), (now - 9 * DAY_S, now - 8 * DAY_S), (now - 60, now)):
            jobs.scan_broke(tx, queued(tx, paths, queued_at), BROKEN, now=broke_at)
        cancelled = queued(tx, paths, now - 60)
        controls.cancel(tx, [], [cancelled], now=now)
        assert views.failed_since(tx, now - DAY_S, kept_from=0).jobs == (1, 3)
        shown = views.snapshot(tx)
    assert shown.totals.broken_jobs == 2
    assert {job.id for job in shown.jobs if job.broken} == {1, 2, 3}
    assert cli("status", "--json").json()["queue"]["broken_jobs"] == 2
    assert "2 broken jobs" in cli("status").out
    listed = cli("transfers", "list").out.splitlines()
    states = {words[0]: words[3] for words in map(str.split, listed) if words and words[0].isdigit()}
    assert states == {"1": "failed", "2": "failed", "3": "failed", "4": "cancelled"}


def test_a_cancelled_scan_is_not_a_failure(journal: Journal, paths: Paths) -> None:
    with journal.transaction() as tx:
        controls.cancel(tx, [], [queued(tx, paths, 10)], now=20)
        assert views.failed_since(tx, 5, kept_from=0).jobs == ()


def test_forgotten_failures_of_jobs_queued_since_count(cli: Cli, paths: Paths, journal: Journal) -> None:
    """The totals by job still include them."""
    now = time.time()
    with journal.transaction() as tx:
        young = failed(tx, paths, created_at=now - 50 * DAY_S, failed_at=now - 49 * DAY_S, files=3)
        failed(tx, paths, created_at=now - 80 * DAY_S, failed_at=now - 79 * DAY_S)
        assert pruning.prune(tx, before=now - 10 * DAY_S) == 4
    result = cli("transfers", "list", "--since", "60d", "--json")
    assert result.code == ExitCode.FAILED_SINCE
    since = result.json()["since"]
    assert (since["items"], since["jobs"], since["forgotten"]) == (3, [young], 1)
    # history_days was smaller when they were pruned: the history begins later than it suggests.
    assert abs(since["known_from"] - (now - 10 * DAY_S)) < 1
    assert "1 file of older jobs failed at an unknown time" in result.err


@pytest.mark.parametrize("verb", ["list", "wait"])
def test_a_time_before_the_history_is_reported(cli: Cli, paths: Paths, journal: Journal, verb: str) -> None:
    assert cli("set-config", "history_days", "2").code == 0
    result = cli("transfers", verb, "--since", "3d", "--json")
    assert result.code == 0
    assert abs(result.json()["since"]["known_from"] - (time.time() - 2 * DAY_S)) < 60
    assert "(history_days)" in result.err
    near = cli("transfers", verb, "--since", "1d", "--json")
    assert (near.json()["since"]["known_from"], near.err) == (None, "")


def test_a_failure_that_is_retried_no_longer_counts(journal: Journal, paths: Paths) -> None:
    with journal.transaction() as tx:
        job_id = failed(tx, paths, created_at=10, failed_at=20, files=2)
        assert views.failed_since(tx, 5, kept_from=0).items == views.failed_since(tx, 15, kept_from=0).items == 2
        items.retry(tx, [1], now=30)
        assert views.job(tx, job_id).counts[ItemState.QUEUED] == 1
        assert views.failed_since(tx, 5, kept_from=0).items == views.failed_since(tx, 15, kept_from=0).items == 1
        assert views.failed_since(tx, 21, kept_from=0).items == 0


def test_a_job_broken_under_an_older_version_gets_its_last_known_time(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with sqlite3.connect(path) as db:
        db.executescript(FORMER.read_text())
        db.execute("""UPDATE jobs SET error = '{"kind":"transient","message":"x"}' WHERE id IN (1, 2)""")
        last = db.execute("SELECT max(changed_at) FROM items WHERE job_id = 1").fetchone()[0]
    db.close()
    with Journal(path) as journal, journal.look() as db:
        found = dict(db.execute("SELECT id, broke_at FROM jobs").fetchall())
    assert found[1] == last > 1000
    assert found[2] >= 2000
    assert found[3] is None
