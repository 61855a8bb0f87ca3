"""The journal: its state machine, counters, speed, and robustness."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backup.journal import IllegalTransition, Journal, items, jobs, schema, views, work
from backup.journal.checkpoints import CheckpointRow, UploadCheckpoint
from backup.journal.records import Destination, Ending, Hold, Job, JobRequest, NewItem, Outcome
from backup.model.transfers import FINAL_STATES, TRANSITIONS, ItemKind, ItemState, JobKind
from providers.contract.capabilities import Proof
from providers.contract.download import SavedDownload
from providers.contract.report import ErrorInfo
from providers.contract.upload import PartReceipt, SavedUpload, SourceIdentity, UploadRequest
from providers.errors import InvalidConfiguration, ProviderError

PLACE = Destination(instance="disk", type="local", container="/srv", settings="{}")
ODD_NAME = "caf\udce9/\x1b[31m\n"
NO_ROOM = ErrorInfo("quota", "no room for caf\udce9")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite") as opened:
        yield opened


def add_job(journal: Journal, count: int, *, kind: JobKind = JobKind.UPLOAD, instance: str = "disk") -> Job:
    place = Destination(instance=instance, type="local", container="/srv", settings="{}")
    with journal.transaction() as tx:
        job_id = jobs.add_job(tx, JobRequest(kind=kind, sources=("/x",)), place, title="x", destination="/", now=1.0)
        job = jobs.job(tx, job_id)
        new = [NewItem(name=f"x/{number}", key=f"x/{number}", size_bytes=10 + number) for number in range(count)]
        jobs.add_items(tx, job, new, now=1.0)
        jobs.scan_ended(tx, job_id)
    return job


def states(journal: Journal) -> dict[int, str]:
    with journal.look() as db:
        return {row["id"]: row["state"] for row in db.execute("SELECT id, state FROM items")}


Recount = tuple[dict[tuple[int, str], int], dict[int, tuple[int, int, int]], tuple[int, int]]


def recount(db: sqlite3.Connection) -> Recount:
    """Counters as a sum over all items gives them."""
    counts: Counter[tuple[int, str]] = Counter()
    by_job: dict[int, tuple[int, int, int]] = {row["id"]: (0, 0, 0) for row in db.execute("SELECT id FROM jobs")}
    for row in db.execute("SELECT * FROM items"):
        counts[row["job_id"], row["state"]] += 1
        counts[0, row["state"]] += 1
        opened, size, done = by_job[row["job_id"]]
        moves = row["job_kind"] != "delete" and row["state"] not in ("skipped", "cancelled")
        by_job[row["job_id"]] = (
            opened + (row["state"] not in FINAL_STATES),
            size + (row["size_bytes"] if moves else 0),
            done + (row["bytes_done"] if moves else 0),
        )
    scanning = {row["id"] for row in db.execute("SELECT id FROM jobs WHERE scanning")}
    unfinished = [(size, done) for job, (opened, size, done) in by_job.items() if opened or job in scanning]
    return dict(counts), by_job, (sum(size for size, _ in unfinished), sum(done for _, done in unfinished))


def assert_counters_are_true(journal: Journal) -> None:
    with journal.look() as db:
        counts, by_job, total = recount(db)
        kept: Counter[tuple[int, str]] = Counter()
        for row in db.execute("SELECT job_id, state, items FROM counts"):
            kept[row["job_id"], row["state"]] += row["items"]
        assert {key: count for key, count in kept.items() if count} == counts
        for row in db.execute("SELECT * FROM jobs"):
            assert (row["open_items"], row["size_bytes"], row["done_bytes"]) == by_job[row["id"]]
            listed = db.execute("SELECT sum(size_bytes) FROM items WHERE job_id = ?", (row["id"],)).fetchone()[0]
            assert row["listed_bytes"] == (listed or 0)
        totals = db.execute("SELECT * FROM totals").fetchone()
        assert (totals["size_bytes"], totals["done_bytes"]) == total
        assert totals["scanning"] == db.execute("SELECT count(*) FROM jobs WHERE scanning").fetchone()[0]


def test_the_file_is_its_owners_alone_and_durable(tmp_path: Path) -> None:
    path = tmp_path / "state" / "journal.sqlite"
    with Journal(path) as journal:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with journal.look() as db:
            assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
            assert db.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_names_and_errors_that_are_not_utf8_come_back(journal: Journal) -> None:
    job = add_job(journal, 0)
    with journal.transaction() as tx:
        odd = NewItem(name=ODD_NAME, key=ODD_NAME, local_path=ODD_NAME, state=ItemState.FAILED, error=NO_ROOM)
        jobs.add_items(tx, job, [odd], now=1.0)
    with journal.look() as db:
        (found,) = views.snapshot(db).items
    assert (found.name, found.key, found.local_path, found.error) == (ODD_NAME, ODD_NAME, ODD_NAME, NO_ROOM)


def test_repeating_a_scan_adds_nothing_twice(journal: Journal) -> None:
    job = add_job(journal, 3)
    with journal.transaction() as tx:
        added = jobs.add_items(tx, job, [NewItem(name=f"x/{n}", key=f"x/{n}") for n in range(5)], now=2.0)
    assert len(states(journal)) == 5
    assert added == 2
    assert_counters_are_true(journal)


def test_the_database_itself_refuses_illegal_transitions(journal: Journal) -> None:
    job = add_job(journal, 0)
    pairs = [(before, after) for before in ItemState for after in ItemState]
    with journal.transaction() as tx:
        new = [NewItem(name=f"{before} {after}", key="k", state=before) for before, after in pairs]
        jobs.add_items(tx, job, new, now=1.0)
    for item_id, (before, after) in enumerate(pairs, 1):
        try:
            with journal.transaction() as tx:
                tx.execute("UPDATE items SET state = ? WHERE id = ?", (after, item_id))
            changed = True
        except IllegalTransition:
            changed = False
        assert changed == (after is before or after in TRANSITIONS[before])
        assert states(journal)[item_id] == (after if changed else before)


STEPS = st.one_of(
    st.tuples(st.just("claim"), st.integers(1, 4)),
    st.tuples(st.just("end"), st.sampled_from(list(Ending))),
    st.tuples(st.sampled_from(["pause", "resume", "cancel", "retry"]), st.sets(st.integers(1, 14), max_size=6)),
    st.tuples(st.just("part"), st.integers(1, 9)),
    st.tuples(st.sampled_from(["due", "died", "release", "lost place", "new job", "scan ended"]), st.none()),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=5, max_size=20))
def test_counters_equal_recounts_and_only_legal_changes_happen(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, object]]
) -> None:
    with Journal(tmp_path_factory.mktemp("journal") / "j") as journal:
        add_job(journal, 5)
        add_job(journal, 3, kind=JobKind.DELETE)
        before = states(journal)
        revision = journal.revision()
        for number, (step, value) in enumerate(steps):
            take_step(journal, step, value, now=10.0 + number)
            after = states(journal)
            for item_id, state in before.items():
                changed = ItemState(after[item_id])
                assert changed == state or changed in reachable(ItemState(state)), (step, state, changed)
            assert_counters_are_true(journal)
            assert journal.revision() > revision
            before, revision = after, journal.revision()
        with journal.look() as db:
            finished = {row[0]: row[1] is not None for row in db.execute("SELECT state, finished_at FROM items")}
        assert all(done == (state in FINAL_STATES) for state, done in finished.items())


def reachable(state: ItemState) -> set[ItemState]:
    """The possible changes in one transaction."""
    return set(TRANSITIONS[state])


def take_step(journal: Journal, step: str, value: object, now: float) -> None:
    controls = {"pause": items.pause, "resume": items.resume, "cancel": items.cancel, "retry": items.retry}
    if step == "new job":
        add_job(journal, 2, kind=JobKind.DOWNLOAD)
        return
    with journal.transaction() as tx:
        running = [row["id"] for row in tx.execute("SELECT id FROM items WHERE state = 'running' ORDER BY id")]
        if step in controls:
            controls[step](tx, value, now=now)  # type: ignore[arg-type]
        elif step == "claim":
            assert isinstance(value, int)
            claimed = items.claim(tx, "disk", value, now=now)
            assert [item.id for item in claimed] == sorted(item.id for item in claimed)
        elif step == "end" and running:
            assert isinstance(value, Ending)
            outcome = Outcome(item_id=running[0], ending=value, error=NO_ROOM, wait_until=now, size_bytes=12)
            items.end(tx, outcome, now=now)
        elif step == "part" and running:
            assert isinstance(value, int)
            items.moved_bytes(tx, running[0], value)
        elif step == "due":
            work.wake_due(tx, now=now)
        elif step == "died":
            items.requeue_running(tx, now=now)
        elif step == "release":
            work.release(tx, now=now)
        elif step == "lost place":
            items.pause_place(tx, 1, NO_ROOM, now=now)
        elif step == "scan ended":
            jobs.scan_ended(tx, 1)


def test_a_wish_decides_what_a_stop_means(journal: Journal) -> None:
    add_job(journal, 4)
    with journal.transaction() as tx:
        items.claim(tx, "disk", 4, now=2.0)
        assert items.pause(tx, [1, 4], now=2.0) == 2
        assert items.cancel(tx, [2, 4], now=2.0) == 2
    with journal.look() as db:
        assert items.wishes(db) == {1: "pause", 2: "cancel", 4: "cancel"}
    with journal.transaction() as tx:
        ends = [items.end(tx, Outcome(item_id=number, ending=Ending.STOPPED), now=3.0) for number in (1, 2, 3)]
        ends.append(items.end(tx, Outcome(item_id=4, ending=Ending.DONE), now=3.0))
        assert items.end(tx, Outcome(item_id=1, ending=Ending.DONE), now=4.0) is None
    assert ends == [ItemState.PAUSED, ItemState.CANCELLED, ItemState.QUEUED, ItemState.DONE]
    with journal.look() as db:
        assert items.wishes(db) == {}


def test_resuming_takes_a_wish_to_pause_back(journal: Journal) -> None:
    add_job(journal, 1)
    with journal.transaction() as tx:
        items.claim(tx, "disk", 1, now=2.0)
        items.pause(tx, [1], now=2.0)
        assert items.resume(tx, [1], now=2.0) == 1
        assert items.end(tx, Outcome(item_id=1, ending=Ending.STOPPED), now=3.0) is ItemState.QUEUED


def test_claims_are_fair_among_instances_and_skip_held_ones(journal: Journal) -> None:
    add_job(journal, 3, instance="a")
    add_job(journal, 3, instance="b")
    add_job(journal, 3, instance="c")
    with journal.transaction() as tx:
        work.hold(tx, Hold(instance="b", error=NO_ROOM))
    with journal.look() as db:
        assert work.ready_instances(db) == ["a", "c"]
        assert work.is_busy(db)
    with journal.transaction() as tx:
        items.claim(tx, "a", 9, now=1.0)
        items.claim(tx, "c", 9, now=1.0)
        for number in (1, 2, 3, 7, 8, 9):
            items.end(tx, Outcome(item_id=number, ending=Ending.DONE), now=2.0)
        assert work.is_idle(tx)
        assert work.has_work(tx)
        work.release(tx, "b", now=2.0)
        assert not work.is_idle(tx)


def test_a_hold_without_end_is_not_replaced_by_one_with_an_end(journal: Journal) -> None:
    with journal.transaction() as tx:
        work.hold(tx, Hold(instance="a", error=NO_ROOM))
        work.hold(tx, Hold(instance="a", error=NO_ROOM, until=5.0))
        work.hold(tx, Hold(instance="b", error=NO_ROOM, until=5.0))
        work.wake_due(tx, now=6.0)
    with journal.look() as db:
        assert [tuple(row) for row in db.execute("SELECT instance, until FROM holds")] == [("a", None)]


REQUEST = UploadRequest(key="k", size_bytes=25, part_size_bytes=10)
SAVED = SavedUpload(source=SourceIdentity(size_bytes=25, mtime_ns=1, inode=2), request=REQUEST, intended_at=1.0)


def test_an_upload_checkpoint_remembers_across_processes(journal: Journal, tmp_path: Path) -> None:
    add_job(journal, 1)
    with journal.transaction() as tx:
        tx.execute("UPDATE items SET size_bytes = 25")
    checkpoint = UploadCheckpoint(journal, 1)
    assert checkpoint.load() is None
    checkpoint.save(SAVED)
    receipts = tuple(PartReceipt(index=index, size_bytes=10, tag="t", digests={"md5": "x"}) for index in range(2))
    for receipt in (*receipts, receipts[0]):
        checkpoint.part_done(receipt)
    with Journal(tmp_path / "journal.sqlite") as other:
        loaded = UploadCheckpoint(other, 1).load()
        with other.look() as db:
            assert views.item(db, 1).bytes_done == 20
    assert loaded is not None
    assert (loaded.receipts, loaded.request) == (receipts, REQUEST)
    checkpoint.save(SAVED)  # what a resumed upload does first
    with journal.look() as db:
        assert views.item(db, 1).bytes_done == 20
    checkpoint.clear()
    assert checkpoint.load() is None
    assert UploadCheckpoint(journal, 1).load() is not None  # until the item's end is written
    with journal.transaction() as tx:
        items.claim(tx, "disk", 1, now=1.0)
        items.end(tx, Outcome(item_id=1, ending=Ending.DONE, clears=True), now=2.0)
    assert UploadCheckpoint(journal, 1).load() is None
    assert_counters_are_true(journal)


def test_a_download_checkpoint_remembers_parts(journal: Journal) -> None:
    add_job(journal, 1)
    with journal.transaction() as tx:
        tx.execute("UPDATE items SET size_bytes = 25")
    checkpoint = CheckpointRow(journal, 1)
    checkpoint.save(SavedDownload(key="k", etag="e", size_bytes=25, part_size_bytes=10, temp_name=".t"))
    checkpoint.part_done(2)
    checkpoint.part_done(0)
    loaded = CheckpointRow(journal, 1).load()
    assert loaded is not None
    assert sorted(loaded.done) == [0, 2]
    with journal.look() as db:
        assert views.item(db, 1).bytes_done == 15


def test_cancelling_a_begun_item_queues_its_cleanup_in_the_same_transaction(journal: Journal) -> None:
    add_job(journal, 2)
    UploadCheckpoint(journal, 1).save(SAVED)
    with journal.transaction() as tx:
        assert items.cancel(tx, [1, 2], now=2.0) == 2
        assert [cleanup.item_id for cleanup in work.due_cleanups(tx, now=2.0)] == [1]
        assert work.is_busy(tx)
        items.retry(tx, [1], now=3.0)
        assert work.due_cleanups(tx, now=3.0) == []
        items.cancel(tx, [1], now=4.0)
    UploadCheckpoint(journal, 1).forget()
    with journal.look() as db:
        assert work.due_cleanups(db, now=9.0) == []


def test_a_cleanup_that_never_succeeds_does_not_keep_a_worker_for_ever(journal: Journal) -> None:
    add_job(journal, 1)
    UploadCheckpoint(journal, 1).save(SAVED)
    with journal.transaction() as tx:
        items.cancel(tx, [1], now=2.0)
        for _ in range(work.MAX_CLEANUPS):
            assert not work.is_idle(tx)
            work.cleanup_failed(tx, 1, NO_ROOM, again_at=2.0)
        assert work.is_idle(tx)
        work.arrive(tx)
        assert work.due_cleanups(tx, now=2.0)


def test_events_of_an_item_are_reported_in_order(journal: Journal) -> None:
    add_job(journal, 1)
    with journal.transaction() as tx:
        items.claim(tx, "disk", 1, now=2.0)
        items.note(tx, 1, "retry in 1.0 s", NO_ROOM, now=3.0)
        done = Outcome(item_id=1, ending=Ending.DONE, sha256="ab", proof=Proof.MATCHED, replaced=True, elapsed_s=2.5)
        items.end(tx, done, now=4.0)
    with journal.look() as db:
        noted = [(event.at, event.what, event.error) for event in items.events(db, 1)]
        view = views.item(db, 1)
    assert noted == [(2.0, "running", None), (3.0, "retry in 1.0 s", NO_ROOM), (4.0, "done", None)]
    assert (view.sha256, view.proof, view.replaced) == ("ab", Proof.MATCHED, True)
    assert (view.elapsed_s, view.attempts) == (2.5, 1)


def test_a_window_shows_running_items_first_and_ended_ones_last_newest_first(journal: Journal) -> None:
    job = add_job(journal, 9)
    with journal.transaction() as tx:
        items.claim(tx, "disk", 5, now=2.0)
        for number, ending in ((1, Ending.DONE), (2, Ending.FAILED), (3, Ending.WAITING)):
            items.end(tx, Outcome(item_id=number, ending=ending), now=2.0 + number)
        items.pause(tx, [7], now=2.0)
    with journal.look() as db:
        everything = [item.id for item in views.snapshot(db).items]
        windows = [item.id for start in range(0, 10, 2) for item in views.snapshot(db, offset=start, limit=2).items]
        of_job = views.snapshot(db, job_id=job.id)
    assert everything == [4, 5, 3, 7, 6, 8, 9, 2, 1]
    assert windows == everything
    assert [item.id for item in of_job.items] == everything
    assert of_job.item_count == 9


def test_calls_are_counted_by_instance_kind_and_item(journal: Journal) -> None:
    add_job(journal, 3)
    with journal.transaction() as tx:
        work.count_calls(tx, "2026-11-21", {1: {("a", "PutObject"): 2}, 0: {("b", "PutObject"): 9}})
        work.count_calls(tx, "2026-11-22", {1: {("a", "PutObject"): 3, ("a", "HeadObject"): 1}, 2: {("a", "Get"): 4}})
    with journal.look() as db:
        assert work.calls(db, "a") == {"PutObject": 5, "HeadObject": 1, "Get": 4}
        assert work.all_calls(db)["b"] == {"PutObject": 9}
        found = [views.item(db, 1), *views.snapshot(db).items, *views.items_by_id(db, [2])]
    calls = {item.id: item.calls for item in found}
    assert calls == {1: {"PutObject": 5, "HeadObject": 1}, 2: {"Get": 4}, 3: {}}


def test_a_journal_without_calls_per_item_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with sqlite3.connect(path, isolation_level=None) as db:
        schema.migrate(db, path, schema.MIGRATIONS[:2])
        db.row_factory = sqlite3.Row
        place = Destination(instance="a", type="local", container="", settings="")
        order = JobRequest(kind=JobKind.UPLOAD, sources=("/x",))
        job = jobs.job(db, jobs.add_job(db, order, place, title="", destination="", now=1.0))
        jobs.add_items(db, job, [NewItem(name="n", key="n")], now=1.0)
        db.execute("INSERT INTO calls VALUES ('2026-11-21', 'a', 'PutObject', 7)")
    db.close()
    with Journal(path) as journal:
        with journal.look() as found:
            assert (views.item(found, 1).name, views.item(found, 1).calls) == ("n", {})
        with journal.transaction() as tx:
            work.count_calls(tx, "2026-11-21", {1: {("a", "PutObject"): 1}})
        with journal.look() as found:
            assert (views.item(found, 1).calls, work.calls(found, "a")) == ({"PutObject": 1}, {"PutObject": 8})


def test_thousands_of_small_items_a_second(journal: Journal) -> None:
    """The target is 3,000 per second of CPU time with claims and ends of 16 per commit; about 10,000 were measured."""
    add_job(journal, 3000)
    began = time.process_time()
    ended = 0
    claimed: list[int] = []
    while ended < 3000:
        with journal.transaction() as tx:
            for item_id in claimed:
                items.end(tx, Outcome(item_id=item_id, ending=Ending.DONE, sha256="a" * 64), now=2.0)
            work.count_calls(tx, "2026-11-22", {item_id: {("disk", "PutObject"): 1} for item_id in claimed})
            ended += len(claimed)
            claimed = [item.id for item in items.claim(tx, "disk", 16, now=2.0)]
    assert 3000 / (time.process_time() - began) > 3000
    assert_counters_are_true(journal)


def test_a_transaction_that_fails_leaves_nothing(journal: Journal) -> None:
    add_job(journal, 1)
    revision = journal.revision()

    def claim_and_fail() -> None:
        with journal.transaction() as tx:
            items.claim(tx, "disk", 1, now=2.0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        claim_and_fail()
    assert list(states(journal).values()) == ["queued"]
    assert journal.revision() == revision


def test_several_processes_may_write_at_once(journal: Journal, tmp_path: Path) -> None:
    add_job(journal, 200)
    claimed: list[int] = []

    def claim() -> None:
        with Journal(tmp_path / "journal.sqlite") as own:
            while True:
                with own.transaction() as tx:
                    found = items.claim(tx, "disk", 7, now=2.0)
                if not found:
                    return
                claimed.extend(item.id for item in found)

    threads = [threading.Thread(target=claim) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(claimed) == list(range(1, 201))


def test_opening_it_again_in_a_process_keeps_the_locks_of_the_first(tmp_path: Path) -> None:
    """Closing any descriptor of the file would do that: another process would then consider itself the last, and delete
    the log."""
    path = tmp_path / "journal.sqlite"
    other = "import sys, pathlib, backup.journal as j; j.Journal(pathlib.Path(sys.argv[1])).close()"
    with Journal(path) as journal:
        with Journal(path):
            add_job(journal, 1)
        subprocess.run([sys.executable, "-c", other, str(path)], check=True, cwd=Path(__file__).parents[2], timeout=20)
        add_job(journal, 1)
        with Journal(path) as again:
            assert len(states(again)) == 2


def test_migrations_run_once_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with sqlite3.connect(path, isolation_level=None) as db:
        schema.migrate(db, path, ("CREATE TABLE a (x);\nINSERT INTO a VALUES (1);",))
        two = ("CREATE TABLE a (x);\nINSERT INTO a VALUES (1);", "ALTER TABLE a ADD y;\nUPDATE a SET y = x + 1;")
        schema.migrate(db, path, two)
        schema.migrate(db, path, two)
        assert db.execute("SELECT * FROM a").fetchall() == [(1, 2)]
        broken = (*two, "DELETE FROM a;\nCREATE TABLE a (x);")
        with pytest.raises(sqlite3.OperationalError):
            schema.migrate(db, path, broken)
        assert db.execute("SELECT * FROM a").fetchall() == [(1, 2)]
        with pytest.raises(InvalidConfiguration, match="newer version"):
            schema.migrate(db, path, two[:1])
    db.close()


def test_downloads_that_an_earlier_version_called_read_back_were_read_twice(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with sqlite3.connect(path, isolation_level=None) as db:
        schema.migrate(db, path, schema.MIGRATIONS[:4])
        db.execute(
            "INSERT INTO places (id, instance, type, container, settings) VALUES (1, 'disk', 'local', '/srv', '{}')"
        )
        for number, kind in ((1, "download"), (2, "upload")):
            db.execute("INSERT INTO jobs (kind, instance, place_id, title, destination, request, created_at, scanning)"
                       " VALUES (?, 'disk', 1, X'78', X'2f', X'7b7d', 1.0, 0)", (kind,))  # fmt: skip
            db.execute("INSERT INTO items (job_id, place_id, instance, job_kind, kind, state, name, key, local_path,"
                       " size_bytes, changed_at, finished_at, proof) VALUES (?, 1, 'disk', ?, 'file', 'done', X'61',"
                       " X'61', X'61', 10, 1.0, 1.0, 'read_back')", (number, kind))  # fmt: skip
    db.close()
    with Journal(path) as journal, journal.look() as db:
        assert [item.proof for item in views.snapshot(db).items if item.job_kind == "download"] == ["read_twice"]
        assert [item.proof for item in views.snapshot(db).items if item.job_kind == "upload"] == ["read_back"]
        assert [views.job(db, number).read_twice for number in (1, 2)] == [1, 0]


@pytest.mark.few(4)
@pytest.mark.parametrize("version", range(1, len(schema.MIGRATIONS)))
def test_a_journal_of_an_older_version_keeps_its_queue(tmp_path: Path, version: int) -> None:
    path = tmp_path / "j"
    with sqlite3.connect(path, isolation_level=None) as db:
        schema.migrate(db, path, schema.MIGRATIONS[:version])
        db.execute(
            "INSERT INTO places (id, instance, type, container, settings) VALUES (1, 'disk', 'local', '/srv', '{}')"
        )
        db.execute("INSERT INTO jobs (kind, instance, place_id, title, destination, request, created_at, scanning)"
                   " VALUES ('upload', 'disk', 1, X'78', X'2f', X'7b7d', 1.0, 0)")  # fmt: skip
        db.executemany("INSERT INTO counts (job_id, kind, state) VALUES (1, 'upload', ?)", [(s,) for s in ItemState])
        for name, state in (
            ("a", "queued"),
            ("b", "cancelled"),
            ("caf\udce9".encode("utf-8", "surrogateescape"), "queued"),
        ):
            db.execute("INSERT INTO items (job_id, place_id, instance, job_kind, kind, state, name, key, local_path,"
                       " size_bytes, changed_at) VALUES (1, 1, 'disk', 'upload', 'file', ?, ?, ?, ?, 10, 1.0)",
                       (state, *[name if isinstance(name, bytes) else name.encode()] * 3))  # fmt: skip
    db.close()
    with Journal(path) as journal:
        assert_counters_are_true(journal)
        with journal.transaction() as tx:
            claimed = items.claim(tx, "disk", 9, now=2.0)
            items.end(tx, Outcome(item_id=claimed[0].id, ending=Ending.DONE, size_bytes=12, etag="e"), now=3.0)
        assert [item.name for item in claimed] == ["a", "caf\udce9"]
        with journal.look() as db:
            view = views.job(db, 1)
        assert (view.listed_bytes, view.size_bytes, view.done_bytes) == (32, 22, 12)
        assert_counters_are_true(journal)


def test_a_file_that_is_not_a_journal_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_bytes(b"my diary, certainly no database" * 50)
    with pytest.raises(ProviderError, match="cannot be used"):
        Journal(path)
    assert path.read_bytes().startswith(b"my diary")


def test_skipped_kinds_are_counted(journal: Journal) -> None:
    job = add_job(journal, 0)
    found = [(ItemKind.SYMLINK, "a"), (ItemKind.SYMLINK, "b"), (ItemKind.OTHER, "c")]
    with journal.transaction() as tx:
        new = [NewItem(name=name, key=name, kind=kind, state=ItemState.SKIPPED) for kind, name in found]
        jobs.add_items(tx, job, new, now=1.0)
    with journal.look() as db:
        view = views.job(db, job.id)
    assert (view.skipped_symlinks, view.skipped_special, view.finished) == (2, 1, True)


@pytest.mark.parametrize(
    ("code", "kind", "cure"),
    [
        (sqlite3.SQLITE_FULL, "quota", "the queue is kept"),
        (sqlite3.SQLITE_READONLY, "permission", "the queue is kept"),
        (sqlite3.SQLITE_IOERR, "provider", "the queue is kept"),
        (sqlite3.SQLITE_CORRUPT, "provider", "Move it away"),
    ],
)
def test_only_a_damaged_journal_has_to_be_moved_away(tmp_path: Path, code: int, kind: str, cure: str) -> None:
    error = sqlite3.OperationalError("from SQLite")
    error.sqlite_errorcode = code
    failure = schema.unusable(error, tmp_path / "journal.sqlite")
    assert failure.kind == kind
    assert cure in failure.hint


def test_a_file_that_is_not_a_journal_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"this is something else entirely" * 100)
    with pytest.raises(ProviderError, match=r"journal\.sqlite") as caught:
        schema.open_connection(path)
    assert "Move it away" in caught.value.hint
    assert path.read_bytes().startswith(b"this is something else")
