"""Where secrets are kept, and what is kept there: choosing, opening and moving credential stores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from backup.config import file
from backup.core import credential_list
from backup.core.opened import Opened
from backup.credentials import CredentialStoreError, choice, selection, slots, unlocking
from backup.instances import editing, plain_secrets
from backup.instances.plain_secrets import Adoption
from backup.instances.values import settings_class
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
from providers import registry
from providers.errors import InvalidConfiguration
from providers.secret import Secret

if TYPE_CHECKING:
    from backup.credentials.unattended.setup import KeySupply, Made, WantedSetup


class CredentialStores:
    """As all of `Core`: synchronous, bounded in time, callable from any thread. No secret comes back out of it, but for
    the recovery kit, which is asked for by a person."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._paths = opened.paths
        self._store = opened.store

    def status(self) -> StoreStatus:
        """Where secrets are kept and whether they can be read; asked within 3 s, also of a hung keyring."""
        return self._store.status()

    def facts(self) -> StoreFacts:
        """All that the screen of credentials says. As `status`, it never raises and asks nobody."""
        return credential_list.facts(self._paths, self._store, self._opened.queue)

    def all(self) -> tuple[CredentialFact, ...]:
        """Every credential that is kept or wanted, by what the configuration notes; no store is asked."""
        return credential_list.credentials(self._paths)

    # Credentials

    def set(
        self,
        name: str,
        username: str | None,
        password: Secret | None,
        extra: Mapping[str, Secret] | None = None,
        *,
        expires_at: float | None = None,
    ) -> None:
        """Keep an instance's credentials in the store (None leaves that half as it is). Raises CredentialStoreError
        and saves nothing when no store can be used. `expires_at` (seconds since 1970): when the service takes them no
        more, where that is known. Where `name` is a service's, the
        instance is made."""
        configuration = file.load(self._paths)
        service = editing.service_of(configuration, name)
        cls = settings_class(registry.spec(service))
        if password is not None and not editing.takes_password(cls):
            raise InvalidConfiguration(
                f"{name}: {cls.title or service} takes no credentials", hint="There is nothing to set."
            )
        secrets = dict(extra or {}) | ({"password": password} if password is not None else {})
        instance = editing.as_saved(configuration, name, service, {})
        with editing.put_back_on_failure(self._store, configuration, instance.credentials_key):
            editing.store_credentials(
                self._paths, name, username, secrets, store=self._store, instance=instance, expires_at=expires_at
            )
            if name not in configuration.instances:
                editing.write(self._paths, name, service, {})
        self._opened.changed(name)

    def remove(self, name: str) -> bool:
        """False when there were none."""
        return editing.remove_credentials(self._paths, name, store=self._store)

    def adopt_secrets(self) -> Adoption:
        """Move secrets that stand in the configuration file to the store; called as a front end starts, which tells the
        user what became of them. Never raises a ProviderError; without such secrets no keyring is asked."""
        return plain_secrets.adopt_secrets(self._paths, self._store)

    # Choosing

    def choices(self) -> tuple[StoreChoice, ...]:
        """The stores that this machine could use, each asked within 3 s (side by side), the recommended one marked."""
        return choice.choices(self._paths)

    def use(self, backend: StoreBackend) -> StoreStatus:
        """Pin a store in the configuration, ready or not. Raises Conflict when credentials are kept in another one:
        `move` takes them along."""
        choice.use(self._paths, backend)
        return self.status()

    def chosen(self) -> StoreBackend:
        """The store that the methods below mean where none is named: the one in use, else the one recommended here."""
        return choice.chosen(self._paths)

    # Opening. A passphrase that is wrong, an interface that is missing, a prompt that was dismissed: each raises a
    # CredentialStoreError of its own, whose hint says what helps.

    def unlock(self, passphrase: Secret, backend: StoreBackend | None = None) -> StoreStatus:
        """Open the vault for this process, its questions and the worker; or the session's keyring. What waited for
        credentials goes on. Half a second for each passphrase slot of a vault."""
        unlocking.unlock(self._paths, passphrase, backend or self.chosen())
        self._opened_now()
        return self.status()

    def open(self, ask: Callable[[], Secret] | None = None) -> None:
        """Open the vault by what the worker at work has it open with (so that a passphrase is typed once for as long as
        it is at work); else by what is set up for when nobody is there: systemd's credential, a key file,
        `password_command` (at most 30 s); else by the passphrase that `ask` gets, up to three times. Without any of
        them, and where there is no store, nothing happens: whoever uses it says so. Raises CredentialStoreError when
        they do not open it."""
        try:
            backend = selection.choose(self._paths)
        except CredentialStoreError:
            return
        unlocking.open_as(self._paths, backend, self._opened.queue.key_of_worker)
        unlocking.open_by_itself(self._paths, backend, ask)

    def create(self, passphrase: Secret, backend: StoreBackend | None = None) -> StoreStatus:
        """Make the vault, or the session's default keyring, with this passphrase; it is open then. Where no store was
        chosen yet it is from now on. Raises CredentialStoreError, also when there is one already."""
        unlocking.create(self._paths, passphrase, backend or self.chosen())
        self._opened_now()
        return self.status()

    def lock(self) -> StoreStatus:
        """Forget the vault's key, here and in the worker (what runs there goes on, what begins waits); or lock the
        session's keyring for every program."""
        kind = self.chosen()
        unlocking.lock(self._paths, kind)
        if kind is StoreBackend.VAULT and self._paths.journal_file.exists():
            self._opened.queue.lock_store()
        return self.status()

    def change_passphrase(self, old: Secret, new: Secret) -> None:
        """Of the vault; its other slots stay, and who has it open keeps it open. Raises WrongPassphrase; Unsupported
        for a keyring of the system's. A second for the two."""
        unlocking.change_passphrase(self._paths, self.chosen(), old, new)

    def slots(self) -> tuple[SlotFact, ...]:
        """The ways to open the vault. Raises VaultMissing, and what else is wrong with the file."""
        return slots.read_slots(self._paths)

    def add_passphrase(self, passphrase: Secret, label: str) -> SlotFact:
        """One more passphrase that opens the vault. Raises VaultLocked, SlotRefused. Half a second."""
        return slots.add_passphrase(self._paths, passphrase, label)

    def renew_key(self, passphrase: Secret, *, drop_others: bool = False) -> tuple[SlotFact, ...]:
        """A new data key for the vault, so that nobody who ever had the old one, or what opened a slot since removed,
        can read it; the slots that are left. What `passphrase`, the key file and `password_command` open stays; raises
        SlotRefused for the others unless `drop_others`, WrongPassphrase. A second for each passphrase."""
        kept = slots.renew_key(self._paths, passphrase, drop_others=drop_others)
        self._opened_now()
        return kept

    def remove_slot(self, slot_id: str) -> None:
        """Take a way to open the vault away. Raises SlotRefused for the last one, VaultLocked."""
        slots.remove_slot(self._paths, slot_id)

    def set_up_unattended(self, wanted: WantedSetup) -> Made:
        """Have the vault open by itself for jobs, and write their units. Needs it unlocked once. Raises
        CredentialStoreError, InvalidConfiguration; Conflict where a unit is there with another text."""
        from backup.credentials.unattended import setup

        return setup.set_up(self._paths, wanted, setup.program_here())

    def unattended_ways(self) -> tuple[KeySupply, ...]:
        """The three ways to have the vault open by itself, and which of them are set up. Nobody is asked."""
        from backup.credentials.unattended import setup

        return setup.ways(self._paths)

    def add_key_slot(self, label: str) -> Secret:
        """A key (base64) of a new slot, for systemd-creds: kept nowhere. Raises VaultLocked, SlotRefused."""
        from backup.credentials.unattended import setup

        return setup.add_key_slot(self._paths, label)

    def _opened_now(self) -> None:
        """Secrets that stood in the configuration move in; what waits for credentials goes on, and the worker gets the
        key. Without a journal nothing can be waiting."""
        self.adopt_secrets()
        self._opened.changed()

    # Moving

    def move(
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

        unlocking.open_as(
            self._paths, selection.make(self._paths, StoreBackend.VAULT), self._opened.queue.key_of_worker
        )
        result = moving.move(self._paths, to, confirm_delete=confirm_delete, on_progress=on_progress, ask=ask)
        self._opened_now()
        return result

    def remove_copies(self, *, on_progress: Callable[[MoveProgress], None] | None = None) -> tuple[str, ...]:
        """Delete what a move has left in the former store (`StoreFacts.left_in`); the keys that were there. A copy that
        differs from what is kept now is deleted as well: only the new store is used. Raises CredentialStoreError."""
        from backup.credentials import moving

        return moving.remove_copies(self._paths, on_progress=on_progress)

    # Recovery

    def recovery_kit(self, names: Sequence[str] = (), *, columns: int = 80, dark_background: bool = False) -> Secret:
        """One printable page with all that is needed to read the backups of these instances (by default of all) on
        another machine: secrets in clear, with QR codes. Kept nowhere. Raises CredentialStoreError.

        `dark_background`: for a screen of light letters.
        """
        from backup.instances import recovery_kit

        return recovery_kit.kit(self._paths, self._store, names, columns=columns, dark_background=dark_background)
