"""The choice of a credential store: what each one is, and its current state. Nothing is chosen silently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from textual.content import Content

from backup.model.credentials import StoreBackend, StoreChoice
from screens.modals.choose import ChooseScreen
from tui.rows.stores import STATE_WORDS, detail_words
from tui.text import safe
from tui.theme import STYLES, Tone

WHAT_IT_IS: Final[dict[StoreBackend, str]] = {
    StoreBackend.SECRET_SERVICE: "Your desktop log-in opens it. Often not available over SSH.",
    StoreBackend.VAULT: "A passphrase opens it, in any session. Unattended jobs can have a key.",
    StoreBackend.KEYCHAIN: "Your log-in opens it.",
    StoreBackend.CREDENTIAL_MANAGER: "Your log-in opens it.",
}


class ChooseStore(ChooseScreen[StoreBackend]):
    def __init__(self, choices: Sequence[StoreChoice]) -> None:
        preferred = [choice.in_use or choice.recommended for choice in choices]
        super().__init__(
            "Where secrets are kept",
            [(choice.backend, _words(choice)) for choice in choices],
            at=preferred.index(True) if True in preferred else 0,
            note="Never in a plain file, and only where you choose.",
        )


def _words(choice: StoreChoice) -> Content:
    """Name and mark, state, problem, description."""
    sign, word, tone = STATE_WORDS[choice.state]
    mark = "  in use" if choice.in_use else "  recommended here" if choice.recommended else ""
    state = [(f"\n{sign} {word}", STYLES[tone])]
    if choice.path and choice.backend is StoreBackend.VAULT:
        state.append((f"  {safe(choice.path)}", STYLES[Tone.MUTED]))
    elif choice.detail:
        state.append((f"\n{detail_words(choice.detail)}", STYLES[Tone.MUTED]))
    return Content.assemble(
        (safe(choice.title), STYLES[Tone.STRONG]),
        (mark, STYLES[Tone.PROVED if choice.in_use else Tone.WAITING]),
        *state,
        (f"\n{WHAT_IT_IS[choice.backend]}\n", STYLES[Tone.PLAIN]),
    )
