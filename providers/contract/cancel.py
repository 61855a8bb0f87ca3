"""Cancellation of running transfers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar

from providers.errors import Cancelled


class CancelToken:
    """One request to stop, seen by every thread of a transfer.

    `cancel()` may be called from any thread, more than once. Callbacks run once each, in the cancelling thread, newest
    first: inner code learns of the stop before the call it waits for is broken off. They must not block; a typical one
    shuts a socket down.
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
        """Raise Cancelled if asked to stop."""
        if self._event.is_set():
            raise Cancelled("stopped on request")

    def wait(self, seconds: float) -> None:
        """Sleep; raises Cancelled early if asked to stop."""
        if self._event.wait(seconds):
            raise Cancelled("stopped on request")

    def calling(self, callback: Callable[[], None]) -> AbstractContextManager[None]:
        """Inside, `cancel()` also calls `callback`; at once if already cancelled."""
        return _Calling(self, callback)

    def _add(self, callback: Callable[[], None]) -> int:
        with self._lock:
            self._next += 1
            if not self._event.is_set():
                self._callbacks[self._next] = callback
                return self._next
        callback()
        return 0

    def _remove(self, key: int) -> None:
        with self._lock:
            self._callbacks.pop(key, None)


class _Calling:
    """A class, not a generator: this runs a dozen times per small file, and a generator costs four times as much."""

    __slots__ = ("_callback", "_key", "_token")

    def __init__(self, token: CancelToken, callback: Callable[[], None]) -> None:
        self._token = token
        self._callback = callback

    def __enter__(self) -> None:
        self._key = self._token._add(self._callback)

    def __exit__(self, *_: object) -> None:
        self._token._remove(self._key)


_ACTIVE: ContextVar[CancelToken | None] = ContextVar("active cancel token", default=None)


def active_token() -> CancelToken | None:
    """The token of the call that this thread is making, if any.

    An adapter registers its way to break off a request with it, so that calls outside a session can be cancelled too.
    """
    return _ACTIVE.get()


class acting_for:
    """Inside, `active_token` returns `token` in this thread."""

    __slots__ = ("_reset", "_token")

    def __init__(self, token: CancelToken) -> None:
        self._token = token

    def __enter__(self) -> None:
        self._reset = _ACTIVE.set(self._token)

    def __exit__(self, *_: object) -> None:
        _ACTIVE.reset(self._reset)
