"""Dialogues that ask for a new passphrase, typed twice: for a new store, or for the vault."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.getters import query_one
from textual.widgets import Input, Label

from backup.model.credentials import StoreBackend, StoreChoice
from screens.modals.credentials.secret_dialog import SecretDialog
from tui.bridge import bridge_of
from tui.text import safe
from tui.widgets.new_passphrase import NewPassphrase
from tui.widgets.secret_input import SecretInput

LOST = "If you lose the passphrase, you must set credentials again; no backup is lost."
LABEL = "another passphrase"


class NewPassphraseDialog(SecretDialog):
    """A subclass implements `send` with the text of `passphrase`."""

    passphrase = query_one(NewPassphrase)

    def compose_fields(self) -> ComposeResult:
        yield NewPassphrase()

    def focus_field(self) -> None:
        self.passphrase.focus_first()

    def act(self) -> None:
        self.passphrase.enter()

    @on(NewPassphrase.Chosen)
    def _chosen(self) -> None:
        self.submit()


class CreateStore(NewPassphraseDialog):
    ACT: ClassVar[str] = "Create"

    def __init__(self, store: StoreChoice) -> None:
        if store.backend is StoreBackend.VAULT:
            title = "Create the vault"
            about = f"One encrypted file of this program: {safe(store.path)}\n{LOST}"
        else:
            title = "Create the keyring"
            about = f"{safe(store.title)} has no default keyring yet. {LOST}"
        super().__init__(title, about)
        self._backend = store.backend

    async def send(self) -> bool:
        create = bridge_of(self).core.credentials.create
        return await self.attempt("Creating it…", create, self.passphrase.take(), self._backend)


class AddPassphrase(NewPassphraseDialog):
    ACT: ClassVar[str] = "Add it"

    def __init__(self) -> None:
        about = "It opens this vault too: for another person, or in an envelope in a safe. You can remove it again."
        super().__init__("Another passphrase for the vault", about, offers_other=False)

    async def send(self) -> bool:
        add = bridge_of(self).core.credentials.add_passphrase
        return await self.attempt("Adding it…", add, self.passphrase.take(), LABEL)


class ChangePassphrase(NewPassphraseDialog):
    """Asks for the old passphrase as well, although the vault is open."""

    ACT: ClassVar[str] = "Change it"
    old = query_one("#old", SecretInput)

    def __init__(self) -> None:
        about = (
            "The old passphrase no longer opens this vault, but still opens older copies of the file (in a backup, "
            "say) with their secrets. After a theft, replace the keys at each service too."
        )
        super().__init__("Change the passphrase of the vault", about, offers_other=False)

    def compose_fields(self) -> ComposeResult:
        with Horizontal(classes="field"):
            yield Label("Old one")
            yield SecretInput(id="old", compact=True)
        yield NewPassphrase("New one")

    def focus_field(self) -> None:
        self.old.focus()

    @on(Input.Submitted, "#old")
    def _old_typed(self) -> None:
        self.passphrase.focus_first()

    async def send(self) -> bool:
        if not self.old.filled:
            self.ask_for("Type the old one too.")
            return False
        change = bridge_of(self).core.credentials.change_passphrase
        return await self.attempt("Changing it…", change, self.old.take(), self.passphrase.take())
