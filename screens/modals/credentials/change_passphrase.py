"""Another passphrase for the vault, and what that does not protect against."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.getters import query_one
from textual.widgets import Input, Label

from screens.modals.credentials.secret_dialog import Ended, SecretDialog
from tui.bridge import bridge_of
from tui.widgets.new_passphrase import NewPassphrase
from tui.widgets.secret_input import SecretInput

_ABOUT = (
    "The old passphrase opens this vault no more. It still opens every older copy of the file (in a backup, say), "
    "with what was in it then: after a theft replace the keys at each service too."
)


class ChangePassphrase(SecretDialog):
    ACT: ClassVar[str] = "Change it"
    old = query_one("#old", SecretInput)
    new = query_one(NewPassphrase)

    def __init__(self) -> None:
        super().__init__("Change the passphrase of the vault", _ABOUT, offers_other=False)

    def compose_fields(self) -> ComposeResult:
        with Horizontal(classes="field"):
            yield Label("Old one")
            yield SecretInput(id="old", compact=True)
        yield NewPassphrase("New one")

    def focus_field(self) -> None:
        self.old.focus()

    @on(Input.Submitted, "#old")
    def _old_typed(self) -> None:
        self.new.focus_first()

    def act(self) -> None:
        self.new.enter()

    @on(NewPassphrase.Chosen)
    def _chosen(self) -> None:
        if self.old.filled:
            self._change()
        else:
            self.ask_for("Old one: type it too.")

    @work(exclusive=True)
    async def _change(self) -> None:
        change = bridge_of(self).core.credentials.change_passphrase
        if await self.attempt("Changing it…", change, self.old.take(), self.new.take()):
            self.dismiss(Ended.DONE)
