"""The facade's half about where secrets are kept: choosing, opening and moving stores, and what they hold.

As all of `backup.core.core.Service`: synchronous, bounded in time, callable from any thread. No secret comes back out
of
it, but for the recovery kit, which is asked for by a person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from backup.core import credential_list
from backup.credentials import CredentialStore, CredentialStoreError, choice, selection, slots, unlocking
from backup.instances import plain_secrets
from backup.model.credentials import (
    CredentialFact,
    MoveProgress,
    MoveResult,
    SlotFact,
    StoreBackend,
    StoreChoice,
    StoreFacts,
    StoreStatus,
)
from backup.system.paths import Paths
from providers.secret import Secret

if TYPE_CHECKING:
    from backup.core.doctor import HealthFinding
    from backup.credentials.importing.json_file import ImportFindings
    from backup.credentials.unattended.setup import KeySupply, Made, WantedSetup
    from backup.instances.importing import Applied, ImportSource
    from backup.queue.client import Queue


class StoreService:
    paths: Paths

    @cached_property
    def _store(self) -> CredentialStore:
        return CredentialStore(self.paths)

    @cached_property
    def _queue(self) -> Queue:
        from backup.queue.client import Queue

        return Queue(self.paths)

    def store_status(self) -> StoreStatus:
        """Where secrets are kept and whether they can be read; asked within 3 s, also of a hung keyring."""
        return self._store.status()

    def store_facts(self) -> StoreFacts:
        """All that the screen of credentials says. As `store_status`, it never raises and asks nobody."""
        return credential_list.facts(self.paths, self._store, self._queue)

    def credentials(self) -> tuple[CredentialFact, ...]:
        """Every credential that is kept or wanted, by what the configuration notes; no store is asked."""
        return credential_list.credentials(self.paths)

    def doctor(self) -> tuple[HealthFinding, ...]:
        """What holds on this machine for credentials, and for transfers when nobody is there. Never raises."""
        from backup.core import doctor

        return doctor.findings(self.paths, self._queue)

    # Choosing

    def store_choices(self) -> tuple[StoreChoice, ...]:
        """The stores that this machine could use, each asked within 3 s (side by side), the recommended one marked."""
        return choice.choices(self.paths)

    def use_store(self, backend: StoreBackend) -> StoreStatus:
        """Pin a store in the configuration, ready or not. Raises Conflict when credentials are kept in another one:
        `move_credentials` takes them along."""
        choice.use(self.paths, backend)
        return self.store_status()

    def chosen_store(self) -> StoreBackend:
        """The store that the four methods below mean when they are not told: the one in use, else the one recommended
        here."""
        return choice.chosen(self.paths)

    # Opening. A passphrase that is wrong, an interface that is missing, a prompt that was dismissed: each raises a
    # CredentialStoreError of its own, whose hint says what helps.

    def unlock_store(self, passphrase: Secret, backend: StoreBackend | None = None) -> StoreStatus:
        """Open the vault for this process, its questions and the worker; or the session's keyring. What waited for
        credentials goes on. Half a second for each passphrase slot of a vault."""
        unlocking.unlock(self.paths, passphrase, backend or self.chosen_store())
        self._queue_opened()
        return self.store_status()

    def open_store(self, ask: Callable[[], Secret] | None = None) -> None:
        """Open the vault by what the worker at work has it open with (so that a passphrase is typed once for as long as
        it is at work); else by what is set up for when nobody is there: systemd's credential, a key file,
        `password_command` (at most 30 s); else by the passphrase that `ask` gets, up to three times. Without any of
        them, and where there is no store, nothing happens: whoever uses it says so. Raises CredentialStoreError when
        they do not open it."""
        try:
            backend = selection.choose(self.paths)
        except CredentialStoreError:
            return
        unlocking.open_as(self.paths, backend, self._queue.key_of_worker)
        unlocking.open_by_itself(self.paths, backend, ask)

    def create_store(self, passphrase: Secret, backend: StoreBackend | None = None) -> StoreStatus:
        """Make the vault, or the session's default keyring, with this passphrase; it is open then. Where no store was
        chosen yet it is from now on. Raises CredentialStoreError, also when there is one already."""
        unlocking.create(self.paths, passphrase, backend or self.chosen_store())
        self._queue_opened()
        return self.store_status()

    def lock_store(self) -> StoreStatus:
        """Forget the vault's key, here and in the worker (what runs there goes on, what begins waits); or lock the
        session's keyring for every program."""
        kind = self.chosen_store()
        unlocking.lock(self.paths, kind)
        if kind is StoreBackend.VAULT and self.paths.journal_file.exists():
            self._queue.lock_store()
        return self.store_status()

    def change_passphrase(self, old: Secret, new: Secret) -> None:
        """Of the vault; its other slots stay, and who has it open keeps it open. Raises WrongPassphrase; Unsupported
        for a keyring of the system's. A second for the two."""
        unlocking.change_passphrase(self.paths, self.chosen_store(), old, new)

    def slots(self) -> tuple[SlotFact, ...]:
        """The ways to open the vault. Raises VaultMissing, and what else is wrong with the file."""
        return slots.read_slots(self.paths)

    def add_passphrase(self, passphrase: Secret, label: str) -> SlotFact:
        """One more passphrase that opens the vault. Raises VaultLocked, SlotRefused. Half a second."""
        return slots.add_passphrase(self.paths, passphrase, label)

    def renew_key(self, passphrase: Secret, *, drop_others: bool = False) -> tuple[SlotFact, ...]:
        """A new data key for the vault, so that nobody who ever had the old one, or what opened a slot since removed,
        can read it; the slots that are left. What `passphrase`, the key file and `password_command` open stays; raises
        SlotRefused for the others unless `drop_others`, WrongPassphrase. A second for each passphrase."""
        kept = slots.renew_key(self.paths, passphrase, drop_others=drop_others)
        self._queue_opened()
        return kept

    def remove_slot(self, slot_id: str) -> None:
        """Take a way to open the vault away. Raises SlotRefused for the last one, VaultLocked."""
        slots.remove_slot(self.paths, slot_id)

    def set_up_unattended(self, wanted: WantedSetup) -> Made:
        """Have the vault open by itself for jobs, and write their units. Needs it unlocked once. Raises
        CredentialStoreError, InvalidConfiguration; Conflict where a unit is there with another text."""
        from backup.credentials.unattended import setup

        return setup.set_up(self.paths, wanted, setup.program_here())

    def unattended_ways(self) -> tuple[KeySupply, ...]:
        """The three ways to have the vault open by itself, and which of them are set up. Nobody is asked."""
        from backup.credentials.unattended import setup

        return setup.ways(self.paths)

    def add_key_slot(self, label: str) -> Secret:
        """A key (base64) of a new slot, for systemd-creds: kept nowhere. Raises VaultLocked, SlotRefused."""
        from backup.credentials.unattended import setup

        return setup.add_key_slot(self.paths, label)

    def _queue_opened(self) -> None:
        """Secrets that stood in the configuration move in; what waits for credentials goes on, and the worker gets the
        key. Without a journal nothing can be waiting."""
        plain_secrets.adopt_secrets(self.paths, self._store)
        if self.paths.journal_file.exists():
            self._queue.credentials_changed()

    # Moving

    def move_credentials(
        self,
        to: StoreBackend,
        *,
        confirm_delete: Callable[[], bool] = lambda: False,
        on_progress: Callable[[MoveProgress], None] | None = None,
        ask: Callable[[], Secret] | None = None,
    ) -> MoveResult:
        """Copy every credential to another store (which is ready), read each back and compare, switch to it, and, once
        `confirm_delete` says so, delete the copies in the former store.

        May be interrupted at any moment, and asked for again: until the switch the former store is in use and whole,
        after it the new one. `confirm_delete` is called after the switch, `ask` for the passphrase of a locked vault.
        Raises CredentialStoreError.
        """
        from backup.credentials import moving

        unlocking.open_as(self.paths, selection.make(self.paths, StoreBackend.VAULT), self._queue.key_of_worker)
        result = moving.move(self.paths, to, confirm_delete=confirm_delete, on_progress=on_progress, ask=ask)
        self._queue_opened()
        return result

    def remove_copies(self, *, on_progress: Callable[[MoveProgress], None] | None = None) -> tuple[str, ...]:
        """Delete what a move has left in the former store (`StoreFacts.left_in`); the keys that were there. A copy that
        differs from what is kept now is deleted as well: only the new store is used. Raises CredentialStoreError."""
        from backup.credentials import moving

        return moving.remove_copies(self.paths, on_progress=on_progress)

    # Recovery and import

    def recovery_kit(self, names: Sequence[str] = (), *, columns: int = 80, dark_background: bool = False) -> Secret:
        """One printable page with all that is needed to read the backups of these instances (by default of all) on
        another machine: secrets in clear, with QR codes. Kept nowhere. Raises CredentialStoreError.

        `dark_background`: for a screen of light letters.
        """
        from backup.instances import recovery_kit

        return recovery_kit.kit(self.paths, self._store, names, columns=columns, dark_background=dark_background)

    def import_findings(self, source: ImportSource, text: str, config_text: str = "") -> ImportFindings:
        """What could be taken over from `text` (the earlier JSON configuration, ~/.aws/credentials with ~/.aws/config
        as `config_text`, what `rclone config dump` prints). Nothing is changed. Raises InvalidConfiguration."""
        from backup.instances import importing

        return importing.findings(source, text, config_text)

    def import_findings_in(self, source: ImportSource, path: Path) -> ImportFindings:
        """The same of a file (for AWS with `config` beside it). Raises NotFound, PermissionDenied too."""
        from backup.instances import importing

        return importing.findings_in(source, path)

    def apply_import(
        self,
        findings: ImportFindings,
        sources: Iterable[str] | None = None,
        *,
        names: Mapping[str, str] | None = None,
        blank_in: Path | None = None,
    ) -> Applied:
        """Save what was found (only `sources`, where given) as instances, disabled until checked, secrets in the store.
        An instance that is there already is never changed: the found one gets a free name (or what `names` says).

        `blank_in`: the earlier JSON file, in which the secrets that were saved are then made empty; ask before. Raises
        CredentialStoreError, InvalidConfiguration; what was saved before it stays and is told in the error's notes.
        """
        from backup.instances import importing

        return importing.apply(self.paths, self._store, findings, sources, names=names or {}, blank_in=blank_in)
