"""Upkeep of the journal is killed at the worst moments: the journal stays intact, and nothing counts twice."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from backup.journal import Journal, items, jobs, pruning, schema, views
from backup.journal.records import Destination, Ending, JobRequest, NewItem, Outcome
from backup.model.transfers import ItemState, JobKind

ROOT = Path(__file__).resolve().parents[2]
FORMER = Path(__file__).parent / "journals" / "version_4_stored.sql"
ITEMS = 600
OF_STEP = 200
PLACE = Destination(instance="another", type="local", container="/c", settings="{}")

KILLED = """import os, signal, sqlite3, sys
from pathlib import Path
from backup.journal import Journal, pruning

path, what, after = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
left = [after]

def look():
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)

if what == "prune":
    with Journal(path) as journal:
        journal._writer.set_progress_handler(look, 100)
        while True:
            with journal.transaction() as tx:
                if not pruning.prune(tx, before=1e12, limit=200):
                    break
else:
    connect = sqlite3.connect
    def watched(*args, **more):
        db = connect(*args, **more)
        db.set_progress_handler(look, 100)
        return db
    sqlite3.connect = watched
    pruning._WORTH_PAGES, pruning._STEP_PAGES = 10, 20
    while pruning.shrink(path):
        pass
print("was not killed after", after - left[0])
"""


def killed(path: Path, what: str, after: int) -> str:
    """Run `what` in a process that is killed after this many hundred steps of SQLite's machine; returns its output."""
    command = [sys.executable, "-c", KILLED, str(path), what, str(after)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.stdout


def filled(path: Path) -> Path:
    """One job of finished uploads with known digests."""
    with Journal(path) as journal, journal.transaction() as tx:
        order = JobRequest(kind=JobKind.UPLOAD, sources=("/s",))
        job = jobs.job(tx, jobs.add_job(tx, order, PLACE, title="t", destination="/", now=1))
        jobs.bind_place(tx, job.place_id, "local /c")
        names = [f"{number:0300}" for number in range(ITEMS)]
        jobs.add_items(tx, job, [NewItem(name=name, key=name, size_bytes=3) for name in names], now=1)
        jobs.scan_ended(tx, job.id)
        for item in items.claim(tx, "another", ITEMS, now=2):
            items.end(tx, Outcome(item_id=item.id, ending=Ending.DONE, sha256="a" * 64, etag="e"), now=3)
    return path


def whole(path: Path) -> int:
    """The number of items left; asserts that nothing is broken, lost or counted twice."""
    with Journal(path) as journal, journal.look() as db:
        assert [row[0] for row in db.execute("PRAGMA integrity_check")] == ["ok"]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        job_id = db.execute("SELECT max(id) FROM jobs").fetchone()[0]
        left = int(db.execute("SELECT count(*) FROM items WHERE job_id = ?", (job_id,)).fetchone()[0])
        pruned = db.execute("SELECT pruned FROM jobs WHERE id = ?", (job_id,)).fetchone()[0]
        assert left + pruned == ITEMS
        assert db.execute("SELECT pruned FROM totals").fetchone()[0] == sum(
            row[0] for row in db.execute("SELECT pruned FROM jobs")
        )
        assert views.job(db, job_id).counts[ItemState.DONE] == ITEMS
        assert views.snapshot(db, job_id=job_id).item_count == left
        assert db.execute("SELECT count(*) FROM objects WHERE length(key) = 300").fetchone()[0] == ITEMS
        assert db.execute("SELECT count(*) FROM events WHERE item_id NOT IN (SELECT id FROM items)").fetchone()[0] == 0
    return left


def prune_all(path: Path) -> None:
    with Journal(path) as journal:
        while True:
            with journal.transaction() as tx:
                if not pruning.prune(tx, before=1e12):
                    return


@pytest.mark.parametrize("after", [20, 400, 900])
def test_a_kill_during_pruning_loses_nothing(tmp_path: Path, after: int) -> None:
    path = filled(tmp_path / "journal.sqlite")
    assert killed(path, "prune", after) == ""
    left = whole(path)
    assert left % OF_STEP == 0  # a step is all or nothing
    prune_all(path)
    assert whole(path) == 0


@pytest.mark.parametrize("old", [False, True])
def test_a_kill_during_shrinking_loses_nothing(tmp_path: Path, old: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step by step, or as a whole if an older version made the file."""
    path = tmp_path / "journal.sqlite"
    if old:
        with closing(sqlite3.connect(path)) as db:
            db.executescript(FORMER.read_text())
    prune_all(filled(path))
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    size_bytes = path.stat().st_size
    for after in (1, 3, 6):
        assert killed(path, "shrink", after) == ""
        assert whole(path) == 0
    monkeypatch.setattr(pruning, "_WORTH_PAGES", 10)
    while pruning.shrink(path):
        pass
    assert path.stat().st_size < size_bytes / 2
    assert whole(path) == 0


def test_a_kill_during_a_migration_loses_nothing(tmp_path: Path) -> None:
    """All or nothing: the next start completes it."""
    path = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(FORMER.read_text())
    script = """import os, signal, sqlite3, sys
from pathlib import Path
from backup.journal import schema
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.create_function("die", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))
schema.migrate(db, Path(sys.argv[1]), (*schema.MIGRATIONS, "SELECT die();"))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=ROOT, capture_output=True, timeout=30, check=False
    )
    assert done.returncode == -signal.SIGKILL
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == 4
    with Journal(path) as journal, journal.look() as looked:
        assert looked.execute("PRAGMA user_version").fetchone()[0] == len(schema.MIGRATIONS)
        assert looked.execute("SELECT count(*) FROM items").fetchone()[0] == 7
