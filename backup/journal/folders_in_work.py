"""Folders that a download created, or opened for itself: what a later process needs if this one is killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from backup.journal.store import Journal
from backup.system.packing import to_bytes, to_name

_Commit = Callable[[Callable[[Connection], Any]], Any]
_NOTE = "INSERT OR IGNORE INTO folders_in_work VALUES (?, ?, ?)"
"""The first record counts: after a kill, a folder is in the state in which the job left it."""


class FoldersInWork:
    """The folders of one job. `commit` returns once a change is on disk; `commit_soon` need not wait for that."""

    def __init__(
        self,
        journal: Journal,
        job_id: int,
        *,
        commit: _Commit,
        commit_soon: _Commit | None = None,
    ) -> None:
        self._journal = journal
        self._job_id = job_id
        self._commit = commit
        self._commit_soon = commit_soon or commit

    def made(self, path: Path) -> None:
        """Record that the job created it and has yet to set its mode."""
        row = (self._job_id, to_bytes(str(path)), None)
        self._commit_soon(lambda tx: tx.execute(_NOTE, row))

    def opening(self, path: Path, mode: int) -> None:
        """Record the mode of a folder that is about to be opened."""
        row = (self._job_id, to_bytes(str(path)), mode)
        self._commit(lambda tx: tx.execute(_NOTE, row))

    def is_own(self, path: Path) -> bool:
        """Whether the job created it."""
        row = self._row(path)
        return row is not None and row[0] is None

    def mode_before(self, path: Path) -> int | None:
        """The mode of a folder before the job opened it; None if the job did not open it."""
        row = self._row(path)
        return None if row is None else row[0]

    def _row(self, path: Path) -> tuple[int | None] | None:
        query = "SELECT mode FROM folders_in_work WHERE job_id = ? AND path = ?"
        with self._journal.look() as db:
            row = db.execute(query, (self._job_id, to_bytes(str(path)))).fetchone()
        return None if row is None else (row["mode"],)

    def forget(self, path: Path) -> None:
        row = (self._job_id, to_bytes(str(path)))
        self._commit(lambda tx: tx.execute("DELETE FROM folders_in_work WHERE job_id = ? AND path = ?", row))


def of_ended_jobs(db: Connection) -> list[tuple[int, Path, int | None]]:
    """Job, folder and its former mode (None: the job created it). Innermost first: once a folder has its mode back,
    those inside may be out of reach."""
    rows = db.execute(
        "SELECT job_id, path, mode FROM folders_in_work JOIN jobs ON jobs.id = job_id"
        " WHERE NOT scanning AND NOT open_items ORDER BY length(path) DESC"
    )
    return [(row["job_id"], Path(to_name(row["path"])), row["mode"]) for row in rows]


def drop_if_ended(tx: Connection, job_id: int) -> None:
    """Forget the folders of this job if it has ended."""
    tx.execute(
        "DELETE FROM folders_in_work WHERE job_id = ? AND EXISTS"
        " (SELECT 1 FROM jobs WHERE id = job_id AND NOT scanning AND NOT open_items)",
        (job_id,),
    )
