"""What the dialogues about the credential store have in common: something secret is typed, the store is asked, an error
stays in the dialogue."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from providers.errors import ProviderError
from providers.report import ErrorInfo
from tui.bridge import bridge_of
from tui.theme import STYLES, Tone
from tui.widgets.check_steps import explain
from tui.widgets.settings_form import FIELD_BINDINGS


class Ended(StrEnum):
    """How such a dialogue was left."""

    DONE = "done"
    LATER = "later"
    OTHER_STORE = "other_store"
    """It cannot be done here, or is not wanted: let another store be chosen."""


class SecretDialog(ModalScreen[Ended]):
    """A subclass names TITLE, ACT and its fields, and calls `attempt` with what the service is to do."""

    CSS_PATH = "store.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*FIELD_BINDINGS, Binding("escape", "later", "later")]
    ACT: ClassVar[str]
    TIMEOUT_S: ClassVar[float] = 60.0
    """argon2id over 256 MiB takes half a second here, many on a small board."""

    def __init__(self, title: str, about: str, *, offers_other: bool = True) -> None:
        """`title` and `about` have passed `safe`."""
        super().__init__()
        self._title = title
        self._about = about
        self._offers_other = offers_other
        self._busy = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog store") as dialog:
            dialog.border_title = Content(self._title)
            yield Static(Content(self._about), classes="about")
            yield from self.compose_fields()
            yield Static("", classes="outcome")
            with Horizontal(classes="buttons"):
                if self._offers_other:
                    yield Button(Content("Another store"), id="other")
                yield Button(Content("Later  esc"), id="later")
                yield Button(Content(f"{self.ACT}  ↵"), id="act", classes="act")

    def compose_fields(self) -> ComposeResult:
        raise NotImplementedError

    def on_mount(self) -> None:
        self.focus_field()

    def focus_field(self) -> None:
        raise NotImplementedError

    def act(self) -> None:
        """The button was pressed: as Enter in the last field."""
        raise NotImplementedError

    async def attempt(self, words: str, method: Callable[..., object], *arguments: Any) -> bool:
        """Ask the service, with the keys locked meanwhile. False, and the error in the dialogue, when it fails."""
        if self._busy:
            return False
        self._busy = True
        self.say(Content.styled(words, STYLES[Tone.GOING]))
        try:
            await bridge_of(self).call(method, *arguments, timeout_s=self.TIMEOUT_S)
        except ProviderError as error:
            self.say(explain(ErrorInfo.of(error)))
            self.focus_field()
            return False
        finally:
            self._busy = False
        return True

    def say(self, words: Content) -> None:
        outcome = self.query_one(".outcome", Static)
        outcome.update(words)
        outcome.set_class(bool(words), "-there")

    def action_later(self) -> None:
        """Not while the store is at it: it would go on unseen."""
        if not self._busy:
            self.dismiss(Ended.LATER)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button.id == "act":
            self.act()
        elif event.button.id == "other" and not self._busy:
            self.dismiss(Ended.OTHER_STORE)
        else:
            self.action_later()
