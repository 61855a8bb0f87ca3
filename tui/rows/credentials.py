"""The credential store in words, and its credentials as rows."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from textwrap import wrap
from typing import Final

from textual.content import Content

from backup.model.credentials import CredentialFact, CredentialState, StoreBackend, StoreFacts, StoreState, YesNo
from tui.remedies import in_words
from tui.rows.instances import ago
from tui.rows.row_model import Cell, Column, Span
from tui.rows.stores import STATE_WORDS, detail_words
from tui.text import safe, when
from tui.theme import STYLES, Tone

COLUMNS: Final = (
    Column(title="CREDENTIAL", width=16, grows=True),
    Column(title="STATE", width=22),
    Column(title="SECRETS", width=22, drops=1),
    Column(title="LAST USED", width=14),
)
_ANSWERS: Final[dict[YesNo, Span]] = {
    YesNo.YES: ("✔ yes", Tone.PROVED),
    YesNo.NO: ("· no", Tone.PLAIN),
    YesNo.PARTLY: ("▲ partly", Tone.WAITING),
    YesNo.UNKNOWN: ("· unknown", Tone.MUTED),
}
_LABEL_CELLS: Final = 11
_SIGNS: Final[dict[CredentialState, Span]] = {
    CredentialState.SET: ("✔", Tone.PROVED),
    CredentialState.MISSING: ("✖", Tone.FAILED),
    CredentialState.EXPIRING: ("▲", Tone.WAITING),
    CredentialState.EXPIRED: ("✖", Tone.FAILED),
    CredentialState.REFUSED: ("✖", Tone.FAILED),
}


def store_content(facts: StoreFacts, width: int) -> Content:
    """One line per fact, cut at `width`: place, state, and what it protects against."""
    sign, word, tone = STATE_WORDS[facts.status.state]
    lines: list[list[Span]] = [
        [_label("kept in"), (safe(facts.title) if facts.backend else "no store yet", Tone.STRONG)],
        [_label(""), (_whose_choice(facts), Tone.MUTED)],
        [_label("state"), (f"{sign} {word}", tone), (_state_note(facts), Tone.MUTED)],
    ]
    for fact in facts.facts:
        answer, answer_tone = _ANSWERS[fact.answer]
        why = (f" · {safe(in_words(fact.why, fact.remedies))}", Tone.MUTED)
        lines.append([(answer.ljust(_LABEL_CELLS), answer_tone), (safe(fact.question), Tone.PLAIN), why])
    if facts.left_in is not None:
        lines.append([("▲ left over".ljust(_LABEL_CELLS), Tone.WAITING), ("old copies · m deletes them", Tone.PLAIN)])
    return Content("\n").join([_line(spans, width) for spans in lines])


def store_in_full(facts: StoreFacts, width: int) -> Content:
    """The same, uncut: each reason is wrapped below its question."""
    lines = [[_label("kept in"), (safe(facts.title) if facts.backend else "no store yet", Tone.STRONG)]]
    room = max(20, width - _LABEL_CELLS)
    for text in (facts.path, _whose_choice(facts, path=False)):
        lines += [[_label(""), (part, Tone.MUTED)] for part in wrap(safe(text), room, break_on_hyphens=False)]
    for fact in facts.facts:
        answer, tone = _ANSWERS[fact.answer]
        lines.append([(answer.ljust(_LABEL_CELLS), tone), (safe(fact.question), Tone.PLAIN)])
        lines += [[_label(""), (part, Tone.MUTED)] for part in wrap(safe(in_words(fact.why, fact.remedies)), room)]
    return Content("\n").join([_line(spans, width) for spans in lines])


def _whose_choice(facts: StoreFacts, *, path: bool = True) -> str:
    if facts.backend is None:
        return "s chooses a store; so does setting up a service"
    chosen = "chosen by you" if facts.pinned else "found here; the first saved credential makes it final"
    return f"{safe(facts.path)} · {chosen}" if path and facts.path else chosen


def _state_note(facts: StoreFacts) -> str:
    if facts.status.state is StoreState.LOCKED:
        return " · u unlocks it"
    if facts.status.state is not StoreState.READY:
        return f" · {detail_words(facts.status.detail)}"
    slots = len(facts.slots)
    ways = f" · {slots} ways to open it" if slots > 1 else ""
    lacks_key = facts.backend is StoreBackend.VAULT and facts.worker_unlocked is False
    worker = " · the worker has no key: l, then u, sends it" if lacks_key else ""
    return f"{ways}{worker}"


def _label(text: str) -> Span:
    return (text.ljust(_LABEL_CELLS), Tone.MUTED)


def _line(spans: Sequence[Span], width: int) -> Content:
    return Content.assemble(*[(text, STYLES[tone]) for text, tone in spans]).truncate(width, ellipsis=True)


class CredentialRows:
    def __init__(self, credentials: Sequence[CredentialFact], now_s: float) -> None:
        self.credentials = credentials
        self._now_s = now_s

    def __len__(self) -> int:
        return len(self.credentials)

    def credential(self, row: int) -> CredentialFact | None:
        return self.credentials[row] if 0 <= row < len(self.credentials) else None

    def key(self, index: int) -> str | None:
        fact = self.credential(index)
        return None if fact is None else fact.key

    def row_of(self, key: Hashable) -> int | None:
        return next((row for row, fact in enumerate(self.credentials) if fact.key == key), None)

    def sign(self, index: int) -> Span:
        return _SIGNS[self.credentials[index].state]

    def cells(self, index: int, widths: Sequence[int]) -> Sequence[Cell]:
        fact = self.credentials[index]
        unused = "–" if fact.state is CredentialState.MISSING else "not known"
        used = ago(fact.last_used_at, self._now_s) if fact.last_used_at else unused
        return [
            Cell.of(_name(fact), middle=True),
            Cell.of(*self._state(fact)),
            Cell.of(", ".join(map(safe, fact.fields)) or "–", Tone.MUTED),
            Cell.of(used, Tone.MUTED),
        ]

    def _state(self, fact: CredentialFact) -> Span:
        moment = when(fact.expires_at, self._now_s)
        _, tone = _SIGNS[fact.state]
        match fact.state:
            case CredentialState.SET:
                return (f"set · until {moment}" if moment else "set", tone)
            case CredentialState.MISSING:
                return ("missing · r sets it", tone)
            case CredentialState.EXPIRING:
                return (f"expires {moment}", tone)
            case CredentialState.EXPIRED:
                return (f"expired {moment}", tone)
            case CredentialState.REFUSED:
                return ("refused by the service · r replaces it", tone)


def _name(fact: CredentialFact) -> str:
    """The key, and the instances that use it unless they have the same name."""
    users = ", ".join(map(safe, fact.instances)) or "not used"
    return safe(fact.key) if users == safe(fact.key) else f"{safe(fact.key)} · {users}"
