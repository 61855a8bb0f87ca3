"""Asking a running transfer to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from providers.errors import Cancelled


class CancelToken:
    """One request to stop, seen by every thread of a transfer.

    `cancel()` may be called from any thread, more than once; callbacks run once each, in the thread that cancels,
    the newest first: what is innermost knows that it was asked to stop before the call that it waits for is broken off.
    They must not block: shutting a socket down is the typical one.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._next = 0

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def cancel(self) -> None:
        with self._lock:
            if self._event.is_set():
                return
            self._event.set()
            callbacks = list(self._callbacks.values())[::-1]
            self._callbacks.clear()
        for callback in callbacks:
            callback()

    def check(self) -> None:
        """Raise Cancelled if somebody asked to stop."""
        if self._event.is_set():
            raise Cancelled("stopped on request")

    def wait(self, seconds: float) -> None:
        """Sleep; returns early, with Cancelled, when asked to stop."""
        if self._event.wait(seconds):
            raise Cancelled("stopped on request")

    @contextmanager
    def calling(self, callback: Callable[[], None]) -> Iterator[None]:
        """While inside, `cancel()` also calls `callback`; at once if it was already cancelled."""
        with self._lock:
            late = self._event.is_set()
            self._next += 1
            key = self._next
            if not late:
                self._callbacks[key] = callback
        if late:
            callback()
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.pop(key, None)


_ACTIVE: ContextVar[CancelToken | None] = ContextVar("active cancel token", default=None)


def active_token() -> CancelToken | None:
    """The token of the call that this thread is making just now, if any.

    An adapter registers with it what breaks a request off, so that calls of no session can be cancelled too.
    """
    return _ACTIVE.get()


@contextmanager
def acting_for(token: CancelToken) -> Iterator[None]:
    """While inside, `active_token` is `token`, in this thread."""
    reset = _ACTIVE.set(token)
    try:
        yield
    finally:
        _ACTIVE.reset(reset)
