"""The model of a table: columns, cells, and rows, of which only the visible ones are asked for."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from tui.theme import Tone

GAP_CELLS: Final = 2
SIGN_CELLS: Final = 2
"""A one-cell sign (state, or selected) and a space before the first column."""

Span = tuple[str, Tone]


@dataclass(frozen=True, kw_only=True)
class Column:
    """`width` is in cells. If there is too little room, columns with `drops` are left out, the lowest first, before the
    column that `grows` becomes narrower than its `width`."""

    title: str
    width: int
    right: bool = False
    grows: bool = False
    drops: int = 0


class Cell(NamedTuple):
    """The content of one column, or of `columns` adjacent ones. Text must have passed `safe`."""

    spans: tuple[Span, ...]
    columns: int = 1
    middle: bool = False
    """Whether to cut in the middle, so that the end stays."""

    @classmethod
    def of(cls, text: str, tone: Tone = Tone.PLAIN, *, columns: int = 1, middle: bool = False) -> Cell:
        return cls(((text, tone),), columns, middle)


class Rows(Protocol):
    """The rows of a table. Only visible rows are asked for."""

    def __len__(self) -> int: ...

    def key(self, index: int) -> Hashable | None:
        """The identity of the row, independent of its position; None if it is not known."""

    def row_of(self, key: Hashable) -> int | None:
        """The position of that row now; None if it is not there or not loaded."""

    def sign(self, index: int) -> Span: ...

    def cells(self, index: int, widths: Sequence[int]) -> Sequence[Cell]:
        """From left to right. Together they cover all columns, including dropped ones, whose width is 0."""


def layout(columns: Sequence[Column], width: int) -> tuple[int, ...]:
    """The width of each column of a table that is `width` cells wide; 0 for a dropped column."""
    shown = [True] * len(columns)

    def room() -> int:
        kept = [column for column, show in zip(columns, shown, strict=True) if show]
        fixed = sum(column.width for column in kept if not column.grows)
        return width - SIGN_CELLS - fixed - GAP_CELLS * (len(kept) - 1)

    least = sum(column.width for column in columns if column.grows)
    for index in sorted(range(len(columns)), key=lambda index: columns[index].drops):
        if columns[index].drops and room() < least:
            shown[index] = False
    grown = max(1, room())
    return tuple(
        0 if not show else grown if column.grows else column.width for column, show in zip(columns, shown, strict=True)
    )


class NoRows:
    def __len__(self) -> int:
        return 0

    def key(self, index: int) -> Hashable | None:
        return None

    def row_of(self, key: Hashable) -> int | None:
        return None

    def sign(self, index: int) -> Span:
        raise IndexError(index)

    def cells(self, index: int, widths: Sequence[int]) -> Sequence[Cell]:
        raise IndexError(index)
