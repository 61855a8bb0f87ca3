"""Opening stores: with a typed passphrase, with the unattended setup, and for other processes of this program.

Every passphrase used here is redacted in logs from then on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from backup.config import file
from backup.credentials import selection
from backup.credentials.errors import CredentialStoreError
from backup.credentials.vault_file.unlocked import unlocked_here, vault_path
from backup.model.credentials import TITLES, StoreBackend
from backup.system import redaction
from backup.system.paths import Paths
from providers.errors import Unsupported
from providers.secret import Secret

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

    from backup.credentials.vault import VaultKeyring
    from backup.credentials.vault_file.slots import KdfCost

_LOG: Final = logging.getLogger(__name__)
_TRIES: Final = 3
_ELSEWHERE: Final = "Use its own program."

_opening: Final = threading.Lock()


def open_by_itself(paths: Paths, backend: KeyringBackend, ask: Callable[[], Secret] | None = None) -> None:
    """Open a locked vault with `password_command`, else by asking the user. (A key file or systemd's credential opens
    it without this function.) If neither is set up and there is no `ask`, it stays locked, and its next use raises.

    Takes as long as the command (at most 30 s) or the user, who has three tries. Raises CredentialStoreError if neither
    opens it.
    """
    if not _is_shut(backend):
        return
    from backup.credentials import passphrase

    with _opening:
        if is_open(paths):
            return
        command = file.load(paths).store.password_command
        if command:
            unlock(paths, passphrase.from_command(command), StoreBackend.VAULT)
        elif ask:
            _unlock_by_asking(paths, ask)


def open_as(paths: Paths, backend: KeyringBackend, held: Callable[[], Secret | None]) -> None:
    """Open a locked vault with the key that `held` gets from another process of this program. Does nothing if there is
    no key, or it is outdated."""
    if not _is_shut(backend):
        return
    handed = held()
    if handed is None:
        return
    try:
        accept(paths, handed)
    except CredentialStoreError as error:
        _LOG.info("the key of another process does not open the vault: %s", error)


def _is_shut(backend: KeyringBackend) -> bool:
    """True for an existing vault that stays locked without a passphrase: it has no key, or one that no longer fits,
    which must not keep the user out."""
    if selection.kind_of(backend) is not StoreBackend.VAULT:
        return False
    from backup.credentials.vault import VaultKeyring
    from backup.credentials.vault_file.errors import PassphraseError, WrongKey

    assert isinstance(backend, VaultKeyring)
    if backend.unlocked or not backend.file.exists():
        return False
    if not backend.opens_by_key:
        return True
    try:
        backend.open_by_key()
    except (PassphraseError, WrongKey) as error:
        _LOG.warning("the unattended setup does not open the vault: %s", error)
        return True
    except CredentialStoreError:
        return False  # nothing opens this one: its next use raises the reason
    return False


def _unlock_by_asking(paths: Paths, ask: Callable[[], Secret]) -> None:
    from backup.credentials.vault_file.errors import WrongPassphrase

    for left in reversed(range(_TRIES)):
        try:
            return unlock(paths, ask(), StoreBackend.VAULT)
        except WrongPassphrase:
            if not left:
                raise


def unlock(paths: Paths, passphrase: Secret, kind: StoreBackend, *, timeout_s: float = 5.0) -> None:
    """Open a store: the vault for this process, the Secret Service for the whole session.

    Raises VaultError or CollectionError, each with cause and hint; Unsupported for a native keychain.
    """
    redaction.hide(passphrase)
    match kind:
        case StoreBackend.VAULT:
            from backup.credentials.vault import VaultKeyring

            VaultKeyring(vault_path(paths)).unlock(passphrase)
        case StoreBackend.SECRET_SERVICE:
            from backup.credentials.secret_service import collection

            collection.unlock_default(passphrase, timeout_s=timeout_s)
        case StoreBackend.KEYCHAIN | StoreBackend.CREDENTIAL_MANAGER:
            raise Unsupported(f"the {TITLES[kind]} cannot be unlocked from here", hint=_ELSEWHERE)


def create(
    paths: Paths, passphrase: Secret, kind: StoreBackend, *, cost: KdfCost | None = None, timeout_s: float = 5.0
) -> None:
    """Create and open a store; choose it if none was chosen yet. Raises as `unlock`, and VaultExists or
    CollectionExists."""
    redaction.hide(passphrase)
    match kind:
        case StoreBackend.VAULT:
            _vault(paths, cost).create(passphrase, label="passphrase")
        case StoreBackend.SECRET_SERVICE:
            from backup.credentials.secret_service import collection

            collection.create_default(passphrase, timeout_s=timeout_s)
        case StoreBackend.KEYCHAIN | StoreBackend.CREDENTIAL_MANAGER:
            raise Unsupported(f"the {TITLES[kind]} exists already", hint=_ELSEWHERE)
    with file.edit(paths) as draft:
        found = draft.configuration
        if found.store.backend is None and not found.credentials:  # those of another store are moved on request
            draft.choose_store(kind)


def lock(paths: Paths, kind: StoreBackend) -> None:
    """Forget the vault's key in this process; or lock the Secret Service's default keyring for the session."""
    match kind:
        case StoreBackend.VAULT:
            unlocked_here(vault_path(paths)).lock()
        case StoreBackend.SECRET_SERVICE:
            from backup.credentials.secret_service import collection

            collection.lock_default()
        case StoreBackend.KEYCHAIN | StoreBackend.CREDENTIAL_MANAGER:
            raise Unsupported(f"the {TITLES[kind]} cannot be locked from here", hint=_ELSEWHERE)


def change_passphrase(
    paths: Paths, kind: StoreBackend, old: Secret, new: Secret, *, cost: KdfCost | None = None
) -> None:
    """Change the passphrase of the vault; other slots stay. Raises WrongPassphrase; Unsupported for other stores."""
    redaction.hide(old, new)
    if kind is not StoreBackend.VAULT:
        raise Unsupported(
            "only the vault's passphrase can be changed from here",
            hint="Use the keyring's own program (seahorse).",
        )
    _vault(paths, cost).file.change_passphrase(old, new)


def _vault(paths: Paths, cost: KdfCost | None) -> VaultKeyring:
    from backup.credentials.vault import VaultKeyring

    return VaultKeyring(vault_path(paths), cost=cost) if cost else VaultKeyring(vault_path(paths))


def systemd_gave_key() -> bool:
    """True if systemd gave this process the vault's key."""
    from backup.credentials import passphrase

    return passphrase.systemd_key_path() is not None


# For other processes of this program


def is_open(paths: Paths) -> bool:
    """True if this process has the vault's key."""
    return bool(unlocked_here(vault_path(paths)))


def handover(paths: Paths) -> Secret | None:
    """The vault's key for another process of the same user, over a private socket or pipe; None while it is locked
    here."""
    key = unlocked_here(vault_path(paths)).key
    return key.handover() if key else None


def accept(paths: Paths, handed: Secret) -> bool:
    """Open the vault with the key from another process. True if it was locked here before. Raises VaultError."""
    from backup.credentials.vault import VaultKeyring

    redaction.hide(handed)
    vault = VaultKeyring(vault_path(paths))
    was_locked = not vault.unlocked
    vault.accept(handed)
    return was_locked
