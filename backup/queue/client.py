"""The queue for front ends: the journal, the worker's socket, and the start of a worker when there is work.

A request of the user is first written to the journal; then the worker is woken. So nothing depends on the socket: if no
worker runs, or one is just leaving, the next one finds the request.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import msgspec

from backup.config import file
from backup.credentials import unlocking
from backup.files import local, scan
from backup.files.targets import chosen_target
from backup.handshake import presence, takeover
from backup.handshake.presence import WorkerState
from backup.instances import destination as places
from backup.journal import Journal, checkpoints, controls, items, jobs, pruning, views, work
from backup.journal.records import Event, JobRequest, Planned
from backup.model.transfers import (
    EVERYTHING,
    Conflicts,
    FailedSince,
    ItemView,
    JobKind,
    JobView,
    LiveState,
    QueueSnapshot,
    Selection,
    TransferPlan,
)
from backup.queries.findings import Findings
from backup.queue import environment, start_worker
from backup.queue.live import Feed, merge, with_live
from backup.queue.recording import recording, refuse_unusable
from backup.queue.worker_link import WorkerLink
from backup.system.build import BuildNotice
from backup.system.paths import Paths
from providers.contract.attributes import Restoring, current_umask
from providers.contract.report import ErrorInfo
from providers.contract.upload import SavedUpload
from providers.errors import InvalidName, NotFound, ProviderError
from providers.secret import Secret

_LOG: Final = logging.getLogger(__name__)
Control = Callable[..., int]


class Queue:
    """Any thread may use it. It loads no storage SDK, and waits at most for a worker to start."""

    def __init__(self, paths: Paths, *, worker_arguments: Sequence[str] = ()) -> None:
        self._paths = paths
        self._worker_arguments = tuple(worker_arguments)
        self._link = WorkerLink(paths)
        self.trouble: ErrorInfo | None = None
        """Why the last recorded request is not being carried out: the worker is stopped, waits for space, or does not
        answer. The worker continues once it can."""

    @cached_property
    def _journal(self) -> Journal:
        journal, parked = takeover.open_journal(self._paths)
        if parked:
            self._start_worker(journal)
        return journal

    def close(self) -> None:
        """Close the journal and the connection to the worker, which keeps running."""
        self._link.close()
        if "_journal" in self.__dict__:
            self._journal.close()

    # Queueing

    def queue_upload(
        self,
        instance: str,
        paths: Sequence[Path],
        to: str = "",
        *,
        conflicts: Conflicts = Conflicts.REPLACE,
        selection: Selection = EVERYTHING,
        plan: TransferPlan | None = None,
    ) -> JobView:
        """Queue files and whole folders below the remote prefix `to`. A folder keeps its own name below `to`. With the
        `plan` of the same request, the scan does not search again; the same holds for the methods below.

        Raises InvalidConfiguration (disabled, incomplete, unknown instance; encryption_enabled), NotFound, and
        InvalidName for a `to` with '..' in it.
        """
        refuse_unusable(self._paths, instance, JobKind.UPLOAD)
        sources = [os.path.abspath(path) for path in paths]
        for source in sources:
            if not os.path.lexists(source):
                raise NotFound(f"{source}: there is no such file or folder")
        names = [scan.top_name(source) for source in sources]
        scan.refuse_twins(names)
        prefix = scan.upload_prefix(to)
        real = tuple(map(local.resolved, sources))
        order = JobRequest(
            kind=JobKind.UPLOAD, sources=real, to=prefix, conflicts=conflicts, selection=selection, resolved=True
        )
        return self._add(instance, order, names, prefix or "/", plan)

    def queue_download(
        self,
        instance: str,
        keys: Sequence[str],
        to: Path | str,
        *,
        conflicts: Conflicts = Conflicts.REPLACE,
        owner: bool = False,
        links: bool = False,
        plan: TransferPlan | None = None,
    ) -> JobView:
        """Queue objects, and everything below a prefix (keys ending in '/'), into the folder `to`. A single key goes to
        the exact path `to`, unless that is a folder or ends in '/'. Raises Conflict if a file is in the way.

        Files get their stored permission bits back; with `owner` also owner, group, setuid, setgid and sticky. With
        `links`, objects stored as symlinks (`Links.STORE`) become symlinks again."""
        refuse_unusable(self._paths, instance, JobKind.DOWNLOAD)
        target, folder = chosen_target(to, keys)
        names = [key.rstrip("/").rpartition("/")[2] for key in keys]
        scan.refuse_twins(names)
        real = os.path.realpath(target) if folder else local.resolved(str(target))
        order = JobRequest(
            kind=JobKind.DOWNLOAD,
            sources=tuple(keys),
            to=real,
            exact=not folder,
            conflicts=conflicts,
            restores_links=links,
            resolved=True,
            restoring=Restoring(owner=owner, umask=current_umask()),
        )
        return self._add(instance, order, names, str(target), plan)

    def queue_delete(self, instance: str, keys: Sequence[str], *, plan: TransferPlan | None = None) -> JobView:
        """Queue objects, and everything below a prefix (keys ending in '/'), for deletion."""
        refuse_unusable(self._paths, instance, JobKind.DELETE)
        order = JobRequest(kind=JobKind.DELETE, sources=tuple(keys))
        return self._add(instance, order, list(keys), instance, plan)

    def _add(
        self, instance: str, order: JobRequest, names: list[str], destination: str, plan: TransferPlan | None
    ) -> JobView:
        if not order.sources:
            raise InvalidName("nothing was chosen", hint="Name at least one file or folder.")
        title = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        place = places.place_of(self._paths, instance)
        variables = environment.travelling(self._paths, instance)
        if plan is not None and not plan.unknown:
            refused = plan.unstorable - plan.unstorable_folders
            files = plan.files + plan.unreadable + refused
            size_bytes = plan.size_bytes if files == plan.files else None
            planned = Planned(files=files, size_bytes=size_bytes, complete=plan.complete, digest=plan.files_digest)
            order = msgspec.structs.replace(order, planned=planned)
        if plan is not None and Findings(self._paths).claim(plan.found):
            order = msgspec.structs.replace(order, found=plan.found)
        with recording(self._paths, self._journal) as tx:
            job_id = jobs.add_job(
                tx, order, place, title=title, destination=destination, now=time.time(), variables=variables
            )
            if jobs.environments_open(tx, instance) > 1:
                work.let_go(tx, instance)  # the hold may concern only jobs of another environment
        self._try_worker()
        return self.job(job_id)

    # Reading

    def snapshot(self, *, offset: int = 0, limit: int = 200, job_id: int | None = None) -> QueueSnapshot:
        """The queue now, with the worker's live progress."""
        return self._snapshot(self._live(), offset=offset, limit=limit, job_id=job_id)

    def _snapshot(self, live: LiveState | None, *, offset: int, limit: int, job_id: int | None) -> QueueSnapshot:
        silent = presence.trouble(self._paths)
        live = None if silent else live  # its last report is outdated
        if live is None:
            self._settle()
        with self._journal.look() as db:
            found = views.snapshot(db, offset=offset, limit=limit, job_id=job_id)
            stored = views.items_by_id(db, [item.id for item in live.items]) if live else []
        totals = msgspec.structs.replace(found.totals, worker_trouble=ErrorInfo.of(silent) if silent else None)
        return merge(msgspec.structs.replace(found, totals=totals), stored, live)

    def job(self, job_id: int) -> JobView:
        with self._journal.look() as db:
            return views.job(db, job_id)

    def item(self, item_id: int) -> ItemView:
        live = self._live()
        with self._journal.look() as db:
            found = views.item(db, item_id)
        return with_live(found, next((item for item in live.items if item.id == item_id), None) if live else None, live)

    def item_ids(self, job_id: int) -> list[int]:
        with self._journal.look() as db:
            views.job(db, job_id)
            return views.item_ids(db, job_id)

    def failed_since(self, since: float) -> FailedSince:
        """What failed since a given time (seconds since 1970)."""
        kept_from = time.time() - file.load(self._paths).history_days * pruning.DAY_S
        with self._journal.look() as db:
            return views.failed_since(db, since, kept_from=kept_from)

    def events(self, item_id: int) -> list[Event]:
        """The events of an item, oldest first."""
        with self._journal.look() as db:
            return items.events(db, item_id)

    def begun_uploads(self) -> list[tuple[int, str, SavedUpload]]:
        """Uploads that have begun and still need what they left at the service: item, instance, and saved state."""
        if not self._paths.journal_file.exists():
            return []
        with self._journal.look() as db:
            return checkpoints.begun_uploads(db)

    def open_jobs(self, instance: str) -> int:
        """The number of unfinished jobs of an instance."""
        with self._journal.look() as db:
            return jobs.open_jobs(db, instance)

    def calls(self, instance: str) -> dict[str, int]:
        """Requests sent by transfers to an instance's service, by kind."""
        with self._journal.look() as db:
            return work.calls(db, instance)

    def all_calls(self) -> dict[str, dict[str, int]]:
        """Requests sent by transfers, by instance and kind: they may cost money."""
        with self._journal.look() as db:
            return work.all_calls(db)

    def follow(
        self, on_change: Callable[[QueueSnapshot], None], *, stop: Callable[[], bool], interval_s: float = 0.25
    ) -> None:
        """Call `on_change` after each change of the queue, at most every `interval_s`, until `stop()`. Blocks the
        calling thread. Uses the worker's socket while one runs, else the journal's revision; workers may come and
        go."""
        pause = threading.Event()
        notice = BuildNotice()
        with Feed(self._paths) as feed:
            sent: tuple[int, int, bool, str, WorkerState] | None = None
            while not stop():
                live = feed.live
                message = notice.of(live.build if live else "")
                state = presence.look(self._paths).state
                now = (self._journal.revision(), live.version if live else 0, live is not None, message, state)
                if now != sent:
                    sent = now
                    found = self._snapshot(live, offset=0, limit=200, job_id=None)
                    on_change(msgspec.structs.replace(found, notice=message))
                pause.wait(interval_s)

    # Controls

    def pause(self, item_ids: Iterable[int], jobs: Iterable[int] = ()) -> int:
        """Pause items, and whole jobs, scanned or not. Returns the number of items that changed (for a job without
        items: of jobs). A running item keeps what it has sent. The same holds for the three methods below."""
        return self._control(controls.pause, item_ids, jobs)

    def resume(self, item_ids: Iterable[int], jobs: Iterable[int] = ()) -> int:
        return self._control(controls.resume, item_ids, jobs, refused="nothing was resumed")

    def cancel(self, item_ids: Iterable[int], jobs: Iterable[int] = ()) -> int:
        """Takes effect within a second. The worker removes unfinished upload sessions at the service."""
        return self._control(controls.cancel, item_ids, jobs)

    def retry(self, item_ids: Iterable[int], jobs: Iterable[int] = ()) -> int:
        """Queue failed and cancelled items again."""
        return self._control(controls.retry, item_ids, jobs, refused="nothing was retried")

    def _control(self, control: Control, item_ids: Iterable[int], job_ids: Iterable[int], *, refused: str = "") -> int:
        """With `refused` (the text if it fails), the items continue in the current environment."""
        if not self._worker_alive():
            self._settle()
        chosen, whole = list(item_ids), list(job_ids)
        let_go = self._let_go(chosen, whole, refused) if refused else {}
        with recording(self._paths, self._journal) as tx:
            changed = control(tx, chosen, whole, now=time.time())
            for instance, (jobs_there, variables) in let_go.items():
                work.let_go(tx, instance)
                jobs.take_over(tx, jobs_there, variables)
        self._try_worker()
        return changed

    def _let_go(
        self, item_ids: list[int], job_ids: list[int], refused: str
    ) -> dict[str, tuple[set[int], dict[str, str]]]:
        """The given jobs and the jobs of the given items, by instance, with the current environment."""
        with self._journal.look() as db:
            found = views.jobs_by_instance(db, item_ids, job_ids)
        known = file.load(self._paths).instances
        return {
            instance: (
                there,
                environment.travelling(self._paths, instance, refused=refused) if instance in known else {},
            )
            for instance, there in found.items()
        }

    def set_bandwidth(self, instance: str, bytes_per_s: int | None) -> None:
        """The worker's half of `Instances.set_bandwidth`: limit what is under way. The caller saves the setting."""
        self._ask("set_bandwidth", {"instance": instance, "bytes_per_s": bytes_per_s})

    def credentials_changed(self, instance: str | None = None) -> None:
        """Settings or credentials of an instance (None: of all) changed: resume what waited for them."""
        self._hand_over(unlocking.handover(self._paths))
        with recording(self._paths, self._journal) as tx:
            work.release(tx, instance, now=time.time())
        self._ask("credentials_changed", {"instance": instance})
        self._try_worker()

    # The worker

    def ensure_worker(self) -> bool:
        """Start the worker if there is work and none runs; True if one runs afterwards. Hands over the vault's key if
        this process has it. Raises WorkerSilent."""
        return self._start_worker(self._journal)

    def _start_worker(self, journal: Journal) -> bool:
        with journal.look() as db:
            needed = work.has_work(db)
        if not needed:
            return self._worker_alive()
        takeover.is_serving(self._paths)  # a worker that makes way hands over the vault's key
        key = unlocking.handover(self._paths)
        start_worker.ensure(self._paths, (*self._worker_arguments, *(["--await-key"] if key else [])))
        self._hand_over(key)
        return True

    def _try_worker(self) -> None:
        """The request is recorded. If no worker can run it yet, that is reported separately, not as a failure."""
        self.trouble = None
        try:
            if unlocking.handover(self._paths) or not takeover.is_serving(self._paths):
                self.ensure_worker()
        except ProviderError as error:
            _LOG.warning("%s", error)
            self.trouble = ErrorInfo.of(error)

    def _hand_over(self, key: Secret | None) -> None:
        """The only place that reveals the key, to a socket that only this user's processes can reach."""
        if key:
            self._ask("unlock", {"key": key.reveal()})

    def key_of_worker(self) -> Secret | None:
        """The vault's key from the worker; None if none runs, or it does not have the key."""
        found = self._ask("handover")
        return Secret(str(found.get("key", ""))) if isinstance(found, dict) else None

    def lock_store(self) -> None:
        """Make the worker forget the vault's key."""
        self._ask("lock")

    def worker_unlocked(self) -> bool | None:
        """Whether the worker has the vault's key; None if none runs."""
        found = self._ask("status")
        return bool(found.get("unlocked")) if isinstance(found, dict) else None

    def worker_status(self) -> dict[str, Any] | None:
        """The worker's pid, start time and busy instances; None if none runs."""
        found = self._ask("status")
        return found if isinstance(found, dict) else None

    def _worker_alive(self) -> bool:
        return self._ask("status") is not None

    def _live(self) -> LiveState | None:
        answer = self._ask("live")
        return None if answer is None else msgspec.convert(answer, LiveState)

    def _ask(self, method: str, params: dict[str, Any] | None = None) -> Any:
        return self._link.ask(method, params)

    def _settle(self) -> None:
        """After a worker that died, or a clock that was set: put the journal into the state that the next worker would
        see. What was under way is queued again, and no wait exceeds the longest wait."""
        journal = self._journal  # opened before taking the lock: a migration looks for a worker
        with presence.lock_if_free(self._paths) as free:
            if not free:
                return
            with journal.look() as db:
                unsettled = views.totals(db).active or work.waits_too_long(db, now=time.time())
            if unsettled:
                with journal.transaction() as tx:
                    items.requeue_running(tx, now=time.time())
                    work.clamp_waits(tx, now=time.time())
