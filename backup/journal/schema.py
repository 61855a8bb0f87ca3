"""The journal's tables, its migrations, and the way to open a connection to it.

Triggers keep the counters, so that no query sums over items. The database also enforces the state machine of
`backup.model.transfers`: an illegal change of state aborts its transaction, whatever process requested it.
"""

from __future__ import annotations

import os
import secrets
import shlex
import sqlite3
import stat
from contextlib import closing, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from backup import __version__
from backup.journal import former_places
from backup.journal.migrations import MIGRATIONS as MIGRATIONS
from backup.model.transfers import TRANSITIONS
from providers.errors import (
    InvalidConfiguration,
    NotFound,
    PermissionDenied,
    ProviderError,
    QuotaExceeded,
    Transient,
    descriptors_exhausted,
    from_os_error,
)
from providers.filesystem.rename import rename_new

_BUSY_TIMEOUT_S: Final = 20.0

_LEGAL: Final = ", ".join(f"'{before}>{after}'" for before, states in TRANSITIONS.items() for after in sorted(states))
_STATE_MACHINE: Final = f"""
CREATE TEMP TRIGGER state_machine BEFORE UPDATE OF state ON main.items
WHEN OLD.state <> NEW.state AND (OLD.state || '>' || NEW.state) NOT IN ({_LEGAL}) BEGIN
    SELECT RAISE(ABORT, 'illegal change of state');
END;
"""


def open_connection(path: Path) -> sqlite3.Connection:
    """A connection with this module's guarantees. The file is created 0600, and migrated. Commits are on disk when
    they return.

    Raises InvalidConfiguration if a newer version wrote the file, JournalDamaged if it is damaged, and ProviderError
    if it cannot be opened.
    """
    try:
        if not _exists(path):
            _create(path)
        connection = sqlite3.connect(
            path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=256
        )
    except OSError as error:
        raise from_os_error(error, path) from None
    except sqlite3.DatabaseError as error:
        raise unusable(error, path) from error
    try:
        connection.row_factory = sqlite3.Row
        if not _version(connection):
            raise damaged(path, "it holds no journal")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        migrate(connection, path)
        connection.executescript(_STATE_MACHINE)
        if connection.execute("SELECT count(*) FROM totals").fetchone()[0] != 1:
            raise damaged(path, "its totals are gone")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise unusable(error, path) from error
    except UnicodeDecodeError as error:  # SQLite's message about the damage quotes it
        connection.close()
        raise damaged(path, "its tables cannot be read") from error
    except BaseException:
        connection.close()
        raise
    return connection


_NO_ROOM: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE})
"""A quota, or a limit on the size of files, looks like a failed write to SQLite."""


class JournalFull(QuotaExceeded):
    """The disk is too full to write to the journal. The work itself did not fail, and can continue."""


class JournalDamaged(ProviderError):
    """The journal is damaged. Nothing in it is changed or deleted: what to save is the user's decision."""


def damaged(path: Path, what: str) -> JournalDamaged:
    file, old = shlex.quote(str(path)), shlex.quote(str(path.with_name("damaged-journal")))
    return JournalDamaged(
        f"{path}: the journal cannot be used, it is damaged: {what}",
        hint=f"Nothing was changed. Move it away to start with an empty queue (mkdir {old} && mv {file}* {old}/), or "
        "put a copy back. What is stored stays stored.",
    )


def unusable(error: sqlite3.DatabaseError, path: Path) -> ProviderError:
    """The meaning of a SQLite failure: a full disk loses no queue, a damaged file may."""
    message = f"{path}: the journal cannot be used: {error}"
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)  # Python reports undecodable text without a code
    if code in _NO_ROOM:
        return JournalFull(message, hint="Make room on that disk: the queue is kept, and continues.")
    exhausted = descriptors_exhausted()
    if exhausted:
        return Transient(
            f"{message}: {exhausted.message}", hint=exhausted.hint, remedies=exhausted.remedies, code=exhausted.code
        )
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY:
            return ProviderError(message, hint="Another process keeps it busy; try again.", code="busy")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN:
            return PermissionDenied(message, hint="Let this user write in that folder: the queue is kept.")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_ERROR:  # the last: a table is missing
            return damaged(path, str(error))
    return ProviderError(message, hint="Look at that disk (dmesg), then try again: the queue is kept.")


def _exists(path: Path) -> bool:
    """Whether there is a journal. Raises JournalDamaged for the remains of one: SQLite would turn them into an empty
    journal and delete the log.

    An existing journal must not be opened and closed here. Closing any descriptor of a file drops all locks that
    SQLite holds on it in this process, and another process would then delete the log of a journal in use.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            raise NotFound(
                f"{path}: the journal is a link to a file that is not there",
                hint="See that its disk is mounted; or remove the link, to start with an empty queue.",
            ) from None
        log = path.with_name(f"{path.name}-wal")
        if log.exists() and log.stat().st_size:
            raise damaged(path, f"the file is gone, and its log {log.name} is there") from None
        return False
    if not stat.S_ISREG(found.st_mode):
        raise damaged(path, "it is no file")
    if not found.st_size:
        raise damaged(path, "the file is empty")
    return True


def _create(path: Path) -> None:
    """Create the file: complete as soon as it has its name, and never with wider permissions. Another process may be
    first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temp = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    os.close(os.open(temp, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with closing(sqlite3.connect(temp, isolation_level=None)) as connection:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            migrate(connection, path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with suppress(FileExistsError):
                rename_new(temp.name, path.name, at=folder)
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        temp.unlink(missing_ok=True)


def migrate(connection: sqlite3.Connection, path: Path, migrations: tuple[str, ...] = MIGRATIONS) -> None:
    """Migrate the journal to the newest version, in one transaction. Several processes may try at once."""
    if _version(connection) == len(migrations):
        return
    for name, function in (("former_place", former_places.place_of), ("former_account", former_places.account_of)):
        connection.create_function(name, 1, function, deterministic=True)
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)
        if version > len(migrations):
            raise InvalidConfiguration(
                f"{path}: written by a newer version of this program (journal version {version}; this is version "
                f"{__version__}, which knows journals up to {len(migrations)})",
                hint="Use that version (another checkout, or git pull), or move the file away.",
            )
        for script in migrations[version:]:
            for statement in statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def is_older(path: Path) -> bool:
    """Whether an older version of the program wrote the file, so that opening it would migrate it."""
    try:
        if not path.exists() or not path.stat().st_size:
            return False
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            return 0 < _version(connection) < len(MIGRATIONS)
    except (OSError, sqlite3.Error):
        return False  # opening it reports why


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def statements(script: str) -> list[str]:
    """Split a script, since `executescript` would commit on its own."""
    found: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            found.append(pending.strip())
            pending = ""
    return found
