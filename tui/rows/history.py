"""The row model of the Activity table: items that have ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Final

from backup.model.transfers import FINAL_STATES, ItemState, ItemView, JobKind, QueueSnapshot, QueueTotals
from tui.rows.row_model import Cell, Column, Span
from tui.rows.transfers import SIGNS, amount, destination, state_words
from tui.text import safe, when, whole_facts
from tui.theme import Tone

COLUMNS: Final = (
    Column(title="NAME", width=20, grows=True),
    Column(title="WHAT", width=10, drops=2),
    Column(title="TO", width=20, drops=1),
    Column(title="SIZE", width=8, right=True),
    Column(title="OUTCOME", width=27),
    Column(title="ENDED", width=12, right=True),
)
_OUTCOME: Final = 4
WIDE_COLUMNS: Final = (*COLUMNS[:4], Column(title="OUTCOME", width=40), COLUMNS[5])

KIND_WORDS: Final[dict[JobKind, Span]] = {
    JobKind.UPLOAD: ("▲ upload", Tone.GOING),
    JobKind.DOWNLOAD: ("▼ download", Tone.FOLDER),
    JobKind.DELETE: ("✖ delete", Tone.WAITING),
}


def still_open(totals: QueueTotals) -> int:
    """The number of items before the first ended one, in the queue's order."""
    return totals.active + totals.waiting + totals.paused + totals.queued


class HistoryRows:
    """Items, newest first, loaded window by window."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.items: list[ItemView] = []
        self.total = 0
        """The number of ended items in total, as last reported."""
        self._now = now

    def take(self, snapshots: Iterable[QueueSnapshot]) -> None:
        """Replace all rows by the ended items of these windows."""
        ended: dict[int, ItemView] = {}
        for snapshot in snapshots:
            self.total = max(0, snapshot.item_count - still_open(snapshot.totals))
            ended |= {item.id: item for item in snapshot.items if item.state in FINAL_STATES}
        self.items = list(ended.values())

    def item(self, row: int) -> ItemView | None:
        return self.items[row] if 0 <= row < len(self.items) else None

    def __len__(self) -> int:
        return len(self.items)

    def key(self, index: int) -> int | None:
        item = self.item(index)
        return None if item is None else item.id

    def row_of(self, key: Hashable) -> int | None:
        return next((row for row, item in enumerate(self.items) if item.id == key), None)

    def sign(self, index: int) -> Span:
        return SIGNS[self.items[index].state]

    def cells(self, index: int, widths: Sequence[int]) -> Sequence[Cell]:
        item = self.items[index]
        words, tone = state_words(item)
        quiet = item.state in (ItemState.CANCELLED, ItemState.SKIPPED)
        return [
            Cell.of(safe(item.name), Tone.MUTED if quiet else Tone.PLAIN, middle=True),
            Cell((KIND_WORDS[item.job_kind],)),
            Cell.of(destination(item), Tone.MUTED, middle=True),
            Cell.of(amount(item)),
            Cell.of(whole_facts(words, widths[_OUTCOME]), tone),
            Cell.of(when(item.finished_at, self._now()), Tone.MUTED),
        ]
