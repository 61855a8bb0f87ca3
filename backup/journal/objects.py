"""Stored objects: one row for each, kept for as long as the object exists, longer than the item that stored it."""

from __future__ import annotations

from collections.abc import Iterable
from sqlite3 import Connection
from typing import Final, NamedTuple

from backup.journal.records import Outcome
from backup.system.packing import to_bytes, to_name
from providers.errors import Integrity

_HERE: Final = (
    "place = (SELECT location FROM places JOIN items ON places.id = items.place_id WHERE items.id = :item)"
    " AND key = (SELECT key FROM items WHERE id = :item)"
)
_KEPT: Final = "objects.sha256 = excluded.sha256 AND objects.size_bytes = excluded.size_bytes"


_SURELY_LISTED_S: Final = 24 * 3600.0
"""Objects stored this long before a job are in its listings: Google lists new objects late, and the listing may
belong to a plan, up to an hour older than the job."""


class Row(NamedTuple):
    """A row that may be forgotten unless it was proved again."""

    key: str
    proved_at: float


def note_end(tx: Connection, outcome: Outcome, *, now: float) -> None:
    """Record what is stored under the key of an item that is done, or whose object was found to be gone."""
    if outcome.sha256 and not outcome.gone:
        _put(tx, outcome, now)
    else:
        deleted = "EXISTS (SELECT 1 FROM items WHERE id = :item AND job_kind = 'delete')"
        tx.execute(
            f"DELETE FROM objects WHERE {_HERE} AND (:gone OR {deleted})",
            {"item": outcome.item_id, "gone": outcome.gone},
        )


def _put(tx: Connection, outcome: Outcome, now: float) -> None:
    """What was known of the same bytes, and is missing in the outcome, is kept: two equal readings remove no proof."""
    tx.execute(
        "INSERT INTO objects (place, key, size_bytes, etag, sha256, mtime_ns, ctime_ns, proof, stored, proved_at)"
        " SELECT location, key, size_bytes, etag, sha256, :mtime_ns, :ctime_ns, proof, job_kind = 'upload', :now"
        " FROM items JOIN places ON places.id = items.place_id WHERE items.id = :item AND location <> ''"
        " ON CONFLICT (place, key) DO UPDATE SET"
        " size_bytes = excluded.size_bytes, etag = excluded.etag, sha256 = excluded.sha256, proved_at = :now,"
        f" mtime_ns = coalesce(excluded.mtime_ns, CASE WHEN {_KEPT} THEN objects.mtime_ns END),"
        f" ctime_ns = coalesce(excluded.ctime_ns, CASE WHEN {_KEPT} THEN objects.ctime_ns END),"
        f" proof = CASE WHEN excluded.proof IS 'read_twice' AND {_KEPT} THEN objects.proof ELSE excluded.proof END,"
        f" stored = excluded.stored OR (objects.stored AND {_KEPT})",
        {"item": outcome.item_id, "mtime_ns": outcome.mtime_ns, "ctime_ns": outcome.ctime_ns, "now": now},
    )


def known_sha256(db: Connection, place_id: int, key: str, *, etag: str, size_bytes: int) -> str:
    """The digest of this version of the object if we moved it ourselves, else ''.

    Raises Integrity if this version (by its ETag) had another size when we moved it: the service cannot be trusted
    about either.
    """
    if not etag:
        return ""
    row = db.execute(
        "SELECT sha256, size_bytes FROM objects"
        " WHERE place = (SELECT location FROM places WHERE id = ?) AND key = ? AND etag = ?",
        (place_id, to_bytes(key), etag),
    ).fetchone()
    if row is None:
        return ""
    if row["size_bytes"] != size_bytes:
        raise Integrity(
            f"{key}: the service reports {size_bytes} bytes, but this same version had {row['size_bytes']} when it was "
            "stored or fetched",
            hint="Check for a proxy or cache in front of the service; nothing from it was used.",
        )
    return str(row["sha256"])


def stored_before(db: Connection, place_id: int, key: str, sha256: str) -> bool:
    """Whether we stored these bytes under this key, whatever the service reports now."""
    row = db.execute(
        "SELECT 1 FROM objects WHERE place = (SELECT location FROM places WHERE id = ?) AND key = ?"
        " AND sha256 = ? AND stored",
        (place_id, to_bytes(key), sha256),
    ).fetchone()
    return row is not None


def older_than_job(db: Connection, job_id: int, prefix: str, *, limit: int) -> list[Row]:
    """What is known below a prefix ('' or ending in '/') of the job's place, and was there a day before the job."""
    first = to_bytes(prefix)
    behind = first[:-1] + b"0" if first else None  # '0' comes after '/'
    rows = db.execute(
        "SELECT key, proved_at FROM objects"
        " WHERE place = (SELECT location FROM places JOIN jobs ON places.id = jobs.place_id WHERE jobs.id = :job)"
        " AND key >= :first AND (:behind IS NULL OR key < :behind)"
        " AND proved_at < (SELECT created_at FROM jobs WHERE id = :job) - :surely LIMIT :limit",
        {"job": job_id, "first": first, "behind": behind, "surely": _SURELY_LISTED_S,
         "limit": limit},
    )  # fmt: skip
    return [Row(to_name(row["key"]), row["proved_at"]) for row in rows]


def forget(tx: Connection, place_id: int, rows: Iterable[Row]) -> None:
    """Forget rows missing from a complete listing. What was proved meanwhile stays."""
    tx.executemany(
        "DELETE FROM objects WHERE place = (SELECT location FROM places WHERE id = ?) AND key = ? AND proved_at = ?",
        [(place_id, to_bytes(row.key), row.proved_at) for row in rows],
    )
