"""What all parts of the worker share."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from backup.facts import FactsOnDisk
from backup.journal import Journal, work
from backup.paths import Paths
from backup.transfer import Chances
from backup.worker.ledger import Ledger
from backup.worker.live import Board


@dataclass(frozen=True, kw_only=True)
class Crew:
    paths: Paths
    journal: Journal
    ledger: Ledger
    board: Board
    facts: FactsOnDisk
    calls: CallCounts
    wake: Callable[[], None]
    """Have the drain look again: something ended, or changed."""
    chances: Chances = field(default_factory=Chances)


class CallCounts:
    """Requests to services, counted in memory and written down in batches."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()

    def counter(self, instance: str) -> Callable[[str], None]:
        """For `ProviderContext.count_call`."""

        def count(kind: str) -> None:
            with self._lock:
                self._counts[instance, kind] += 1

        return count

    def write(self, ledger: Ledger, now: float) -> None:
        with self._lock:
            counts, self._counts = self._counts, Counter()
        if counts:
            day = datetime.fromtimestamp(now, UTC).date().isoformat()
            ledger.post(lambda tx: work.count_calls(tx, day, counts))
