"""Upkeep of the journal: finished items are forgotten when they are old enough, and their space is given back."""

from __future__ import annotations

import logging
import sqlite3
from typing import Final

from backup.config import file
from backup.journal import pruning
from backup.worker.context import WorkerContext

_LOG: Final = logging.getLogger(__name__)
_BESIDE_WORK_S: Final = 1.0
"""Seconds between two steps while transfers are under way: each step takes milliseconds."""
_REST_S: Final = 3600.0


class Upkeep:
    """Used by the scheduler alone."""

    def __init__(self, worker: WorkerContext) -> None:
        self._worker = worker
        self._next = worker.chances.clock()

    def step(self, *, idle: bool) -> bool:
        """Take one small step if due; returns whether the next is due at once. Shrinks the file only when `idle`."""
        clock = self._worker.chances.clock()
        if clock < self._next:
            return False
        if self._pruned():
            self._next = clock if idle else clock + _BESIDE_WORK_S
            return idle
        if idle and self._shrunk():
            return True
        self._next = clock + (_REST_S if idle else _BESIDE_WORK_S * 60)
        return False

    def _pruned(self) -> bool:
        """Prune a little if that is due; returns whether more may be left."""
        now = self._worker.chances.now()
        with self._worker.journal.look() as db:
            if not pruning.is_due(db, now=now):
                return False
        before = now - file.load(self._worker.paths).history_days * pruning.DAY_S
        return self._worker.writer.run(lambda tx: pruning.step(tx, before=before, now=now))

    def _shrunk(self) -> bool:
        try:
            return pruning.shrink(self._worker.paths.journal_file)
        except sqlite3.Error as error:  # another process reads it, or the disk is full: it may fail
            _LOG.info("the journal's file keeps its size: %s", error)
            return False
