"""The vault as a backend of the keyring library, for this program and any other that uses keyring.

It never prompts. A locked vault opens by itself only with systemd's credential for this process, or a key file
(`KEYRING_PROPERTY_KEY_FILE`; `KEYRING_PROPERTY_PATH` names another vault).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from keyring.backend import KeyringBackend
from keyring.credentials import SimpleCredential
from keyring.errors import InitError, KeyringLocked, PasswordDeleteError

from backup.credentials import passphrase
from backup.credentials.backend_errors import NoCollection
from backup.credentials.errors import CredentialStoreError
from backup.credentials.vault_file.errors import VaultLocked
from backup.credentials.vault_file.file import DataKey, KdfCost, Opener, VaultFile
from backup.credentials.vault_file.slots import MODERATE
from backup.credentials.vault_file.unlocked import Unlocked, unlocked_here, vault_path
from backup.model.credentials import StoreState
from backup.system.paths import Paths
from providers.secret import Secret

__all__ = ["Unlocked", "VaultKeyring", "unlocked_here", "vault_path"]

LOCK_TIMEOUT_S: Final = 2.5
"""Shorter than the credential store's timeout, so that the error is a busy vault, not a hung one."""


class VaultKeyring(KeyringBackend):
    """Secrets in the vault at `path` (default: the program's own).

    Follows keyring's contract: a missing entry reads as None; KeyringLocked while the vault is locked, NoCollection
    while there is none, InitError if it cannot be used, each with the VaultError as its cause. Every call ends within
    seconds.
    """

    priority = 0.5  # viable everywhere, but a session's keyring comes first
    key_file = ""

    def __init__(self, path: Path | None = None, *, unlocked: Unlocked | None = None, cost: KdfCost = MODERATE) -> None:
        self.path: Path | str = vault_path(Paths.default())
        super().__init__()  # type: ignore[no-untyped-call]
        if path is not None:
            self.path = path
        self._unlocked = unlocked
        self._cost = cost

    @property
    def file(self) -> VaultFile:
        return VaultFile(Path(self.path), cost=self._cost, lock_timeout_s=LOCK_TIMEOUT_S)

    @property
    def unlocked(self) -> Unlocked:
        return self._unlocked if self._unlocked is not None else unlocked_here(Path(self.path))

    @property
    def opens_by_key(self) -> bool:
        """True if a key is set up that may open it without a passphrase; it may not fit."""
        return bool(self.key_file) or passphrase.systemd_key_path() is not None

    # Opening and closing. These raise VaultError.

    def unlock(self, opener: Opener) -> None:
        """Open the vault for this process. Takes half a second for each passphrase slot."""
        self.unlocked.put(self.file.open(opener))

    def create(self, opener: Opener, *, label: str = "") -> None:
        """Create the vault and open it for this process. Raises VaultExists."""
        self.unlocked.put(self.file.create(opener, label=label))

    def lock(self) -> None:
        self.unlocked.lock()

    def handover(self) -> Secret:
        """The key for `accept` in another process of the same user, over a private socket only. Raises VaultLocked."""
        return self._key().handover()

    def accept(self, handed: Secret) -> None:
        """Open the vault for this process with the key from another one; tried before it is kept."""
        key = DataKey.taken(handed)
        self.file.entries(key)
        self.unlocked.put(key)

    def check(self) -> None:
        """Raises the error that any call of keyring would raise now."""
        with _keyring_errors():
            self.file.entries(self._key())

    # keyring's own

    def get_password(self, service: str, username: str) -> str | None:
        with _keyring_errors():
            return self.file.get(self._key(), service, username)

    def set_password(self, service: str, username: str, password: str) -> None:
        with _keyring_errors():
            self.file.set(self._key(), service, username, password)

    def delete_password(self, service: str, username: str) -> None:
        with _keyring_errors():
            there = self.file.remove(self._key(), service, username)
        if not there:
            raise PasswordDeleteError("there is no such entry")

    def get_credential(self, service: str, username: str | None) -> SimpleCredential | None:
        with _keyring_errors():
            entries = self.file.entries(self._key())
        for (other, name), secret in sorted(entries.items()):
            if other == service and username in (None, name):
                return SimpleCredential(name, secret)
        return None

    def open_by_key(self) -> None:
        """Open a locked vault with systemd's credential or the key file; without them it stays locked. Raises WrongKey,
        PassphraseError."""
        unlocked = self.unlocked
        opener = passphrase.unattended_key(Path(self.key_file) if self.key_file else None) if not unlocked else None
        if opener is not None:
            unlocked.put(self.file.open(opener))

    def _key(self) -> DataKey:
        self.open_by_key()
        key = self.unlocked.key
        if key is None:
            self.file.describe()  # an error of the file comes before VaultLocked
            raise VaultLocked("the vault is locked")
        return key


@contextmanager
def _keyring_errors() -> Iterator[None]:
    """Convert errors into those of keyring, with the original as cause."""
    try:
        yield
    except CredentialStoreError as error:
        if error.code == StoreState.LOCKED:
            raise KeyringLocked(error.message) from error
        if error.code == StoreState.NO_COLLECTION:
            raise NoCollection(error.message) from error
        raise InitError(error.message) from error
