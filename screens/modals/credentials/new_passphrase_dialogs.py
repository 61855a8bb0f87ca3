"""Making a place for secrets: the vault, or the session's first keyring. The passphrase is asked twice."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.getters import query_one

from backup.model.credentials import StoreBackend, StoreChoice
from screens.modals.credentials.secret_dialog import Ended, SecretDialog
from tui.bridge import bridge_of
from tui.text import safe
from tui.widgets.new_passphrase import NewPassphrase

LOST = "A lost passphrase: credentials are to be set anew; no backup is lost."


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
