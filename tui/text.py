"""Text for the screen: foreign text made safe, and text cut to a width in terminal cells."""

from __future__ import annotations

import time
from datetime import datetime
from functools import lru_cache
from typing import Final

from rich.cells import cell_len, chop_cells, set_cell_size

from backup.system.text import clock, count, duration, rate, safe, size

__all__ = [
    "cell_len",
    "chopped",
    "clock",
    "count",
    "cut_end",
    "cut_middle",
    "done_of",
    "duration",
    "fit",
    "rate",
    "safe",
    "size",
    "when",
    "whole_facts",
]

ELLIPSIS: Final = "…"


def done_of(done_bytes: float, size_bytes: float) -> str:
    """'3.10 / 7.60 GiB': both numbers in the unit of the total."""
    number, unit = size(size_bytes).split(" ")
    done = done_bytes / size_bytes * float(number) if size_bytes else 0.0
    digits = 0 if unit == "B" or done >= 99.95 else 1 if done >= 9.995 else 2
    return f"{done:.{digits}f} / {number} {unit}"


def when(moment: float | None, now: float | None = None) -> str:
    """A time in short, local: 'today 04:10', 'yesterday', 'Nov 20', '2024-11-20'; empty for None."""
    now = time.time() if now is None else now
    if moment is None:
        return ""
    try:
        then = datetime.fromtimestamp(moment).astimezone()
    except (OverflowError, OSError, ValueError):
        return "?"
    days = (datetime.fromtimestamp(now).astimezone().date() - then.date()).days
    if days == 0:
        return f"today {then:%H:%M}"
    if days == 1:
        return "yesterday"
    return f"{then:%b} {then.day}" if 0 < days < 300 else f"{then:%Y-%m-%d}"


def cut_end(text: str, width: int) -> str:
    """Keep the beginning, at most `width` cells."""
    if cell_len(text) <= width:
        return text
    return _head(text, width - 1) + ELLIPSIS if width > 0 else ""


@lru_cache(maxsize=4096)
def cut_middle(text: str, width: int) -> str:
    """Keep the beginning and the end, at most `width` cells: names often differ only at the end."""
    if cell_len(text) <= width:
        return text
    if width < 2:
        return ELLIPSIS[:width]
    tail = (width - 1) // 2
    return _head(text, width - 1 - tail) + ELLIPSIS + _tail(text, tail)


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Exactly `width` cells: cut at the end, or filled with spaces."""
    cut = cut_end(text, width)
    missing = width - cell_len(cut)
    return " " * missing + cut if right else cut + " " * missing


def whole_facts(text: str, width: int) -> str:
    """As many of the facts joined by ' · ' as fit uncut into `width` cells; always the first one."""
    while cell_len(text) > width and " · " in text:
        text = text.rpartition(" · ")[0]
    return text


def chopped(text: str, width: int) -> list[str]:
    """All of `text` in lines of at most `width` cells, broken at a space if one is near the end of the line."""
    lines: list[str] = []
    while cell_len(text) > width > 1:
        line = chop_cells(text, width)[0]
        space = line.rfind(" ")
        if space > len(line) * 2 // 3:
            line = line[: space + 1]
        lines.append(line.rstrip(" "))
        text = text[len(line) :]
    return [*lines, text]


def _head(text: str, width: int) -> str:
    return set_cell_size(text, width).rstrip(" ") if width > 0 else ""


def _tail(text: str, width: int) -> str:
    """The longest end of at most `width` cells."""
    start, used = len(text), 0
    while start > 0:
        step = cell_len(text[start - 1])
        if used + step > width:
            break
        used += step
        start -= 1
    return text[start:]
