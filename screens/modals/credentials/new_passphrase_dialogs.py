"""Making a place for secrets: the vault, or the session's first keyring. The passphrase is asked twice."""

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
from tui.widgets.new_passphrase import NewPassphrase
from tui.widgets.secret_input import SecretInput

LOST = "A lost passphrase: credentials are to be set anew; no backup is lost."
LABEL = "another passphrase"
_ABOUT = (
    "The old passphrase opens this vault no more. It still opens every older copy of the file (in a backup, say), "
    "with what was in it then: after a theft replace the keys at each service too."
)


class CreateStore(SecretDialog):
    ACT: ClassVar[str] = "Create"
    passphrase = query_one(NewPassphrase)

    def __init__(self, store: StoreChoice) -> None:
        if store.backend is StoreBackend.VAULT:
            title = "Create the vault"
            about = f"One encrypted file of this program: {safe(store.path)}\n{LOST}"
        else:
            title = "Create the keyring"
            about = f"{safe(store.title)} has no default keyring yet. {LOST}"
        super().__init__(title, about)
        self._backend = store.backend

    def compose_fields(self) -> ComposeResult:
        yield NewPassphrase()

    def focus_field(self) -> None:
        self.passphrase.focus_first()

    def act(self) -> None:
        self.passphrase.enter()

    @on(NewPassphrase.Chosen)
    @work(exclusive=True)
    async def _create(self) -> None:
        core = bridge_of(self).core
        if await self.attempt("Creating it…", core.credentials.create, self.passphrase.take(), self._backend):
            self.dismiss(Ended.DONE)


class AddPassphrase(SecretDialog):
    ACT: ClassVar[str] = "Add it"
    passphrase = query_one(NewPassphrase)

    def __init__(self) -> None:
        about = "It opens this vault too: for somebody else, or an envelope in a safe. It can be taken away again."
        super().__init__("Another passphrase for the vault", about, offers_other=False)

    def compose_fields(self) -> ComposeResult:
        yield NewPassphrase()

    def focus_field(self) -> None:
        self.passphrase.focus_first()

    def act(self) -> None:
        self.passphrase.enter()

    @on(NewPassphrase.Chosen)
    @work(exclusive=True)
    async def _add(self) -> None:
        if await self.attempt(
            "Adding it…", bridge_of(self).core.credentials.add_passphrase, self.passphrase.take(), LABEL
        ):
            self.dismiss(Ended.DONE)


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
