"""The journal's tables, its migrations, and how a connection to it is opened.

Counters are kept by triggers, so that no look ever sums over items, and the state machine of `backup.model` is
enforced by the database: an illegal change of state aborts its transaction whoever asks for it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from typing import Final

from backup.journal import former_places
from backup.journal.migrations import MIGRATIONS as MIGRATIONS
from backup.model import TRANSITIONS
from providers.errors import InvalidConfiguration, PermissionDenied, ProviderError, QuotaExceeded
from providers.os_errors import from_os_error

_BUSY_TIMEOUT_S: Final = 20.0
_OPENING: Final = threading.Lock()

_LEGAL: Final = ", ".join(f"'{before}>{after}'" for before, states in TRANSITIONS.items() for after in sorted(states))
_STATE_MACHINE: Final = f"""
CREATE TEMP TRIGGER state_machine BEFORE UPDATE OF state ON main.items
WHEN OLD.state <> NEW.state AND (OLD.state || '>' || NEW.state) NOT IN ({_LEGAL}) BEGIN
    SELECT RAISE(ABORT, 'illegal change of state');
END;
"""


def open_connection(path: Path) -> sqlite3.Connection:
    """A connection with this module's guarantees; the file is created 0600, and migrated. Commits are on disk when
    they return.

    Raises InvalidConfiguration when a newer version wrote the file, and ProviderError when it cannot be opened.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create(path)
        connection = sqlite3.connect(
            path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=256
        )
    except OSError as error:
        raise from_os_error(error, path) from None
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file; an old one is made so when idle
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        migrate(connection, path)
        connection.executescript(_STATE_MACHINE)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise unusable(error, path) from error
    except BaseException:
        connection.close()
        raise
    return connection


_NO_ROOM: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE})
"""A quota, or a limit on the size of files, looks like a failed write to SQLite."""


class JournalFull(QuotaExceeded):
    """The journal takes no change for want of room. No fault of whatever was to be written down: that can go on."""


def unusable(error: sqlite3.DatabaseError, path: Path) -> ProviderError:
    """What a failure of SQLite means: a full disk costs no queue, a damaged file may."""
    said = f"{path}: the journal cannot be used: {error}"
    code = getattr(error, "sqlite_errorcode", 0)
    if code in _NO_ROOM:
        return JournalFull(said, hint="Make room on that disk: the queue is kept, and goes on.")
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY:
            return ProviderError(said, hint="Another process keeps it busy; try again.")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN:
            return PermissionDenied(said, hint="Let this user write in that folder: the queue is kept.")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return ProviderError(said, hint="The file is damaged. Move it away to start with an empty queue.")
    return ProviderError(said, hint="Look at that disk (dmesg), then try again: the queue is kept.")


def _create(path: Path) -> None:
    """Make the file, if it is not there, so that it never has wider rights.

    One that is there must not be opened and closed here, not even to look: closing any descriptor of a file takes away
    all locks that SQLite holds on it in this process, and another process would then delete the log of a journal in
    use.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise from_os_error(error, path) from None


def migrate(connection: sqlite3.Connection, path: Path, migrations: tuple[str, ...] = MIGRATIONS) -> None:
    """Bring the journal to the newest version, in one transaction; several processes may try at once."""
    if _version(connection) == len(migrations):
        return
    for name, function in (("former_place", former_places.place_of), ("former_account", former_places.account_of)):
        connection.create_function(name, 1, function, deterministic=True)
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)
        if version > len(migrations):
            raise InvalidConfiguration(
                f"{path}: written by a newer version of this program (journal version {version})",
                hint="Install that version again, or move the file away.",
            )
        for script in migrations[version:]:
            for statement in statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def statements(script: str) -> list[str]:
    """Split a script, since `executescript` would commit behind our back."""
    found: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            found.append(pending.strip())
            pending = ""
    return found
