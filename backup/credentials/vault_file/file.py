"""The vault: one encrypted file (0600) with all secrets, for machines without an open keyring.

Every operation reads the file again. Every change is made under a lock (flock) to the current contents, and replaces
the file in one step (temporary file, fsync, rename, fsync of the folder): after a crash the old or the new vault is
there, complete. A file that cannot be read is never written. No former generation is kept, because it would still hold
removed passphrases and deleted secrets.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from backup.credentials.vault_file import format as fmt
from backup.credentials.vault_file import slots
from backup.credentials.vault_file.errors import (
    SlotRefused,
    VaultBusy,
    VaultDamaged,
    VaultError,
    VaultExists,
    VaultMissing,
    VaultNotReadable,
    VaultNotWritten,
    VaultTampered,
    WrongKey,
    WrongPassphrase,
)
from backup.credentials.vault_file.format import DataKey, Entries, Header, VaultDocument
from backup.credentials.vault_file.slots import MODERATE, KdfCost, Opener, RawKey, Slot, SlotKind
from backup.system.private_files import exclusive_lock, write_private
from providers.errors import Conflict
from providers.remedies import Action, Remedy
from providers.secret import Secret

__all__ = ["DataKey", "KdfCost", "Opener", "RawKey", "SlotInfo", "SlotKind", "VaultFile", "VaultInfo"]

_LONGEST_LABEL: Final = 100


class SlotInfo(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    kind: SlotKind
    label: str
    created_at: int
    """Seconds since 1970."""
    memory_bytes: int | None
    """Memory needed for one guess at a passphrase; None for a raw key."""


class VaultInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The readable part of the file, not yet authenticated by a key."""

    path: Path
    generation: int
    slots: tuple[SlotInfo, ...]


class VaultFile:
    """One vault. Keeps nothing in memory; safe from any thread and any number of processes. Raises only VaultError.

    Methods with a `DataKey` raise VaultLocked if another process has renewed the data key.
    """

    def __init__(
        self,
        path: Path,
        *,
        cost: KdfCost = MODERATE,
        now: Callable[[], float] = time.time,
        lock_timeout_s: float = 10.0,
    ) -> None:
        self.path = path
        self._cost = cost
        self._now = now
        self._lock_timeout_s = lock_timeout_s

    def exists(self) -> bool:
        """True if anything exists at its path, readable or not."""
        return os.path.lexists(self.path)

    def describe(self) -> VaultInfo:
        header = self._read().header
        return VaultInfo(path=self.path, generation=header.generation, slots=tuple(map(_info, header.slots)))

    # Opening

    def create(self, opener: Opener, *, label: str = "") -> DataKey:
        """Create an empty vault with one slot. Raises VaultExists if anything exists at its path, readable or not."""
        _refuse_empty(opener)
        self._make_folder()
        with self._locked():
            if self.exists():
                raise VaultExists(f"a vault exists already: {self.path}")
            key = DataKey.generate()
            header = Header(
                format=fmt.FORMAT,
                version=fmt.VERSION,
                vault_id=key.vault_id,
                key_id=key.key_id,
                generation=0,
                slots=(),
            )
            self._write(self._with_slots(header, (self._seal(key, header, opener, label),)), {}, key)
            return key

    def open(self, opener: Opener) -> DataKey:
        """The data key. Runs argon2id once for each passphrase slot.

        Raises WrongPassphrase, WrongKey, and the errors of the file.
        """
        return self._open(self._read(), opener)[1]

    # Entries

    def entries(self, key: DataKey) -> Entries:
        """All secrets, by (service, username)."""
        since = key.newest
        return fmt.open_body(self._read(), key, since=since)

    def get(self, key: DataKey, service: str, username: str) -> str | None:
        return self.entries(key).get((service, username))

    def set(self, key: DataKey, service: str, username: str, secret: str) -> None:
        with self._changing(key) as (header, entries):
            entries[service, username] = secret
            self._write(header, entries, key)

    def remove(self, key: DataKey, service: str, username: str) -> bool:
        """False if there was no such entry."""
        with self._changing(key) as (header, entries):
            if entries.pop((service, username), None) is None:
                return False
            self._write(header, entries, key)
            return True

    # Slots

    def add_slot(self, key: DataKey, opener: Opener, *, label: str = "") -> SlotInfo:
        """Add a way to open the vault. Raises SlotRefused if there are eight already."""
        _refuse_empty(opener)
        with self._changing(key) as (header, entries):
            if len(header.slots) >= fmt.MOST_SLOTS:
                raise SlotRefused(
                    f"a vault has at most {fmt.MOST_SLOTS} slots", hint="Remove one that is no longer used."
                )
            slot = self._seal(key, header, opener, label)
            self._write(self._with_slots(header, (*header.slots, slot)), entries, key)
            return _info(slot)

    def remove_slot(self, key: DataKey, slot_id: str) -> SlotInfo:
        """Remove a way to open the vault. Raises SlotRefused for the last one, and for one that does not exist.

        An old copy of the file with the opener of that slot still reveals the key of this vault: `renew_key` ends that.
        """
        with self._changing(key) as (header, entries):
            gone = next((slot for slot in header.slots if slot.id == slot_id), None)
            if gone is None:
                raise SlotRefused(f"there is no slot {slot_id!r}")
            if len(header.slots) == 1:
                raise SlotRefused(
                    f"slot {slot_id} is the last one: nothing else opens the vault", hint="Add another first."
                )
            self._write(
                self._with_slots(header, tuple(slot for slot in header.slots if slot is not gone)), entries, key
            )
            return _info(gone)

    def change_passphrase(self, old: Secret, new: Secret) -> SlotInfo:
        """Replace `old` by `new` in one write; other slots stay. Raises WrongPassphrase.

        If the old one was disclosed, call `renew_key` too.
        """
        _refuse_empty(new)
        with self._locked():
            document = self._read()
            opened, key = self._open(document, old)
            entries = fmt.open_body(document, key, since=0)
            slot = self._seal(key, document.header, new, opened.label)
            kept = tuple(slot if other is opened else other for other in document.header.slots)
            self._write(self._with_slots(document.header, kept), entries, key)
            return _info(slot)

    def renew_key(self, key: DataKey, openers: Sequence[Opener], *, drop_others: bool = False) -> DataKey:
        """Create a new data key, sealed in the slots that `openers` open. Holders of the old key have to unlock again.

        Other slots cannot be kept: raises SlotRefused naming them unless `drop_others`. Raises WrongPassphrase or
        WrongKey for an opener that opens none.
        """
        with self._changing(key) as (header, entries):
            owned = {self._slot_of(header, opener)[0].id: opener for opener in openers}
            lost = [slot for slot in header.slots if slot.id not in owned]
            if not owned or (lost and not drop_others):
                names = ", ".join(f"{slot.id} ({slot.label or slot.kind.value})" for slot in lost)
                raise SlotRefused(
                    f"these slots would be lost: {names}",
                    hint="Give what opens them too, or drop them.",
                    remedies=(Remedy(Action.DROP_SLOTS),),
                )
            renewed = DataKey.generate(key.vault_id)
            renewed.saw(key.newest)
            bare = msgspec.structs.replace(header, key_id=renewed.key_id)
            kept = tuple(
                self._seal(renewed, bare, owned[slot.id], slot.label) for slot in header.slots if slot.id in owned
            )
            self._write(self._with_slots(bare, kept), entries, renewed)
            return renewed

    # Implementation

    def _read(self) -> VaultDocument:
        try:
            with self.path.open("rb") as file:
                data = file.read(fmt.MOST_BYTES + 1)
        except FileNotFoundError:
            raise VaultMissing(f"there is no vault yet: {self.path}") from None
        except OSError as error:
            raise VaultNotReadable(f"{self.path} cannot be read: {error.strerror}") from error
        if len(data) > fmt.MOST_BYTES:
            raise VaultDamaged(f"{self.path} is larger than any vault: more than {fmt.MOST_BYTES // 2**20} MiB")
        return fmt.decode(data)

    def _open(self, document: VaultDocument, opener: Opener) -> tuple[Slot, DataKey]:
        slot, key = self._slot_of(document.header, opener)
        fmt.open_body(document, key, since=0)
        return slot, key

    def _slot_of(self, header: Header, opener: Opener) -> tuple[Slot, DataKey]:
        altered: VaultTampered | None = None
        for slot in header.slots:
            try:
                opened = slots.open_slot(slot, header.owner, opener)
            except VaultTampered as error:
                altered = error
                continue
            if opened is not None:
                return slot, DataKey(header.vault_id, header.key_id, opened)
        if altered:
            raise altered
        if isinstance(opener, RawKey):
            raise WrongKey(f"no slot of the vault opens with this key: {self.path}")
        raise WrongPassphrase("the passphrase does not open the vault")

    @contextmanager
    def _changing(self, key: DataKey) -> Iterator[tuple[Header, Entries]]:
        """The current header and entries, under the lock."""
        with self._locked():
            since = key.newest
            document = self._read()
            yield document.header, fmt.open_body(document, key, since=since)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self.path.with_name(f"{self.path.name}.lock")
        if not self.path.parent.is_dir():
            raise VaultMissing(f"there is no vault yet: {self.path}")
        try:
            with exclusive_lock(lock, "the vault", timeout_s=self._lock_timeout_s):
                yield
        except Conflict as error:
            raise VaultBusy(error.message) from error
        except OSError as error:
            raise VaultNotWritten(f"{self.path} cannot be written: {error.strerror or error}") from error

    def _write(self, header: Header, entries: Entries, key: DataKey) -> None:
        """The next generation. Inside the lock only."""
        header = msgspec.structs.replace(header, generation=header.generation + 1)
        data = fmt.encode(header, entries, key)
        if len(data) > fmt.MOST_BYTES:
            raise VaultNotWritten(f"the vault would grow beyond {fmt.MOST_BYTES // 2**20} MiB", hint="Remove entries.")
        for left_over in self.path.parent.glob(f".{self.path.name}.*"):  # after a crash; may hold a removed slot
            left_over.unlink(missing_ok=True)
        write_private(self.path, data)
        key.saw(header.generation)

    def _make_folder(self) -> None:
        folder = self.path.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = folder.stat().st_mode
        except OSError as error:
            raise VaultNotWritten(f"{folder} cannot be created: {error.strerror}") from error
        if mode & 0o022:
            raise VaultNotWritten(f"others may write into {folder}", hint=f"Forbid that first: chmod 700 {folder}")

    def _seal(self, key: DataKey, header: Header, opener: Opener, label: str) -> Slot:
        return slots.seal(
            key.reveal(),
            header.owner,
            opener,
            label=label[:_LONGEST_LABEL],
            created_at=int(self._now()),
            cost=self._cost,
        )

    def _with_slots(self, header: Header, kept: tuple[Slot, ...]) -> Header:
        taken: set[str] = set()
        for slot in kept:
            if slot.id in taken:
                raise VaultError("two slots got the same random id", hint="Try again.")
            taken.add(slot.id)
        return msgspec.structs.replace(header, slots=kept)


def _refuse_empty(opener: Opener) -> None:
    if isinstance(opener, Secret) and not opener:
        raise SlotRefused("a passphrase must not be empty", hint="Choose one of at least four random words.")


def _info(slot: Slot) -> SlotInfo:
    return SlotInfo(
        id=slot.id,
        kind=slot.kind,
        label=slot.label,
        created_at=slot.created_at,
        memory_bytes=slot.cost.memory_bytes if slot.cost else None,
    )
