"""The journal's tables and triggers, as the scripts that created them one after the other."""

from __future__ import annotations

from typing import Final

from backup.model.transfers import FINAL_STATES, ItemState, JobKind

_STILL: Final = "'skipped', 'cancelled'"
_OPEN: Final = ", ".join(f"'{state}'" for state in ItemState if state not in FINAL_STATES)

_TABLES: Final = """
CREATE TABLE totals (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL DEFAULT 0,
    leaving INTEGER NOT NULL DEFAULT 0,
    size_bytes INTEGER NOT NULL DEFAULT 0,
    done_bytes INTEGER NOT NULL DEFAULT 0,
    scanning INTEGER NOT NULL DEFAULT 0
);
INSERT INTO totals (id) VALUES (1);

-- Destinations of items, fixed when they were queued. `settings` are those that determine it; `location` is the
-- provider's own description, known once the worker opened it.
CREATE TABLE places (
    id INTEGER PRIMARY KEY,
    instance TEXT NOT NULL,
    type TEXT NOT NULL,
    container TEXT NOT NULL,
    settings TEXT NOT NULL,
    location TEXT NOT NULL DEFAULT ''
);
CREATE INDEX places_of_instance ON places (instance);

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    instance TEXT NOT NULL,
    place_id INTEGER NOT NULL REFERENCES places (id),
    title BLOB NOT NULL,
    destination BLOB NOT NULL,
    request BLOB NOT NULL,
    created_at REAL NOT NULL,
    scanning INTEGER NOT NULL,
    error BLOB,
    open_items INTEGER NOT NULL DEFAULT 0,
    size_bytes INTEGER NOT NULL DEFAULT 0,
    done_bytes INTEGER NOT NULL DEFAULT 0,
    skipped_symlinks INTEGER NOT NULL DEFAULT 0,
    skipped_special INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX jobs_scanning ON jobs (id) WHERE scanning;
CREATE INDEX jobs_open ON jobs (instance) WHERE scanning OR open_items;

-- Names, keys and paths are bytes: not every name is UTF-8.
CREATE TABLE items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id INTEGER NOT NULL REFERENCES jobs (id),
    place_id INTEGER NOT NULL REFERENCES places (id),
    instance TEXT NOT NULL,
    job_kind TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    name BLOB NOT NULL,
    key BLOB NOT NULL,
    local_path BLOB NOT NULL,
    size_bytes INTEGER NOT NULL,
    bytes_done INTEGER NOT NULL DEFAULT 0,
    replaces INTEGER,
    wish TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    wait_until REAL,
    error BLOB,
    proof TEXT,
    sha256 TEXT NOT NULL DEFAULT '',
    replaced INTEGER,
    elapsed_s REAL NOT NULL DEFAULT 0,
    changed_at REAL NOT NULL,
    finished_at REAL,
    UNIQUE (job_id, name)
);
CREATE INDEX items_open ON items (state, id) WHERE finished_at IS NULL;
CREATE INDEX items_ready ON items (instance, id) WHERE state = 'queued';
CREATE INDEX items_waiting ON items (wait_until) WHERE state = 'waiting';
CREATE INDEX items_ended ON items (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX items_of_job ON items (job_id, state, id);

CREATE TABLE checkpoints (
    item_id INTEGER PRIMARY KEY REFERENCES items (id),
    saved BLOB NOT NULL
);
CREATE TABLE parts (
    item_id INTEGER NOT NULL REFERENCES items (id),
    part INTEGER NOT NULL,
    receipt BLOB NOT NULL,
    PRIMARY KEY (item_id, part)
) WITHOUT ROWID;

-- What cancelled items left at a service (or beside a download's target) and must still be removed.
CREATE TABLE cleanups (
    item_id INTEGER PRIMARY KEY REFERENCES items (id),
    instance TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    wait_until REAL NOT NULL DEFAULT 0,
    error BLOB
);

-- Instances whose queue is held: until a time, or (NULL) until credentials or settings change.
CREATE TABLE holds (
    instance TEXT PRIMARY KEY,
    until REAL,
    error BLOB NOT NULL
);

CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    item_id INTEGER NOT NULL REFERENCES items (id),
    at REAL NOT NULL,
    what TEXT NOT NULL,
    error BLOB
);
CREATE INDEX events_of_item ON events (item_id, id);

CREATE TABLE calls (
    day TEXT NOT NULL,
    instance TEXT NOT NULL,
    kind TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (day, instance, kind)
) WITHOUT ROWID;
CREATE TABLE facts (key TEXT PRIMARY KEY, fact BLOB NOT NULL) WITHOUT ROWID;

-- Items by job (0: all jobs), kind of job and state.
CREATE TABLE counts (
    job_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    items INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, kind, state)
) WITHOUT ROWID;
"""

_ALL_COUNTS: Final = "INSERT INTO counts (job_id, kind, state) VALUES " + ", ".join(
    f"(0, '{kind}', '{state}')" for kind in JobKind for state in ItemState
)


def _weighed(row: str, column: str) -> str:
    """The bytes that an item adds to its job: none for deletes, and none for what will not move."""
    still = f"{row}.job_kind = 'delete' OR {row}.state IN ({_STILL})"
    return f"CASE WHEN {still} THEN 0 ELSE {row}.{column} END"


_TRIGGERS: Final = f"""
CREATE TRIGGER item_added AFTER INSERT ON items BEGIN
    UPDATE counts SET items = items + 1
        WHERE job_id IN (0, NEW.job_id) AND kind = NEW.job_kind AND state = NEW.state;
    UPDATE jobs SET
        open_items = open_items + (NEW.state IN ({_OPEN})),
        size_bytes = size_bytes + {_weighed("NEW", "size_bytes")},
        done_bytes = done_bytes + {_weighed("NEW", "bytes_done")},
        skipped_symlinks = skipped_symlinks + (NEW.state = 'skipped' AND NEW.kind = 'symlink'),
        skipped_special = skipped_special + (NEW.state = 'skipped' AND NEW.kind = 'other')
        WHERE id = NEW.job_id;
END;
CREATE TRIGGER item_moved AFTER UPDATE OF state ON items WHEN OLD.state <> NEW.state BEGIN
    UPDATE counts SET items = items - 1
        WHERE job_id IN (0, OLD.job_id) AND kind = OLD.job_kind AND state = OLD.state;
    UPDATE counts SET items = items + 1
        WHERE job_id IN (0, NEW.job_id) AND kind = NEW.job_kind AND state = NEW.state;
    INSERT INTO events (item_id, at, what, error) VALUES (NEW.id, NEW.changed_at, NEW.state, NEW.error);
END;
CREATE TRIGGER item_weighed AFTER UPDATE OF state, size_bytes, bytes_done ON items
WHEN (OLD.state IN ({_OPEN})) <> (NEW.state IN ({_OPEN}))
    OR (OLD.state IN ({_STILL})) <> (NEW.state IN ({_STILL}))
    OR OLD.size_bytes <> NEW.size_bytes OR OLD.bytes_done <> NEW.bytes_done BEGIN
    UPDATE jobs SET
        open_items = open_items + (NEW.state IN ({_OPEN})) - (OLD.state IN ({_OPEN})),
        size_bytes = size_bytes + ({_weighed("NEW", "size_bytes")}) - ({_weighed("OLD", "size_bytes")}),
        done_bytes = done_bytes + ({_weighed("NEW", "bytes_done")}) - ({_weighed("OLD", "bytes_done")})
        WHERE id = NEW.job_id;
END;
CREATE TRIGGER item_cancelled AFTER UPDATE OF state ON items WHEN NEW.state = 'cancelled' BEGIN
    INSERT INTO cleanups (item_id, instance)
        SELECT NEW.id, NEW.instance FROM checkpoints WHERE item_id = NEW.id
        ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER item_taken_up_again AFTER UPDATE OF state ON items WHEN OLD.state = 'cancelled' BEGIN
    DELETE FROM cleanups WHERE item_id = OLD.id;
END;
CREATE TRIGGER job_added AFTER INSERT ON jobs BEGIN
    UPDATE totals SET scanning = scanning + NEW.scanning;
END;
CREATE TRIGGER job_changed AFTER UPDATE OF scanning, open_items, size_bytes, done_bytes ON jobs BEGIN
    UPDATE totals SET
        scanning = scanning + NEW.scanning - OLD.scanning,
        size_bytes = size_bytes + (CASE WHEN NEW.scanning OR NEW.open_items THEN NEW.size_bytes ELSE 0 END)
            - (CASE WHEN OLD.scanning OR OLD.open_items THEN OLD.size_bytes ELSE 0 END),
        done_bytes = done_bytes + (CASE WHEN NEW.scanning OR NEW.open_items THEN NEW.done_bytes ELSE 0 END)
            - (CASE WHEN OLD.scanning OR OLD.open_items THEN OLD.done_bytes ELSE 0 END);
END;
"""

_HISTORY: Final = """
-- The object when its bytes were last known.
ALTER TABLE items ADD COLUMN etag TEXT NOT NULL DEFAULT '';
CREATE INDEX items_history ON items (key, id) WHERE etag <> '';
"""

_ITEM_CALLS: Final = """
-- Requests sent for one item, in all its attempts; `calls` includes them.
CREATE TABLE item_calls (
    item_id INTEGER NOT NULL REFERENCES items (id),
    kind TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (item_id, kind)
) WITHOUT ROWID;
"""

_LISTED: Final = """
-- All bytes of a job, including deletes and what was cancelled or skipped.
ALTER TABLE jobs ADD COLUMN listed_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET listed_bytes = (SELECT coalesce(sum(size_bytes), 0) FROM items WHERE job_id = jobs.id);
CREATE TRIGGER item_listed AFTER INSERT ON items WHEN NEW.size_bytes BEGIN
    UPDATE jobs SET listed_bytes = listed_bytes + NEW.size_bytes WHERE id = NEW.job_id;
END;
CREATE TRIGGER item_resized AFTER UPDATE OF size_bytes ON items WHEN OLD.size_bytes <> NEW.size_bytes BEGIN
    UPDATE jobs SET listed_bytes = listed_bytes + NEW.size_bytes - OLD.size_bytes WHERE id = NEW.job_id;
END;
"""

_PLACES: Final = """
-- The location without the id of a key, since keys are rotated. `account` is the owner reported by the service.
ALTER TABLE places ADD COLUMN account TEXT NOT NULL DEFAULT '';
UPDATE places SET account = former_account(location), location = former_place(location) WHERE location <> '';
"""

_ENVIRONMENTS: Final = """
-- Variables of the command that queued a job, without secrets. Rows never change, as jobs share them.
CREATE TABLE environments (id INTEGER PRIMARY KEY, variables BLOB NOT NULL UNIQUE);
-- NULL: queued by a version that did not record it; the worker's own is used.
ALTER TABLE jobs ADD COLUMN environment_id INTEGER REFERENCES environments (id);
"""

_READ_TWICE: Final = """
-- Downloads proved by two equal readings only. They were counted as read back, which is a stronger proof.
DROP INDEX items_history;
CREATE INDEX items_history ON items (key, id) WHERE sha256 <> '';
ALTER TABLE jobs ADD COLUMN read_twice INTEGER NOT NULL DEFAULT 0;
CREATE TRIGGER item_read_twice AFTER UPDATE OF proof ON items
WHEN NEW.proof IS 'read_twice' AND OLD.proof IS NOT 'read_twice' BEGIN
    UPDATE jobs SET read_twice = read_twice + 1 WHERE id = NEW.job_id;
END;
UPDATE items SET proof = 'read_twice' WHERE job_kind = 'download' AND proof = 'read_back';
"""

_PAUSED_SCANS: Final = """
-- Whether the user paused the scan; what it has found already is paused item by item.
ALTER TABLE jobs ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
"""

_OBJECTS: Final = """
-- One row for each stored object, as long as it exists: its proof when the items are pruned.
-- `stored`: we stored it ourselves; otherwise we only fetched it.
CREATE TABLE objects (
    place TEXT NOT NULL,
    key BLOB NOT NULL,
    size_bytes INTEGER NOT NULL,
    etag TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    mtime_ns INTEGER,
    ctime_ns INTEGER,
    proof TEXT,
    stored INTEGER NOT NULL,
    proved_at REAL NOT NULL,
    PRIMARY KEY (place, key)
) WITHOUT ROWID;
INSERT INTO objects (place, key, size_bytes, etag, sha256, proof, stored, proved_at)
    SELECT location, key, size_bytes, etag, sha256, proof, job_kind = 'upload', finished_at FROM (
        SELECT location, key, size_bytes, etag, sha256, proof, job_kind, finished_at, max(finished_at * 1e6 + items.id)
            FROM items JOIN places ON places.id = items.place_id
            WHERE state = 'done' AND location <> '' AND (sha256 <> '' OR job_kind = 'delete')
            GROUP BY location, key
    ) WHERE job_kind <> 'delete';
DROP INDEX items_history;
-- Pruned items; counters and totals still include them.
ALTER TABLE totals ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;
-- When a worker last completed the pruning; NULL: never.
ALTER TABLE totals ADD COLUMN pruned_at REAL;
ALTER TABLE jobs ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;
"""

_LAST: Final = """
-- Items that begin only after the rest of their job: folders, which must be empty to be deleted.
ALTER TABLE items ADD COLUMN last INTEGER NOT NULL DEFAULT 0;
CREATE INDEX items_before_last ON items (job_id) WHERE finished_at IS NULL AND NOT last;
"""

_RULED_OUT: Final = """
-- Entries left out by the user's rules; they have no items.
ALTER TABLE jobs ADD COLUMN ruled_out INTEGER NOT NULL DEFAULT 0;
"""

_IGNORED: Final = """
ALTER TABLE jobs ADD COLUMN ignored_metadata INTEGER NOT NULL DEFAULT 0;
"""

_LEAVING: Final = """
-- The running worker itself reports that it is leaving.
ALTER TABLE totals DROP COLUMN leaving;
"""

_ROTATED: Final = """
-- An older version paused queued items after the key was rotated. They continue; if the place differs, the worker
-- pauses them again.
UPDATE items SET state = 'queued', error = NULL WHERE state = 'paused' AND finished_at IS NULL
    AND CAST(error AS TEXT) LIKE '% pointed to % when this was queued, and now points to %';
"""

_SCAN_WAITS: Final = """
-- A scan whose service asked for a pause, or could not be listed: when it is retried, and the reason.
ALTER TABLE jobs ADD COLUMN rescan_at REAL;
ALTER TABLE jobs ADD COLUMN rescan_why BLOB;
"""

_FOLDERS_IN_WORK: Final = """
-- Folders that a download created, or opened for itself, which it could not recognise after a kill. Kept until its job
-- ends.
CREATE TABLE folders_in_work (
    job_id INTEGER NOT NULL REFERENCES jobs (id),
    path BLOB NOT NULL,
    -- The mode before it was opened; NULL: the job has made it.
    mode INTEGER,
    PRIMARY KEY (job_id, path)
) WITHOUT ROWID;
"""

_BROKE_AT: Final = """
-- When the scan of a job stopped short; `error` is the reason. Older versions did not record it: for theirs, the
-- last known time.
ALTER TABLE jobs ADD COLUMN broke_at REAL;
UPDATE jobs SET broke_at = max(created_at, coalesce((SELECT max(changed_at) FROM items WHERE job_id = jobs.id), 0))
    WHERE error IS NOT NULL;
CREATE INDEX jobs_broken ON jobs (broke_at) WHERE error IS NOT NULL;
-- Items that ended before this may have been pruned; NULL: none were, or an older version did it.
ALTER TABLE totals ADD COLUMN pruned_before REAL;
"""

_RESIZED: Final = """
-- Bytes that files gained or lost after planning.
ALTER TABLE jobs ADD COLUMN grown_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN shrunk_bytes INTEGER NOT NULL DEFAULT 0;
"""

MIGRATIONS: Final[tuple[str, ...]] = (
    _TABLES + _ALL_COUNTS + ";" + _TRIGGERS,
    _HISTORY,
    _ITEM_CALLS,
    _LISTED,
    _ENVIRONMENTS,
    _READ_TWICE,
    _PLACES,
    _PAUSED_SCANS,
    _OBJECTS,
    _LAST,
    _RULED_OUT,
    _IGNORED,
    _LEAVING,
    _ROTATED,
    _SCAN_WAITS,
    _FOLDERS_IN_WORK,
    _BROKE_AT,
    _RESIZED,
)
"""Script n takes a journal from version n to n + 1. Only ever append."""
