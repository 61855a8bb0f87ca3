"""Planned bytes and moved bytes: files whose size changed after they were chosen."""

from __future__ import annotations

from sqlite3 import Connection
from typing import Final

from backup.journal import jobs
from backup.model.transfers import JobKind
from backup.system.packing import pack, to_name
from backup.system.text import sizes_apart
from providers.contract.report import ErrorInfo
from providers.errors import Conflict

HINT: Final = "Check what is there now, then run it again."
_MOVED: Final = {JobKind.UPLOAD: "when it was read", JobKind.DOWNLOAD: "when it was fetched"}


def moved_words(kind: JobKind, planned_bytes: int, moved_bytes: int) -> str:
    planned, moved = sizes_apart(planned_bytes, moved_bytes)
    return f"{planned} planned, {moved} {_MOVED[kind]}"


def note_moved(tx: Connection, item_id: int, moved_bytes: int, *, now: float) -> None:
    """Compare the size that was moved with the planned one, before the item gets the new size.

    The job differs from its plan if an upload moved fewer bytes of a file, or a download more or fewer. A file that
    grew is no fault: all of it is stored, as it was when it was read."""
    row = tx.execute("SELECT job_id, job_kind, name, size_bytes FROM items WHERE id = ?", (item_id,)).fetchone()
    more_bytes = moved_bytes - row["size_bytes"]
    if not more_bytes or row["job_kind"] == JobKind.DELETE:
        return
    kind = JobKind(row["job_kind"])
    _count(tx, row["job_id"], more_bytes)
    if _is_as_planned(kind, more_bytes):
        return
    words = f"{to_name(row['name'])}: {moved_words(kind, row['size_bytes'], moved_bytes)}"
    error = ErrorInfo.of(Conflict(words, hint=HINT))
    tx.execute(
        "UPDATE jobs SET error = ?, broke_at = ? WHERE id = ? AND error IS NULL", (pack(error), now, row["job_id"])
    )


def note_found(tx: Connection, job_id: int, planned_bytes: int, *, complete: bool) -> str:
    """Compare a fully scanned job with its plan (if not `complete`, the plan's bytes are a minimum). Returns what
    differs, or ''. Calling it again counts nothing twice."""
    row = tx.execute("SELECT kind, grown_bytes, shrunk_bytes FROM jobs WHERE id = ?", (job_id,)).fetchone()
    found_bytes = jobs.bytes_of_files(tx, job_id) - row["grown_bytes"] + row["shrunk_bytes"]
    more_bytes = found_bytes - planned_bytes
    if not more_bytes or (more_bytes > 0 and not complete):
        return ""
    _count(tx, job_id, more_bytes)
    if _is_as_planned(JobKind(row["kind"]), more_bytes):
        return ""
    planned, found = sizes_apart(planned_bytes, found_bytes)
    return f"{'' if complete else 'at least '}{planned} planned, {found} found when it began"


def _is_as_planned(kind: JobKind, more_bytes: int) -> bool:
    return kind is JobKind.UPLOAD and more_bytes > 0


def _count(tx: Connection, job_id: int, more_bytes: int) -> None:
    column = "grown_bytes" if more_bytes > 0 else "shrunk_bytes"
    tx.execute(f"UPDATE jobs SET {column} = {column} + ? WHERE id = ?", (abs(more_bytes), job_id))
