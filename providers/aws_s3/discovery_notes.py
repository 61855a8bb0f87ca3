"""The try-outs under way, noted before they begin, so that what one left whose process was killed is removed later."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar, Final

import msgspec

from providers.contract.context import Facts

_LONGEST_S: Final = 3600.0
"""A try-out noted so long ago is over, whoever has the process's number now."""


class _Note(msgspec.Struct, frozen=True):
    process: int
    noted_at: float


class _Notes(msgspec.Struct, frozen=True):
    by_key: dict[str, _Note] = {}


class Probes:
    """Keys of probe objects of one bucket."""

    _under_way: ClassVar[set[str]] = set()
    """Of all instances of this process."""
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, facts: Facts, bucket: str, now: Callable[[], float]) -> None:
        self._facts = facts
        self._fact = f"{bucket} probes"
        self._now = now

    @contextmanager
    def noted(self, key: str) -> Iterator[None]:
        """While inside, the key counts as in use; it stays noted until it is forgotten."""
        with self._lock:
            self._under_way.add(key)
            self._write({**self._read(), key: _Note(os.getpid(), self._now())})
        try:
            yield
        finally:
            with self._lock:
                self._under_way.discard(key)

    def forget(self, key: str) -> None:
        with self._lock:
            self._write({known: note for known, note in self._read().items() if known != key})

    def left_over(self) -> list[str]:
        """Keys whose try-out was broken off."""
        with self._lock:
            return [key for key, note in self._read().items() if key not in self._under_way and self._is_over(note)]

    def _is_over(self, note: _Note) -> bool:
        if self._now() - note.noted_at > _LONGEST_S or note.process == os.getpid():
            return True
        try:
            os.kill(note.process, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    def _read(self) -> dict[str, _Note]:
        found = self._facts.recall(self._fact)
        try:
            return {} if found is None else msgspec.convert(found, _Notes).by_key
        except msgspec.ValidationError:
            return {}

    def _write(self, notes: dict[str, _Note]) -> None:
        self._facts.remember(self._fact, msgspec.to_builtins(_Notes(notes)))
