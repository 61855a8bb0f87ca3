"""What one thread of a runner does at a time."""

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
    """`SharedProvider.refreshed` as it began."""
    stopped_at: float | None = None

    def has_folder_of(self, job_id: int) -> bool:
        """Whether it is at work on a folder that comes last in that job."""
        return any(item.last and item.job_id == job_id for item in self.group)
