"""The limit on what a plan counts."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

from providers.contract.cancel import CancelToken

LIMIT_S: Final = 5.0
LIMIT_ENTRIES: Final = 100_000

T = TypeVar("T")


class Budget:
    """Entries and time left for counting; `exhausted` once either has run out."""

    def __init__(self, cancel: CancelToken) -> None:
        self._until_s = time.monotonic() + LIMIT_S
        self._entries = LIMIT_ENTRIES
        self._cancel = cancel
        self.exhausted = False

    def spend(self, entries: Iterable[T]) -> Iterator[T]:
        for entry in entries:
            self._cancel.check()
            self._entries -= 1
            if self._entries < 0 or time.monotonic() > self._until_s:
                self.exhausted = True
                return
            yield entry
