"""Errors of the vault. Each has a cause and a fix; after none of them is the file overwritten.

    VaultError(CredentialStoreError)
    ├── VaultMissing        there is no vault yet
    ├── VaultExists         there is one already, which is not replaced
    ├── VaultLocked         no key is available, or the data key was renewed meanwhile
    ├── WrongPassphrase     no passphrase slot opens with it
    ├── WrongKey            no key slot opens with it
    ├── VaultTruncated      the file ends too early
    ├── VaultDamaged        not a vault, or bytes have changed
    ├── VaultTampered       the checksum matches, but the writer did not have the key
    ├── VaultRolledBack     an older vault than this process has seen
    ├── VaultTooNew         written by a newer version of the program
    ├── VaultTooCostly      asks for more memory or time to open than any vault of ours
    ├── VaultNotReadable    the system does not let it be read
    ├── VaultNotWritten     the system does not let it be written; the old one is kept
    ├── VaultBusy           another process holds its lock
    └── SlotRefused         a slot that does not exist, is the last one, or one too many
    PassphraseError(CredentialStoreError)   no passphrase or key is available

`code` is the resulting StoreState of the credential store.
"""

from __future__ import annotations

from typing import ClassVar, Final

from backup.credentials.errors import CredentialStoreError
from backup.model.credentials import StoreState
from providers.remedies import Action, Remedy

_RESTORE: Final = (
    "The file was left as it is. Restore it from a backup; "
    "or move it away, create a new vault and set the credentials again."
)


class VaultError(CredentialStoreError):
    """The vault could not be used. No secret is ever part of the message."""

    kind: ClassVar[str] = "vault"
    state: ClassVar[StoreState] = StoreState.UNAVAILABLE


class VaultMissing(VaultError):
    kind = "vault_missing"
    state = StoreState.NO_COLLECTION
    remedies = (Remedy(Action.CREATE_VAULT), Remedy(Action.SET_CREDENTIALS))


class VaultExists(VaultError):
    kind = "vault_exists"
    cure = "Unlock it; or move the file away first, if its contents are not needed."


class VaultLocked(VaultError):
    kind = "vault_locked"
    state = StoreState.LOCKED
    cure = "Unlock the vault with its passphrase."
    remedies = (Remedy(Action.UNLOCK_STORE),)


class WrongPassphrase(VaultError):
    kind = "vault_wrong_passphrase"
    state = StoreState.LOCKED
    cure = (
        "Type it again (keyboard layout, Caps Lock). If it is lost: another slot (a key file, an unattended job) still "
        "opens the vault. Without one, the credentials in it are lost and must be set again. No backup is lost."
    )


class WrongKey(VaultError):
    kind = "vault_wrong_key"
    state = StoreState.LOCKED
    cure = "Unlock the vault with its passphrase, and add a slot for this key again."


class VaultTruncated(VaultError):
    kind = "vault_truncated"
    cure = _RESTORE


class VaultDamaged(VaultError):
    kind = "vault_damaged"
    cure = _RESTORE


class VaultTampered(VaultError):
    kind = "vault_tampered"
    cure = (
        "Somebody who can write to this folder changed it. The file was left as it is. Find out who, restore it from a "
        "backup, and replace the keys it holds at each service."
    )


class VaultRolledBack(VaultError):
    kind = "vault_rolled_back"
    state = StoreState.LOCKED
    cure = "If you restored the file yourself: lock and unlock the vault to accept it. If not, someone replaced it."


class VaultTooNew(VaultError):
    kind = "vault_too_new"
    cure = "Update this program. The file was left as it is."


class VaultTooCostly(VaultError):
    kind = "vault_too_costly"
    cure = "This program never writes such a slot: distrust the file. It was left as it is."


class VaultNotReadable(VaultError):
    kind = "vault_not_readable"
    cure = "Check who owns the file and its folder, and the disk."


class VaultNotWritten(VaultError):
    kind = "vault_not_written"
    cure = "Check the folder's permissions, the free space, and the disk; the vault's former contents are kept."


class VaultBusy(VaultError):
    kind = "vault_busy"
    cure = "Wait for the other process, or end it, then try again."


class SlotRefused(VaultError):
    kind = "vault_slot"
    cure = "Check the list of slots, then try again."


class PassphraseError(CredentialStoreError):
    """No passphrase or key is available."""

    kind: ClassVar[str] = "passphrase"
    remedies = (Remedy(Action.GIVE_PASSPHRASE),)

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        remedies: tuple[Remedy, ...] = (),
        code: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(
            message, hint=hint, remedies=remedies, code=code or StoreState.LOCKED.value, retry_after_s=retry_after_s
        )
