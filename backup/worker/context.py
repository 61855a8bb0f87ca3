"""Objects that all parts of the worker share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from backup.instances.request_counts import CallCounts
from backup.instances.server_facts import FactsOnDisk
from backup.journal import Journal
from backup.system.paths import Paths
from backup.worker.batch_writer import BatchWriter
from backup.worker.clock import WorkerClock
from backup.worker.items.transfer import Chances
from backup.worker.progress import ProgressBoard


@dataclass(frozen=True, kw_only=True)
class WorkerContext:
    paths: Paths
    journal: Journal
    writer: BatchWriter
    board: ProgressBoard
    facts: FactsOnDisk
    calls: CallCounts
    wake: Callable[[], None]
    """Wakes the scheduler: something ended or changed."""
    clock: WorkerClock = field(default_factory=WorkerClock)
    chances: Chances = field(default_factory=Chances)
    """Time and chance of a worker, by its `clock`."""
