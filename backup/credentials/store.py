"""The credential store: one entry per credentials key, in a keyring backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from backup.config import file
from backup.credentials import selection, unlocking
from backup.credentials.entry import Credentials, from_text, to_text
from backup.credentials.errors import CredentialStoreError, keyring_errors
from backup.model.credentials import TITLES, StoreBackend, StoreState, StoreStatus
from backup.system import redaction
from backup.system.bounded import bounded
from backup.system.paths import Paths
from backup.system.private_files import exclusive_lock, private_folder
from providers.remedies import Action, Remedy
from providers.secret import Secret

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

T = TypeVar("T")

SERVICE_PREFIX: Final = "homeserver-backup:"
"""Prefix of the credentials key: Windows, for one, distinguishes entries by service alone."""
USER: Final = "homeserver-backup"
_MOST_ON_WINDOWS: Final = 1280
"""2560 bytes of UTF-16 (CRED_MAX_CREDENTIAL_BLOB_SIZE), as keyring writes it."""


class CredentialStore:
    """Every method waits at most `timeout_s` per call of the backend, never opens a desktop prompt, and may be called
    from any thread. Opening a vault first takes additional time (`backup.credentials.unlocking`).

    Methods that read or change an entry raise CredentialStoreError. Nothing is ever written in plain text.
    """

    def __init__(
        self, paths: Paths, *, backend: Callable[[], KeyringBackend] | None = None, timeout_s: float = 3.0
    ) -> None:
        """`backend`: overrides the configuration's choice, for moving between two stores and for tests."""
        self._paths = paths
        self._choose = backend or (lambda: selection.choose(paths, probe_s=timeout_s))
        self._timeout_s = timeout_s

    def status(self) -> StoreStatus:
        """The backend, and whether it can be used now. Never raises, runs no `password_command`, prompts nobody."""
        return self.look()[1]

    def look(self) -> tuple[StoreBackend | None, StoreStatus]:
        """As `status`, with the kind of store (None if there is none to choose). The backend is chosen and asked only
        once, so a hung keyring costs one timeout."""
        kind, title = None, ""
        try:
            backend = self._choose()
            kind, title = selection.kind_of(backend), selection.title(backend)
            self._ask_backend(backend, selection.check)
        except CredentialStoreError as error:
            return kind, StoreStatus(
                state=_state(error), backend=title, detail=error.message, hint=error.hint, remedies=error.remedies
            )
        return kind, StoreStatus(state=StoreState.READY, backend=title)

    def get(self, key: str) -> Credentials | None:
        """The entry, or None. Its secrets are redacted in logs from now on."""
        text = self._ask(lambda backend: backend.get_password(SERVICE_PREFIX + key, USER))
        if text is None:
            return None
        credentials = from_text(key, text)
        redaction.hide(*credentials.secrets())
        return credentials

    def has(self, key: str) -> bool:
        return self._ask(lambda backend: backend.get_password(SERVICE_PREFIX + key, USER)) is not None

    def set(self, key: str, credentials: Credentials, *, expires_at: float | None = None) -> None:
        """Keep an entry, replacing an older one, read it back, and note it in the configuration. The first entry kept
        pins the store.

        Raises InvalidConfiguration, before anything is kept, if the configuration is read-only.
        """
        redaction.hide(*credentials.secrets())
        text = to_text(credentials)
        self._ready()  # not inside the lock: opening a vault is slow
        with file.edit(self._paths) as draft:
            kind = self._ask(selection.kind_of)
            self.put(key, text)
            draft.index_credentials(key, credentials.username, credentials.fields, expires_at=expires_at)
            if kind and draft.configuration.store.backend is None:
                draft.choose_store(kind)

    def swap(self, key: str, old: Secret, new: Secret) -> bool:
        """Replace the secret `old` of an entry by `new`, atomically among processes. False, and nothing is changed, if
        the entry no longer holds `old` because another process was first."""
        redaction.hide(new)
        self._ready()
        private_folder(self._paths.config_dir)
        with exclusive_lock(self._paths.config_lock, "the configuration"):
            entry = self.get(key)
            changed = entry and _swapped(entry, old, new)
            if not changed:
                return False
            self.put(key, to_text(changed))
        return True

    def remove(self, key: str) -> bool:
        """Delete an entry and its note in the configuration. False if there was none."""
        self._ready()
        with file.edit(self._paths) as draft:
            there = self.erase(key)
            draft.forget_credentials(key)
        return there

    # For moving between two stores: nothing is noted in the configuration.

    def put(self, key: str, text: str) -> None:
        """Keep an entry's text, and read it back."""
        if len(text) > _MOST_ON_WINDOWS and selection.kind_of(self._choose()) is StoreBackend.CREDENTIAL_MANAGER:
            raise CredentialStoreError(
                f"the entry {key!r} is too long for the {TITLES[StoreBackend.CREDENTIAL_MANAGER]}",
                hint=f"It has {len(text)} characters; at most {_MOST_ON_WINDOWS} fit. The vault has room.",
                remedies=(Remedy(Action.MOVE_CREDENTIALS, value=StoreBackend.VAULT.value),),
                code="not_kept",
            )
        self._ask(lambda backend: backend.set_password(SERVICE_PREFIX + key, USER, text))
        if self._ask(lambda backend: backend.get_password(SERVICE_PREFIX + key, USER)) != text:
            raise CredentialStoreError(f"the store did not keep the entry {key!r}", code="not_kept")

    def erase(self, key: str) -> bool:
        """Delete an entry. False if there was none."""
        there = self.has(key)
        if there:
            self._ask(lambda backend: backend.delete_password(SERVICE_PREFIX + key, USER))
        return there

    def _ready(self) -> None:
        self._ask(selection.check)

    def _ask(self, question: Callable[[KeyringBackend], T]) -> T:
        backend = self._choose()
        unlocking.open_by_itself(self._paths, backend)
        return self._ask_backend(backend, question)

    def _ask_backend(self, backend: KeyringBackend, question: Callable[[KeyringBackend], T]) -> T:
        selection.refuse_unsafe(backend)
        with keyring_errors(self._timeout_s):
            return bounded(lambda: question(backend), self._timeout_s)


def _state(error: CredentialStoreError) -> StoreState:
    return StoreState(error.code) if error.code in set(StoreState) else StoreState.UNAVAILABLE


def _swapped(entry: Credentials, old: Secret, new: Secret) -> Credentials | None:
    if entry.password == old:
        return msgspec.structs.replace(entry, password=new)
    name = next((name for name, secret in entry.extra.items() if secret == old), None)
    return msgspec.structs.replace(entry, extra={**entry.extra, name: new}) if name else None
