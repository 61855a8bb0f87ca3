"""Wake-up calls that end a wait."""

from __future__ import annotations

import queue


class Wakeup:
    """Like a threading.Event for one waiting thread, but also safe in a signal handler. An Event's `set` takes a lock
    that the main thread may hold when the handler interrupts its `wait`; SimpleQueue's `put` is documented as
    reentrant."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        """End the current wait, or else the next one."""
        if self._calls.empty():
            self._calls.put(None)

    def clear(self) -> None:
        """Forget the calls so far."""
        while self.wait(0):
            pass

    def wait(self, seconds: float) -> bool:
        """Whether a call came within this many seconds, or before."""
        try:
            self._calls.get(timeout=seconds)
        except queue.Empty:
            return False
        return True
