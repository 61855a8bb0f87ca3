"""A token bucket shared by all transfers of an instance."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from providers.contract.cancel import CancelToken

Sleep = Callable[[float, CancelToken], None]

_BURST_S: Final = 0.25
"""Seconds' worth of bytes that may go at once after a pause. Small, so that a limit holds over any ten seconds."""


def cancellable_sleep(seconds: float, cancel: CancelToken) -> None:
    cancel.wait(seconds)


class Limiter:
    """Limits the rate of bytes to `rate_bytes_per_s` (None: no limit), which may change at any time."""

    def __init__(
        self,
        rate_bytes_per_s: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = cancellable_sleep,
    ) -> None:
        self._rate = rate_bytes_per_s
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_at = clock()
        """Time from which the next byte may go."""

    @property
    def rate_bytes_per_s(self) -> int | None:
        return self._rate

    @rate_bytes_per_s.setter
    def rate_bytes_per_s(self, rate: int | None) -> None:
        with self._lock:
            self._rate = rate
            self._free_at = self._clock()

    def grain_bytes(self, wanted: int) -> int:
        """Number of bytes to take at once, so that transfers stay smooth under a low limit."""
        rate = self._rate
        return wanted if rate is None else max(1024, min(wanted, int(rate * _BURST_S)))

    def take(self, count_bytes: int, cancel: CancelToken) -> None:
        """Wait until `count_bytes` may move. Raises Cancelled at once when asked to stop."""
        with self._lock:
            rate = self._rate
            if rate is None:
                return
            now = self._clock()
            self._free_at = max(self._free_at, now - _BURST_S)
            delay = self._free_at - now
            self._free_at += count_bytes / rate
        if delay > 0:
            self._sleep(delay, cancel)
