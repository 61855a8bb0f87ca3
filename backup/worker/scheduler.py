"""The one loop of the worker: it claims what is queued, hands it to runners, and notices when nothing is left."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from sqlite3 import Connection
from typing import Final

from backup.journal import items, jobs, work
from backup.journal.records import Cleanup, Item, Job, Wish
from backup.system import build
from backup.worker.context import WorkerContext
from backup.worker.instance_runner import InstanceRunner
from backup.worker.left_folders import LeftFolders
from backup.worker.scan.scanning import Scans
from backup.worker.upkeep import Upkeep
from backup.worker.wakeup import Wakeup

_LOG: Final = logging.getLogger(__name__)
_LOOK_S: Final = 1.0
"""How often the journal is read although nothing woke the scheduler."""
_WISHED_S: Final = 0.1
"""The same, while a transfer was asked to stop and has not yet."""
_SHORTEST_S: Final = 0.05
_CALLS_EVERY_S: Final = 10.0
_CLOSE_S: Final = 0.3
_CLOSE_AFTER_S: Final = 30.0
"""An instance's connections are closed after it was idle for this long."""


class Scheduler:
    """Runs in one thread; `wake`, `stop` and the listener's calls come from others."""

    def __init__(self, worker: WorkerContext, woken: Wakeup, *, linger_s: float) -> None:
        """`linger_s`: how long to stay with nothing to do. `woken` is set by `worker.wake`."""
        self._worker = worker
        self._woken = woken
        self._linger_s = linger_s
        self._lock = threading.Lock()
        self._runners: dict[str, InstanceRunner] = {}
        self._scans = Scans(worker)
        self._left_folders = LeftFolders(worker)
        self._upkeep = Upkeep(worker)
        self._stopping = False
        self._wishes = False
        self._idle_since: float | None = None
        self._calls_written = worker.chances.clock()
        self.outdated = False
        """It leaves because its files were replaced: modules loaded from now on would be of another build."""
        self.leaving = False
        """Set before the journal is checked for work: a process that sees False is served by this worker."""
        self.before_leaving: Callable[[], None] = lambda: None
        """Runs between the decision to leave and the end; tests block the worker there."""

    def run(self) -> None:
        """Run until there was nothing to do for `linger_s`, or `stop`. Never leaves behind work that it could do."""
        while not self._stopping:
            self._woken.clear()
            self._round()
            if self._idle() and not self._upkeep.step(idle=True) and self._leave():
                return
            self._woken.wait(self._sleep_s())

    def stop(self) -> None:
        """Make `run` return soon. Safe in a signal handler."""
        self._stopping = True
        self.leaving = True
        self._woken.set()

    def park(self, patience_s: float) -> None:
        """Stop everything under way. What has not stopped within `patience_s` is left to the end of the process."""
        self._scans.stop_all()
        runners = self._all_runners()
        for runner in runners:
            runner.stop_all()
        deadline = self._worker.chances.clock() + patience_s
        while any(runner.busy for runner in runners) and self._worker.chances.clock() < deadline:
            self._woken.clear()
            self._woken.wait(0.05)
        self._write_calls()

    def close(self) -> None:
        """What cannot be closed in time is left to the end of the process."""
        closing = [threading.Thread(target=runner.close, daemon=True) for runner in self._all_runners()]
        for thread in closing:
            thread.start()
        deadline = self._worker.chances.clock() + _CLOSE_S
        for thread in closing:
            thread.join(max(0.0, deadline - self._worker.chances.clock()))

    # Called by other threads

    def refresh(self, instance: str | None) -> None:
        """Credentials or settings changed: open again, and resume what waited for them."""
        for runner in self._all_runners():
            if instance in (None, runner.instance):
                runner.shared.refresh()
        now = self._worker.chances.now()
        self._worker.writer.run(lambda tx: work.release(tx, instance, now=now))
        self._scans.try_at_once()
        self._worker.wake()

    def forget_credentials(self) -> None:
        """Make the next transfer read its credentials again; those under way keep theirs."""
        for runner in self._all_runners():
            runner.shared.refresh()

    def set_bandwidth(self, instance: str, bytes_per_s: int | None) -> None:
        with self._lock:
            runner = self._runners.get(instance)
        if runner:
            runner.shared.set_bandwidth(bytes_per_s)

    def lanes_busy(self) -> list[str]:
        return sorted(runner.instance for runner in self._all_runners() if runner.busy)

    # One round

    def _round(self) -> None:
        step_s = self._worker.clock.step_s()
        if step_s:
            _LOG.warning("the system's clock was set by %.0f s; waits follow the time that really passed", step_s)
            self._worker.writer.run(lambda tx: work.move_waits(tx, step_s))
        now = self._worker.chances.now()
        wishes, wanted_scans, to_scan, cleanups, ready = self._look(now)
        if self._is_outdated({*ready, *(job.instance for job in to_scan), *(due.instance for due in cleanups)}):
            return
        self._wishes = bool(wishes)
        self._scans.stop_all_but(wanted_scans)
        for item_id in wishes:
            for runner in self._all_runners():
                runner.stop(item_id)
        for job in to_scan:
            self._scans.start(job, self._runner(job.instance).shared)
        for cleanup in cleanups:
            self._runner(cleanup.instance).clean(cleanup)
        self._claim(ready)
        self._left_folders.shut()
        self._tidy()

    def _is_outdated(self, instances: set[str]) -> bool:
        """Checked before more of the program is loaded: when work begins after a rest, or for another instance.
        Transfers under way already have what they need."""
        begins = instances if self._idle_since is not None else instances - self._runners.keys()
        if begins and build.replaced():
            _LOG.warning("the files of this worker were replaced: another one takes over")
            self.outdated = self._stopping = True  # not `leaving` yet: the successor first takes the vault's key over
        return self.outdated

    def _look(self, now: float) -> tuple[dict[int, Wish], set[int], list[Job], list[Cleanup], list[str]]:
        with self._worker.journal.look() as db:
            due = work.next_due(db)
        if due is not None and due <= now:
            self._worker.writer.run(lambda tx: work.wake_due(tx, now=now))
        with self._worker.journal.look() as db:
            return (
                items.wishes(db),
                jobs.wanted_scans(db),
                jobs.jobs_to_scan(db, now=now),
                work.due_cleanups(db, now=now),
                work.ready_instances(db),
            )

    def _claim(self, ready: list[str]) -> None:
        """Claim for every instance what its runner can take, in one transaction: none waits behind another's."""
        wanted = [(runner, count) for instance in ready if (count := (runner := self._runner(instance)).wanted())]
        if not wanted:
            return
        now = self._worker.chances.now()

        def change(tx: Connection) -> list[list[Item]]:
            return [items.claim(tx, runner.instance, count, now=now) for runner, count in wanted]

        claimed = self._worker.writer.run(change)
        for (runner, _), found in zip(wanted, claimed, strict=True):
            if found:
                runner.take(found)

    def _tidy(self) -> None:
        self._upkeep.step(idle=False)
        clock = self._worker.chances.clock()
        if clock - self._calls_written > _CALLS_EVERY_S:
            self._calls_written = clock
            self._write_calls()
        for runner in self._all_runners():
            if not runner.busy and clock - runner.quiet_since > _CLOSE_AFTER_S:
                runner.close_connections()

    def _write_calls(self) -> None:
        """Every commit includes the counts; this is for long pauses between commits."""
        if self._worker.calls:
            self._worker.writer.post(lambda tx: None)

    def _runner(self, instance: str) -> InstanceRunner:
        with self._lock:
            if instance not in self._runners:
                self._runners[instance] = InstanceRunner(instance, self._worker)
            return self._runners[instance]

    def _all_runners(self) -> list[InstanceRunner]:
        with self._lock:
            return list(self._runners.values())

    # Waiting and leaving

    def _sleep_s(self) -> float:
        """Time until something is due; anything that ends earlier wakes the scheduler."""
        now = self._worker.chances.now()
        with self._worker.journal.look() as db:
            moments = [moment for moment in (work.next_due(db), work.next_cleanup(db, after=now)) if moment is not None]
        due_s = min((max(0.0, moment - now) for moment in moments), default=_LOOK_S)
        left_s = _WISHED_S if self._wishes else _LOOK_S
        if self._idle_since is not None:
            left_s = max(_SHORTEST_S, self._linger_s - (self._worker.chances.clock() - self._idle_since))
        return min(_LOOK_S, due_s, left_s)

    def _idle(self) -> bool:
        """Whether nothing was under way for `linger_s`."""
        clock = self._worker.chances.clock()
        if self._scans.busy or self._left_folders.busy or any(runner.busy for runner in self._all_runners()):
            self._idle_since = None
            return False
        if self._idle_since is None:
            self._idle_since = clock
        return clock - self._idle_since >= self._linger_s

    def _leave(self) -> bool:
        self._idle_since = None
        self.leaving = True
        with self._worker.journal.look() as db:
            busy = work.is_busy(db)
        if not busy and self._worker.writer.run(work.is_idle):
            _LOG.info("nothing left to do")
            self.before_leaving()
            return True
        self.leaving = False
        return False
