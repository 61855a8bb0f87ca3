"""Counts of requests to services, which may cost money, taken where the requests are sent."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from sqlite3 import Connection
from typing import Final

from backup.handshake.takeover import open_journal
from backup.journal import work
from backup.system.paths import Paths
from providers.contract.context import active_key
from providers.errors import ProviderError

_LOG: Final = logging.getLogger(__name__)
_LINGER_S: Final = 1.0
"""How long counts are collected before they are written: one commit for a burst of queries."""
NO_ITEM: Final = 0

_ITEMS: ContextVar[int | Mapping[str, int]] = ContextVar("items that requests are sent for", default=NO_ITEM)


class sent_for:
    """Attributes requests of this thread, and of the parts it starts, to an item; or to one of several, by key. A
    request that serves several at once belongs to none."""

    __slots__ = ("_items", "_reset")

    def __init__(self, items: int | Mapping[str, int]) -> None:
        self._items = items

    def __enter__(self) -> None:
        self._reset = _ITEMS.set(self._items)

    def __exit__(self, *_: object) -> None:
        _ITEMS.reset(self._reset)


def _item_now() -> int:
    items = _ITEMS.get()
    return items if isinstance(items, int) else items.get(active_key(), NO_ITEM)


class CallCounts:
    """Counts in memory, by item, until they are written. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[int, Counter[tuple[str, str]]] = {}

    def counter(self, instance: str) -> Callable[[str], None]:
        """For `ProviderContext.count_call`."""

        def count(kind: str) -> None:
            item_id = _item_now()
            with self._lock:
                counts = self._counts.get(item_id)
                if counts is None:
                    counts = self._counts[item_id] = Counter()
                counts[instance, kind] += 1

        return count

    def __bool__(self) -> bool:
        return bool(self._counts)

    def take(self) -> work.Calls:
        """The counts since the last call."""
        with self._lock:
            taken, self._counts = self._counts, {}
        return taken

    def write(self, tx: Connection, now: float) -> None:
        """Write the counts. If the commit fails they are lost, and nothing else is."""
        if self._counts:
            work.count_calls(tx, day_of(now), self.take())


class CallsOnDisk:
    """Counts of a process without the worker's batch writer: written to the journal a moment later. Counts that cannot
    be written are lost, and nothing else is."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._counts = CallCounts()
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._later: threading.Timer | None = None

    def counter(self, instance: str) -> Callable[[str], None]:
        """For `ProviderContext.count_call`."""
        count = self._counts.counter(instance)

        def count_and_write(kind: str) -> None:
            count(kind)
            with self._lock:
                if self._later is None:
                    self._later = threading.Timer(_LINGER_S, self.write)
                    self._later.daemon = True
                    self._later.start()

        return count_and_write

    def write(self) -> None:
        """Write the counts so far. They are on disk when it returns, whichever thread wrote them."""
        with self._writing:
            with self._lock:
                later, self._later = self._later, None
            if later is None:
                return
            later.cancel()
            try:
                with open_journal(self._paths)[0] as journal, journal.transaction(quiet=True) as tx:
                    self._counts.write(tx, time.time())
            except ProviderError as error:
                _LOG.warning("counts of requests cannot be kept: %s", error)


def day_of(now: float) -> str:
    """YYYY-MM-DD, in UTC."""
    return datetime.fromtimestamp(now, UTC).date().isoformat()
