"""Group commit: many small journal changes share one fsync. One fsync each would make thousands of small files slow."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any, Final, TypeVar

from backup.journal import Journal, JournalFull

_LOG: Final = logging.getLogger(__name__)
_MOST: Final = 500
_LINGER_S: Final = 0.02
"""How long changes may be collected when no caller waits for them."""
T = TypeVar("T")


@dataclass(frozen=True)
class _Entry:
    change: Callable[[Connection], Any]
    done: Future[Any] | None
    then: Callable[[], None] | None = None


class BatchWriter:
    """One thread that commits the changes of all others, in order. Calls `on_failure` when a posted change is lost, and
    when the journal is full."""

    def __init__(
        self,
        journal: Journal,
        *,
        on_failure: Callable[[Exception], None],
        along: Callable[[Connection], None] = lambda tx: None,
    ) -> None:
        """`along` runs last in every commit: what it collects needs no statement per change."""
        self._journal = journal
        self._along = along
        self._on_failure = on_failure
        self._entries: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="writer", daemon=True)
        self._thread.start()

    def run(self, change: Callable[[Connection], T]) -> T:
        """Make a change, and return its result once it is on disk. It may run twice, so it must do nothing else."""
        done: Future[T] = Future()
        self._entries.put(_Entry(change, done))
        return done.result()

    def post(self, change: Callable[[Connection], Any], then: Callable[[], None] | None = None) -> None:
        """Make a change soon, then call `then` once it is on disk. A crash may lose the change."""
        self._entries.put(_Entry(change, None, then))

    def close(self, timeout_s: float) -> bool:
        """Write what was handed over; returns whether all of it was written in time."""
        self._entries.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _write(self) -> None:
        while True:
            first = self._entries.get()
            if first is None:
                return
            group = [first]
            over = self._gather(group)
            self._commit(group)
            if over:
                return

    def _gather(self, group: list[_Entry]) -> bool:
        """Collect entries, for a short while as long as no caller waits for any. Returns True after the last one."""
        until = time.monotonic() + _LINGER_S
        nobody_waits = group[0].done is None
        while len(group) < _MOST:
            left_s = max(0.0, until - time.monotonic()) if nobody_waits else 0.0
            try:
                entry = self._entries.get(timeout=left_s) if left_s else self._entries.get_nowait()
            except queue.Empty:
                return False
            if entry is None:
                return True
            nobody_waits = nobody_waits and entry.done is None
            group.append(entry)
        return False

    def _commit(self, group: list[_Entry]) -> None:
        try:
            with self._journal.transaction() as tx:
                results = [entry.change(tx) for entry in group]
                self._along(tx)
        except Exception as error:  # handed to the caller that waits, or to `on_failure`
            self._failed(group, error)
            return
        for entry, result in zip(group, results, strict=True):
            if entry.done:
                entry.done.set_result(result)
            if entry.then:
                entry.then()

    def _failed(self, group: list[_Entry], error: Exception) -> None:
        """Retry each change alone, so that a bad one does not take the others with it."""
        if len(group) > 1:
            for entry in group:
                self._commit([entry])
            return
        done = group[0].done
        if done:
            done.set_exception(error)
        elif not isinstance(error, JournalFull):
            _LOG.error("a change of the journal was lost", exc_info=error)
        if done is None or isinstance(error, JournalFull):
            self._on_failure(error)
