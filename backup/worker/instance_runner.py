"""All transfers of one instance: one provider, one limiter, one budget of connections."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from sqlite3 import Connection
from typing import Final

import msgspec

from backup.instances import answers
from backup.instances.request_counts import sent_for
from backup.journal import JournalFull, items, jobs, work
from backup.journal.records import Cleanup, Ending, Hold, Item, Job, Outcome
from backup.model.transfers import ItemKind, JobKind
from backup.worker.context import WorkerContext
from backup.worker.items import cleanups, judgement, transfer
from backup.worker.items.transfer import Transfer
from backup.worker.items.unit import WorkUnit
from backup.worker.progress import ItemProgress
from backup.worker.shared_provider import PlaceChanged, SharedProvider
from providers.base import BaseProvider
from providers.contract.cancel import CancelToken
from providers.contract.report import ErrorInfo
from providers.errors import Cancelled, InvalidConfiguration, ProviderError, Unsupported, lacks_descriptors

_LOG: Final = logging.getLogger(__name__)
_POOL_BEFORE_OPENING: Final = 5
_DELETES_AT_ONCE: Final = 100
_AHEAD: Final = 64
"""This many items are claimed beyond those under way: at a thousand small files a second, half of them last while the
journal hands out more."""
_SMALL_BYTES: Final = 8 * 2**20
"""Up to this size an item gets one connection, and its end is recorded together with others."""
_PATIENCE_S: Final = 0.4
_TROUBLE: Final = 3
"""This many items in a row that fail for a passing reason make the whole instance wait."""


class InstanceRunner:
    """Runs claimed items, as many at once as the instance's connections allow."""

    def __init__(self, instance: str, worker: WorkerContext) -> None:
        self.instance = instance
        self.shared = SharedProvider(instance, worker)
        self._worker = worker
        self._lock = threading.Lock()
        self._ready: deque[Item] = deque()
        self._running: dict[int, WorkUnit] = {}
        self._cleaning: dict[int, CancelToken] = {}
        self._used = 0
        self._pool = _POOL_BEFORE_OPENING
        self._executor = ThreadPoolExecutor(64, thread_name_prefix=f"transfers-{instance}")
        self._jobs: dict[int, Job] = {}
        self._passing_failures = 0
        self._asked = False
        """The scheduler already knows that there is room for more."""
        self._closed = False
        self.quiet_since = worker.chances.clock()

    # Called by the scheduler

    def wanted(self) -> int:
        """How many more items it can take, so that no thread waits for the next claim."""
        with self._lock:
            if self._closed:
                return 0
            deletes = _DELETES_AT_ONCE if self._ready and self._ready[0].job_kind is JobKind.DELETE else 0
            self._asked = False
            return max(0, self._pool + _AHEAD + deletes - self._used - len(self._ready))

    def take(self, claimed: list[Item]) -> None:
        with self._lock:
            self._ready.extend(claimed)
        self._start_ready()

    @property
    def busy(self) -> bool:
        with self._lock:
            return bool(self._ready or self._running or self._cleaning)

    def stop(self, item_id: int) -> None:
        """Stop an item; the wish in the journal decides its new state. If called again and it has not stopped within
        0.4 s, its end is recorded even though its thread is still blocked. Clean-up and another attempt wait for that
        thread.
        """
        clock = self._worker.chances.clock()
        with self._lock:
            waiting = [item for item in self._ready if item.id == item_id]
            for item in waiting:
                self._ready.remove(item)
            unit = self._running.get(item_id)
            hangs = unit is not None and unit.stopped_at is not None and clock - unit.stopped_at > _PATIENCE_S
            if unit and unit.stopped_at is None:
                unit.stopped_at = clock
        if waiting or hangs:
            self._end([Outcome(item_id=item_id, ending=Ending.STOPPED)])
        if unit:
            unit.cancel.cancel()

    def stop_all(self) -> None:
        """Stop everything, and take nothing more."""
        with self._lock:
            self._closed = True
            waiting = [Outcome(item_id=item.id, ending=Ending.STOPPED) for item in self._ready]
            self._ready.clear()
            tokens = [unit.cancel for unit in self._running.values()] + list(self._cleaning.values())
        self._end(waiting)
        for token in tokens:
            token.cancel()

    def close_connections(self) -> None:
        """Close the connections of an idle instance, in a thread of the runner so that nothing else waits."""
        self._executor.submit(self.shared.close_if_unused)

    def close(self) -> None:
        """Threads that still run are left to the end of the process."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self.shared.close()

    # Starting

    def _start_ready(self) -> None:
        while True:
            with self._lock:
                unit = self._begin_next()
            if unit is None:
                return
            self._executor.submit(self._work, unit)

    def _begin_next(self) -> WorkUnit | None:
        """The next unit, counted as running. The caller holds the lock."""
        unit = None if self._closed else self._next_unit()
        if unit is not None:
            self._used += unit.weight
            for item in unit.group:
                self._running[item.id] = unit
        return unit

    def _next_unit(self) -> WorkUnit | None:
        free = self._pool - self._used
        if free <= 0:
            return None
        for _ in range(len(self._ready)):
            if not self._held_back(self._ready[0]):
                break
            self._ready.rotate(-1)
        else:
            return None
        first = self._ready.popleft()
        if first.job_kind is not JobKind.DELETE:
            return WorkUnit([first], self._weight(first, free))
        group = [first]
        while (
            self._ready and self._ready[0].job_kind is JobKind.DELETE and (first.last or len(group) < _DELETES_AT_ONCE)
        ):
            if self._where(self._ready[0]) != self._where(first):
                break
            group.append(self._ready.popleft())
        return WorkUnit(group, 1)

    def _held_back(self, item: Item) -> bool:
        """Whether an item has to wait for work on it to end. Folders of a job go one by one, innermost first."""
        if item.id in self._cleaning or item.id in self._running:
            return True
        return item.last and any(unit.has_folder_of(item.job_id) for unit in self._running.values())

    def _where(self, item: Item) -> tuple[int, int | None, int]:
        """What items of one unit share. Folders of a job form one unit, since they go innermost first."""
        return item.place_id, item.environment_id, item.job_id if item.last else 0

    def _weight(self, item: Item, free: int) -> int:
        """Connections: one for a small item; all free ones for a large item, except one kept for small items."""
        if item.size_bytes <= _SMALL_BYTES or item.kind is not ItemKind.FILE:
            return 1
        return max(1, min(free, self._pool - 1))

    # Working, in a thread of the runner

    def _work(self, unit: WorkUnit) -> None:
        """Run one unit after the other while something is ready and a connection is free."""
        following: WorkUnit | None = unit
        while following is not None:
            unit = following
            smooth = self._carry_out(unit)
            following, wake = self._change_over(unit)
            if unit.weight > 1:
                self._start_ready()
            if wake or not smooth:
                self._worker.wake()

    def _carry_out(self, unit: WorkUnit) -> bool:
        """Run a unit; returns whether it went well."""
        smooth = ended = False
        unit.refreshed = self.shared.refreshed
        try:
            outcomes = self._outcomes(unit)
            smooth = all(outcome.ending in {Ending.DONE, Ending.SKIPPED} for outcome in outcomes)
            small = all(item.size_bytes <= _SMALL_BYTES for item in unit.group)
            self._end(outcomes, at_once=not (smooth and small), refreshed=unit.refreshed)
            ended = True
        except JournalFull as error:  # the worker stops, and the next resumes from the journal
            _LOG.warning("runner %s: %s", self.instance, error)
        except Exception as error:  # a bug must not keep the runner's connections, nor an item at work for ever
            _LOG.exception("runner %s", self.instance)
            ended = self._give_up(unit, error)
        for item in () if ended else unit.group:
            self._worker.board.leave(item.id)
        return smooth

    def _give_up(self, unit: WorkUnit, error: Exception) -> bool:
        """End a unit after an unforeseen error; returns whether that is recorded."""
        try:
            self._end([transfer.judge_any(error, item, self._worker.chances) for item in unit.group], at_once=True)
        except Exception:  # as above
            _LOG.exception("runner %s: an end is not recorded", self.instance)
            return False
        return True

    def _change_over(self, done: WorkUnit) -> tuple[WorkUnit | None, bool]:
        """Release a unit and begin the next. Also returns whether the scheduler should look: for more work, or because
        none is left."""
        with self._lock:
            self._used -= done.weight
            for item in done.group:
                self._running.pop(item.id, None)
            following = self._begin_next()
            hungry = len(self._ready) < _AHEAD // 2 and not self._asked
            self._asked = self._asked or hungry
            self.quiet_since = self._worker.chances.clock()
            return following, hungry or not (self._ready or self._running)

    def _outcomes(self, unit: WorkUnit) -> list[Outcome]:
        first = unit.group[0]
        watcher = None if first.job_kind is JobKind.DELETE else self._worker.board.enter(first.id, first.bytes_done)
        try:
            with self.shared.used_for(first.place_id, first.environment_id, cancel=unit.cancel) as provider:
                self._resize(provider)
                if first.job_kind is JobKind.UPLOAD:
                    self.shared.learn(provider, unit.cancel)
                if watcher:
                    outcomes = [self._transfer(provider, first, unit, watcher)]
                else:
                    with sent_for({item.key: item.id for item in unit.group}):
                        outcomes = transfer.delete_many(provider, unit.group, unit.cancel, self._worker.chances)
                answers.note_outcomes(self._worker.paths, self.instance, outcomes, provider.unusable)
        except PlaceChanged as error:
            return self._pause_place(unit, ErrorInfo.of(error))
        except ProviderError as error:
            return self._cannot_open(unit, error)
        self._judge_instance(outcomes, unit.refreshed)
        return outcomes

    def _transfer(self, provider: BaseProvider, item: Item, unit: WorkUnit, watcher: ItemProgress) -> Outcome:
        attempt = Transfer(
            provider=provider,
            journal=self._worker.journal,
            commit=self._worker.writer.run,
            item=item,
            job=self._job(item.job_id),
            watcher=watcher,
            cancel=unit.cancel,
            connections=unit.weight,
            chances=self._worker.chances,
        )
        with sent_for(item.id):
            return attempt.run()

    def _job(self, job_id: int) -> Job:
        found = self._jobs.get(job_id)
        if found is None:
            with self._worker.journal.look() as db:
                found = self._jobs[job_id] = jobs.job(db, job_id)
        return found

    def _resize(self, provider: BaseProvider) -> None:
        with self._lock:
            self._pool = provider.settings.connection_pool_size

    # Outcomes of items, and of the instance

    def _end(self, outcomes: list[Outcome], *, at_once: bool = False, refreshed: int | None = None) -> None:
        """Record how attempts ended. Until that is on disk, the board shows them at work.

        An item that waits for credentials which changed during its attempt (`refreshed` is the count at its start) is
        retried at once. The count is compared inside the transaction, since a change first counts and then releases.
        """
        if not outcomes:
            return
        now = self._worker.chances.now()

        def change(tx: Connection) -> None:
            came = refreshed is not None and refreshed != self.shared.refreshed
            for outcome in outcomes:
                forever = outcome.ending is Ending.WAITING and outcome.wait_until is None
                again = msgspec.structs.replace(outcome, wait_until=now) if came and forever else outcome
                items.end(tx, again, now=now)

        def leave() -> None:
            for outcome in outcomes:
                self._worker.board.leave(outcome.item_id)

        if at_once:
            self._worker.writer.run(change)
            leave()
        else:
            self._worker.writer.post(change, leave)

    def _pause_place(self, unit: WorkUnit, error: ErrorInfo) -> list[Outcome]:
        """The instance points elsewhere, or cannot be used: pause what is queued for it, with the reason."""
        _LOG.warning("%s: %s", self.instance, error.message)
        place_id, now = unit.group[0].place_id, self._worker.chances.now()
        self._worker.writer.run(lambda tx: items.pause_place(tx, place_id, error, now=now))
        return [Outcome(item_id=item.id, ending=Ending.PAUSED, error=error) for item in unit.group]

    def _cannot_open(self, unit: WorkUnit, error: ProviderError) -> list[Outcome]:
        if isinstance(error, (InvalidConfiguration, Unsupported)) and not lacks_descriptors(error):
            return self._pause_place(unit, ErrorInfo.of(error))
        outcomes = [transfer.judge(error, item, self._worker.chances) for item in unit.group]
        answers.note_outcomes(self._worker.paths, self.instance, outcomes)
        self._judge_instance(outcomes, unit.refreshed)
        return outcomes

    def _judge_instance(self, outcomes: list[Outcome], refreshed: int) -> None:
        """Hold the queue if all items would fail alike: at once for credentials, else after a few failures in a row."""
        for outcome in outcomes:
            if outcome.ending is Ending.WAITING and outcome.wait_until is None and outcome.error:
                self._hold(Hold(instance=self.instance, error=outcome.error), refreshed)
                return
            if outcome.ending is Ending.WAITING and outcome.wait_until and judgement.says_of_all(outcome.error):
                self._passing_failures += 1
                if self._passing_failures >= _TROUBLE:
                    self._hold(Hold(instance=self.instance, error=outcome.error, until=outcome.wait_until), refreshed)
            elif outcome.ending is Ending.DONE:
                self._passing_failures = 0

    def _hold(self, held: Hold, refreshed: int) -> None:
        def change(tx: Connection) -> bool:
            came = held.until is None and self.shared.refreshed != refreshed
            needed = not came and jobs.environments_open(tx, self.instance) < 2
            if needed:
                work.hold(tx, held)
            return needed

        if not self._worker.writer.run(change):
            return
        _LOG.warning("the queue of %s is held: %s", self.instance, held.error.message)
        with self._lock:
            waiting = [Outcome(item_id=item.id, ending=Ending.STOPPED) for item in self._ready]
            self._ready.clear()
        self._end(waiting)

    # Cleaning up

    def clean(self, cleanup: Cleanup) -> None:
        """Remove what a cancelled item left, in a thread of the runner."""
        with self._lock:
            if self._closed or cleanup.item_id in self._cleaning or cleanup.item_id in self._running:
                return
            if len(self._cleaning) >= work.CLEANUPS_AT_ONCE:
                return
            cancel = self._cleaning[cleanup.item_id] = CancelToken()
        self._executor.submit(self._clean, cleanup, cancel)

    def _clean(self, cleanup: Cleanup, cancel: CancelToken) -> None:
        try:
            change = self._cleaned(cleanup, cancel)
            if change:
                self._worker.writer.run(change)
        except Exception:  # as in `_work`
            _LOG.exception("cleaning up after item %d", cleanup.item_id)
        finally:
            with self._lock:
                self._cleaning.pop(cleanup.item_id, None)
            self._start_ready()
            self._worker.wake()

    def _cleaned(self, cleanup: Cleanup, cancel: CancelToken) -> Callable[[Connection], None] | None:
        try:
            if cleanup.job_kind is JobKind.DOWNLOAD:
                cleanups.discard_download(self._worker.journal, cleanup)
            else:
                with (
                    self.shared.used_for(cleanup.place_id, cleanup.environment_id, cancel=cancel) as provider,
                    sent_for(cleanup.item_id),
                ):
                    cleanups.abandon_upload(provider, self._worker.journal, cleanup, cancel)
        except Cancelled:
            return None
        except ProviderError as error:
            _LOG.warning("cannot clean up after item %d yet: %s", cleanup.item_id, error)
            info = ErrorInfo.of(error)
            again_at = self._worker.chances.now() + transfer.backoff_s(cleanup.attempts, error, self._worker.chances)
            return lambda tx: work.cleanup_failed(tx, cleanup.item_id, info, again_at=again_at)
        return lambda tx: work.cleanup_done(tx, cleanup.item_id)
