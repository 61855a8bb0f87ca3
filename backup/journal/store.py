"""Access to the journal file: one writer and one reader connection per process, each used by one thread at a time."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from backup.journal.schema import damaged, open_connection, unusable

_NOT_LEGAL: Final = "illegal change of state"


class IllegalTransition(Exception):
    """A change of state that is not in `backup.model.transfers.TRANSITIONS`: a bug in the program."""


class Journal:
    """Any thread may use it, and any number of processes may have it open. Close it, or use it as a context manager."""

    def __init__(self, path: Path) -> None:
        """Open the file, or create it (0600). Raises ProviderError if that fails, or if a newer version wrote it."""
        self.path = path
        self._writer = open_connection(path)
        try:
            self._reader = open_connection(path)
        except BaseException:
            self._writer.close()
            raise
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()

    @contextmanager
    def transaction(self, *, quiet: bool = False) -> Iterator[sqlite3.Connection]:
        """All or nothing, on disk when it returns. Increments the revision unless `quiet`: no view shows the change.

        Raises IllegalTransition, JournalFull if there is no space, ProviderError if the file cannot be used.
        """
        with self._write_lock, _explained(self.path):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                if not quiet:
                    self._writer.execute("UPDATE totals SET revision = revision + 1")
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def look(self) -> Iterator[sqlite3.Connection]:
        """One consistent read; never waits for a writer."""
        with self._read_lock, _explained(self.path):
            self._reader.execute("BEGIN")
            try:
                yield self._reader
            except (ValueError, msgspec.MsgspecError) as error:
                raise damaged(self.path, f"it contains foreign data ({type(error).__name__})") from error
            finally:
                self._reader.execute("ROLLBACK")

    def revision(self) -> int:
        """A number that differs after each change, whichever process made it."""
        with self.look() as db:
            return int(db.execute("SELECT revision FROM totals").fetchone()[0])

    def close(self) -> None:
        """May be called twice."""
        with self._write_lock, self._read_lock:
            self._writer.close()
            self._reader.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError as error:
        if _NOT_LEGAL in str(error):
            raise IllegalTransition(str(error)) from error
        raise
    except sqlite3.ProgrammingError:
        raise
    except UnicodeDecodeError as error:
        raise damaged(path, "its tables cannot be read") from error
    except sqlite3.DatabaseError as error:
        raise unusable(error, path) from error
