"""Objects that the journal knows but that no longer exist, found by comparing it with complete listings."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from sqlite3 import Connection
from typing import Final

from backup.files import scan
from backup.journal import objects
from backup.journal.records import Job
from backup.worker.context import WorkerContext
from providers.contract.objects import RemoteFile

_MOST: Final = 100_000
"""Limit of rows below one prefix, as they are held in memory. With more rows nothing is compared."""


class Vanished:
    """Known objects missing from the listings of a job. An empty listing proves nothing: a disk may not be mounted."""

    def __init__(self, job: Job, worker: WorkerContext) -> None:
        self._job = job
        self._worker = worker
        self._rows: list[objects.Row] = []

    def watching(self, walk: Callable[[str], Iterator[RemoteFile]]) -> Callable[[str], Iterator[RemoteFile]]:
        """The same walk; compares each folder that it lists to the end with what is known."""

        def watched(source: str) -> Iterator[RemoteFile]:
            known = self._known(source)
            listed = False
            for file in walk(source):
                listed = True
                known.pop(_alike(file.key), None)
                yield file
            if listed:
                self._rows += (row for rows in known.values() for row in rows)

        return watched

    def forget(self) -> None:
        """Call this when all listings of the job are complete."""
        for batch in scan.batches(self._rows, scan.BATCH):

            def change(tx: Connection, batch: list[objects.Row] = batch) -> None:
                objects.forget(tx, self._job.place_id, batch)

            self._worker.writer.run(change)

    def _known(self, source: str) -> dict[str, list[objects.Row]]:
        if not source.endswith("/"):
            return {}
        prefix = "" if source == "/" else source
        with self._worker.journal.look() as db:
            rows = objects.older_than_job(db, self._job.id, prefix, limit=_MOST + 1)
        known: dict[str, list[objects.Row]] = {}
        for row in rows if len(rows) <= _MOST else ():
            if not row.key.endswith("/"):  # not every listing has folders
                known.setdefault(_alike(row.key), []).append(row)
        return known


def _alike(key: str) -> str:
    """Equal for keys that any service treats as one: better to keep too many rows than too few."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", key).casefold())
