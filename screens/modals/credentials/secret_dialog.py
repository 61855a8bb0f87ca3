"""The base of dialogues in which the user types a secret for the credential store."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Static

from screens.modals.asking import AskingDialog
from tui.widgets.settings_form import FIELD_BINDINGS


class Ended(StrEnum):
    """How the dialogue ended."""

    DONE = "done"
    LATER = "later"
    OTHER_STORE = "other_store"
    """The user wants another store, or this one cannot be opened here."""


class SecretDialog(AskingDialog[Ended]):
    """A subclass has a title, a text, a label for its button (ACT), fields, and `send`."""

    BINDINGS: ClassVar[list[BindingType]] = [*FIELD_BINDINGS, Binding("escape", "later", "later")]
    ACT: ClassVar[str]

    def __init__(self, title: str, about: str, *, offers_other: bool = True) -> None:
        """`title` and `about` have passed `safe`."""
        super().__init__()
        self._title = title
        self._about = about
        self._offers_other = offers_other

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

    def act(self) -> None:
        """Called for the button, and for Enter in the last field."""
        raise NotImplementedError

    async def send(self) -> bool:
        """`attempt` the action with the typed secret. True if it succeeded."""
        raise NotImplementedError

    @work(exclusive=True)
    async def submit(self) -> None:
        if await self.send():
            self.dismiss(Ended.DONE)

    def action_later(self) -> None:
        """Ignored while the store is busy: its work would go on unseen."""
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
