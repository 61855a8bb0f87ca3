"""Pruning: forgets finished items in steps so small that no transfer waits, and gives their space back.

Jobs, their totals, and what proves each stored object (`objects`) are kept.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from sqlite3 import Connection
from typing import Final

DAY_S: Final = 24 * 3600.0
STEP_ITEMS: Final = 500
"""Measured: 5 ms, at most 20."""
_STEP_PAGES: Final = 1024
_INCREMENTAL: Final = 2
"""The value of PRAGMA auto_vacuum in a file that can give pages back."""
_PATIENCE_S: Final = 1.0
_WORTH_PAGES: Final = 2048
"""8 MiB: less than that is soon filled again."""

_ITS_OWN: Final = ("events", "item_calls")
_KEPT: Final = (
    "EXISTS (SELECT 1 FROM checkpoints WHERE item_id = items.id)"
    " OR EXISTS (SELECT 1 FROM cleanups WHERE item_id = items.id)"
    " OR EXISTS (SELECT 1 FROM jobs WHERE jobs.id = items.job_id AND scanning)"
)


def prune(tx: Connection, *, before: float, limit: int = STEP_ITEMS) -> int:
    """Forget up to `limit` items that ended before a time, oldest first; returns how many.

    Items that left something at a service stay until it is cleaned up. Items of a job that is being scanned stay too.
    """
    rows = tx.execute(
        f"SELECT id, job_id FROM items WHERE finished_at < ? AND NOT ({_KEPT}) ORDER BY finished_at LIMIT ?",
        (before, limit),
    ).fetchall()
    if not rows:
        return 0
    ids = json.dumps([row["id"] for row in rows])
    for table in (*_ITS_OWN, "parts"):
        tx.execute(f"DELETE FROM {table} WHERE item_id IN (SELECT value FROM json_each(?))", (ids,))
    tx.execute("DELETE FROM items WHERE id IN (SELECT value FROM json_each(?))", (ids,))
    of_jobs: dict[int, int] = {}
    for row in rows:
        of_jobs[row["job_id"]] = of_jobs.get(row["job_id"], 0) + 1
    tx.executemany("UPDATE jobs SET pruned = pruned + ? WHERE id = ?", [(n, job_id) for job_id, n in of_jobs.items()])
    tx.execute(
        "UPDATE totals SET pruned = pruned + ?, pruned_before = max(coalesce(pruned_before, 0), ?)", (len(rows), before)
    )
    return len(rows)


def is_due(db: Connection, *, now: float) -> bool:
    """Whether the last pruning is at least a day ago."""
    at = db.execute("SELECT pruned_at FROM totals").fetchone()["pruned_at"]
    return at is None or not at <= now < at + DAY_S


def step(tx: Connection, *, before: float, now: float) -> bool:
    """Do part of a day's pruning; returns whether more is left.

    On the day of an update or a first start nothing is forgotten, so that the user can first choose to keep more.
    """
    begun = tx.execute("SELECT pruned_at FROM totals").fetchone()["pruned_at"] is not None
    if begun and prune(tx, before=before, limit=STEP_ITEMS) == STEP_ITEMS:
        return True
    tx.execute("UPDATE totals SET pruned_at = ?", (now,))
    return False


def shrink(path: Path) -> bool:
    """Give some unused pages back; returns whether there are more.

    A file made by an older version is rewritten once, and its writers wait meanwhile. Raises sqlite3.Error if it is
    busy; nothing is lost then.
    """
    with closing(sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None)) as db:
        free = int(db.execute("PRAGMA freelist_count").fetchone()[0])
        if free < _WORTH_PAGES:
            return False
        if db.execute("PRAGMA auto_vacuum").fetchone()[0] != _INCREMENTAL:
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("VACUUM")
        else:
            db.executescript(f"PRAGMA incremental_vacuum({_STEP_PAGES})")  # `execute` would give back one page
            # Truncating the log is what shortens the file. What others still read waits for the next time.
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return int(db.execute("PRAGMA freelist_count").fetchone()[0]) >= _WORTH_PAGES
