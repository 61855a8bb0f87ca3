"""Folders that a failed or cancelled job opened and did not shut again."""

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
"""Number of jobs whose folders are shut at the same time."""
_PATIENCE_S: Final = 5.0
"""How long the worker stays for a disk that does not respond; the next worker tries again."""


class LeftFolders:
    """Shuts the folders of each job in its own thread, which nothing waits for: a disk may not respond."""

    def __init__(self, worker: WorkerContext) -> None:
        self._worker = worker
        self._lock = threading.Lock()
        self._since: dict[int, float] = {}
        """Start times of the threads, by job."""

    @property
    def busy(self) -> bool:
        """Whether a thread is at work and may still finish."""
        clock = self._worker.chances.clock()
        with self._lock:
            return any(clock - began < _PATIENCE_S for began in self._since.values())

    def shut(self) -> None:
        """Start to shut what ended jobs left open, unless that is under way."""
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
