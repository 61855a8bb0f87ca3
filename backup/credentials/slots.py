"""The slots of the vault, each a way to open it: list, add, remove, renew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from backup.config import file as config
from backup.credentials.errors import CredentialStoreError
from backup.credentials.vault_file.unlocked import vault_path
from backup.model.credentials import SlotFact
from backup.system import redaction
from backup.system.paths import Paths
from providers.secret import Secret

if TYPE_CHECKING:
    from backup.credentials.vault import VaultKeyring
    from backup.credentials.vault_file.file import DataKey, SlotInfo, VaultFile
    from backup.credentials.vault_file.slots import Opener


def slots(paths: Paths) -> tuple[SlotFact, ...]:
    """The slots listed in the file, without opening it; empty if it cannot be read."""
    try:
        return read_slots(paths)
    except CredentialStoreError:
        return ()  # the store's status reports the problem


def read_slots(paths: Paths) -> tuple[SlotFact, ...]:
    """As `slots`. Raises VaultError: VaultMissing without a file."""
    return tuple(map(_fact, _vault(paths).file.describe().slots))


def add_passphrase(paths: Paths, passphrase: Secret, label: str) -> SlotFact:
    """Add a passphrase that opens the vault. Raises VaultLocked, SlotRefused."""
    redaction.hide(passphrase)
    return add_slot(paths, passphrase, label)


def add_slot(paths: Paths, opener: Opener, label: str) -> SlotFact:
    """Add a way to open the vault. Raises VaultLocked, SlotRefused."""
    return _fact(_vault(paths).file.add_slot(data_key(paths), opener, label=label))


def remove_slot(paths: Paths, slot_id: str) -> None:
    """Remove a way to open the vault. Raises SlotRefused for the last one, VaultLocked."""
    _vault(paths).file.remove_slot(data_key(paths), slot_id)


def renew_key(paths: Paths, passphrase: Secret, *, drop_others: bool) -> tuple[SlotFact, ...]:
    """Give the vault a new data key. Returns the slots that are left. Needs the passphrase even if the vault is open,
    because renewing the key decides which openers stay valid."""
    redaction.hide(passphrase)
    vault = _vault(paths)
    key = vault.file.open(passphrase)
    kept = [passphrase, *_fitting(vault.file, _unattended_openers(paths, drop_others))]
    vault.unlocked.put(vault.file.renew_key(key, kept, drop_others=drop_others))
    return slots(paths)


def data_key(paths: Paths) -> DataKey:
    """The data key of the vault, which is open, or opens with systemd's credential or its key file. Raises VaultLocked,
    and the errors of the file and the key file."""
    from backup.credentials.vault_file.errors import VaultLocked

    vault = _vault(paths)
    vault.file.describe()  # an error of the file comes before VaultLocked
    vault.open_by_key()
    if vault.unlocked.key is None:
        raise VaultLocked("the vault is locked")
    return vault.unlocked.key


def _unattended_openers(paths: Paths, may_fail: bool) -> Iterator[Opener]:
    """The openers of the unattended setup. Raises PassphraseError for one that is unavailable, unless `may_fail`."""
    from backup.credentials import passphrase
    from backup.credentials.vault_file.errors import PassphraseError

    settings = config.load(paths).store
    sources = (
        passphrase.systemd_key,
        lambda: passphrase.read_key_file(Path(settings.key_file)) if settings.key_file else None,
        lambda: passphrase.from_command(settings.password_command) if settings.password_command else None,
    )
    for source in sources:
        try:
            found: Opener | None = source()
        except PassphraseError:
            if not may_fail:
                raise
            continue
        if found is not None:
            yield found


def _fitting(file: VaultFile, openers: Iterator[Opener]) -> Iterator[Opener]:
    """The openers that still open it: a key file whose slot was removed does not prevent renewing."""
    from backup.credentials.vault_file.errors import WrongKey, WrongPassphrase

    for opener in openers:
        try:
            file.open(opener)
        except (WrongKey, WrongPassphrase):
            continue
        yield opener


def _vault(paths: Paths) -> VaultKeyring:
    from backup.credentials.vault import VaultKeyring

    vault = VaultKeyring(vault_path(paths))
    vault.key_file = vault.key_file or config.load(paths).store.key_file
    return vault


def _fact(slot: SlotInfo) -> SlotFact:
    return SlotFact(id=slot.id, kind=slot.kind.value, label=slot.label, created_at=slot.created_at)
