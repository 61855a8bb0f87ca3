"""The worker's time: it includes sleep of the machine, and a change of the system clock does not shorten a wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from providers.contract.cancel import CancelToken

_STEP_S: Final = 2.0
"""A clock that is off by more was set. Less is drift, or a slow read."""
_LOOK_S: Final = 1.0
"""System timers pause while the machine sleeps, so no wait relies on one for longer."""


def elapsed_s() -> float:
    """Seconds since some moment, including suspension where the system counts it."""
    number = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if number is None else time.clock_gettime(number)


class WorkerClock:
    """Seconds since 1970: the system's clock at the start, advanced by `elapsed_s`."""

    def __init__(self, wall: Callable[[], float] = time.time, elapsed: Callable[[], float] = elapsed_s) -> None:
        self._wall = wall
        self.elapsed_s = elapsed
        self._lock = threading.Lock()
        self._ahead_s = wall() - elapsed()

    def now(self) -> float:
        return self._ahead_s + self.elapsed_s()

    def sleep(self, seconds: float, cancel: CancelToken) -> None:
        """A `Sleep` in real time: it ends on time even if the machine was suspended meanwhile. Raises Cancelled."""
        ends_s = self.elapsed_s() + seconds
        cancel.check()
        while (left_s := ends_s - self.elapsed_s()) > 0:
            cancel.wait(min(left_s, _LOOK_S))

    def step_s(self) -> float:
        """How far the system's clock was set since the last call, mostly 0. This clock follows, and recorded moments
        have to be moved too."""
        with self._lock:
            step_s = self._wall() - self.now()
            if abs(step_s) <= _STEP_S:
                return 0.0
            self._ahead_s += step_s
            return step_s
