"""Choosing where secrets are kept: what each store is, and the state it is in now. Nothing is chosen silently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from backup.model.credentials import StoreBackend, StoreChoice
from tui.rows.stores import STATE_WORDS, detail_words
from tui.text import safe
from tui.theme import STYLES, Tone

WHAT_IT_IS: Final[dict[StoreBackend, str]] = {
    StoreBackend.SECRET_SERVICE: "A desktop log-in opens it. Over SSH there is often none.",
    StoreBackend.VAULT: "A passphrase opens it, in any session; jobs may have a key.",
    StoreBackend.KEYCHAIN: "Your log-in opens it.",
    StoreBackend.CREDENTIAL_MANAGER: "Your log-in opens it.",
}


class ChooseStore(ModalScreen[StoreBackend | None]):
    CSS_PATH = "store.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "leave it", show=False)]

    def __init__(self, choices: Sequence[StoreChoice]) -> None:
        super().__init__()
        self._choices = choices

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog store") as dialog:
            dialog.border_title = "Where secrets are kept"
            dialog.border_subtitle = "↵ takes it · esc leaves it"
            options = OptionList(*(Option(_words(choice), id=choice.backend.value) for choice in self._choices))
            preferred = [choice.in_use or choice.recommended for choice in self._choices]
            options.highlighted = preferred.index(True) if True in preferred else 0
            yield options
            yield Static(Content("Never in a plain file, and never elsewhere than chosen here."), classes="about")

    @on(OptionList.OptionSelected)
    def _choose(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._choices[event.option_index].backend)


def _words(choice: StoreChoice) -> Content:
    """Name and mark; state; what it is; what is wrong with it."""
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
