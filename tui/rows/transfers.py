"""The row model of the transfer table: each state as sign, words and colour."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final

from backup.model.transfers import ItemKind, ItemState, ItemView, JobKind, QueueSnapshot
from backup.system.text import until as until_words
from providers.contract.capabilities import Proof
from providers.contract.report import ErrorInfo
from tui.errors import headline, needs_store
from tui.rows.row_model import Cell, Column, Span
from tui.text import clock, count, done_of, duration, rate, safe, size
from tui.theme import Tone

COLUMNS: Final = (
    Column(title="NAME", width=20, grows=True),
    Column(title="TO", width=24, drops=1),
    Column(title="DONE / SIZE", width=15, right=True),
    Column(title="PROGRESS", width=15),
    Column(title="RATE", width=10, right=True),
    Column(title="LEFT", width=7, right=True),
)
WIDE_COLUMNS: Final = (*COLUMNS[:3], Column(title="PROGRESS", width=26), *COLUMNS[4:])
_PROGRESS: Final = 3
_PERCENT_CELLS: Final = 5

SIGNS: Final[dict[ItemState, Span]] = {
    ItemState.QUEUED: ("·", Tone.MUTED),
    ItemState.WAITING: ("◷", Tone.WAITING),
    ItemState.PAUSED: ("‖", Tone.MUTED),
    ItemState.DONE: ("✔", Tone.PROVED),
    ItemState.FAILED: ("✖", Tone.FAILED),
    ItemState.CANCELLED: ("✖", Tone.MUTED),
    ItemState.SKIPPED: ("–", Tone.MUTED),
}
RUNNING_SIGNS: Final[dict[JobKind, Span]] = {
    JobKind.UPLOAD: ("▲", Tone.GOING),
    JobKind.DOWNLOAD: ("▼", Tone.FOLDER),
    JobKind.DELETE: ("✖", Tone.WAITING),
}
PROOF_WORDS: Final[dict[Proof, str]] = {
    Proof.ENFORCED: "enforced",
    Proof.MATCHED: "agrees",
    Proof.READ_BACK: "read back",
    Proof.READ_TWICE: "read twice",
}


class TransferRows:
    """`count` items, of which the loaded windows are kept. A newer window replaces the rows that it covers."""

    def __init__(self) -> None:
        self.count = 0
        self.marked: set[int] = set()
        self._items: dict[int, ItemView] = {}
        self._row_of: dict[Hashable, int] = {}

    def take(self, snapshot: QueueSnapshot, offset: int) -> None:
        """Keep rows of earlier windows, unless the number of items has changed."""
        if snapshot.item_count != self.count:
            self._items.clear()
        self.count = snapshot.item_count
        for row, item in enumerate(snapshot.items, start=offset):
            self._items[row] = item
        self._row_of = {item.id: row for row, item in self._items.items()}
        if self.count == len(snapshot.items):
            self.marked &= self._row_of.keys()

    def item(self, row: int) -> ItemView | None:
        return self._items.get(row)

    def key(self, index: int) -> int | None:
        item = self._items.get(index)
        return None if item is None else item.id

    def row_of(self, key: Hashable) -> int | None:
        return self._row_of.get(key)

    def missing(self, first: int, last: int) -> bool:
        """Whether a row in [first, last) is not loaded."""
        return any(row not in self._items for row in range(first, last))

    # Rows

    def __len__(self) -> int:
        return self.count

    def sign(self, index: int) -> Span:
        item = self._items.get(index)
        if item is None:
            return (" ", Tone.MUTED)
        if item.id in self.marked:
            return ("●", Tone.WAITING)
        return RUNNING_SIGNS[item.job_kind] if item.state is ItemState.RUNNING else SIGNS[item.state]

    def cells(self, index: int, widths: Sequence[int]) -> Sequence[Cell]:
        item = self._items.get(index)
        if item is None:
            return [Cell.of("…", Tone.MUTED, columns=len(COLUMNS))]
        first = [
            Cell.of(safe(item.name), Tone.MUTED if item.state is ItemState.CANCELLED else Tone.PLAIN, middle=True),
            Cell.of(destination(item), Tone.MUTED, middle=True),
            Cell.of(amount(item)),
        ]
        if moves(item):
            return [*first, *_moving(item, widths[_PROGRESS])]
        words, tone = state_words(item)
        return [*first, Cell.of(words, tone, columns=3)]


def moves(item: ItemView) -> bool:
    """Whether to draw a progress bar: bytes are moving, or it is the first attempt."""
    carries = item.state is ItemState.RUNNING and item.job_kind is not JobKind.DELETE and not item.verifying
    return carries and (item.rate_bytes_per_s > 0 or item.attempts <= 1)


def destination(item: ItemView) -> str:
    """The destination: 'aws_s3 · backups', or the local folder of a download."""
    if item.job_kind is JobKind.DOWNLOAD:
        return safe(item.local_path.rpartition("/")[0] or "/")
    folder = item.key.rpartition("/")[0]
    return safe(f"{item.instance} · {folder}" if folder else item.instance)


def amount(item: ItemView) -> str:
    if item.job_kind is JobKind.DELETE or item.kind is ItemKind.DIRECTORY:
        return ""
    started = 0 < item.bytes_done < item.size_bytes
    return done_of(item.bytes_done, item.size_bytes) if started else size(item.size_bytes)


def _moving(item: ItemView, width: int) -> list[Cell]:
    fraction = item.bytes_done / item.size_bytes if item.size_bytes else 1.0
    cells = max(1, width - _PERCENT_CELLS)
    done = min(cells, max(1 if item.bytes_done else 0, int(fraction * cells)))
    bar: tuple[Span, ...] = (
        ("━" * done, Tone.GOING),
        ("━" * (cells - done), Tone.TRACK),
        (f"{min(99, int(fraction * 100)):>{_PERCENT_CELLS - 1}}%", Tone.STRONG),
    )
    left = "" if item.left_s is None else clock(item.left_s)
    return [Cell(bar), Cell.of(rate(item.rate_bytes_per_s)), Cell.of(left)]


def state_words(item: ItemView) -> tuple[str, Tone]:
    """Why the item is not moving, until when, what is kept, and which key helps; or how it was proved."""
    match item.state:
        case ItemState.RUNNING if item.verifying:
            return ("all sent · verifying", Tone.GOING)
        case ItemState.RUNNING if item.job_kind is JobKind.DELETE:
            return ("deleting", Tone.WAITING)
        case ItemState.RUNNING:
            return (_joined("trying again", f"attempt {item.attempts}", _kept(item)), Tone.WAITING)
        case ItemState.QUEUED:
            until = "" if item.wait_until is None else until_words(item.wait_until)
            return (_joined("queued", until, until and _reason(item.error), _kept(item)), Tone.MUTED)
        case ItemState.WAITING:
            return (_waiting(item), Tone.WAITING)
        case ItemState.PAUSED:
            return (_joined(_reason(item.error) or "paused by you", "p goes on", _kept(item)), Tone.MUTED)
        case ItemState.DONE:
            return (_finished(item), Tone.PROVED)
        case ItemState.FAILED:
            return (_joined(_reason(item.error) or "failed", "r to retry", _kept(item)), Tone.FAILED)
        case ItemState.CANCELLED:
            return ("cancelled · r starts again", Tone.MUTED)
        case _:
            return (_joined("skipped", safe(item.error.message) if item.error else ""), Tone.MUTED)


def _waiting(item: ItemView) -> str:
    if item.error is not None and (need := _NEEDS.get(item.error.code)) and needs_store(item.error):
        return _joined(*need, _kept(item))
    until = "" if item.wait_until is None else until_words(item.wait_until)
    times = f"attempt {item.attempts + 1}" if item.attempts else ""
    return _joined(until or "waiting", _reason(item.error), times, _kept(item))


_NEEDS: Final = {
    "locked": ("waiting: store locked", "u unlocks"),
    "no_collection": ("waiting: no store yet", "u sets it up"),
    "unavailable": ("waiting: store unusable", "u shows why"),
    "hung": ("waiting: keyring silent", "u shows why"),
    "missing": ("waiting: no credentials", "1, then c"),
}
"""The reason and the key that helps, by the code of an error of the credential store."""


def _finished(item: ItemView) -> str:
    if item.job_kind is JobKind.DELETE:
        return "deleted"
    if item.kind is ItemKind.DIRECTORY:
        return "folder exists"
    took = duration(item.elapsed_s) if item.elapsed_s else ""
    if item.proof is None:
        return _joined("done", took)
    short = f"{item.sha256[:6]}…{item.sha256[-2:]} " if item.sha256 else ""
    return _joined(f"sha-256 {short}{PROOF_WORDS[item.proof]}", took)


def _reason(error: ErrorInfo | None) -> str:
    return "" if error is None else headline(error).lower()


def _kept(item: ItemView) -> str:
    return f"{size(item.bytes_done)} kept" if 0 < item.bytes_done < item.size_bytes else ""


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def facts(snapshot: QueueSnapshot) -> str:
    """Text of the lower border: '3 running · 1 waiting · 1,205 queued'."""
    totals = snapshot.totals
    parts = [
        f"{number:,} {word}"
        for number, word in (
            (totals.active, "running"),
            (totals.waiting, "waiting"),
            (totals.paused, "paused"),
            (totals.queued, "queued"),
            (totals.failed, "failed"),
        )
        if number
    ]
    if totals.broken_jobs:
        parts.append(count(totals.broken_jobs, "broken job"))
    if totals.scanning:
        waits = [job.wait_until for job in snapshot.jobs if job.scanning and job.wait_until is not None]
        parts.append(f"counting waits {until_words(min(waits))}" if waits else "still counting")
    return " · ".join(parts) or count(snapshot.item_count, "transfer")
