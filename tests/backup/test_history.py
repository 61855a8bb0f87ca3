"""The journal forgets finished items after a time, but never what proves a stored object."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.journal import Journal, items, jobs, pruning, schema, views, work
from backup.journal.records import Destination, Ending, JobRequest, NewItem, Outcome
from backup.model.transfers import ItemState, JobKind
from providers.contract.capabilities import Proof
from providers.contract.report import ErrorInfo
from providers.errors import NotFound
from tests.backup.queue_support import Workbench, wait_until

FIXTURE = Path(__file__).parent / "journals" / "version_4_stored.sql"
PLACE = Destination(instance="disk", type="local", container="/c", settings="{}")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite") as opened:
        yield opened


def add(tx: sqlite3.Connection, kind: JobKind, names: list[str]) -> int:
    """A scanned job over these names at a known place; returns the id of the place."""
    job = jobs.job(
        tx, jobs.add_job(tx, JobRequest(kind=kind, sources=("/s",)), PLACE, title="t", destination="/", now=1)
    )
    jobs.bind_place(tx, job.place_id, "local /c")
    jobs.add_items(tx, job, [NewItem(name=name, key=name, size_bytes=3) for name in names], now=1)
    jobs.scan_ended(tx, job.id)
    return job.place_id


def end_all(
    tx: sqlite3.Connection, *, now: float, sha256: str = "", ending: Ending = Ending.DONE, **more: object
) -> None:
    for item in items.claim(tx, "disk", 10_000, now=now):
        outcome = Outcome(item_id=item.id, ending=ending, sha256=sha256, etag=sha256[:4], **more)  # type: ignore[arg-type]
        items.end(tx, outcome, now=now)


def known(db: sqlite3.Connection, place_id: int, key: str, sha256: str) -> bool:
    return items.known_sha256(db, place_id, key, etag=sha256[:4], size_bytes=3) == sha256


def rows(db: sqlite3.Connection, table: str) -> int:
    return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


A, B = "a" * 64, "b" * 64


def test_after_pruning_history_still_proves_every_object(journal: Journal) -> None:
    with journal.transaction() as tx:
        place = add(tx, JobKind.UPLOAD, ["one", "two", "three"])
        end_all(tx, now=10, sha256=A, proof=Proof.MATCHED, mtime_ns=5, ctime_ns=6)
        add(tx, JobKind.UPLOAD, ["two"])
        end_all(tx, now=20, sha256=B)
        add(tx, JobKind.DELETE, ["three"])
        end_all(tx, now=30)
        work.count_calls(tx, "2026-01-01", {1: {("disk", "Put"): 1}})
        before = views.snapshot(tx)
        assert pruning.prune(tx, before=25) == 4
        assert pruning.prune(tx, before=25) == 0
        assert (rows(tx, "items"), rows(tx, "item_calls")) == (1, 0)
        assert tx.execute("SELECT count(*) FROM events WHERE item_id < 5").fetchone()[0] == 0
        assert [known(tx, place, "one", A), known(tx, place, "two", B)] == [True, True]
        assert not known(tx, place, "two", A)
        assert not known(tx, place, "three", A)
        assert items.stored_before(tx, place, "one", A)
        kept = tx.execute("SELECT * FROM objects WHERE key = ?", (b"one",)).fetchone()
        assert (kept["size_bytes"], kept["mtime_ns"], kept["ctime_ns"], kept["proof"]) == (3, 5, 6, "matched")
        assert kept["proved_at"] == 10
        after = views.snapshot(tx)
        assert (after.jobs, after.totals) == (before.jobs, before.totals)
        assert (before.item_count, after.item_count) == (5, 1)
        assert len(after.items) == 1
        assert views.snapshot(tx, job_id=1).item_count == 0


def test_unfinished_items_are_not_forgotten(journal: Journal) -> None:
    """Queued items, failed ones with something left at the service, and items of a running scan."""
    with journal.transaction() as tx:
        add(tx, JobKind.UPLOAD, ["left"])
        end_all(tx, now=10, ending=Ending.FAILED)
        tx.execute("INSERT INTO checkpoints VALUES (1, x'00')")
        order = JobRequest(kind=JobKind.UPLOAD, sources=("/s",))
        scanned = jobs.job(tx, jobs.add_job(tx, order, PLACE, title="", destination="", now=1))
        jobs.add_items(tx, scanned, [NewItem(name="found", key="found")], now=1)
        end_all(tx, now=10, sha256=A)
        jobs.add_items(tx, scanned, [NewItem(name="open", key="open")], now=1)
        assert pruning.prune(tx, before=1e12) == 0
        jobs.scan_ended(tx, scanned.id)
        assert pruning.prune(tx, before=1e12) == 1
        assert [row["name"] for row in tx.execute("SELECT name FROM items ORDER BY id")] == [b"left", b"open"]


def test_a_day_s_pruning_is_done_step_by_step_and_not_on_the_first_day(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "STEP_ITEMS", 2)
    with journal.transaction() as tx:
        add(tx, JobKind.UPLOAD, ["1", "2", "3"])
        end_all(tx, now=10, sha256=A)
        assert pruning.is_due(tx, now=100)
        assert not pruning.step(tx, before=50, now=100)
        assert (rows(tx, "items"), pruning.is_due(tx, now=200)) == (3, False)
        assert pruning.is_due(tx, now=99)  # the clock was set back
        assert pruning.is_due(tx, now=100 + 86400)
        assert pruning.step(tx, before=50, now=100 + 86400)
        assert (rows(tx, "items"), pruning.is_due(tx, now=100 + 86400)) == (1, True)
        assert not pruning.step(tx, before=50, now=100 + 86400)
        assert (rows(tx, "items"), pruning.is_due(tx, now=100 + 86400)) == (0, False)


def test_steps_are_small_and_oldest_first(journal: Journal) -> None:
    with journal.transaction() as tx:
        add(tx, JobKind.UPLOAD, [str(number) for number in range(30)])
        for now, item in enumerate(items.claim(tx, "disk", 30, now=1)):
            items.end(tx, Outcome(item_id=item.id, ending=Ending.DONE, sha256=A), now=100 - now)
        assert pruning.prune(tx, before=1000, limit=12) == 12
        assert [row["id"] for row in tx.execute("SELECT id FROM items ORDER BY id")] == list(range(1, 19))
        assert rows(tx, "objects") == 30


@pytest.mark.parametrize("kind", [JobKind.DOWNLOAD, JobKind.DELETE])
def test_an_object_found_missing_is_forgotten(journal: Journal, kind: JobKind) -> None:
    with journal.transaction() as tx:
        place = add(tx, JobKind.UPLOAD, ["one", "two"])
        end_all(tx, now=10, sha256=A)
        add(tx, kind, ["one"])
        end_all(tx, now=20, ending=Ending.FAILED, gone=True, error=ErrorInfo.of(NotFound("gone")))
        assert not known(tx, place, "one", A)
        assert known(tx, place, "two", A)
        add(tx, JobKind.DOWNLOAD, ["two"])
        end_all(tx, now=20, ending=Ending.FAILED, error=ErrorInfo.of(NotFound("the folder of the target")))
        assert known(tx, place, "two", A)


def test_two_equal_readings_do_not_remove_a_proof(journal: Journal) -> None:
    with journal.transaction() as tx:
        place = add(tx, JobKind.UPLOAD, ["one"])
        end_all(tx, now=10, sha256=A, proof=Proof.MATCHED, ctime_ns=6)
        add(tx, JobKind.DOWNLOAD, ["one"])
        end_all(tx, now=20, sha256=A, proof=Proof.READ_TWICE)
        kept = tx.execute("SELECT * FROM objects").fetchone()
        assert (kept["proof"], kept["ctime_ns"], kept["proved_at"], kept["stored"]) == ("matched", 6, 20, 1)
        add(tx, JobKind.DOWNLOAD, ["one"])  # another program stored something else there
        end_all(tx, now=30, sha256=B, proof=Proof.READ_TWICE)
        kept = tx.execute("SELECT * FROM objects").fetchone()
        assert (kept["proof"], kept["ctime_ns"], kept["stored"]) == ("read_twice", None, 0)
        assert known(tx, place, "one", B)


def old_journal(path: Path) -> Path:
    """As written by the version before."""
    db = sqlite3.connect(path)
    db.executescript(FIXTURE.read_text())
    db.close()
    return path


def test_a_journal_of_the_version_before_is_migrated(tmp_path: Path) -> None:
    with Journal(old_journal(tmp_path / "journal.sqlite")) as journal, journal.transaction() as tx:
        place = tx.execute("SELECT place_id FROM items WHERE id = 1").fetchone()[0]
        found = {row["key"]: (row["sha256"][0], row["stored"]) for row in tx.execute("SELECT * FROM objects")}
        assert found == {b"photos/kept.jpg": ("a", 1), b"photos/replaced.jpg": ("d", 1)}
        assert items.known_sha256(tx, place, "photos/kept.jpg", etag="etag-a", size_bytes=10) == "a" * 64
        assert pruning.prune(tx, before=1e12) == 6
        assert items.known_sha256(tx, place, "photos/replaced.jpg", etag="etag-d", size_bytes=21) == "d" * 64
        assert [item.name for item in views.snapshot(tx).items] == ["photos/queued.jpg"]
        assert [job.counts[ItemState.DONE] for job in views.jobs(tx)] == [0, 1, 1, 3]


@pytest.mark.parametrize("old", [False, True])
def test_the_file_gives_its_space_back(tmp_path: Path, old: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "_WORTH_PAGES", 20)
    monkeypatch.setattr(pruning, "_STEP_PAGES", 40)
    path = old_journal(tmp_path / "journal.sqlite") if old else tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        with journal.transaction() as tx:
            add(tx, JobKind.UPLOAD, [f"{number:0500}" for number in range(400)])
            tx.execute("UPDATE items SET state = 'cancelled', finished_at = 1, changed_at = 1 WHERE state = 'queued'")
        assert not pruning.shrink(path)  # nothing to give back; the log is merged
        with journal.transaction() as tx:
            while pruning.prune(tx, before=1e12):
                pass
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        db.close()
        size_bytes = path.stat().st_size
        steps = 1
        while pruning.shrink(path):
            steps += 1
        assert path.stat().st_size < size_bytes / 2
        assert steps == 1 if old else steps > 1
        with journal.transaction() as tx:  # it remains usable
            add(tx, JobKind.UPLOAD, ["x"])
            with pytest.raises(sqlite3.IntegrityError, match="illegal"):
                tx.execute("UPDATE items SET state = 'done' WHERE state = 'queued'")


LARGE = "items|events|objects|parts|item_calls|checkpoints"


def test_no_statement_of_the_journal_reads_a_large_table_from_end_to_end(journal: Journal) -> None:
    seen: set[str] = set()
    writer = journal._writer
    writer.set_trace_callback(seen.add)
    with journal.transaction() as tx:
        place = add(tx, JobKind.UPLOAD, ["one", "two"])
        end_all(tx, now=10, sha256=A)
        add(tx, JobKind.DOWNLOAD, ["one"])
        items.pause(tx, [3], now=1)
        items.resume(tx, [3], now=1)
        items.cancel(tx, [3], now=1)
        items.retry(tx, [3], now=1)
        items.pause_place(tx, place, ErrorInfo("x", "y"), now=1)
        items.wishes(tx)
        items.events(tx, 1)
        items.requeue_running(tx, now=1)
        known(tx, place, "one", A)
        items.stored_before(tx, place, "one", A)
        views.snapshot(tx)
        views.snapshot(tx, job_id=1, offset=1)
        views.item(tx, 1)
        views.item_ids(tx, 1)
        views.jobs_by_instance(tx, [1, 2])
        work.wake_due(tx, now=1)
        work.next_due(tx)
        work.release(tx, now=1)
        work.release(tx, "disk", now=1)
        work.ready_instances(tx)
        work.due_cleanups(tx, now=1)
        work.is_busy(tx)
        work.has_work(tx)
        jobs.jobs_to_scan(tx, now=1.0)
        jobs.open_jobs(tx, "disk")
        jobs.environments_open(tx, "disk")
        pruning.prune(tx, before=1e12)
    writer.set_trace_callback(None)
    plans = {
        f"{row['detail']}: {statement}"
        for statement in seen
        if re.match(r"\s*(SELECT|WITH|UPDATE|INSERT|DELETE)", statement)
        for row in writer.execute(f"EXPLAIN QUERY PLAN {statement}")
    }
    assert len(plans) > 40
    read_whole = re.compile(rf"SCAN ({LARGE})(?! USING (COVERING )?INDEX items_(open|ready|waiting|ended))")
    whole = [plan for plan in sorted(plans) if read_whole.match(plan)]
    # For a new row that others reference, SQLite plans a search for broken references; it runs only if there are some.
    assert [plan for plan in whole if "INSERT INTO places" not in plan] == []


def test_the_worker_forgets_and_still_proves(bench: Workbench, tmp_path: Path) -> None:
    bench.paths.config_dir.mkdir(parents=True)
    bench.paths.config_file.write_text('{"version": 1, "providers": {}, "history_days": 2}')
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "new").write_bytes(b"new")
    first = bench.finish(bench.queue.queue_upload("local", [tmp_path / "old"]))
    wait_until(lambda: bench.pid() is None)
    with Journal(bench.paths.journal_file) as journal, journal.transaction() as tx:
        assert tx.execute("SELECT pruned_at FROM totals").fetchone()[0] is not None  # a day to think about it
        tx.execute("UPDATE items SET finished_at = finished_at - 3 * 86400")
        tx.execute("UPDATE totals SET pruned_at = pruned_at - 90000")
    bench.finish(bench.queue.queue_upload("local", [tmp_path / "new"]))
    wait_until(lambda: not bench.items(first))
    assert bench.queue.job(first.id).counts[ItemState.DONE] == 1
    assert bench.queue.snapshot().item_count == 1
    with Journal(bench.paths.journal_file) as journal, journal.look() as db:
        kept = {row["key"]: row for row in db.execute("SELECT * FROM objects")}
    stat = (tmp_path / "old").stat()
    assert (kept[b"old"]["mtime_ns"], kept[b"old"]["ctime_ns"]) == (stat.st_mtime_ns, stat.st_ctime_ns)


def test_schema_versions_of_the_fixture_are_the_first_ones(tmp_path: Path) -> None:
    """The fixture matches its name: a later script in it would otherwise go unnoticed."""
    path = old_journal(tmp_path / "journal.sqlite")
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == 4 < len(schema.MIGRATIONS)
    db.close()
