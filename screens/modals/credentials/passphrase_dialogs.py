"""Dialogues that ask for an existing passphrase. The prompt of a desktop would be invisible over SSH."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.getters import query_one
from textual.widgets import Input, Label

from backup.credentials.vault_file.errors import SlotRefused
from backup.model.credentials import StoreBackend, StoreChoice
from screens.modals.confirm import Choice, ConfirmScreen, Fact, Question
from screens.modals.credentials.secret_dialog import SecretDialog
from tui.bridge import bridge_of
from tui.text import safe
from tui.theme import Tone
from tui.widgets.secret_input import SecretInput


class PassphraseDialog(SecretDialog):
    """A subclass implements `send` with the text of `field`."""

    label = "Passphrase"
    field = query_one("#passphrase", SecretInput)

    def compose_fields(self) -> ComposeResult:
        with Horizontal(classes="field"):
            yield Label(self.label)
            yield SecretInput(id="passphrase", compact=True)

    def focus_field(self) -> None:
        self.field.focus()

    @on(Input.Submitted)
    def act(self) -> None:
        if self.field.filled:
            self.submit()
        else:
            self.ask_for(f"{self.label}: type it, then press ↵.")


class UnlockStore(PassphraseDialog):
    ACT: ClassVar[str] = "Unlock"

    def __init__(self, store: StoreChoice) -> None:
        if store.backend is StoreBackend.VAULT:
            title = "Unlock the vault"
            about = f"{safe(store.path)}\nIt stays open until you quit the console; the worker keeps its key."
        else:
            title = "Unlock the keyring"
            about = f"{safe(store.title)}\nIt stays open for all your programs until you log out or lock it."
            self.label = "Password"
        super().__init__(title, about)
        self._backend = store.backend

    async def send(self) -> bool:
        unlock = bridge_of(self).core.credentials.unlock
        return await self.attempt("Opening it…", unlock, self.field.take(), self._backend)


class RenewKey(PassphraseDialog):
    """Asks for the passphrase although the vault is open: only someone who knows it may renew the key."""

    ACT: ClassVar[str] = "Renew it"

    def __init__(self) -> None:
        about = (
            "Encrypts all secrets with a new key. Earlier keys and removed slots do not open "
            "what is added from now on. Secrets in older copies of the file must be replaced at each service."
        )
        super().__init__("A new key for the vault", about, offers_other=False)

    async def send(self) -> bool:
        renew, passphrase = bridge_of(self).core.credentials.renew_key, self.field.take()
        done = await self.attempt("Encrypting…", renew, passphrase)
        if not done and isinstance(self.refusal, SlotRefused) and await self._asked_to_drop(self.refusal):
            done = await self.attempt("Encrypting…", renew, passphrase, drop_others=True)
        return done

    async def _asked_to_drop(self, refusal: SlotRefused) -> bool:
        facts = [
            Fact("because", safe(refusal.message)),
            Fact("so", "the other slots no longer open the vault; set them up again afterwards", Tone.WAITING),
        ]
        question = Question("Renew the key without the others?", facts, [Choice("Renew", True)], danger=True)
        agreed = await self.app.push_screen_wait(ConfirmScreen(question))
        return agreed is True
