"""Folders that a job has opened and, since it failed or was cancelled, did not shut again itself."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Final

from backup.files import shut_folders
from backup.journal import JournalFull, folders_in_work
from backup.worker.context import WorkerContext
from providers.errors import ProviderError

_LOG: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 8
"""Jobs whose folders are shut at the same time."""
_PATIENCE_S: Final = 5.0
"""How long the worker stays for a disk that does not answer; the next one tries again."""


class LeftFolders:
    """Shuts them, those of each job in a thread of its own that is never waited for: a disk may not answer."""

    def __init__(self, worker: WorkerContext) -> None:
        self._worker = worker
        self._lock = threading.Lock()
        self._since: dict[int, float] = {}
        """When their threads began, by job."""

    @property
    def busy(self) -> bool:
        """Whether a thread is at work that may still get on."""
        clock = self._worker.chances.clock()
        with self._lock:
            return any(clock - began < _PATIENCE_S for began in self._since.values())

    def shut(self) -> None:
        """Begin with what ended jobs have left open, and is not being shut."""
        with self._worker.journal.look() as db:
            left = folders_in_work.of_ended_jobs(db)
        by_job: dict[int, list[tuple[Path, int]]] = {}
        for job_id, path, mode in left:
            opened = by_job.setdefault(job_id, [])
            if mode is not None:
                opened.append((path, mode))
        for job_id, opened in by_job.items():
            with self._lock:
                if job_id in self._since or len(self._since) >= _AT_ONCE:
                    continue
                self._since[job_id] = self._worker.chances.clock()
            name = f"shut-{job_id}"
            threading.Thread(target=self._run, args=(job_id, opened), name=name, daemon=True).start()

    def _run(self, job_id: int, opened: list[tuple[Path, int]]) -> None:
        try:
            for path, mode in opened:
                try:
                    shut_folders.give_back(path, mode)
                except (ProviderError, OSError) as error:
                    _LOG.warning("%s keeps the mode that it was opened with: %s", path, error)
            self._worker.writer.run(lambda tx: folders_in_work.drop_if_ended(tx, job_id))
        except JournalFull as error:
            _LOG.warning("folders of job %d: %s", job_id, error)
        finally:
            with self._lock:
                del self._since[job_id]
            self._worker.wake()
