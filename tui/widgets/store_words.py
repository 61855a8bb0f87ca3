"""Where secrets are kept, in words: which place, whether it can be used now, what it protects against."""

from __future__ import annotations

from typing import Final

from textual.content import Content

from backup.model import StoreState, StoreStatus
from tui.text import safe
from tui.theme import STYLES, Tone

STATE_WORDS: Final[dict[StoreState, tuple[str, str, Tone]]] = {
    StoreState.READY: ("✔", "ready", Tone.PROVED),
    StoreState.LOCKED: ("▲", "locked", Tone.WAITING),
    StoreState.NO_COLLECTION: ("▲", "there, but not set up yet", Tone.WAITING),
    StoreState.UNAVAILABLE: ("✖", "there is none", Tone.FAILED),
    StoreState.HUNG: ("✖", "does not answer", Tone.FAILED),
}
PROTECTION: Final = (
    ("protects", "✔ from a stolen copy of your files", Tone.PROVED),
    ("", "· not from other programs that run as you", Tone.MUTED),
    ("", "· not from root on this machine", Tone.MUTED),
)
LABEL_WIDTH: Final = 12


def line(label: str, text: str, tone: Tone = Tone.PLAIN) -> Content:
    """One labelled fact; the text is escaped."""
    return Content.assemble((label.ljust(LABEL_WIDTH), STYLES[Tone.MUTED]), (safe(text), STYLES[tone]))


def store_words(status: StoreStatus) -> Content:
    """Place, state, cure or protection: three to six lines."""
    sign, word, tone = STATE_WORDS[status.state]
    lines = [line("secrets", status.backend or "no place for secrets"), line("state", f"{sign} {word}", tone)]
    if status.detail:
        lines.append(line("", status.detail, Tone.MUTED))
    if status.state is StoreState.READY:
        lines += [line(*fact) for fact in PROTECTION]
    elif status.hint:
        lines.append(line("to do", status.hint))
    return Content("\n").join(lines)
