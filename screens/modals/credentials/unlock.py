"""Unlocking the credential store with what is typed here: no prompt of a desktop, which nobody would see over SSH."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.getters import query_one
from textual.widgets import Input, Label

from backup.model.credentials import StoreBackend, StoreChoice
from screens.modals.credentials.secret_dialog import Ended, SecretDialog
from tui.bridge import bridge_of
from tui.text import safe
from tui.widgets.secret_input import SecretInput


class UnlockStore(SecretDialog):
    ACT: ClassVar[str] = "Unlock"
    field = query_one("#passphrase", SecretInput)

    def __init__(self, store: StoreChoice) -> None:
        if store.backend is StoreBackend.VAULT:
            title = "Unlock the vault"
            about = f"{safe(store.path)}\nIt stays open until the console is left; the worker keeps it while it works."
        else:
            title = "Unlock the keyring"
            about = f"{safe(store.title)}\nIt stays open for all your programs until you log out or lock it."
        super().__init__(title, about)
        self._backend = store.backend
        self._label = "Passphrase" if store.backend is StoreBackend.VAULT else "Its password"

    def compose_fields(self) -> ComposeResult:
        with Horizontal(classes="field"):
            yield Label(self._label)
            yield SecretInput(id="passphrase", compact=True)

    def focus_field(self) -> None:
        self.field.focus()

    @on(Input.Submitted)
    def act(self) -> None:
        if self.field.filled:
            self._unlock()
        else:
            self.ask_for(f"{self._label}: type it, then ↵.")

    @work(exclusive=True)
    async def _unlock(self) -> None:
        if await self.attempt("Opening it…", bridge_of(self).core.credentials.unlock, self.field.take(), self._backend):
            self.dismiss(Ended.DONE)
