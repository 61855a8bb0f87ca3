"""Work that is left: what is ready, what waits or is held and why, and whether a worker is needed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from sqlite3 import Connection
from typing import Final

from backup.journal.jobs import SCANNABLE
from backup.journal.records import Cleanup, Hold
from backup.model.transfers import JobKind
from backup.system.packing import pack, to_name, unpack
from providers.contract.report import ErrorInfo

_HELD: Final = "SELECT 1 FROM holds WHERE holds.instance = items.instance"
Calls = Mapping[int, Mapping[tuple[str, str], int]]
"""Requests by item (0: none), then by instance and kind."""
CLEANUPS_AT_ONCE: Final = 16
"""How many of one instance are tried at the same time."""
LONGEST_WAIT_S: Final = 3600.0
"""Limit of one wait, whatever a service asks for: one try follows it."""
MAX_CLEANUPS: Final = 8
"""Tries to remove what a cancelled item left, before the next worker takes over."""


def ready_instances(db: Connection) -> list[str]:
    """Instances with queued items whose queue is not held."""
    # A loose index scan: one step of the index per instance, however many items are queued.
    rows = db.execute(
        "WITH RECURSIVE ready (instance) AS ("
        " SELECT min(instance) FROM items WHERE state = 'queued'"
        " UNION ALL SELECT (SELECT min(instance) FROM items WHERE state = 'queued' AND instance > ready.instance)"
        " FROM ready WHERE ready.instance IS NOT NULL)"
        " SELECT instance FROM ready WHERE instance IS NOT NULL AND instance NOT IN (SELECT instance FROM holds)"
    )
    return [row["instance"] for row in rows]


def wake_due(tx: Connection, *, now: float) -> int:
    """Queue items that waited long enough, and release holds that have expired."""
    tx.execute("DELETE FROM holds WHERE until <= ?", (now,))
    return tx.execute(
        "UPDATE items SET state = 'queued', wait_until = NULL, changed_at = ?"
        " WHERE state = 'waiting' AND wait_until <= ?",
        (now, now),
    ).rowcount


def move_waits(tx: Connection, step_s: float) -> None:
    """Shift all waits after the clock was set, so that they last as long as before."""
    tx.execute("UPDATE items SET wait_until = wait_until + ? WHERE state = 'waiting' AND wait_until > 0", (step_s,))
    tx.execute("UPDATE holds SET until = until + ?", (step_s,))
    tx.execute("UPDATE jobs SET rescan_at = rescan_at + ? WHERE scanning AND rescan_at IS NOT NULL", (step_s,))
    tx.execute("UPDATE cleanups SET wait_until = wait_until + ? WHERE wait_until > 0", (step_s,))


def clamp_waits(tx: Connection, *, now: float) -> None:
    """Limit every recorded wait to the longest wait. An invalid moment (NaN) counts as now."""
    latest = now + LONGEST_WAIT_S
    tx.execute(
        "UPDATE items SET wait_until = :latest WHERE state = 'waiting' AND (wait_until > :latest OR wait_until < 0)",
        {"latest": latest},
    )
    tx.execute("UPDATE holds SET until = :latest WHERE until > :latest OR until < 0", {"latest": latest})
    tx.execute("UPDATE jobs SET rescan_at = :latest WHERE scanning AND rescan_at > :latest", {"latest": latest})
    tx.execute("UPDATE cleanups SET wait_until = :latest WHERE wait_until > :latest", {"latest": latest})


def waits_too_long(db: Connection, *, now: float) -> bool:
    """Whether a file, an instance or a scan waits longer than the longest wait."""
    latest = now + LONGEST_WAIT_S
    return bool(
        db.execute(
            "SELECT EXISTS (SELECT 1 FROM items WHERE state = 'waiting' AND wait_until > :latest)"
            " OR EXISTS (SELECT 1 FROM holds WHERE until > :latest)"
            " OR EXISTS (SELECT 1 FROM jobs WHERE scanning AND rescan_at > :latest)",
            {"latest": latest},
        ).fetchone()[0]
    )


def next_due(db: Connection) -> float | None:
    """The next moment at which items continue by themselves."""
    row = db.execute(
        "SELECT min(due) FROM (SELECT min(wait_until) AS due FROM items WHERE state = 'waiting'"
        " UNION ALL SELECT min(until) FROM holds)"
    ).fetchone()
    return None if row[0] is None else float(row[0])


def next_cleanup(db: Connection, *, after: float) -> float | None:
    """The moment at which the next clean-up that is not due yet will be."""
    query = "SELECT min(wait_until) FROM cleanups WHERE attempts < ? AND wait_until > ?"
    row = db.execute(query, (MAX_CLEANUPS, after)).fetchone()
    return None if row[0] is None else float(row[0])


def hold(tx: Connection, held: Hold) -> None:
    """Hold an instance's queue. A hold with an end does not shorten one without."""
    tx.execute(
        "INSERT INTO holds (instance, until, error) VALUES (?, ?, ?) ON CONFLICT (instance) DO UPDATE"
        " SET until = excluded.until, error = excluded.error WHERE until IS NOT NULL",
        (held.instance, held.until, pack(held.error)),
    )


def holds(db: Connection) -> list[Hold]:
    return [
        Hold(instance=row["instance"], until=row["until"], error=unpack(row["error"], ErrorInfo))
        for row in db.execute("SELECT * FROM holds ORDER BY instance")
    ]


def release(tx: Connection, instance: str | None = None, *, now: float) -> int:
    """Release an instance (None: all): its hold is removed, and what waited for it is queued again."""
    tx.execute("DELETE FROM holds WHERE :instance IS NULL OR instance = :instance", {"instance": instance})
    tx.execute(
        "UPDATE jobs SET rescan_at = NULL, rescan_why = NULL"
        " WHERE scanning AND rescan_at IS NOT NULL AND (:instance IS NULL OR instance = :instance)",
        {"instance": instance},
    )
    return tx.execute(
        "UPDATE items SET state = 'queued', wait_until = NULL, error = NULL, changed_at = :now"
        " WHERE state = 'waiting' AND finished_at IS NULL AND (:instance IS NULL OR instance = :instance)",
        {"now": now, "instance": instance},
    ).rowcount


def let_go(tx: Connection, instance: str) -> None:
    """Remove an instance's hold, because the user wants to try again."""
    tx.execute("DELETE FROM holds WHERE instance = ?", (instance,))


# Clean-ups


def due_cleanups(db: Connection, *, now: float) -> list[Cleanup]:
    """The oldest few of each instance, so that none waits behind another's."""
    rows = db.execute(
        "SELECT item_id, due.instance, place_id, job_kind, local_path, due.attempts,"
        " (SELECT environment_id FROM jobs WHERE jobs.id = job_id) AS environment_id FROM (SELECT *,"
        " row_number() OVER (PARTITION BY instance ORDER BY item_id) AS place FROM cleanups"
        " WHERE wait_until <= ? AND attempts < ?) AS due JOIN items ON items.id = item_id"
        " WHERE place <= ? ORDER BY item_id",
        (now, MAX_CLEANUPS, CLEANUPS_AT_ONCE),
    )
    return [
        Cleanup(
            item_id=row["item_id"],
            instance=row["instance"],
            place_id=row["place_id"],
            job_kind=JobKind(row["job_kind"]),
            local_path=to_name(row["local_path"]),
            attempts=row["attempts"],
            environment_id=row["environment_id"],
        )
        for row in rows
    ]


def cleanup_done(tx: Connection, item_id: int) -> None:
    """Record that nothing of a cancelled item is left at the service or beside its target."""
    tx.execute("DELETE FROM cleanups WHERE item_id = ?", (item_id,))
    tx.execute("UPDATE items SET bytes_done = 0 WHERE id = ? AND state = 'cancelled'", (item_id,))


def cleanup_failed(tx: Connection, item_id: int, error: ErrorInfo, *, again_at: float) -> None:
    tx.execute(
        "UPDATE cleanups SET attempts = attempts + 1, error = ?, wait_until = ? WHERE item_id = ?",
        (pack(error), again_at, item_id),
    )


# Coming and going


def arrive(tx: Connection) -> None:
    """Start of a worker: what was given up for a while is tried again."""
    tx.execute("UPDATE cleanups SET attempts = 0, wait_until = 0")


def is_idle(tx: Connection) -> bool:
    """Whether a worker has nothing to do."""
    return not is_busy(tx)


def is_busy(db: Connection) -> bool:
    """Whether there is work that a worker could do now, or whose time is known."""
    return bool(
        db.execute(
            f"SELECT EXISTS (SELECT 1 FROM jobs WHERE {SCANNABLE})"
            " OR EXISTS (SELECT 1 FROM items WHERE state = 'running' AND finished_at IS NULL)"
            f" OR EXISTS (SELECT 1 FROM items WHERE state = 'queued' AND NOT EXISTS ({_HELD}))"
            " OR EXISTS (SELECT 1 FROM items WHERE state = 'waiting' AND wait_until IS NOT NULL)"
            " OR EXISTS (SELECT 1 FROM holds WHERE until IS NOT NULL)"
            " OR EXISTS (SELECT 1 FROM cleanups WHERE attempts < ?)",
            (MAX_CLEANUPS,),
        ).fetchone()[0]
    )


def has_work(db: Connection) -> bool:
    """Whether a worker is worth starting: a new one also retries what waits for credentials."""
    held = (
        "SELECT EXISTS (SELECT 1 FROM items WHERE state IN ('queued', 'waiting') AND finished_at IS NULL)"
        " OR EXISTS (SELECT 1 FROM jobs WHERE scanning AND NOT paused) OR EXISTS (SELECT 1 FROM cleanups)"
    )
    return is_busy(db) or bool(db.execute(held).fetchone()[0])


def count_calls(tx: Connection, day: str, calls: Calls) -> None:
    """Add requests to a day's (YYYY-MM-DD) and to their items' counts, in two statements however many items."""
    totals: Counter[tuple[str, str]] = Counter()
    for counts in calls.values():
        totals.update(counts)
    of_items = [
        (item_id, kind, count) for item_id, counts in calls.items() if item_id for (_, kind), count in counts.items()
    ]
    tx.execute(
        "INSERT INTO calls (day, instance, kind, count)"
        " SELECT ?, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?) WHERE true"
        " ON CONFLICT (day, instance, kind) DO UPDATE SET count = count + excluded.count",
        (day, json.dumps([(*key, count) for key, count in totals.items()])),
    )
    if of_items:
        tx.execute(
            "INSERT INTO item_calls (item_id, kind, count)"
            " SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?) WHERE true"
            " ON CONFLICT (item_id, kind) DO UPDATE SET count = count + excluded.count",
            (json.dumps(of_items),),
        )


def all_calls(db: Connection) -> dict[str, dict[str, int]]:
    """All requests ever sent, by instance and kind."""
    found: dict[str, dict[str, int]] = {}
    for name, kind, count in db.execute(
        "SELECT instance, kind, sum(count) FROM calls GROUP BY instance, kind ORDER BY instance, kind"
    ):
        found.setdefault(name, {})[kind] = count
    return found


def calls(db: Connection, instance: str) -> dict[str, int]:
    """All requests ever sent for an instance, by kind."""
    rows = db.execute("SELECT kind, sum(count) FROM calls WHERE instance = ? GROUP BY kind", (instance,))
    return {row[0]: row[1] for row in rows}
