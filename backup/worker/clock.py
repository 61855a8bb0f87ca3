"""The worker's time: it runs on while the machine sleeps, and no correction of the system's clock shortens a wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from providers.contract.cancel import CancelToken

_STEP_S: Final = 2.0
"""A clock that differs by more was set; less is drift, or a look that took long."""
_LOOK_S: Final = 1.0
"""The system's own timers stand still while the machine sleeps: no wait relies on one for longer."""


def elapsed_s() -> float:
    """Seconds since some moment, those of a suspended machine among them where the system counts them."""
    number = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if number is None else time.clock_gettime(number)


class WorkerClock:
    """Seconds since 1970, as the system's clock had them at the start, and since then by `elapsed_s`."""

    def __init__(self, wall: Callable[[], float] = time.time, elapsed: Callable[[], float] = elapsed_s) -> None:
        self._wall = wall
        self.elapsed_s = elapsed
        self._lock = threading.Lock()
        self._ahead_s = wall() - elapsed()

    def now(self) -> float:
        return self._ahead_s + self.elapsed_s()

    def sleep(self, seconds: float, cancel: CancelToken) -> None:
        """A `Sleep` by the time that really passes: what the machine slept through is over when it wakes. Raises
        Cancelled."""
        ends_s = self.elapsed_s() + seconds
        cancel.check()
        while (left_s := ends_s - self.elapsed_s()) > 0:
            cancel.wait(min(left_s, _LOOK_S))

    def step_s(self) -> float:
        """By how much the system's clock was set since the last look, mostly 0; from now on this clock says the same.
        Moments that were written down have to move along."""
        with self._lock:
            step_s = self._wall() - self.now()
            if abs(step_s) <= _STEP_S:
                return 0.0
            self._ahead_s += step_s
            return step_s
