"""Calls that end a wait."""

from __future__ import annotations

import queue


class Wakeup:
    """As a threading.Event for one waiting thread, and safe in the handler of a signal too: an Event's `set` takes a
    lock, which the main thread may hold as the handler interrupts its `wait`. SimpleQueue's `put` is reentrant by its
    documentation."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        """End the wait that is under way, or else the next one."""
        if self._calls.empty():
            self._calls.put(None)

    def clear(self) -> None:
        """Forget the calls so far."""
        while self.wait(0):
            pass

    def wait(self, seconds: float) -> bool:
        """Whether a call came within so many seconds, or had come before."""
        try:
            self._calls.get(timeout=seconds)
        except queue.Empty:
            return False
        return True
