"""Credential stores and their contents: choosing, opening and moving stores, setting credentials."""

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
    """As all of `Core`: synchronous, bounded in time, callable from any thread. Returns no secret, except in the
    recovery kit and for `add_key_slot`."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._paths = opened.paths
        self._store = opened.store

    def status(self) -> StoreStatus:
        """The store in use and whether it can be read; answers within 3 s even if the keyring hangs."""
        return self._store.status()

    def facts(self) -> StoreFacts:
        """Everything the credentials screen shows. Never raises and prompts nobody, as `status`."""
        return credential_list.facts(self._paths, self._store, self._opened.queue)

    def all(self) -> tuple[CredentialFact, ...]:
        """Every credential kept or missing, from the configuration; no store is asked."""
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
        """Keep an instance's credentials in the store; None leaves that half unchanged. If `name` is a service's, the
        instance is created. `expires_at` (seconds since 1970): when the service stops accepting them, if known. Raises
        CredentialStoreError, and saves nothing, if no store can be used."""
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
        """Remove an instance's credentials. False if there were none."""
        return editing.remove_credentials(self._paths, name, store=self._store)

    def adopt_secrets(self) -> Adoption:
        """Move secrets from the configuration file to the store. Called when a front end starts, which reports the
        result. Never raises a ProviderError; without such secrets no keyring is asked."""
        return plain_secrets.adopt_secrets(self._paths, self._store)

    # Choosing

    def choices(self) -> tuple[StoreChoice, ...]:
        """The stores this machine could use, probed in parallel for at most 3 s; the recommended one is marked."""
        return choice.choices(self._paths)

    def use(self, backend: StoreBackend) -> StoreStatus:
        """Pin a store in the configuration, ready or not. Raises Conflict if another store has credentials: `move`
        moves them."""
        choice.use(self._paths, backend)
        return self.status()

    def chosen(self) -> StoreBackend:
        """The default store of the methods below: the one in use, else the recommended one."""
        return choice.chosen(self._paths)

    # Opening. A wrong passphrase, a missing interface, a dismissed prompt: each raises its own CredentialStoreError
    # with a hint.

    def unlock(self, passphrase: Secret, backend: StoreBackend | None = None) -> StoreStatus:
        """Open the vault for this process, its questions and the worker; or the session's keyring. Transfers that wait
        for credentials continue. Takes half a second for each passphrase slot of a vault."""
        unlocking.unlock(self._paths, passphrase, backend or self.chosen())
        self._opened_now()
        return self.status()

    def open(self, ask: Callable[[], Secret] | None = None) -> None:
        """Open the vault with the key of the running worker (so that a passphrase is typed only once while it runs);
        else with the unattended setup: systemd's credential, a key file, `password_command` (at most 30 s); else with
        the passphrase that `ask` returns, up to three times. Does nothing without any of them, or without a store: the
        next use raises. Raises CredentialStoreError if they do not open it."""
        try:
            backend = selection.choose(self._paths)
        except CredentialStoreError:
            return
        unlocking.open_as(self._paths, backend, self._opened.queue.key_of_worker)
        unlocking.open_by_itself(self._paths, backend, ask)

    def create(self, passphrase: Secret, backend: StoreBackend | None = None) -> StoreStatus:
        """Create and open the vault, or the session's default keyring, with this passphrase. If no store was chosen
        yet, this one is. Raises CredentialStoreError, also if it exists already."""
        unlocking.create(self._paths, passphrase, backend or self.chosen())
        self._opened_now()
        return self.status()

    def lock(self) -> StoreStatus:
        """Forget the vault's key, here and in the worker (running transfers continue, new ones wait); or lock the
        session's keyring for every program."""
        kind = self.chosen()
        unlocking.lock(self._paths, kind)
        if kind is StoreBackend.VAULT and self._paths.journal_file.exists():
            self._opened.queue.lock_store()
        return self.status()

    def change_passphrase(self, old: Secret, new: Secret) -> None:
        """Change the passphrase of the vault. Other slots stay, and processes that have it open keep it open. Takes a
        second. Raises WrongPassphrase; Unsupported for a keyring of the system."""
        unlocking.change_passphrase(self._paths, self.chosen(), old, new)

    def slots(self) -> tuple[SlotFact, ...]:
        """The ways to open the vault. Raises VaultMissing, or another VaultError for the file."""
        return slots.read_slots(self._paths)

    def add_passphrase(self, passphrase: Secret, label: str) -> SlotFact:
        """Add a passphrase that opens the vault. Takes half a second. Raises VaultLocked, SlotRefused."""
        return slots.add_passphrase(self._paths, passphrase, label)

    def renew_key(self, passphrase: Secret, *, drop_others: bool = False) -> tuple[SlotFact, ...]:
        """Give the vault a new data key, so that neither the old one nor the opener of a removed slot can read it.
        Returns the slots that are left: those that `passphrase`, the key file and `password_command` open. Takes a
        second for each passphrase. Raises WrongPassphrase, and SlotRefused for other slots unless `drop_others`."""
        kept = slots.renew_key(self._paths, passphrase, drop_others=drop_others)
        self._opened_now()
        return kept

    def remove_slot(self, slot_id: str) -> None:
        """Remove a way to open the vault. Raises SlotRefused for the last one, VaultLocked."""
        slots.remove_slot(self._paths, slot_id)

    def set_up_unattended(self, wanted: WantedSetup) -> Made:
        """Let unattended jobs open the vault, and write their units. The vault must be unlocked. Raises
        CredentialStoreError, InvalidConfiguration; Conflict if a unit exists with other content."""
        from backup.credentials.unattended import setup

        return setup.set_up(self._paths, wanted, setup.program_here())

    def unattended_ways(self) -> tuple[KeySupply, ...]:
        """The three ways for unattended jobs to open the vault, and which are set up. Prompts nobody."""
        from backup.credentials.unattended import setup

        return setup.ways(self._paths)

    def add_key_slot(self, label: str) -> Secret:
        """Add a slot and return its key (base64) for systemd-creds; kept nowhere. Raises VaultLocked, SlotRefused."""
        from backup.credentials.unattended import setup

        return setup.add_key_slot(self._paths, label)

    def _opened_now(self) -> None:
        """Move secrets from the configuration file into the open store, give the worker the key, and let waiting
        transfers continue."""
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
        """Copy every credential to another store, which must be ready; read each back and compare; switch to it; and if
        `confirm_delete` agrees, delete the copies in the former store.

        May be interrupted at any time and called again: until the switch the former store is in use and complete, after
        it the new one. `confirm_delete` is called after the switch, `ask` for the passphrase of a locked vault. Raises
        CredentialStoreError.
        """
        from backup.credentials import moving

        unlocking.open_as(
            self._paths, selection.make(self._paths, StoreBackend.VAULT), self._opened.queue.key_of_worker
        )
        result = moving.move(self._paths, to, confirm_delete=confirm_delete, on_progress=on_progress, ask=ask)
        self._opened_now()
        return result

    def remove_copies(self, *, on_progress: Callable[[MoveProgress], None] | None = None) -> tuple[str, ...]:
        """Delete the copies that a move left in the former store (`StoreFacts.left_in`), also those that differ by now:
        only the new store is used. Returns their keys. Raises CredentialStoreError."""
        from backup.credentials import moving

        return moving.remove_copies(self._paths, on_progress=on_progress)

    # Recovery

    def recovery_kit(self, names: Sequence[str] = (), *, columns: int = 80, dark_background: bool = False) -> Secret:
        """One printable page with all that is needed to read the backups of these instances (default: all) on another
        machine: secrets in clear, with QR codes. Kept nowhere. Raises CredentialStoreError.

        `dark_background`: for a screen with light text.
        """
        from backup.instances import recovery_kit

        return recovery_kit.kit(self._paths, self._store, names, columns=columns, dark_background=dark_background)
