"""Calls with a time limit, for keyrings, which may hang."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Call(Generic[T]):
    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self.result: list[T] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result.append(self._function())
        except BaseException as error:  # carried over to the thread that waits
            self.error = error


def bounded(function: Callable[[], T], timeout_s: float) -> T:
    """The function's result or error. Raises TimeoutError after `timeout_s`, and leaves the call to a daemon thread
    that does not delay the exit."""
    call = _Call(function)
    thread = threading.Thread(target=call.run, name="keyring", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {timeout_s:g} s")
    if call.error is not None:
        raise call.error
    return call.result[0]
