"""Unfinished uploads at a provider, as rows."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final

from backup.model.unfinished import Unfinished
from backup.system.text import age
from tui.rows.row_model import Cell, Column, Span
from tui.text import safe, size
from tui.theme import Tone

COLUMNS: Final = (
    Column(title="NAME", width=20, grows=True),
    Column(title="AGE", width=9, right=True),
    Column(title="SIZE", width=9, right=True),
    Column(title="TRANSFER", width=8, right=True),
)


def held(one: Unfinished) -> str:
    """The bytes that are at the service; '-' if not known."""
    return "-" if one.upload.size_bytes is None else size(one.upload.size_bytes)


class UnfinishedRows:
    def __init__(self, found: Sequence[Unfinished] = ()) -> None:
        self.found = list(found)
        self.marked: set[int] = set()

    def __len__(self) -> int:
        return len(self.found)

    def key(self, index: int) -> int | None:
        return index if index < len(self.found) else None

    def row_of(self, key: Hashable) -> int | None:
        return key if isinstance(key, int) and key < len(self.found) else None

    def sign(self, index: int) -> Span:
        if index in self.marked:
            return "◆", Tone.WAITING
        return ("▸", Tone.GOING) if self.found[index].needed_by else ("·", Tone.MUTED)

    def cells(self, index: int, widths: Sequence[int]) -> Sequence[Cell]:
        one = self.found[index]
        return [
            Cell.of(safe(one.upload.key), middle=True),
            Cell.of(age(one.age_s)),
            Cell.of(held(one)),
            Cell.of(str(one.needed_by or "-"), Tone.GOING if one.needed_by else Tone.MUTED),
        ]
