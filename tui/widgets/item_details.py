"""All details of one transfer."""

from __future__ import annotations

import sys
import time

from textual.content import Content
from textual.widgets import Static

from backup.model.transfers import ItemView, JobKind
from providers.contract.capabilities import Proof
from tui.errors import error_content
from tui.rows.transfers import moves, state_words
from tui.text import chopped, done_of, duration, fit, safe, when
from tui.theme import STYLES, Tone

_LABEL_CELLS = 12
_PROOFS = {
    Proof.ENFORCED: "the server checked our checksum and accepted it",
    Proof.MATCHED: "the service's checksum matches ours",
    Proof.READ_BACK: "read back completely and compared",
    Proof.READ_TWICE: "read twice; the service has no checksum",
}


def details(item: ItemView, now: float) -> list[tuple[str, str, Tone]]:
    """Label, text and tone of each line; the text is safe."""
    words, tone = ("under way", Tone.GOING) if moves(item) else state_words(item)
    there = safe(f"{item.instance} · {item.key}")
    here = safe(item.local_path)
    source, target = (there, here) if item.job_kind is JobKind.DOWNLOAD else (here, there)
    lines = [("state", words, tone)]
    if item.job_kind is JobKind.DELETE:
        lines.append(("delete", there, Tone.PLAIN))
    else:
        lines += [("from", source, Tone.PLAIN), ("to", target, Tone.PLAIN)]
        lines.append(("done", done_of(item.bytes_done, item.size_bytes), Tone.PLAIN))
    if item.attempts > 1:
        lines.append(("attempts", str(item.attempts), Tone.PLAIN))
    if item.sha256:
        lines.append(("sha-256", item.sha256, Tone.PLAIN))
    if item.proof is not None:
        lines.append(("proof", _PROOFS[item.proof], Tone.PROVED))
    if item.replaced:
        lines.append(("replaced", "an older one with this name", Tone.WAITING))
    if item.calls:
        requests = ", ".join(f"{count} {kind}" for kind, count in sorted(item.calls.items()))
        lines.append(("requests", safe(requests), Tone.PLAIN))
    if item.finished_at is not None:
        took = f" · took {duration(item.elapsed_s)}" if item.elapsed_s else ""
        lines.append(("ended", when(item.finished_at, now) + took, Tone.PLAIN))
    return lines


class ItemDetails(Static):
    DEFAULT_CSS = "ItemDetails { height: auto; }"

    _item: ItemView | None = None

    def show(self, item: ItemView, now: float) -> None:
        """Show all details, with the error, if any, in full: what happened, why, how to fix it."""
        self._item = item
        room = self.size.width - _LABEL_CELLS if self.size.width else sys.maxsize
        lines = [
            Content.assemble((fit(label if part == 0 else "", _LABEL_CELLS), STYLES[Tone.MUTED]), (line, STYLES[tone]))
            for label, text, tone in details(item, now)
            for part, line in enumerate(chopped(text, room))
        ]
        if item.error is not None:
            lines += [Content(""), error_content(item.error)]
        self.update(Content("\n").join(lines))

    def on_resize(self) -> None:
        if self._item is not None:
            self.show(self._item, time.time())
