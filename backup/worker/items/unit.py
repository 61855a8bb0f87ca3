"""The unit of work that one thread of a runner handles at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

from backup.journal.records import Item
from providers.contract.cancel import CancelToken


@dataclass
class WorkUnit:
    """An item, or several deletes."""

    group: list[Item]
    weight: int
    cancel: CancelToken = field(default_factory=CancelToken)
    refreshed: int = 0
    """`SharedProvider.refreshed` when the unit began."""
    stopped_at: float | None = None

    def has_folder_of(self, job_id: int) -> bool:
        """Whether it handles a folder of that job that comes last."""
        return any(item.last and item.job_id == job_id for item in self.group)
