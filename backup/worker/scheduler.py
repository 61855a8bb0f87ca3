"""The one loop of the worker: it claims what is queued, hands it to lanes, and sees when nothing is left."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from sqlite3 import Connection
from typing import Final

from backup.journal import items, jobs, work
from backup.journal.records import Cleanup, Item, Job, Wish
from backup.system import build
from backup.worker.context import Crew
from backup.worker.instance_runner import Lane
from backup.worker.left_folders import LeftFolders
from backup.worker.scan.scanning import Scans
from backup.worker.upkeep import Upkeep
from backup.worker.wakeup import Wakeup

_LOG: Final = logging.getLogger(__name__)
_LOOK_S: Final = 1.0
"""How often the journal is looked at although nobody woke the drain."""
_WISHED_S: Final = 0.1
"""Likewise while a transfer was asked to stop, and has not yet."""
_SHORTEST_S: Final = 0.05
_CALLS_EVERY_S: Final = 10.0
_CLOSE_S: Final = 0.3
_CLOSE_AFTER_S: Final = 30.0
"""An instance's connections are closed when it had nothing to do for so long."""


class Drain:
    """Runs in one thread; `wake`, `stop` and what the listener calls come from others."""

    def __init__(self, crew: Crew, woken: Wakeup, *, linger_s: float) -> None:
        """`linger_s`: how long to stay with nothing to do. `woken` is what `crew.wake` sets."""
        self._crew = crew
        self._woken = woken
        self._linger_s = linger_s
        self._lock = threading.Lock()
        self._lanes: dict[str, Lane] = {}
        self._scans = Scans(crew)
        self._left_folders = LeftFolders(crew)
        self._upkeep = Upkeep(crew)
        self._stopping = False
        self._wishes = False
        self._idle_since: float | None = None
        self._calls_written = crew.chances.clock()
        self.outdated = False
        """It leaves since its files were replaced: what it would load now is of another build."""
        self.leaving = False
        """Set before the journal is asked whether anything is left: whoever sees it False is served by this worker."""
        self.before_leaving: Callable[[], None] = lambda: None
        """Runs between the decision to leave and the farewell; tests hold the worker there."""

    def run(self) -> None:
        """Until nothing was left to do for `linger_s`, or `stop`. Never leaves work behind that it could do."""
        while not self._stopping:
            self._woken.clear()
            self._round()
            if self._idle() and not self._upkeep.step(idle=True) and self._leave():
                return
            self._woken.wait(self._sleep_s())

    def stop(self) -> None:
        """Have `run` return soon. Safe in a signal handler."""
        self._stopping = True
        self.leaving = True
        self._woken.set()

    def park(self, patience_s: float) -> None:
        """Have everything under way let go; what does not within `patience_s` is left to the end of the process."""
        self._scans.stop_all()
        lanes = self._all_lanes()
        for lane in lanes:
            lane.stop_all()
        deadline = self._crew.chances.clock() + patience_s
        while any(lane.busy for lane in lanes) and self._crew.chances.clock() < deadline:
            self._woken.clear()
            self._woken.wait(0.05)
        self._write_calls()

    def close(self) -> None:
        """What cannot be closed in time is left to the end of the process."""
        closing = [threading.Thread(target=lane.close, daemon=True) for lane in self._all_lanes()]
        for thread in closing:
            thread.start()
        deadline = self._crew.chances.clock() + _CLOSE_S
        for thread in closing:
            thread.join(max(0.0, deadline - self._crew.chances.clock()))

    # What others ask for

    def refresh(self, instance: str | None) -> None:
        """Credentials or settings changed: open anew, and let go on what waited for them."""
        for lane in self._all_lanes():
            if instance in (None, lane.instance):
                lane.shared.refresh()
        now = self._crew.chances.now()
        self._crew.ledger.run(lambda tx: work.release(tx, instance, now=now))
        self._scans.try_at_once()
        self._crew.wake()

    def forget_credentials(self) -> None:
        """The next transfer reads its credentials anew; those under way keep theirs."""
        for lane in self._all_lanes():
            lane.shared.refresh()

    def set_bandwidth(self, instance: str, bytes_per_s: int | None) -> None:
        with self._lock:
            lane = self._lanes.get(instance)
        if lane:
            lane.shared.set_bandwidth(bytes_per_s)

    def lanes_busy(self) -> list[str]:
        return sorted(lane.instance for lane in self._all_lanes() if lane.busy)

    # One round

    def _round(self) -> None:
        step_s = self._crew.clock.step_s()
        if step_s:
            _LOG.warning("the system's clock was set by %.0f s; what waits goes by the time that has passed", step_s)
            self._crew.ledger.run(lambda tx: work.move_waits(tx, step_s))
        now = self._crew.chances.now()
        wishes, wanted_scans, to_scan, cleanups, ready = self._look(now)
        if self._is_outdated({*ready, *(job.instance for job in to_scan), *(due.instance for due in cleanups)}):
            return
        self._wishes = bool(wishes)
        self._scans.stop_all_but(wanted_scans)
        for item_id in wishes:
            for lane in self._all_lanes():
                lane.stop(item_id)
        for job in to_scan:
            self._scans.start(job, self._lane(job.instance).shared)
        for cleanup in cleanups:
            self._lane(cleanup.instance).clean(cleanup)
        self._claim(ready)
        self._left_folders.shut()
        self._tidy()

    def _is_outdated(self, instances: set[str]) -> bool:
        """Asked where more of the program is about to be loaded: once something begins after a rest, or for another
        instance. What is under way has what it needs."""
        begins = instances if self._idle_since is not None else instances - self._lanes.keys()
        if begins and build.replaced():
            _LOG.warning("the files of this worker were replaced: another one goes on")
            self.outdated = self._stopping = True  # not `leaving` yet: whoever asks takes over, with the vault's key
        return self.outdated

    def _look(self, now: float) -> tuple[dict[int, Wish], set[int], list[Job], list[Cleanup], list[str]]:
        with self._crew.journal.look() as db:
            due = work.next_due(db)
        if due is not None and due <= now:
            self._crew.ledger.run(lambda tx: work.wake_due(tx, now=now))
        with self._crew.journal.look() as db:
            return (
                items.wishes(db),
                jobs.wanted_scans(db),
                jobs.jobs_to_scan(db, now=now),
                work.due_cleanups(db, now=now),
                work.ready_instances(db),
            )

    def _claim(self, ready: list[str]) -> None:
        """For every instance what its lane can do with, in one transaction: none waits behind another's."""
        wanted = [(lane, count) for instance in ready if (count := (lane := self._lane(instance)).wanted())]
        if not wanted:
            return
        now = self._crew.chances.now()

        def change(tx: Connection) -> list[list[Item]]:
            return [items.claim(tx, lane.instance, count, now=now) for lane, count in wanted]

        claimed = self._crew.ledger.run(change)
        for (lane, _), found in zip(wanted, claimed, strict=True):
            if found:
                lane.take(found)

    def _tidy(self) -> None:
        self._upkeep.step(idle=False)
        clock = self._crew.chances.clock()
        if clock - self._calls_written > _CALLS_EVERY_S:
            self._calls_written = clock
            self._write_calls()
        for lane in self._all_lanes():
            if not lane.busy and clock - lane.quiet_since > _CLOSE_AFTER_S:
                lane.close_connections()

    def _write_calls(self) -> None:
        """Every commit takes counts along; this is for when there is none for long."""
        if self._crew.calls:
            self._crew.ledger.post(lambda tx: None)

    def _lane(self, instance: str) -> Lane:
        with self._lock:
            if instance not in self._lanes:
                self._lanes[instance] = Lane(instance, self._crew)
            return self._lanes[instance]

    def _all_lanes(self) -> list[Lane]:
        with self._lock:
            return list(self._lanes.values())

    # Waiting and leaving

    def _sleep_s(self) -> float:
        """Until something is due; whatever ends before that wakes the drain."""
        now = self._crew.chances.now()
        with self._crew.journal.look() as db:
            moments = [moment for moment in (work.next_due(db), work.next_cleanup(db, after=now)) if moment is not None]
        due_s = min((max(0.0, moment - now) for moment in moments), default=_LOOK_S)
        left_s = _WISHED_S if self._wishes else _LOOK_S
        if self._idle_since is not None:
            left_s = max(_SHORTEST_S, self._linger_s - (self._crew.chances.clock() - self._idle_since))
        return min(_LOOK_S, due_s, left_s)

    def _idle(self) -> bool:
        """Whether nothing was under way for `linger_s`."""
        clock = self._crew.chances.clock()
        if self._scans.busy or self._left_folders.busy or any(lane.busy for lane in self._all_lanes()):
            self._idle_since = None
            return False
        if self._idle_since is None:
            self._idle_since = clock
        return clock - self._idle_since >= self._linger_s

    def _leave(self) -> bool:
        self._idle_since = None
        self.leaving = True
        with self._crew.journal.look() as db:
            busy = work.is_busy(db)
        if not busy and self._crew.ledger.run(work.is_idle):
            _LOG.info("nothing left to do")
            self.before_leaving()
            return True
        self.leaving = False
        return False
