"""One progress callback for the bytes of many threads."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Progress:
    """Adds up the bytes moved by all parts of a transfer and reports (bytes_done, bytes_total).

    Calls are serialised and never decrease: while a part is sent again, the figure waits until the part has caught up.
    `begin` reports (0, total). Only `finish` reports (total, total); the loop calls it after verification.
    """

    def __init__(self, callback: Callable[[int, int], None] | None, total_bytes: int) -> None:
        self._callback = callback
        self._total = total_bytes
        self._lock = threading.Lock()
        self._moved: dict[int, int] = {}
        self._sum = 0
        self._reported = 0

    def begin(self) -> None:
        if self._callback:
            self._callback(0, self._total)

    def part_at(self, index: int, position_bytes: int) -> None:
        """Part `index` has moved `position_bytes` in its current attempt."""
        with self._lock:
            self._sum += position_bytes - self._moved.get(index, 0)
            self._moved[index] = position_bytes
            if self._callback and self._reported < self._sum < self._total:
                self._reported = self._sum
                self._callback(self._sum, self._total)

    def finish(self) -> None:
        with self._lock:
            if self._callback:
                self._callback(self._total, self._total)
