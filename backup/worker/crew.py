"""What all parts of the worker share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from backup.calls import CallCounts
from backup.facts import FactsOnDisk
from backup.journal import Journal
from backup.paths import Paths
from backup.transfer import Chances
from backup.worker.clock import WorkerClock
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
    clock: WorkerClock = field(default_factory=WorkerClock)
    chances: Chances = field(default_factory=Chances)
    """Of a worker: by its `clock`."""
