"""What a table shows: columns, cells, and the model of its rows, asked for those on the screen only."""

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
    """`width` in cells; of the column that `grows` it is the least before those with `drops` go, lowest first."""

    title: str
    width: int
    right: bool = False
    grows: bool = False
    drops: int = 0


class Cell(NamedTuple):
    """What stands in one column, or across `columns` of them. Text must have passed `safe`."""

    spans: tuple[Span, ...]
    columns: int = 1
    middle: bool = False
    """Cut in the middle, so that the ending stays."""

    @classmethod
    def of(cls, text: str, tone: Tone = Tone.PLAIN, *, columns: int = 1, middle: bool = False) -> Cell:
        return cls(((text, tone),), columns, middle)


class Rows(Protocol):
    """What a table shows. Asked for the rows on the screen only."""

    def __len__(self) -> int: ...

    def key(self, index: int) -> Hashable | None:
        """What the row is, wherever it lies; None where that is not known."""

    def row_of(self, key: Hashable) -> int | None:
        """Where that row lies now; None where it does not, as far as is known."""

    def sign(self, index: int) -> Span: ...

    def cells(self, index: int, widths: Sequence[int]) -> Sequence[Cell]:
        """Left to right; together they cover all columns, also those of width 0, which were dropped."""


def layout(columns: Sequence[Column], width: int) -> tuple[int, ...]:
    """The width of each column in `width` cells; 0 for one that was dropped."""
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
