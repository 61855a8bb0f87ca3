"""The line above the keys in every mode: what is under way, how fast, how much longer, what failed."""

from __future__ import annotations

from typing import Final

from textual.content import Content

from backup.model.transfers import QueueTotals
from providers.contract.report import ErrorInfo
from tui.remedies import advice
from tui.text import clock, rate, safe
from tui.theme import STYLES, Tone
from tui.widgets.bars import OneLine, Part

_BAR_CELLS: Final = 18
_STILL_WORDS: Final = {"waits_for_room": "the worker waits for disk space"}
"""Short texts for problems of the worker, by error code, if the message is too long for a line."""


def bar(fraction: float, cells: int) -> list[Part]:
    """A bar of `cells` cells, empty only at 0 and full only at 1."""
    done = int(min(max(fraction, 0.0), 1.0) * cells)
    if fraction > 0:
        done = max(1, done)
    return [("━" * done, STYLES[Tone.GOING]), ("━" * (cells - done), STYLES[Tone.TRACK])]


class TransferStrip(OneLine):
    DEFAULT_CSS = "TransferStrip { background: $panel; }"

    def __init__(self) -> None:
        super().__init__()
        self._totals = QueueTotals()
        self._locked = ""
        self._problem: ErrorInfo | None = None

    def show(self, totals: QueueTotals, locked: str = "", problem: ErrorInfo | None = None) -> None:
        """`locked` names the credential store if transfers may be waiting for it to be unlocked. `problem` is the
        reason why the queue cannot be read."""
        if (totals, locked, problem) != (self._totals, self._locked, self._problem):
            self._totals, self._locked, self._problem = totals, locked, problem
            self.refresh()

    def left(self, width: int) -> Content:
        if self._problem is not None:
            words = "the queue cannot be read: 3 says why"
            return Content.assemble(("✖ ", STYLES[Tone.FAILED]), (words, STYLES[Tone.PLAIN]))
        totals = self._totals
        if totals.worker_trouble is not None and (totals.unfinished or totals.scanning):
            head = self._standing_still(totals.worker_trouble)
        else:
            head = self._moving() if totals.active else self._resting()
        content = Content.assemble(*head)
        for fact in self._facts():
            wider = Content("   ").join([content, Content.assemble(*fact)])
            if wider.cell_length <= width:
                content = wider
        return content

    def _moving(self) -> list[Part]:
        totals = self._totals
        parts: list[Part] = []
        for sign, word, number, tone in (
            ("▲", "uploading", totals.uploading, Tone.GOING),
            ("▼", "downloading", totals.downloading, Tone.FOLDER),
            ("✖", "deleting", totals.deleting, Tone.WAITING),
        ):
            if number:
                gap = " " if parts else ""
                parts += [gap, (f"{sign} ", STYLES[tone]), (f"{number} {word}", STYLES[Tone.PLAIN])]  # type: ignore[list-item]
        if totals.size_bytes:
            fraction = totals.done_bytes / totals.size_bytes
            parts += [" ", (f"{int(fraction * 100)}%", STYLES[Tone.STRONG]), " ", *bar(fraction, _BAR_CELLS)]  # type: ignore[list-item]
        return parts

    def _standing_still(self, why: ErrorInfo) -> list[Part]:
        words = _STILL_WORDS.get(why.code) or safe(why.message)
        number = f"{self._totals.unfinished:,} unfinished, " if self._totals.unfinished else ""
        return [("◷ ", STYLES[Tone.WAITING]), (number + words, STYLES[Tone.PLAIN])]

    def _resting(self) -> list[Part]:
        totals = self._totals
        if totals.queued and not totals.worker_alive:
            words = f"{totals.queued:,} queued, the worker is starting"
            return [("◷ ", STYLES[Tone.WAITING]), (words, STYLES[Tone.PLAIN])]
        if totals.scanning:
            return [("◷ ", STYLES[Tone.WAITING]), ("still counting", STYLES[Tone.PLAIN])]
        if totals.queued:
            return [("· ", STYLES[Tone.MUTED]), (f"{totals.queued} queued", STYLES[Tone.PLAIN])]
        if totals.waiting:
            why = f", the {self._locked} is locked" if self._locked else ""
            return [("◷ ", STYLES[Tone.WAITING]), (f"{totals.waiting:,} waiting{why}", STYLES[Tone.PLAIN])]
        return [("· ", STYLES[Tone.MUTED]), ("no transfers under way", STYLES[Tone.MUTED])]

    def _facts(self) -> list[list[Part]]:
        """The most important first: the last ones are left out if they do not fit."""
        totals = self._totals
        facts: list[list[Part]] = []
        if totals.worker_trouble is not None and (totals.unfinished or totals.scanning):
            facts.append([(safe(advice(totals.worker_trouble)), STYLES[Tone.MUTED])])
        if totals.active and totals.rate_bytes_per_s:
            facts.append([(rate(totals.rate_bytes_per_s), STYLES[Tone.PLAIN])])
        if totals.active and totals.left_s is not None:
            facts.append([("left ", STYLES[Tone.MUTED]), (clock(totals.left_s), STYLES[Tone.PLAIN])])
        for word, number, tone in (
            ("failed", totals.failed, Tone.FAILED),
            ("broken jobs", totals.broken_jobs, Tone.FAILED),
            ("waiting", totals.waiting if totals.active or totals.queued else 0, Tone.WAITING),
            ("paused", totals.paused, Tone.MUTED),
            ("verified", totals.verified, Tone.PROVED),
        ):
            if number:
                facts.append([(f"{word} ", STYLES[Tone.MUTED]), (f"{number:,}", STYLES[tone])])
        return facts
