"""The row model of a browser pane: the loaded entries of a folder, their order, a filter, a selection."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from enum import Enum
from operator import attrgetter
from typing import Any, Final

from backup.model.transfers import ItemKind, LocalEntry
from providers.contract.objects import Page
from tui.rows.row_model import Cell, Column, Span
from tui.text import count, safe, size, when
from tui.theme import Tone

PARENT: Final = "../"


class FileRow:
    """One entry of a folder. `name` is raw and relative to the folder; the name of a folder ends with '/'."""

    __slots__ = ("by_name", "kind", "modified_at", "name", "size_bytes")

    def __init__(self, name: str, kind: ItemKind, size_bytes: int = 0, modified_at: float | None = None) -> None:
        self.name = name
        self.kind = kind
        self.size_bytes = size_bytes
        self.modified_at = modified_at
        self.by_name = (kind is not ItemKind.DIRECTORY, name.casefold(), name)

    @property
    def folder(self) -> bool:
        return self.kind is ItemKind.DIRECTORY


def local_entries(entries: Iterable[LocalEntry]) -> list[FileRow]:
    return [
        FileRow(each.name + "/" * (each.kind is ItemKind.DIRECTORY), each.kind, each.size_bytes, each.modified_at)
        for each in entries
    ]


def remote_entries(page: Page, folder: str) -> list[FileRow]:
    """The entries of a page, named relative to `folder`. An object with the name of the folder itself is a marker, and
    left out."""
    cut = len(folder)
    folders = [FileRow(prefix[cut:], ItemKind.DIRECTORY) for prefix in page.prefixes if len(prefix) > cut]
    files = [
        FileRow(file.key[cut:], ItemKind.FILE, file.size_bytes, file.modified_at)
        for file in page.files
        if len(file.key) > cut
    ]
    return folders + files


class SortBy(Enum):
    """Folders always come first."""

    NAME = "NAME"
    SIZE = "SIZE"
    MODIFIED = "MODIFIED"

    @property
    def following(self) -> SortBy:
        orders = list(SortBy)
        return orders[(orders.index(self) + 1) % len(orders)]

    @property
    def key(self) -> Callable[[FileRow], Any]:
        """Names in ascending order; the largest and the newest first."""
        if self is SortBy.SIZE:
            return lambda entry: (not entry.folder, -entry.size_bytes, entry.by_name)
        if self is SortBy.MODIFIED:
            return lambda entry: (not entry.folder, -(entry.modified_at or 0.0), entry.by_name)
        return attrgetter("by_name")


def columns(order: SortBy) -> list[Column]:
    def titled(each: SortBy) -> str:
        return each.value if each is not order else f"{each.value} {'↑' if each is SortBy.NAME else '↓'}"

    return [
        Column(title=titled(SortBy.NAME), width=18, grows=True),
        Column(title=titled(SortBy.SIZE), width=9, right=True),
        Column(title=titled(SortBy.MODIFIED), width=12, right=True, drops=1),
    ]


class FileRows:
    """Grows page by page; `next_token` is None once everything is loaded. The selection is by name: it survives another
    order or filter."""

    def __init__(self, *, has_parent: bool, now: float, order: SortBy = SortBy.NAME) -> None:
        self.has_parent = has_parent
        self.order = order
        self.needle = ""
        self.next_token: str | None = None
        self.left_out = 0
        """The number of entries that are no objects of the service."""
        self.incomplete = False
        """Whether some entries could not be read."""
        self.entries: list[FileRow] = []
        self.view: list[FileRow] = []
        self.marked: dict[str, FileRow] = {}
        self._now = now

    # Rows

    def __len__(self) -> int:
        return len(self.view) + self.has_parent

    def key(self, index: int) -> str | None:
        """The entry's name; empty for the row of the parent folder."""
        if self.has_parent and index == 0:
            return ""
        entry = self.entry(index)
        return None if entry is None else entry.name

    def row_of(self, key: Hashable) -> int | None:
        if self.has_parent and key == "":
            return 0
        return next((at + self.has_parent for at, entry in enumerate(self.view) if entry.name == key), None)

    def sign(self, index: int) -> Span:
        entry = self.entry(index)
        return ("●" if entry is not None and entry.name in self.marked else " ", Tone.WAITING)

    def cells(self, index: int, widths: Sequence[int]) -> Sequence[Cell]:
        entry = self.entry(index)
        if entry is None:
            return [Cell.of(PARENT, Tone.MUTED), Cell.of(""), Cell.of("")]
        name = safe(entry.name)
        tone = Tone.FOLDER if entry.folder else Tone.PLAIN
        if name != entry.name or entry.kind in {ItemKind.SYMLINK, ItemKind.OTHER}:
            tone = Tone.MUTED
        return [
            Cell.of(name, tone, middle=True),
            Cell.of(_size_words(entry), tone if tone is Tone.MUTED else Tone.PLAIN),
            Cell.of(when(entry.modified_at, self._now), Tone.MUTED),
        ]

    # Changes

    def entry(self, index: int) -> FileRow | None:
        """None for the row of the parent folder."""
        at = index - self.has_parent
        return self.view[at] if 0 <= at < len(self.view) else None

    def index_of(self, name: str) -> int:
        """The row of that name; the first row if it is not shown."""
        return self.row_of(name) or 0

    def add(self, entries: Iterable[FileRow], next_token: str | None) -> None:
        new = sorted(entries, key=self.order.key)
        self.entries += new
        self.next_token = next_token
        shown = self._matching(new)
        behind = not self.view or not shown or self.order.key(self.view[-1]) <= self.order.key(shown[0])
        self.view += shown
        if not behind:
            self.view.sort(key=self.order.key)

    def arrange(self, order: SortBy, needle: str) -> None:
        """Apply another order or filter to the loaded entries."""
        self.order, self.needle = order, needle
        self.view = sorted(self._matching(self.entries), key=order.key)

    def toggle(self, key: Hashable) -> None:
        row = self.row_of(key)
        entry = None if row is None else self.entry(row)
        if entry is None:
            return
        if self.marked.pop(entry.name, None) is None:
            self.marked[entry.name] = entry

    def chosen(self, index: int) -> list[FileRow]:
        """The selected entries, or else the one at `index`."""
        if self.marked:
            return list(self.marked.values())
        entry = self.entry(index)
        return [] if entry is None else [entry]

    def facts(self) -> str:
        """Text of the lower border: what is selected, or how much is loaded."""
        loaded = count(len(self.entries), "entry", "entries")
        if self.next_token is not None:
            loaded = f"{len(self.entries):,} loaded · ↓ loads more"
        if self.needle:
            loaded = f"{len(self.view):,} of {loaded} match"
        if self.left_out:
            loaded += f" · {self.left_out:,} left out"
        if self.incomplete:
            loaded += " · incomplete"
        if not self.marked:
            return loaded
        total = sum(entry.size_bytes for entry in self.marked.values())
        plus = " + folders" if any(entry.folder for entry in self.marked.values()) else ""
        return f"{len(self.marked):,} selected · {size(total)}{plus}"

    def _matching(self, entries: list[FileRow]) -> list[FileRow]:
        needle = self.needle.casefold()
        return [entry for entry in entries if needle in entry.by_name[1]] if needle else list(entries)


def _size_words(entry: FileRow) -> str:
    if entry.folder:
        return ""
    if entry.kind is ItemKind.SYMLINK:
        return "link"
    return "special" if entry.kind is ItemKind.OTHER else size(entry.size_bytes)
