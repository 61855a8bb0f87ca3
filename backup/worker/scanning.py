"""Jobs into items, streamed: the first files go up while the scan still runs."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from sqlite3 import Connection
from typing import Final

from backup import download_targets, scan, transfer
from backup.journal import JournalFull, jobs, work
from backup.journal.records import Hold, Job, NewItem
from backup.model import Conflicts, ItemKind, ItemState, JobKind
from backup.worker.crew import Crew
from backup.worker.opening import SharedProvider
from providers.cancel import CancelToken
from providers.errors import Cancelled, Conflict, InvalidName, ProviderError, Unsupported
from providers.objects import RemoteFile
from providers.report import ErrorInfo

_LOG: Final = logging.getLogger(__name__)
_MOST_LISTED: Final = 200_000
"""So many objects at an upload's destination are listed beforehand; beyond that each file asks for itself."""
_ATTEMPTS: Final = 5
Walk = Callable[[str], Iterator[RemoteFile]]
"""From what was chosen to the objects that it stands for."""
_SKIPPED: Final = {
    ItemKind.SYMLINK: ErrorInfo(Unsupported.kind, "a symbolic link: links are not stored, and never followed"),
    ItemKind.OTHER: ErrorInfo(Unsupported.kind, "a socket, pipe or device: only files and folders are stored"),
}


class Scans:
    """The scans under way, one thread each, at most two at once."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._lock = threading.Lock()
        self._running: dict[int, CancelToken] = {}
        self._again_at: dict[int, tuple[int, float]] = {}
        """Attempts and next time of a job whose service could not be listed, by the monotonic clock."""

    @property
    def busy(self) -> bool:
        with self._lock:
            return bool(self._running)

    def start(self, job: Job, shared: SharedProvider) -> None:
        """Scan a job in a thread of its own, unless that is under way already or not due."""
        with self._lock:
            _, again_at = self._again_at.get(job.id, (0, 0.0))
            if job.id in self._running or len(self._running) >= 2 or self._crew.chances.clock() < again_at:
                return
            cancel = self._running[job.id] = CancelToken()
        args = (job, shared, cancel)
        threading.Thread(target=self._run, args=args, name=f"scan-{job.id}", daemon=True).start()

    def try_at_once(self) -> None:
        """Whatever made scans fail may be over."""
        with self._lock:
            self._again_at.clear()

    def stop_all(self) -> None:
        with self._lock:
            tokens = list(self._running.values())
        for token in tokens:
            token.cancel()

    def _run(self, job: Job, shared: SharedProvider, cancel: CancelToken) -> None:
        refreshed = shared.refreshed
        try:
            self._scan(job, shared, cancel)
            self._crew.ledger.run(lambda tx: jobs.scan_ended(tx, job.id))
            self._again_at.pop(job.id, None)
        except (Cancelled, JournalFull) as error:
            _LOG.info("scan of job %d stopped: %s", job.id, error)
        except ProviderError as error:
            self._failed(job, error, lambda: shared.refreshed == refreshed)
        except Exception as error:  # whatever it was, the job must not be scanned for ever
            _LOG.exception("scan of job %d", job.id)
            info = transfer.unforeseen(error)
            self._crew.ledger.run(lambda tx: jobs.scan_ended(tx, job.id, info))
        finally:
            with self._lock:
                self._running.pop(job.id, None)
            self._crew.wake()

    def _scan(self, job: Job, shared: SharedProvider, cancel: CancelToken) -> None:
        if job.order.kind is JobKind.UPLOAD:
            self._add(job, upload_items(job, self._destination(job, shared, cancel), cancel), cancel)
            return
        with shared.used_for(job.place_id, self._environment(job), cancel=cancel) as provider:
            if job.order.kind is JobKind.DOWNLOAD:
                found = download_items(job, lambda key: scan.walk_remote(provider, key, cancel))
            else:
                found = delete_items(job, lambda key: scan.walk_remote(provider, key, cancel))
            self._add(job, scan.batches(found, scan.BATCH), cancel)

    def _environment(self, job: Job) -> int | None:
        with self._crew.journal.look() as db:
            return jobs.environment_of(db, job.id)

    def _add(self, job: Job, batches: Iterable[list[NewItem]], cancel: CancelToken) -> None:
        now = self._crew.chances.now
        for batch in batches:
            cancel.check()

            def change(tx: Connection, batch: list[NewItem] = batch) -> bool:
                wanted = jobs.is_scanning(tx, job.id)
                if wanted:
                    jobs.add_items(tx, job, batch, now=now())
                return wanted

            if not self._crew.ledger.run(change):
                raise Cancelled("the job was cancelled")
            self._crew.wake()

    def _destination(self, job: Job, shared: SharedProvider, cancel: CancelToken) -> scan.Destination:
        """Listed for folders; single files ask for themselves. Whatever hinders it hinders each item, and is told
        there."""
        folders = [source for source in job.order.sources if os.path.isdir(source) and not os.path.islink(source)]
        if not folders:
            return scan.Destination.unknown()
        prefixes = [f"{job.order.to}{scan.top_name(folder)}/" for folder in folders]
        try:
            with shared.used_for(job.place_id, self._environment(job), cancel=cancel) as provider:
                return scan.Destination.listed(provider, prefixes, cancel, limit=_MOST_LISTED)
        except Cancelled:
            raise
        except ProviderError as error:
            _LOG.info("the destination of job %d cannot be listed: %s", job.id, error)
            return scan.Destination.unknown()

    def _failed(self, job: Job, error: ProviderError, still_so: Callable[[], bool]) -> None:
        """`still_so`: no credentials came since the scan began; seen as the hold is written down, as in the lane."""
        _LOG.warning("scan of job %d: %s", job.id, error)
        info = ErrorInfo.of(error)
        if transfer.waits_for_credentials(error):
            held = Hold(instance=job.instance, error=info)
            self._crew.ledger.run(lambda tx: work.hold(tx, held) if still_so() else None)
            return
        with self._lock:
            attempts, _ = self._again_at.get(job.id, (0, 0.0))
            again = error.retryable and attempts + 1 < _ATTEMPTS
            if again:
                wait_s = transfer.backoff_s(attempts, error, self._crew.chances)
                self._again_at[job.id] = (attempts + 1, self._crew.chances.clock() + wait_s)
            else:
                self._again_at.pop(job.id, None)
        if not again:
            self._crew.ledger.run(lambda tx: jobs.scan_ended(tx, job.id, info))


def upload_items(job: Job, destination: scan.Destination, cancel: CancelToken) -> Iterator[list[NewItem]]:
    for batch in scan.walk_local(job.order.sources, cancel=cancel, resolved=job.order.resolved):
        yield [_upload_item(job, found, destination) for found in batch]


def _upload_item(job: Job, found: scan.Found, destination: scan.Destination) -> NewItem:
    key = f"{job.order.to}{found.name}"
    state, error, replaces = ItemState.QUEUED, found.error, None
    if error:
        state = ItemState.FAILED
    elif found.kind in _SKIPPED:
        state, error = ItemState.SKIPPED, _SKIPPED[found.kind]
    elif found.kind is ItemKind.FILE:
        replaces = destination.has(key)
        if replaces and job.order.conflicts is Conflicts.REFUSE:
            state = ItemState.FAILED
            error = ErrorInfo.of(Conflict(f"{key}: something of that name is already there"))
    return NewItem(
        name=found.name,
        key=key,
        local_path=found.path,
        kind=found.kind,
        size_bytes=found.size_bytes,
        state=state,
        error=error,
        replaces=replaces,
    )


def download_items(job: Job, walk: Walk) -> Iterator[NewItem]:
    root = Path(job.order.to)
    folded: download_targets.FoldedNames | None = None
    for source in job.order.sources:
        for file in walk(source):
            if job.order.exact:
                yield _item(file, root.name, str(root))
                continue
            if folded is None:
                folded = download_targets.FoldedNames(_made(root))
            try:
                name = download_targets.local_name(file.key, source)
                twin = folded.twin(name.removesuffix("/"))
                if twin is not None:
                    raise InvalidName(f"'{file.key}': this disk cannot tell it from '{twin}'")
            except InvalidName as error:
                yield NewItem(
                    name=file.key,
                    key=file.key,
                    size_bytes=file.size_bytes,
                    state=ItemState.FAILED,
                    error=ErrorInfo.of(error),
                )
            else:
                yield _item(file, name, str(root / name))


def delete_items(job: Job, walk: Walk) -> Iterator[NewItem]:
    for source in job.order.sources:
        for file in walk(source):
            yield _item(file, file.key, "")


def _item(file: RemoteFile, name: str, path: str) -> NewItem:
    kind = ItemKind.DIRECTORY if file.key.endswith("/") else ItemKind.FILE
    return NewItem(name=name, key=file.key, local_path=path, kind=kind, size_bytes=file.size_bytes)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return folder  # each item tells
    return folder
