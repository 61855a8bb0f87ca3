"""Jobs and places: what the user asked for, and its destinations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from sqlite3 import Connection, Row
from typing import Final

from backup.journal.records import Destination, Job, JobRequest, NewItem
from backup.model.transfers import FINAL_STATES, ItemState
from backup.system.packing import pack, to_bytes, to_name, unpack
from providers.contract.report import ErrorInfo
from providers.errors import NotFound

_FILES: Final = (
    "job_id = ? AND (kind = 'file' OR"
    " (kind = 'directory' AND state = 'failed' AND attempts = 0 AND job_kind = 'upload')"
    " OR (kind IN ('symlink', 'other') AND state <> 'skipped'))"
)


def add_job(
    tx: Connection,
    order: JobRequest,
    place: Destination,
    *,
    title: str,
    destination: str,
    now: float,
    variables: Mapping[str, str] | None = None,
) -> int:
    """Add a job that is still to be scanned; returns its id. `variables`: the environment that it was checked in."""
    row = tx.execute(
        "INSERT INTO jobs (kind, instance, place_id, title, destination, request, created_at, scanning)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 1) RETURNING id",
        (
            order.kind,
            place.instance,
            _place_id(tx, place),
            to_bytes(title),
            to_bytes(destination),
            pack(order),
            now,
        ),
    ).fetchone()
    job_id = int(row["id"])
    if variables is not None:
        tx.execute("UPDATE jobs SET environment_id = ? WHERE id = ?", (_environment_id(tx, variables), job_id))
    tx.executemany(
        "INSERT INTO counts (job_id, kind, state) VALUES (?, ?, ?)",
        [(job_id, order.kind, state) for state in ItemState],
    )
    return job_id


def _place_id(tx: Connection, place: Destination) -> int:
    """The id of the place's row. A row is reused only if its location is the same; '' is not known yet."""
    key = (place.instance, place.type, place.container, place.settings)
    found = tx.execute(
        "SELECT id FROM places WHERE instance = ? AND type = ? AND container = ? AND settings = ? AND location = ?",
        (*key, place.location),
    ).fetchone()
    if found is None:
        found = tx.execute(
            "INSERT INTO places (instance, type, container, settings, location) VALUES (?, ?, ?, ?, ?) RETURNING id",
            (*key, place.location),
        ).fetchone()
    return int(found["id"])


def _environment_id(tx: Connection, variables: Mapping[str, str]) -> int:
    packed = pack(dict(sorted(variables.items())))
    tx.execute("INSERT INTO environments (variables) VALUES (?) ON CONFLICT DO NOTHING", (packed,))
    return int(tx.execute("SELECT id FROM environments WHERE variables = ?", (packed,)).fetchone()["id"])


def environment_of(db: Connection, job_id: int) -> int | None:
    """The environment that a job runs in; None: the worker's own."""
    row = db.execute("SELECT environment_id FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return None if row is None else row["environment_id"]


def variables(db: Connection, environment_id: int) -> dict[str, str]:
    """The variables of an environment; empty if there is none with that id."""
    row = db.execute("SELECT variables FROM environments WHERE id = ?", (environment_id,)).fetchone()
    return {} if row is None else unpack(row["variables"], dict[str, str])


def environments_open(db: Connection, instance: str) -> int:
    """How many different environments the unfinished jobs of an instance were queued in."""
    row = db.execute(
        "SELECT count(DISTINCT coalesce(environment_id, 0)) FROM jobs WHERE instance = ? AND (scanning OR open_items)",
        (instance,),
    ).fetchone()
    return int(row[0])


def take_over(tx: Connection, job_ids: Iterable[int], found: Mapping[str, str]) -> None:
    """Move jobs that the user retries to the user's environment: variables set there win, the others stay."""
    for job_id in job_ids:
        before = environment_of(tx, job_id)
        known = {} if before is None else variables(tx, before)
        now = _environment_id(tx, {**known, **found})
        if now != before:
            tx.execute("UPDATE jobs SET environment_id = ? WHERE id = ?", (now, job_id))


def place(db: Connection, place_id: int) -> Destination:
    row = db.execute("SELECT * FROM places WHERE id = ?", (place_id,)).fetchone()
    if row is None:
        raise NotFound(f"no place {place_id} in the journal")
    return Destination(**dict(row))


def bind_place(tx: Connection, place_id: int, location: str, account: str = "") -> None:
    """Record the location of a place on its first opening, and the account that the service reports now."""
    tx.execute(
        "UPDATE places SET location = CASE location WHEN '' THEN :location ELSE location END,"
        " account = CASE :account WHEN '' THEN account ELSE :account END WHERE id = :place",
        {"location": location, "account": account, "place": place_id},
    )


def job(db: Connection, job_id: int) -> Job:
    """Raises NotFound."""
    row = db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise NotFound(f"there is no job {job_id}")
    return _job(row)


SCANNABLE: Final = (
    "scanning AND NOT paused AND (kind = 'upload' OR NOT EXISTS (SELECT 1 FROM holds WHERE instance = jobs.instance))"
)
"""Jobs with something left to find. An upload is scanned on this machine, whatever state its service is in."""


def jobs_to_scan(db: Connection, *, now: float) -> list[Job]:
    """Scannable jobs that do not wait for a later moment, oldest first."""
    due = "(rescan_at IS NULL OR rescan_at <= ?)"
    return [_job(row) for row in db.execute(f"SELECT * FROM jobs WHERE {SCANNABLE} AND {due} ORDER BY id", (now,))]


def scan_waits(tx: Connection, job_id: int, error: ErrorInfo, *, until: float) -> None:
    """Retry a scan at `until`, or when the user resumes it."""
    tx.execute("UPDATE jobs SET rescan_at = ?, rescan_why = ? WHERE id = ? AND scanning", (until, pack(error), job_id))


def scan_at_once(tx: Connection, job_id: int) -> bool:
    """End the wait of a scan; returns whether it waited."""
    query = "UPDATE jobs SET rescan_at = NULL, rescan_why = NULL WHERE id = ? AND scanning AND rescan_at IS NOT NULL"
    return tx.execute(query, (job_id,)).rowcount > 0


def unscanned(db: Connection) -> list[Job]:
    """Every job whose scan is unfinished, paused ones too."""
    return [_job(row) for row in db.execute("SELECT * FROM jobs WHERE scanning ORDER BY id")]


def wanted_scans(db: Connection) -> set[int]:
    """The unfinished scans that are not paused."""
    return {row["id"] for row in db.execute("SELECT id FROM jobs WHERE scanning AND NOT paused")}


def is_scanning(db: Connection, job_id: int) -> bool:
    row = db.execute("SELECT scanning AND NOT paused FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return row is not None and bool(row[0])


def _job(row: Row) -> Job:
    return Job(
        id=row["id"], instance=row["instance"], place_id=row["place_id"], order=unpack(row["request"], JobRequest)
    )


def add_items(tx: Connection, job: Job, items: Iterable[NewItem], *, now: float) -> int:
    """Add what a scan found. Names that the job already has are left alone. Returns how many were added."""
    found = list(items)
    added = tx.executemany(
        "INSERT INTO items (job_id, place_id, instance, job_kind, kind, state, name, key, local_path, size_bytes,"
        " replaces, error, changed_at, finished_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (job_id, name) DO NOTHING",
        [
            (
                job.id,
                job.place_id,
                job.instance,
                job.order.kind,
                item.kind,
                item.state,
                to_bytes(item.name),
                to_bytes(item.key),
                to_bytes(item.local_path),
                item.size_bytes,
                item.replaces,
                pack(item.error) if item.error else None,
                now,
                now if item.state in FINAL_STATES else None,
            )
            for item in found
        ],
    ).rowcount  # `total_changes` would count what triggers change too
    last = [(job.id, to_bytes(item.name)) for item in found if item.last]
    if last:
        tx.executemany("UPDATE items SET last = 1 WHERE job_id = ? AND name = ?", last)
    return added


def note_ruled_out(tx: Connection, job_id: int, number: int) -> None:
    """Record how many entries the user's rules left out."""
    tx.execute("UPDATE jobs SET ruled_out = ? WHERE id = ?", (number, job_id))


def newest_item(db: Connection) -> int:
    """The id of the newest item of any job; 0 if there is none."""
    return int(db.execute("SELECT coalesce(max(id), 0) FROM items").fetchone()[0])


def item_of_name(db: Connection, job_id: int, name: str) -> tuple[int, str] | None:
    """Id and key of the item with this name in a job."""
    row = db.execute("SELECT id, key FROM items WHERE job_id = ? AND name = ?", (job_id, to_bytes(name))).fetchone()
    return None if row is None else (row["id"], to_name(row["key"]))


def files_of(db: Connection, job_id: int) -> int:
    """The number of files of a job, plus links and folders that failed because they cannot be read."""
    return int(db.execute(f"SELECT count(*) FROM items WHERE {_FILES}", (job_id,)).fetchone()[0])


def bytes_of_files(db: Connection, job_id: int) -> int:
    """The bytes of the files that `files_of` counts, as found or moved."""
    return int(db.execute(f"SELECT coalesce(sum(size_bytes), 0) FROM items WHERE {_FILES}", (job_id,)).fetchone()[0])


def keys_of_files(db: Connection, job_id: int) -> Iterator[bytes]:
    """The keys of the files that `files_of` counts."""
    return (row[0] for row in db.execute(f"SELECT key FROM items WHERE {_FILES}", (job_id,)))


def pause_scan(tx: Connection, job_id: int, *, paused: bool) -> bool:
    """Pause or resume a scan; returns whether that changed something."""
    query = "UPDATE jobs SET paused = ? WHERE id = ? AND scanning AND paused <> ?"
    return tx.execute(query, (paused, job_id, paused)).rowcount > 0


def learn_replaced(tx: Connection, job_id: int, replaced: Iterable[str]) -> None:
    """Record which queued files from folders replace an object: those named in `replaced` do, all others do not."""
    unknown = "job_id = ? AND state = 'queued' AND replaces IS NULL AND kind = 'file'"
    tx.executemany(
        f"UPDATE items SET replaces = 1 WHERE {unknown} AND name = ?", ((job_id, to_bytes(name)) for name in replaced)
    )
    tx.execute(f"UPDATE items SET replaces = 0 WHERE {unknown} AND instr(name, X'2F')", (job_id,))


def scan_ended(tx: Connection, job_id: int) -> bool:
    """Record that everything was found; returns whether the scan was going on."""
    return tx.execute("UPDATE jobs SET scanning = 0 WHERE id = ? AND scanning", (job_id,)).rowcount > 0


def scan_broke(tx: Connection, job_id: int, error: ErrorInfo, *, now: float) -> bool:
    """Record that the scan stopped short; returns whether it was going on."""
    query = "UPDATE jobs SET scanning = 0, error = ?, broke_at = ? WHERE id = ? AND scanning"
    return tx.execute(query, (pack(error), now, job_id)).rowcount > 0


def open_jobs(db: Connection, instance: str) -> int:
    """How many jobs of an instance are not finished."""
    query = "SELECT count(*) FROM jobs WHERE instance = ? AND (scanning OR open_items)"
    return int(db.execute(query, (instance,)).fetchone()[0])


def other_instances(db: Connection, name: str) -> list[str]:
    """Every instance other than `name` that anything was ever queued for; also `name` if it had another type."""
    query = "SELECT DISTINCT instance FROM places WHERE instance <> ? OR type <> ? ORDER BY instance"
    return [row["instance"] for row in db.execute(query, (name, name))]
