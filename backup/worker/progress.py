"""Live progress, from the providers' callbacks to the subscribers. No timer invents any of it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from backup.model.transfers import LiveItem, LiveState
from backup.system import build

_WINDOW_S: Final = 5.0
_SLOT_S: Final = 0.25
_SHORTEST_S: Final = 0.5
"""A rate over a shorter time means nothing."""


class Meter:
    """Bytes per second over the last five seconds. Not thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._slots: deque[list[float]] = deque()
        self._sum = 0.0

    def add(self, count_bytes: int) -> None:
        now = self._clock()
        self._forget(now)
        if self._slots and now - self._slots[-1][0] < _SLOT_S:
            self._slots[-1][1] += count_bytes
        else:
            self._slots.append([now, count_bytes])
        self._sum += count_bytes

    def rate_bytes_per_s(self) -> float:
        now = self._clock()
        self._forget(now)
        return self._sum / max(_SHORTEST_S, min(_WINDOW_S, now - self._began))

    def _forget(self, now: float) -> None:
        if not self._slots:
            self._began = max(self._began, now - _SLOT_S)
        while self._slots and self._slots[0][0] < now - _WINDOW_S:
            self._sum -= self._slots.popleft()[1]


class ProgressBoard:
    """All running items. Callbacks only add to it and readers call `state`, so that no reader slows a transfer down."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[int, ItemProgress] = {}
        self._total = Meter(clock)
        self._version = 0

    def enter(self, item_id: int, held_bytes: int = 0) -> ItemProgress:
        """Add a running item; `leave` removes it. `held_bytes`, moved by an earlier attempt, do not count as rate."""
        with self._lock:
            entry = self._entries[item_id] = ItemProgress(self, Meter(self._clock), held_bytes)
            self._version += 1
        return entry

    def leave(self, item_id: int) -> None:
        with self._lock:
            self._entries.pop(item_id, None)
            self._version += 1

    def state(self) -> LiveState:
        with self._lock:
            return LiveState(
                version=self._version,
                rate_bytes_per_s=self._total.rate_bytes_per_s(),
                items=tuple(entry.view(item_id) for item_id, entry in self._entries.items()),
                build=build.current().id,
            )

    def count(self, entry: ItemProgress, bytes_done: int, bytes_total: int) -> None:
        """`bytes_done` as given by the provider's callback."""
        with self._lock:
            new_bytes = max(0, bytes_done - max(entry.done_bytes, entry.held_bytes))
            entry.done_bytes = max(entry.done_bytes, bytes_done)
            entry.total_bytes = bytes_total
            if new_bytes:
                entry.meter.add(new_bytes)
                self._total.add(new_bytes)
            self._version += 1

    def mark_verifying(self, entry: ItemProgress) -> None:
        with self._lock:
            entry.in_proof = True
            self._version += 1


class ItemProgress:
    """The `backup.worker.items.transfer.Watcher` of one item."""

    def __init__(self, board: ProgressBoard, meter: Meter, held_bytes: int) -> None:
        self._board = board
        self.meter = meter
        self.held_bytes = held_bytes
        self.done_bytes = 0
        self.total_bytes = 0
        self.in_proof = False

    def moved(self, bytes_done: int, bytes_total: int) -> None:
        self._board.count(self, bytes_done, bytes_total)

    def verifying(self) -> None:
        self._board.mark_verifying(self)

    def view(self, item_id: int) -> LiveItem:
        rate = self.meter.rate_bytes_per_s()
        left_bytes = self.total_bytes - self.done_bytes
        return LiveItem(
            id=item_id,
            bytes_done=self.done_bytes,
            rate_bytes_per_s=rate,
            left_s=left_bytes / rate if rate > 0 and left_bytes and not self.in_proof else None,
            verifying=self.in_proof,
        )
