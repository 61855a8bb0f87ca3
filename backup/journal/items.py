"""Every change of an item's state. The database enforces the state machine (`schema`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from sqlite3 import Connection, Row
from typing import Any, Final

from backup.journal import objects, resized
from backup.journal.objects import known_sha256 as known_sha256
from backup.journal.objects import stored_before as stored_before
from backup.journal.records import Ending, Event, Item, Outcome, Wish
from backup.model.transfers import FINAL_STATES, ItemKind, ItemState, JobKind
from backup.system.packing import pack, to_bytes, to_name, unpack
from providers.contract.report import ErrorInfo

_CHUNK: Final = 500
_CLAIMED: Final = (
    "id, job_id, place_id, instance, job_kind, kind, name, key, local_path, size_bytes, bytes_done, attempts, failures,"
    " replaces, last, (SELECT environment_id FROM jobs WHERE jobs.id = job_id) AS environment_id,"
    " EXISTS (SELECT 1 FROM checkpoints WHERE item_id = items.id) AS begun"
)


_ITS_TURN: Final = (
    "(NOT last OR NOT EXISTS (SELECT 1 FROM items AS other WHERE other.job_id = items.job_id"
    " AND other.finished_at IS NULL AND NOT other.last"
    " AND (other.state IN ('queued', 'running') OR other.wait_until IS NOT NULL))"
    " AND NOT EXISTS (SELECT 1 FROM items AS other WHERE other.job_id = items.job_id"
    " AND other.state IN ('running', 'waiting') AND other.last AND other.id < items.id))"
)
"""Paused items, and those that wait for the user, hold nothing up: how long they take is unknown."""


def claim(tx: Connection, instance: str, limit: int, *, now: float) -> list[Item]:
    """Take up to `limit` queued items of an instance, oldest first, and set them RUNNING."""
    rows = tx.execute(
        "UPDATE items SET state = 'running', attempts = attempts + 1, error = NULL, wait_until = NULL, changed_at = ?"
        f" WHERE id IN (SELECT id FROM items WHERE state = 'queued' AND instance = ? AND {_ITS_TURN}"
        " ORDER BY id LIMIT ?)"
        f" RETURNING {_CLAIMED}",
        (now, instance, limit),
    ).fetchall()
    return sorted((_item(row) for row in rows), key=lambda item: item.id)


def _item(row: Row) -> Item:
    return Item(
        id=row["id"],
        job_id=row["job_id"],
        place_id=row["place_id"],
        instance=row["instance"],
        job_kind=JobKind(row["job_kind"]),
        kind=ItemKind(row["kind"]),
        name=to_name(row["name"]),
        key=to_name(row["key"]),
        local_path=to_name(row["local_path"]),
        size_bytes=row["size_bytes"],
        bytes_done=row["bytes_done"],
        attempts=row["attempts"],
        failures=row["failures"],
        replaces=None if row["replaces"] is None else bool(row["replaces"]),
        last=bool(row["last"]),
        begun=bool(row["begun"]),
        environment_id=row["environment_id"],
    )


def end(tx: Connection, outcome: Outcome, *, now: float) -> ItemState | None:
    """Record how an attempt ended. Returns the item's new state, or None if it was no longer RUNNING.

    The wish in the journal decides what STOPPED becomes, and turns a wait or a failure into a cancellation.
    """
    row = tx.execute("SELECT wish FROM items WHERE id = ? AND state = 'running'", (outcome.item_id,)).fetchone()
    if row is None:
        return None
    state = _state_after(outcome.ending, row["wish"])
    if outcome.clears:
        drop_checkpoint(tx, outcome.item_id)
    if state is ItemState.DONE and outcome.size_bytes is not None:
        resized.note_moved(tx, outcome.item_id, outcome.size_bytes, now=now)
    waits = state is ItemState.WAITING
    keeps_error = state in {ItemState.WAITING, ItemState.FAILED, ItemState.SKIPPED} or outcome.ending is Ending.PAUSED
    tx.execute(
        "UPDATE items SET state = ?, wish = NULL, error = ?, wait_until = ?, failures = failures + ?,"
        " size_bytes = coalesce(?, size_bytes), bytes_done = CASE WHEN ? THEN coalesce(?, size_bytes)"
        " WHEN EXISTS (SELECT 1 FROM checkpoints WHERE item_id = items.id) THEN bytes_done ELSE 0 END,"
        " sha256 = ?, etag = ?, proof = ?, replaced = ?, elapsed_s = elapsed_s + ?, changed_at = ?, finished_at = ?"
        " WHERE id = ?",
        (
            state,
            pack(outcome.error) if outcome.error and keeps_error else None,
            outcome.wait_until if waits else None,
            outcome.counts_as_failure,
            outcome.size_bytes,
            state is ItemState.DONE,
            outcome.size_bytes,
            outcome.sha256,
            outcome.etag,
            outcome.proof,
            outcome.replaced,
            outcome.elapsed_s,
            now,
            now if state in FINAL_STATES else None,
            outcome.item_id,
        ),
    )
    if outcome.ignored_metadata:
        tx.execute(
            "UPDATE jobs SET ignored_metadata = ignored_metadata + ?"
            " WHERE id = (SELECT job_id FROM items WHERE id = ?)",
            (outcome.ignored_metadata, outcome.item_id),
        )
    if state is ItemState.DONE or outcome.gone:
        objects.note_end(tx, outcome, now=now)
    return state


def _state_after(ending: Ending, wish: str | None) -> ItemState:
    if ending in {Ending.DONE, Ending.SKIPPED}:
        return ItemState(ending)
    if wish == Wish.CANCEL:
        return ItemState.CANCELLED
    if ending is Ending.FAILED:
        return ItemState.FAILED
    if wish == Wish.PAUSE:
        return ItemState.PAUSED
    return ItemState.QUEUED if ending is Ending.STOPPED else ItemState(ending)


def drop_checkpoint(tx: Connection, item_id: int) -> None:
    """Forget what an item left at the service or beside its target."""
    for table in ("checkpoints", "parts", "cleanups"):
        tx.execute(f"DELETE FROM {table} WHERE item_id = ?", (item_id,))


def moved_bytes(tx: Connection, item_id: int, count_bytes: int) -> None:
    """Record that this many more bytes of the item are safe at their destination."""
    tx.execute("UPDATE items SET bytes_done = min(size_bytes, bytes_done + ?) WHERE id = ?", (count_bytes, item_id))


def set_bytes_done(tx: Connection, item_id: int, done_bytes: int) -> None:
    tx.execute("UPDATE items SET bytes_done = ? WHERE id = ? AND bytes_done <> ?", (done_bytes, item_id, done_bytes))


# What the user wants


def pause(tx: Connection, item_ids: Iterable[int], *, now: float) -> int:
    """Ask running items to pause: their transfer has to stop first. Returns how many items changed."""
    ids = list(item_ids)
    return _move(tx, ids, ("queued", "waiting"), ItemState.PAUSED, now) + _wish(tx, ids, Wish.PAUSE)


def cancel(tx: Connection, item_ids: Iterable[int], *, now: float) -> int:
    """Like `pause`. What an item left at the service is queued for clean-up in the same transaction."""
    ids = list(item_ids)
    return _move(tx, ids, ("queued", "waiting", "paused", "failed"), ItemState.CANCELLED, now) + _wish(
        tx, ids, Wish.CANCEL
    )


def resume(tx: Connection, item_ids: Iterable[int], *, now: float) -> int:
    """Resume paused items, and waiting ones at once. One that still runs although it was asked to pause continues."""
    ids = list(item_ids)
    moved = _move(tx, ids, ("paused", "waiting"), ItemState.QUEUED, now)
    for chunk in _chunks(ids):
        marks = ", ".join("?" * len(chunk))
        moved += tx.execute(
            f"UPDATE items SET wish = NULL WHERE id IN ({marks}) AND state = 'running' AND wish = 'pause'", chunk
        ).rowcount
    return moved


def retry(tx: Connection, item_ids: Iterable[int], *, now: float) -> int:
    """Retry failed and cancelled items; their count of failures starts at zero."""
    return _move(tx, item_ids, ("failed", "cancelled"), ItemState.QUEUED, now)


def folders_above(db: Connection, item: Item) -> list[str]:
    """The names of the folders above an item that its job has as items, outermost first."""
    parts = item.name.split("/")[:-1]
    names = ["/".join(parts[:depth]) + "/" for depth in range(1, len(parts) + 1)]
    query = "SELECT name FROM items WHERE job_id = ? AND name = ? AND kind = 'directory'"
    return [name for name in names if db.execute(query, (item.job_id, to_bytes(name))).fetchone()]


def _move(tx: Connection, item_ids: Iterable[int], before: tuple[str, ...], after: ItemState, now: float) -> int:
    moved = 0
    states = ", ".join(f"'{state}'" for state in before)
    for chunk in _chunks(item_ids):
        marks = ", ".join("?" * len(chunk))
        moved += tx.execute(
            "UPDATE items SET state = ?, error = NULL, wait_until = NULL, changed_at = ?, finished_at = ?,"
            " failures = CASE WHEN ? THEN 0 ELSE failures END"
            f" WHERE id IN ({marks}) AND state IN ({states})",
            (after, now, now if after in FINAL_STATES else None, after is ItemState.QUEUED, *chunk),
        ).rowcount
    return moved


def _wish(tx: Connection, item_ids: Iterable[int], wish: Wish) -> int:
    wished = 0
    for chunk in _chunks(item_ids):
        marks = ", ".join("?" * len(chunk))
        wished += tx.execute(
            f"UPDATE items SET wish = ? WHERE id IN ({marks}) AND state = 'running'"
            " AND (wish IS NULL OR wish = 'pause') AND wish IS NOT ?",
            (wish, *chunk, wish),
        ).rowcount
    return wished


def _chunks(item_ids: Iterable[int]) -> Iterator[list[int]]:
    remaining = iter(item_ids)
    while chunk := list(islice(remaining, _CHUNK)):
        yield chunk


def wishes(db: Connection) -> dict[int, Wish]:
    """What the user wants of running items."""
    rows = db.execute("SELECT id, wish FROM items WHERE state = 'running' AND finished_at IS NULL AND wish IS NOT NULL")
    return {row["id"]: Wish(row["wish"]) for row in rows}


# What the worker does to many at once


def requeue_running(tx: Connection, *, now: float) -> int:
    """Queue what a dead worker left RUNNING, or pause or cancel it as wished. Returns how many were RUNNING."""
    return tx.execute(
        "UPDATE items SET wish = NULL, changed_at = ?, finished_at = CASE WHEN wish = 'cancel' THEN ? END,"
        " state = CASE wish WHEN 'cancel' THEN 'cancelled' WHEN 'pause' THEN 'paused' ELSE 'queued' END"
        " WHERE state = 'running' AND finished_at IS NULL",
        (now, now),
    ).rowcount


def pause_place(tx: Connection, place_id: int, error: ErrorInfo, *, now: float) -> int:
    """Pause everything queued for a place, and record why."""
    return tx.execute(
        "UPDATE items SET state = 'paused', error = ?, wait_until = NULL, changed_at = ?"
        " WHERE place_id = ? AND state IN ('queued', 'waiting') AND finished_at IS NULL",
        (pack(error), now, place_id),
    ).rowcount


def note(tx: Connection, item_id: int, what: str, error: ErrorInfo | None = None, *, now: float) -> None:
    """Record an event that is no change of state."""
    tx.execute(
        "INSERT INTO events (item_id, at, what, error) VALUES (?, ?, ?, ?)",
        (item_id, now, what, pack(error) if error else None),
    )


def events(db: Connection, item_id: int, limit: int = 1000) -> list[Event]:
    """The newest `limit` events of an item, oldest first."""
    rows: list[Any] = db.execute(
        "SELECT at, what, error FROM events WHERE item_id = ? ORDER BY id DESC LIMIT ?", (item_id, limit)
    ).fetchall()
    return [
        Event(at=row["at"], what=row["what"], error=unpack(row["error"], ErrorInfo) if row["error"] else None)
        for row in reversed(rows)
    ]
