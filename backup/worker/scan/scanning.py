"""Scans: jobs become items, streamed, so that the first files are uploaded while the scan still runs.

What the plan found is used as it is. If there is no plan (counting was cut off, or the service did not answer), the
scan searches itself: local trees without waiting for the service, and stored objects at the service's own pace.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from sqlite3 import Connection
from typing import Final

from backup.files import free_space, scan
from backup.instances import answers
from backup.instances import destination as places
from backup.journal import Journal, JournalFull, jobs, work
from backup.journal.folders_in_work import FoldersInWork
from backup.journal.records import Hold, Job, NewItem
from backup.model.transfers import ItemKind, JobKind
from backup.queries.findings import Finding, Findings, Scope
from backup.worker.context import WorkerContext
from backup.worker.items import transfer
from backup.worker.scan.differences import Differences
from backup.worker.scan.new_items import Local, RuledOut, delete_items, download_items, upload_item
from backup.worker.scan.vanished import Vanished
from backup.worker.shared_provider import SharedProvider
from providers.base import BaseProvider
from providers.contract.cancel import CancelToken
from providers.contract.objects import RemoteFile
from providers.contract.report import ErrorInfo
from providers.errors import Authentication, Cancelled, ProviderError, QuotaExceeded, lacks_descriptors, shortage

_LOG: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 2
"""Scans of one instance at the same time: this many that query the service, and this many that walk local trees."""
_FEW: Final = 16
"""Up to this many files each check their own destination; for more the folder is listed."""
_MOST_LISTED: Final = 200_000
"""Limit of objects listed at an upload's destination; beyond it each file checks its own."""
_ATTEMPTS: Final = 5


@dataclass(frozen=True)
class _Running:
    instance: str
    kind: JobKind
    cancel: CancelToken = field(default_factory=CancelToken)

    @property
    def asks(self) -> bool:
        """Whether it may have to wait for the service."""
        return self.kind is not JobKind.UPLOAD


class Scans:
    """The scans under way, each in its own thread, which nothing ever waits for."""

    def __init__(self, worker: WorkerContext) -> None:
        self._worker = worker
        self._findings = Findings(worker.paths)
        self._lock = threading.Lock()
        self._running: dict[int, _Running] = {}
        self._listing: dict[int, _Running] = {}
        """Listings of destinations, which run beside the scan, by job."""
        self._attempts: dict[int, int] = {}
        """Failed attempts to list the service, by job."""

    @property
    def busy(self) -> bool:
        """Whether a scan runs that is still wanted."""
        with self._lock:
            return any(not one.cancel.cancelled for one in self._running.values())

    def start(self, job: Job, shared: SharedProvider) -> None:
        """Scan a job, unless its scan is already under way, or enough scans of its instance are."""
        wanted = _Running(job.instance, job.order.kind)
        with self._lock:
            alike = sum((one.instance, one.asks) == (job.instance, wanted.asks) for one in self._running.values())
            if job.id in self._running or alike >= _AT_ONCE:
                return
            self._running[job.id] = wanted
        args = (job, shared, wanted.cancel)
        threading.Thread(target=self._run, args=args, name=f"scan-{job.id}", daemon=True).start()

    def stop_all_but(self, job_ids: set[int]) -> None:
        """Stop the scans of all other jobs: those were cancelled or paused."""
        with self._lock:
            under_way = (*self._running.items(), *self._listing.items())
        for job_id, running in under_way:
            if job_id not in job_ids:
                running.cancel.cancel()

    def try_at_once(self) -> None:
        """Reset the attempts: the cause of failed scans may be gone."""
        with self._lock:
            self._attempts.clear()

    def stop_all(self) -> None:
        with self._lock:
            under_way = (*self._running.values(), *self._listing.values())
        for running in under_way:
            running.cancel.cancel()

    def _run(self, job: Job, shared: SharedProvider, cancel: CancelToken) -> None:
        refreshed = shared.refreshed
        try:
            self._end(job, self._scan(job, shared, cancel))
        except (Cancelled, JournalFull) as error:
            _LOG.info("scan of job %d stopped: %s", job.id, error)
        except ProviderError as error:
            self._failed(job, error, lambda: shared.refreshed == refreshed)
        except Exception as error:  # the job must not be scanned for ever
            lacking = shortage(error)
            if lacking:
                self._failed(job, lacking, lambda: True)
            else:
                _LOG.exception("scan of job %d", job.id)
                self._end(job, transfer.unforeseen(error))
        finally:
            with self._lock:
                self._running.pop(job.id, None)
            self._worker.wake()

    def _end(self, job: Job, error: ErrorInfo | None = None) -> None:
        now = self._worker.chances.now()
        self._worker.writer.run(
            lambda tx: jobs.scan_broke(tx, job.id, error, now=now) if error else jobs.scan_ended(tx, job.id)
        )
        self._findings.drop(job.order.found)
        with self._lock:
            self._attempts.pop(job.id, None)

    def _scan(self, job: Job, shared: SharedProvider, cancel: CancelToken) -> ErrorInfo | None:
        """Scan a job; returns what differs from its plan."""
        ruled_out = RuledOut()
        planned = self._planned(job, ruled_out)
        if planned is not None:
            try:
                return self._add(job, self._that_fit(job, planned), cancel, ruled_out)
            except (OSError, ValueError) as error:  # what was added already is left alone
                _LOG.warning("the plan of job %d cannot be read: %s", job.id, error)
                ruled_out = RuledOut()
        if job.order.kind is JobKind.UPLOAD:
            return self._add(job, self._uploads(job, shared, ruled_out, cancel), cancel, ruled_out)
        with shared.used_for(job.place_id, self._environment(job), cancel=cancel) as provider:
            return self._add(job, self._that_fit(job, self._listed_whole(job, provider, cancel)), cancel)

    def _listed_whole(self, job: Job, provider: BaseProvider, cancel: CancelToken) -> Iterator[list[NewItem]]:
        """The objects of a delete or a download. Nothing is deleted or fetched before the listing is complete: if its
        last page is refused, so is the whole job. The cost: the first byte waits for the listing (the usual request for
        each 1,000 objects), and each object takes some 300 bytes on disk."""
        walk = scan.walk_tree if job.order.kind is JobKind.DELETE else scan.walk_remote
        with self._worker.journal.look() as db:
            scope = Scope.of(job.order, jobs.place(db, job.place_id))
        listed = (Finding(source=key, remote=file) for key in job.order.sources for file in walk(provider, key, cancel))
        token = self._findings.keep(scope, listed)
        try:
            if not self._findings.claim(token):
                raise QuotaExceeded("the listing cannot be saved", hint="Make room, then try again.")

            def of_source(key: str) -> Iterator[RemoteFile]:
                for batch in self._findings.load(token, scope) or ():
                    yield from (each.remote for each in batch if each.remote and each.source == key)

            yield from scan.batches(self._remote_items(job, of_source), scan.BATCH)
        finally:
            self._findings.drop(token)

    def _that_fit(self, job: Job, batches: Iterator[list[NewItem]]) -> Iterator[list[NewItem]]:
        """Refuse a restore that does not fit on its disk."""
        if job.order.kind is not JobKind.DOWNLOAD:
            return batches
        with Journal(self._worker.journal.path) as own, own.look() as db:  # the disk may not respond
            share = free_space.Share.of(db, job)
        return batches if share is None else share.taking(batches)

    def _environment(self, job: Job) -> int | None:
        with self._worker.journal.look() as db:
            return jobs.environment_of(db, job.id)

    def _planned(self, job: Job, ruled_out: RuledOut) -> Iterator[list[NewItem]] | None:
        if not job.order.found:
            return None
        with self._worker.journal.look() as db:
            scope = Scope.of(job.order, jobs.place(db, job.place_id))
        found = self._findings.load(job.order.found, scope)
        if found is None or job.order.kind is JobKind.UPLOAD:
            return None if found is None else _planned_uploads(job, found, ruled_out, self._wanted(job))
        return self._planned_remote(job, found)

    def _planned_remote(self, job: Job, found: Iterator[list[Finding]]) -> Iterator[list[NewItem]]:
        by_source: dict[str, list[RemoteFile]] = {}
        for batch in found:
            for each in batch:
                if each.remote:
                    by_source.setdefault(each.source, []).append(each.remote)
        yield from scan.batches(self._remote_items(job, lambda key: iter(by_source.get(key, []))), scan.BATCH)

    def _remote_items(self, job: Job, walk: Callable[[str], Iterator[RemoteFile]]) -> Iterator[NewItem]:
        vanished = Vanished(job, self._worker)
        watched = vanished.watching(walk)
        if job.order.kind is JobKind.DELETE:
            yield from delete_items(job, watched)
        else:
            writer = self._worker.writer
            memory = FoldersInWork(self._worker.journal, job.id, commit=writer.run, commit_soon=writer.post)
            yield from download_items(job, watched, memory)
        vanished.forget()

    def _add(
        self, job: Job, batches: Iterable[list[NewItem]], cancel: CancelToken, ruled_out: RuledOut | None = None
    ) -> ErrorInfo | None:
        now = self._worker.chances.now
        with self._worker.journal.look() as db:
            differences = Differences(job, jobs.newest_item(db))
        for batch in batches:
            cancel.check()

            def change(tx: Connection, batch: list[NewItem] = batch) -> bool:
                wanted = jobs.is_scanning(tx, job.id)
                if wanted:
                    differences.add(tx, batch, now=now())
                return wanted

            if not self._worker.writer.run(change):
                raise Cancelled("the job was cancelled or paused")
            self._worker.wake()
        if ruled_out is not None and ruled_out.count:
            number = ruled_out.count
            self._worker.writer.run(lambda tx: jobs.note_ruled_out(tx, job.id, number))
        return self._worker.writer.run(differences.error)

    def _wanted(self, job: Job) -> Callable[[scan.TreeEntry], bool]:
        """Folders with files in them become objects only if the service keeps the mode of such an object."""
        with self._worker.journal.look() as db:
            place = jobs.place(db, job.place_id)
        can = places.capabilities_of(place)  # loading it may take long: outside the read above
        keeps = can is None or can.folder_modes
        return lambda found: keeps or found.kind is not ItemKind.DIRECTORY or found.empty or found.error is not None

    # Existing objects at the destination of an upload

    def _uploads(
        self, job: Job, shared: SharedProvider, ruled_out: RuledOut, cancel: CancelToken
    ) -> Iterator[list[NewItem]]:
        destination, files = scan.Destination(), 0
        wanted = self._wanted(job)
        for batch in scan.walk_local(
            job.order.sources, cancel=cancel, resolved=job.order.resolved, selection=job.order.selection, folders=True
        ):
            before, files = files, files + sum(found.kind is ItemKind.FILE and "/" in found.name for found in batch)
            if before <= _FEW < files:
                self._list_destination(job, shared, destination)
            yield [
                upload_item(job, Local(found, destination.has(f"{job.order.to}{found.name}")))
                for found in ruled_out.without(batch)
                if wanted(found)
            ]

    def _list_destination(self, job: Job, shared: SharedProvider, destination: scan.Destination) -> None:
        """List beside the scan, which does not wait for it; one listing for each instance."""
        listing = _Running(job.instance, job.order.kind)
        with self._lock:
            if any(other.instance == job.instance for other in self._listing.values()):
                return
            self._listing[job.id] = listing
        args = (job, shared, destination, listing.cancel)
        threading.Thread(target=self._learn, args=args, name=f"list-{job.id}", daemon=True).start()

    def _learn(self, job: Job, shared: SharedProvider, destination: scan.Destination, cancel: CancelToken) -> None:
        """An error here also meets each item, and is reported there."""
        prefixes = [f"{job.order.to}{scan.top_name(source)}/" for source in job.order.sources if _is_folder(source)]
        try:
            with shared.used_for(job.place_id, self._environment(job), cancel=cancel) as provider:
                destination.look(provider, prefixes, cancel, limit=_MOST_LISTED)
            if destination.complete:
                replaced = [key.removeprefix(job.order.to) for key in destination.keys]
                self._worker.writer.run(lambda tx: jobs.learn_replaced(tx, job.id, replaced))
        except ProviderError as error:
            _LOG.info("the destination of job %d cannot be listed: %s", job.id, error)
        except Exception:
            _LOG.exception("listing the destination of job %d", job.id)
        finally:
            with self._lock:
                self._listing.pop(job.id, None)

    def _failed(self, job: Job, error: ProviderError, still_so: Callable[[], bool]) -> None:
        """`still_so`: no credentials came since the scan began, checked as the hold is recorded, as in the runner."""
        _LOG.warning("scan of job %d: %s", job.id, error)
        info = ErrorInfo.of(error)
        if isinstance(error, Authentication):
            answers.note(self._worker.paths, job.instance, answers.AnswerSource.LOOK, info)
        if transfer.waits_for_credentials(error):
            held = Hold(instance=job.instance, error=info)
            self._worker.writer.run(lambda tx: work.hold(tx, held) if still_so() else None)
            return
        with self._lock:
            attempts = self._attempts.get(job.id, 0)
            asked = transfer.asked_for(error) or lacks_descriptors(error)
            self._attempts[job.id] = attempts + (not asked)
        if not (asked or (error.retryable and attempts + 1 < _ATTEMPTS)):
            self._end(job, info)
            return
        until = self._worker.chances.now() + transfer.backoff_s(attempts, error, self._worker.chances)
        self._worker.writer.run(lambda tx: jobs.scan_waits(tx, job.id, info, until=until))


def _planned_uploads(
    job: Job, found: Iterator[list[Finding]], ruled_out: RuledOut, wanted: Callable[[scan.TreeEntry], bool]
) -> Iterator[list[NewItem]]:
    for batch in found:
        replaces = {each.local.path: each.replaces for each in batch if each.local}
        taken = ruled_out.without([each.local for each in batch if each.local])
        yield [upload_item(job, Local(each, replaces[each.path])) for each in taken if wanted(each)]


def _is_folder(source: str) -> bool:
    return os.path.isdir(source) and not os.path.islink(source)
