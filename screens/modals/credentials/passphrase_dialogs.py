"""Unlocking the credential store with what is typed here: no prompt of a desktop, which nobody would see over SSH."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.getters import query_one
from textual.widgets import Input, Label

from backup.credentials.vault_file.errors import SlotRefused
from backup.model.credentials import StoreBackend, StoreChoice
from screens.modals.confirm import Choice, ConfirmScreen, Fact, Question
from screens.modals.credentials.secret_dialog import Ended, SecretDialog
from tui.bridge import bridge_of
from tui.text import safe
from tui.theme import Tone
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


class RenewKey(SecretDialog):
    """Whoever renews the key shows that he may: the passphrase is asked for though the vault is open."""

    ACT: ClassVar[str] = "Renew it"
    field = query_one("#passphrase", SecretInput)

    def __init__(self) -> None:
        about = (
            "All secrets are encrypted anew. Who once opened this vault, or has a way that was taken away, cannot read "
            "what comes into it from now on; what was in older copies of the file is to be replaced at each service."
        )
        super().__init__("A new key for the vault", about, offers_other=False)

    def compose_fields(self) -> ComposeResult:
        with Horizontal(classes="field"):
            yield Label("Passphrase")
            yield SecretInput(id="passphrase", compact=True)

    def focus_field(self) -> None:
        self.field.focus()

    @on(Input.Submitted)
    def act(self) -> None:
        if self.field.filled:
            self._renew()
        else:
            self.ask_for("Passphrase: type it, then ↵.")

    @work(exclusive=True)
    async def _renew(self) -> None:
        renew, passphrase = bridge_of(self).core.credentials.renew_key, self.field.take()
        done = await self.attempt("Encrypting anew…", renew, passphrase)
        if not done and isinstance(self.refusal, SlotRefused) and await self._asked_to_drop(self.refusal):
            done = await self.attempt("Encrypting anew…", renew, passphrase, drop_others=True)
        if done:
            self.dismiss(Ended.DONE)

    async def _asked_to_drop(self, refusal: SlotRefused) -> bool:
        facts = [
            Fact("because", safe(refusal.message)),
            Fact("so", "the other ways open the vault no more; set them up again afterwards", Tone.WAITING),
        ]
        question = Question("Renew it without the others?", facts, [Choice("Renew", True)], danger=True)
        agreed = await self.app.push_screen_wait(ConfirmScreen(question))
        return agreed is True
