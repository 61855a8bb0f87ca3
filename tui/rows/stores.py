"""A credential store in words: its place, its state, and what it protects against."""

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
    StoreState.NO_COLLECTION: ("▲", "not set up yet", Tone.WAITING),
    StoreState.UNAVAILABLE: ("✖", "none available", Tone.FAILED),
    StoreState.HUNG: ("✖", "does not answer", Tone.FAILED),
}
PROTECTION: Final = (
    ("protects", "✔ from a stolen copy of your files", Tone.PROVED),
    ("", "· not from other programs that run as you", Tone.MUTED),
    ("", "· not from root on this machine", Tone.MUTED),
)
LABEL_WIDTH: Final = 12
_TEXT_WIDTH: Final = 60
"""Short enough for a dialogue on 80 columns, with the label."""


def line(label: str, text: str, tone: Tone = Tone.PLAIN) -> Content:
    """One labelled fact. Escapes the text."""
    return Content.assemble((label.ljust(LABEL_WIDTH), STYLES[Tone.MUTED]), (safe(text), STYLES[tone]))


def detail_words(detail: str) -> str:
    """What is wrong with a store, escaped, without the subject: 'has no session bus: …'."""
    return safe(detail).removeprefix("the credential store ")


def store_words(status: StoreStatus) -> Content:
    """Place, state, and the fix or the protection: three to six lines."""
    sign, word, tone = STATE_WORDS[status.state]
    lines = [line("secrets", status.backend or "no credential store"), line("state", f"{sign} {word}", tone)]
    lines += _wrapped("", status.detail, Tone.MUTED)
    if status.state is StoreState.READY:
        lines += [line(*fact) for fact in PROTECTION]
    else:
        lines += _wrapped("fix", advice(status), Tone.PLAIN)
    return Content("\n").join(lines)


def _wrapped(label: str, text: str, tone: Tone) -> list[Content]:
    """As many aligned lines as the text needs; none without text."""
    parts = textwrap.wrap(safe(text), _TEXT_WIDTH)
    return [line(label if number == 0 else "", part, tone) for number, part in enumerate(parts)]


def store_noun(status: StoreStatus) -> str:
    """The store in one word: 'vault' or 'keyring'."""
    return "vault" if status.backend.startswith("vault") else "keyring"
