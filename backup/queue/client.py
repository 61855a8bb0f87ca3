"""The queue as front ends use it: the journal, the worker's socket, and starting a worker where there is work.

What the user wants is written into the journal first; the worker is then told to look. So nothing depends on the socket
being there: without a worker, or with one that just leaves, the next one finds it.
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
    """Any thread may use it. Nothing here loads a storage SDK, or waits long: at most for a worker to start."""

    def __init__(self, paths: Paths, *, worker_arguments: Sequence[str] = ()) -> None:
        self._paths = paths
        self._worker_arguments = tuple(worker_arguments)
        self._link = WorkerLink(paths)
        self.trouble: ErrorInfo | None = None
        """Why nobody carries out what was recorded last: a worker that was stopped, or waits for room, or does not
        answer. It does so once it can."""

    @cached_property
    def _journal(self) -> Journal:
        journal, parked = takeover.open_journal(self._paths)
        if parked:
            self._start_worker(journal)
        return journal

    def close(self) -> None:
        """Close the journal and the connection to the worker, which goes on."""
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
        """Queue files and whole folders below the remote prefix `to`. A folder keeps its own name below `to`. What the
        `plan` of just this has found is not looked for again; likewise below.

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
        """Queue objects, and (keys ending in '/') everything below a prefix, into the folder `to`; a single key goes to
        that very path, unless `to` is a folder or says so (text with a final '/'). Raises Conflict where a file stands
        in the way.

        Files get the permission bits that were kept with them; with `owner` also owner, group, setuid, setgid and
        sticky. With `links`, what is stored as a symlink (`Links.STORE`) becomes one again."""
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
        """Queue objects, and (keys ending in '/') everything below a prefix, for deletion."""
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
                work.let_go(tx, instance)  # what held up jobs of another environment may not concern this one
        self._try_worker()
        return self.job(job_id)

    # Looking

    def snapshot(self, *, offset: int = 0, limit: int = 200, job_id: int | None = None) -> QueueSnapshot:
        """The queue now, live progress of the worker included."""
        return self._snapshot(self._live(), offset=offset, limit=limit, job_id=job_id)

    def _snapshot(self, live: LiveState | None, *, offset: int, limit: int, job_id: int | None) -> QueueSnapshot:
        silent = presence.trouble(self._paths)
        live = None if silent else live  # what it said last, it said before
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
        """What has failed since a moment (seconds since 1970)."""
        kept_from = time.time() - file.load(self._paths).history_days * pruning.DAY_S
        with self._journal.look() as db:
            return views.failed_since(db, since, kept_from=kept_from)

    def events(self, item_id: int) -> list[Event]:
        """What happened to an item, oldest first."""
        with self._journal.look() as db:
            return items.events(db, item_id)

    def begun_uploads(self) -> list[tuple[int, str, SavedUpload]]:
        """What uploads of ours have begun and still need: item, instance, and what was saved."""
        if not self._paths.journal_file.exists():
            return []
        with self._journal.look() as db:
            return checkpoints.begun_uploads(db)

    def open_jobs(self, instance: str) -> int:
        """How many jobs of an instance are not finished."""
        with self._journal.look() as db:
            return jobs.open_jobs(db, instance)

    def calls(self, instance: str) -> dict[str, int]:
        """Requests that transfers have sent to an instance's service, by kind."""
        with self._journal.look() as db:
            return work.calls(db, instance)

    def all_calls(self) -> dict[str, dict[str, int]]:
        """Requests that transfers have sent, by instance and kind: they may cost money."""
        with self._journal.look() as db:
            return work.all_calls(db)

    def follow(
        self, on_change: Callable[[QueueSnapshot], None], *, stop: Callable[[], bool], interval_s: float = 0.25
    ) -> None:
        """Call `on_change` whenever the queue changed, at most every `interval_s`, until `stop()`; blocks the calling
        thread. Fed by the worker's socket while one runs, by the journal's version otherwise; survives workers coming
        and going."""
        pause = threading.Event()
        notice = BuildNotice()
        with Feed(self._paths) as feed:
            told: tuple[int, int, bool, str, WorkerState] | None = None
            while not stop():
                live = feed.live
                said = notice.of(live.build if live else "")
                state = presence.look(self._paths).state
                now = (self._journal.revision(), live.version if live else 0, live is not None, said, state)
                if now != told:
                    told = now
                    found = self._snapshot(live, offset=0, limit=200, job_id=None)
                    on_change(msgspec.structs.replace(found, notice=said))
                pause.wait(interval_s)

    # Controls

    def pause(self, item_ids: Iterable[int], jobs: Iterable[int] = ()) -> int:
        """Pause items, and jobs with all that they stand for, found or not; how many items that were (where a job has
        none yet: how many jobs). A running item keeps what it has sent. Likewise the three below."""
        return self._control(controls.pause, item_ids, jobs)

    def resume(self, item_ids: Iterable[int], jobs: Iterable[int] = ()) -> int:
        return self._control(controls.resume, item_ids, jobs, refused="nothing was resumed")

    def cancel(self, item_ids: Iterable[int], jobs: Iterable[int] = ()) -> int:
        """Takes effect within a second; unfinished upload sessions are removed at the service by the worker."""
        return self._control(controls.cancel, item_ids, jobs)

    def retry(self, item_ids: Iterable[int], jobs: Iterable[int] = ()) -> int:
        """Queue failed and cancelled items again."""
        return self._control(controls.retry, item_ids, jobs, refused="nothing was tried again")

    def _control(self, control: Control, item_ids: Iterable[int], job_ids: Iterable[int], *, refused: str = "") -> int:
        """With `refused`, what is chosen goes on in the environment of now; else it says what did not happen."""
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
        """By instance these jobs and those of these items, and what the environment of now says."""
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
        """The worker's half of `Instances.set_bandwidth`: the limit of what is under way. Saving it is the caller's."""
        self._ask("set_bandwidth", {"instance": instance, "bytes_per_s": bytes_per_s})

    def credentials_changed(self, instance: str | None = None) -> None:
        """Settings or credentials of an instance (None: of all) changed: what waited for them goes on."""
        self._hand_over(unlocking.handover(self._paths))
        with recording(self._paths, self._journal) as tx:
            work.release(tx, instance, now=time.time())
        self._ask("credentials_changed", {"instance": instance})
        self._try_worker()

    # The worker

    def ensure_worker(self) -> bool:
        """Start the worker if there is work and none runs; True when one runs afterwards. It is given what opens the
        vault, where this process has it. Raises WorkerSilent."""
        return self._start_worker(self._journal)

    def _start_worker(self, journal: Journal) -> bool:
        with journal.look() as db:
            needed = work.has_work(db)
        if not needed:
            return self._worker_alive()
        takeover.is_serving(self._paths)  # one that makes way hands over what opens the vault
        key = unlocking.handover(self._paths)
        start_worker.ensure(self._paths, (*self._worker_arguments, *(["--await-key"] if key else [])))
        self._hand_over(key)
        return True

    def _try_worker(self) -> None:
        """What the user wants is recorded: that nobody carries it out yet is no failure of that, and told beside it."""
        self.trouble = None
        try:
            if unlocking.handover(self._paths) or not takeover.is_serving(self._paths):
                self.ensure_worker()
        except ProviderError as error:
            _LOG.warning("%s", error)
            self.trouble = ErrorInfo.of(error)

    def _hand_over(self, key: Secret | None) -> None:
        """Revealed here alone, for a socket that only this user's processes can reach."""
        if key:
            self._ask("unlock", {"key": key.reveal()})

    def key_of_worker(self) -> Secret | None:
        """What opens the vault, from the worker at work; None when there is none, or it does not have it."""
        found = self._ask("handover")
        return Secret(str(found.get("key", ""))) if isinstance(found, dict) else None

    def lock_store(self) -> None:
        """Have the worker forget what opens the vault."""
        self._ask("lock")

    def worker_unlocked(self) -> bool | None:
        """Whether the worker has what opens the vault; None when none runs."""
        found = self._ask("status")
        return bool(found.get("unlocked")) if isinstance(found, dict) else None

    def worker_status(self) -> dict[str, Any] | None:
        """Its pid, start and busy instances; None when none runs."""
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
        """After a worker that died, or a clock that was set: the journal as the next worker would see it. What was
        under way is queued again, and nothing waits for longer than a worker waits."""
        journal = self._journal  # opened before the lock is held: whoever brings it up to date looks for a worker
        with presence.lock_if_free(self._paths) as free:
            if not free:
                return
            with journal.look() as db:
                unsettled = views.totals(db).active or work.waits_too_long(db, now=time.time())
            if unsettled:
                with journal.transaction() as tx:
                    items.requeue_running(tx, now=time.time())
                    work.clamp_waits(tx, now=time.time())
