"""Rows for front ends, as the views of `backup.model.transfers`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from sqlite3 import Connection, Row
from typing import Final

from backup.journal.records import Hold
from backup.journal.work import holds
from backup.model.transfers import (
    BROKEN_SHOWN_S,
    FINAL_STATES,
    FailedSince,
    ItemKind,
    ItemState,
    ItemView,
    JobKind,
    JobView,
    QueueSnapshot,
    QueueTotals,
)
from backup.system.packing import to_name, unpack
from providers.contract.capabilities import Proof
from providers.contract.report import ErrorInfo
from providers.errors import Cancelled, NotFound
from providers.remedies import Action, Remedy

_OPEN_ORDER: Final = (ItemState.RUNNING, ItemState.WAITING, ItemState.PAUSED, ItemState.QUEUED)
_NUMBERS: Final = (Remedy(Action.LIST_TRANSFERS),)
_ENDED_JOBS: Final = 50
"""How many finished jobs a snapshot includes; unfinished ones are all included."""


def snapshot(db: Connection, *, offset: int = 0, limit: int = 200, job_id: int | None = None) -> QueueSnapshot:
    """A window of the items (of one job, or of all) with the counters. The cost depends on the window alone."""
    counts = _counts_by_state(db, job_id or 0)
    return QueueSnapshot(
        totals=totals(db),
        jobs=tuple(jobs(db)),
        items=tuple(_window(db, counts, offset, limit, job_id)),
        item_count=sum(counts.values()) - _pruned(db, job_id),
    )


def _pruned(db: Connection, job_id: int | None) -> int:
    query = "SELECT pruned FROM totals" if job_id is None else "SELECT pruned FROM jobs WHERE id = ?"
    row = db.execute(query, () if job_id is None else (job_id,)).fetchone()
    return 0 if row is None else int(row["pruned"])


def totals(db: Connection) -> QueueTotals:
    by_kind: dict[tuple[str, str], int] = {}
    by_state: dict[str, int] = {}
    for row in db.execute("SELECT kind, state, items FROM counts WHERE job_id = 0"):
        by_kind[row["kind"], row["state"]] = row["items"]
        by_state[row["state"]] = by_state.get(row["state"], 0) + row["items"]
    kept = db.execute("SELECT size_bytes, done_bytes, scanning FROM totals").fetchone()
    return QueueTotals(
        uploading=by_kind.get((JobKind.UPLOAD, ItemState.RUNNING), 0),
        downloading=by_kind.get((JobKind.DOWNLOAD, ItemState.RUNNING), 0),
        deleting=by_kind.get((JobKind.DELETE, ItemState.RUNNING), 0),
        queued=by_state.get(ItemState.QUEUED, 0),
        waiting=by_state.get(ItemState.WAITING, 0),
        paused=by_state.get(ItemState.PAUSED, 0),
        failed=by_state.get(ItemState.FAILED, 0),
        broken_jobs=len(_broken_since(db, time.time() - BROKEN_SHOWN_S)),
        verified=by_kind.get((JobKind.UPLOAD, ItemState.DONE), 0) + by_kind.get((JobKind.DOWNLOAD, ItemState.DONE), 0),
        size_bytes=kept["size_bytes"],
        done_bytes=kept["done_bytes"],
        scanning=bool(kept["scanning"]),
    )


def jobs(db: Connection) -> list[JobView]:
    """Every unfinished job and the newest finished ones, newest first."""
    rows = db.execute(
        "SELECT * FROM jobs WHERE scanning OR open_items UNION"
        " SELECT * FROM (SELECT * FROM jobs WHERE NOT (scanning OR open_items) ORDER BY id DESC LIMIT ?)"
        " ORDER BY id DESC",
        (_ENDED_JOBS,),
    ).fetchall()
    return [_job_view(db, row) for row in rows]


def job(db: Connection, job_id: int) -> JobView:
    """Raises NotFound."""
    row = db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise NotFound(f"there is no job {job_id}", remedies=_NUMBERS)
    return _job_view(db, row)


def _job_view(db: Connection, row: Row) -> JobView:
    is_open = bool(row["scanning"] or row["open_items"])
    held = _holds(db).get(row["instance"]) if is_open else None
    wait_until, why = _waits(row, held)
    return JobView(
        id=row["id"],
        kind=JobKind(row["kind"]),
        instance=row["instance"],
        title=to_name(row["title"]),
        destination=to_name(row["destination"]),
        created_at=row["created_at"],
        scanning=bool(row["scanning"]),
        counts=_counts_by_state(db, row["id"]),
        size_bytes=row["size_bytes"],
        done_bytes=row["done_bytes"],
        listed_bytes=row["listed_bytes"],
        grown_bytes=row["grown_bytes"],
        shrunk_bytes=row["shrunk_bytes"],
        skipped_symlinks=row["skipped_symlinks"],
        read_twice=row["read_twice"],
        ignored_metadata=row["ignored_metadata"],
        skipped_special=row["skipped_special"],
        ruled_out=row["ruled_out"],
        error=_error(row["error"]),
        broke_at=row["broke_at"],
        paused=bool(row["scanning"] and row["paused"]),
        held=held.error if held and held.until is None else None,
        wait_until=wait_until,
        waits_for=why,
    )


def _waits(job: Row, held: Hold | None) -> tuple[float | None, ErrorInfo | None]:
    """Until when a job waits for its service, and why, if it will continue without the user."""
    if held:
        return held.until, held.error if held.until is not None else None
    if job["scanning"] and not job["paused"]:
        return job["rescan_at"], _error(job["rescan_why"])
    return None, None


def _holds(db: Connection) -> dict[str, Hold]:
    return {held.instance: held for held in holds(db)}


def _counts_by_state(db: Connection, job_id: int) -> dict[ItemState, int]:
    counts = dict.fromkeys(ItemState, 0)
    for row in db.execute("SELECT state, items FROM counts WHERE job_id = ?", (job_id,)):
        counts[ItemState(row["state"])] += row["items"]
    return counts


def _window(
    db: Connection, counts: dict[ItemState, int], offset: int, limit: int, job_id: int | None
) -> Iterable[ItemView]:
    found: list[Row] = []
    for state in _OPEN_ORDER:
        here = counts[state]
        if offset < here and len(found) < limit:
            found += _open_items(db, state, offset, limit - len(found), job_id)
        offset = max(0, offset - here)
    ended = sum(counts[state] for state in FINAL_STATES)
    if offset < ended and len(found) < limit:
        found += _ended_items(db, offset, limit - len(found), job_id)
    return _item_views(db, found)


def _open_items(db: Connection, state: ItemState, offset: int, limit: int, job_id: int | None) -> list[Row]:
    where, values = _of_job("state = ? AND finished_at IS NULL", job_id)
    query = f"SELECT * FROM items WHERE {where} ORDER BY id LIMIT ? OFFSET ?"
    return db.execute(query, (state, *values, limit, offset)).fetchall()


def _ended_items(db: Connection, offset: int, limit: int, job_id: int | None) -> list[Row]:
    where, values = _of_job("finished_at IS NOT NULL", job_id)
    query = f"SELECT * FROM items WHERE {where} ORDER BY finished_at DESC, id DESC LIMIT ? OFFSET ?"
    return db.execute(query, (*values, limit, offset)).fetchall()


def _of_job(where: str, job_id: int | None) -> tuple[str, tuple[int, ...]]:
    return (where, ()) if job_id is None else (f"{where} AND job_id = ?", (job_id,))


def item(db: Connection, item_id: int) -> ItemView:
    """Raises NotFound."""
    row = db.execute("SELECT * FROM items WHERE id = ?", (item_id,)).fetchone()
    if row is None:
        raise NotFound(f"there is no item {item_id}", remedies=_NUMBERS)
    return _item_views(db, [row])[0]


def items_by_id(db: Connection, item_ids: Iterable[int]) -> list[ItemView]:
    """The items with these ids that exist."""
    rows = (db.execute("SELECT * FROM items WHERE id = ?", (item_id,)).fetchone() for item_id in item_ids)
    return _item_views(db, [row for row in rows if row is not None])


_FAILED: Final = "SELECT sum(items) FROM counts WHERE job_id = jobs.id AND state = 'failed'"
"""Of a job, pruned items included."""
_STILL_THERE: Final = "SELECT count(*) FROM items WHERE job_id = jobs.id AND state = 'failed'"


def failed_since(db: Connection, since: float, *, kept_from: float) -> FailedSince:
    """`kept_from`: the time since which finished items are kept."""
    failed = {row[0]: row[1] for row in db.execute(
        f"SELECT id, ({_FAILED}) FROM jobs WHERE created_at >= :since"
        " UNION ALL SELECT job_id, count(*) FROM items JOIN jobs ON jobs.id = items.job_id AND created_at < :since"
        " WHERE finished_at >= :since AND state = 'failed' GROUP BY job_id",
        {"since": since},
    ) if row[1]}  # fmt: skip
    broken = _broken_since(db, since)
    pruned_before = db.execute("SELECT pruned_before FROM totals").fetchone()[0]
    known_from = max(kept_from, pruned_before or kept_from)
    forgotten = f"SELECT coalesce(sum(({_FAILED}) - ({_STILL_THERE})), 0) FROM jobs WHERE created_at < ? AND pruned"
    return FailedSince(
        since=since,
        items=sum(failed.values()),
        broken_jobs=len(broken),
        jobs=tuple(sorted(failed.keys() | broken)),
        known_from=known_from if since < known_from else None,
        forgotten=int(db.execute(forgotten, (since,)).fetchone()[0]) if since < known_from else 0,
    )


def _broken_since(db: Connection, since: float) -> set[int]:
    """The jobs whose scan stopped short, except those that the user cancelled."""
    short = db.execute("SELECT id, error FROM jobs WHERE broke_at >= ? AND error IS NOT NULL", (since,)).fetchall()
    return {row["id"] for row in short if unpack(row["error"], ErrorInfo).kind != Cancelled.kind}


def item_ids(db: Connection, job_id: int) -> list[int]:
    return [row["id"] for row in db.execute("SELECT id FROM items WHERE job_id = ? ORDER BY id", (job_id,))]


def jobs_by_instance(db: Connection, item_ids: Iterable[int], job_ids: Iterable[int] = ()) -> dict[str, set[int]]:
    """The given jobs and the jobs of the given items, by instance."""
    query = (
        "SELECT instance, id FROM jobs WHERE id IN (SELECT value FROM json_each(?)"
        " UNION SELECT job_id FROM items WHERE id IN (SELECT value FROM json_each(?)))"
    )
    found: dict[str, set[int]] = {}
    for row in db.execute(query, (json.dumps(list(job_ids)), json.dumps(list(item_ids)))):
        found.setdefault(row["instance"], set()).add(row["id"])
    return found


def scanning_jobs_of(db: Connection, item_ids: Iterable[int]) -> dict[int, int]:
    """The scanning jobs among the jobs of these items, each with its number of unfinished ones among them."""
    if not db.execute("SELECT scanning FROM totals").fetchone()[0]:
        return {}
    rows = db.execute(
        "SELECT job_id, count(*) AS open FROM items JOIN jobs ON jobs.id = items.job_id AND scanning"
        " WHERE items.id IN (SELECT value FROM json_each(?)) AND finished_at IS NULL GROUP BY job_id",
        (json.dumps(list(item_ids)),),
    )
    return {row["job_id"]: row["open"] for row in rows}


def _item_views(db: Connection, rows: list[Row]) -> list[ItemView]:
    calls: dict[int, dict[str, int]] = {}
    query = "SELECT item_id, kind, count FROM item_calls WHERE item_id IN (SELECT value FROM json_each(?))"
    for item_id, kind, count in db.execute(query, (json.dumps([row["id"] for row in rows]),)):
        calls.setdefault(item_id, {})[kind] = count
    held = _holds(db) if any(row["state"] == ItemState.QUEUED for row in rows) else {}
    return [_item_view(row, calls.get(row["id"], {}), held.get(row["instance"])) for row in rows]


def _item_view(row: Row, calls: dict[str, int], held: Hold | None) -> ItemView:
    waits = held if held and held.until is not None and row["state"] == ItemState.QUEUED else None
    return ItemView(
        id=row["id"],
        job_id=row["job_id"],
        job_kind=JobKind(row["job_kind"]),
        instance=row["instance"],
        kind=ItemKind(row["kind"]),
        state=ItemState(row["state"]),
        name=to_name(row["name"]),
        key=to_name(row["key"]),
        local_path=to_name(row["local_path"]),
        size_bytes=row["size_bytes"],
        bytes_done=row["bytes_done"],
        wait_until=waits.until if waits else row["wait_until"],
        error=waits.error if waits else _error(row["error"]),
        proof=Proof(row["proof"]) if row["proof"] else None,
        sha256=row["sha256"],
        replaced=None if row["replaced"] is None else bool(row["replaced"]),
        attempts=row["attempts"],
        elapsed_s=row["elapsed_s"],
        finished_at=row["finished_at"],
        calls=calls,
    )


def _error(packed: bytes | None) -> ErrorInfo | None:
    return None if packed is None else unpack(packed, ErrorInfo)
