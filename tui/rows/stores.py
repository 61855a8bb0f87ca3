"""Where secrets are kept, in words: which place, whether it can be used now, what it protects against."""

from __future__ import annotations

import textwrap
from typing import Final

from textual.content import Content

from backup.model.credentials import StoreState, StoreStatus
from tui.remedies import advice
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
_TEXT_WIDTH: Final = 60
"""Beside the label it fits a dialogue on 80 columns."""


def line(label: str, text: str, tone: Tone = Tone.PLAIN) -> Content:
    """One labelled fact; the text is escaped."""
    return Content.assemble((label.ljust(LABEL_WIDTH), STYLES[Tone.MUTED]), (safe(text), STYLES[tone]))


def detail_words(detail: str) -> str:
    """What is wrong with a store, escaped, without its subject: 'has no session bus: …'."""
    return safe(detail).removeprefix("the credential store ")


def store_words(status: StoreStatus) -> Content:
    """Place, state, cure or protection: three to six lines."""
    sign, word, tone = STATE_WORDS[status.state]
    lines = [line("secrets", status.backend or "no place for secrets"), line("state", f"{sign} {word}", tone)]
    lines += _wrapped("", status.detail, Tone.MUTED)
    if status.state is StoreState.READY:
        lines += [line(*fact) for fact in PROTECTION]
    else:
        lines += _wrapped("to do", advice(status), Tone.PLAIN)
    return Content("\n").join(lines)


def _wrapped(label: str, text: str, tone: Tone) -> list[Content]:
    """As many lines as the text needs, aligned at its column; none without text."""
    parts = textwrap.wrap(safe(text), _TEXT_WIDTH)
    return [line(label if number == 0 else "", part, tone) for number, part in enumerate(parts)]


def store_noun(status: StoreStatus) -> str:
    """'vault' or 'keyring': what people call the store in a word."""
    return "vault" if status.backend.startswith("vault") else "keyring"
