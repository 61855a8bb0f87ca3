"""Selection of the credential store. Backends are created directly: keyring could choose a null or plain-text one.

    1. the one pinned in the configuration
    2. the native store on macOS (Keychain) and Windows (Credential Manager)
    3. on Linux the Secret Service, if it is ready, or if credentials were kept before there was a choice
    4. the vault, if it exists
    5. none: the problem of the Secret Service is reported, and the vault is offered

The first credential kept pins its store. So a keyring that is locked today is never silently replaced by another store,
and nothing is ever kept in plain text.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from backup.config import file
from backup.credentials.errors import CredentialStoreError, keyring_errors, store_error
from backup.credentials.vault_file.unlocked import vault_path
from backup.model.credentials import OPENED_BY_LOGIN, TITLES, StoreBackend, StoreState
from backup.system.bounded import bounded
from backup.system.paths import Paths
from providers.remedies import Action, Remedy

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

PROBE_S: Final = 3.0
_NATIVE: Final = {"darwin": StoreBackend.KEYCHAIN, "win32": StoreBackend.CREDENTIAL_MANAGER}
_KEEP_NOTHING_SAFE: Final = ("keyring.backends.null", "keyring.backends.fail", "keyrings.alt.", "keyrings.cryptfile.")
_OFFER: Final = Remedy(Action.CREATE_VAULT)


def choose(paths: Paths, *, platform: str = sys.platform, probe_s: float = PROBE_S) -> KeyringBackend:
    """The store of this configuration, ready or not; takes up to `probe_s` if none is pinned.

    Raises CredentialStoreError if it cannot be loaded, or if there is none to choose yet.
    """
    configuration = file.load(paths)
    if configuration.store.backend is not None:
        return make(paths, configuration.store.backend)
    native = native_here(platform)
    backend = make(paths, native)
    if native in OPENED_BY_LOGIN or configuration.credentials:
        return backend
    problem = probe(backend, probe_s)
    if problem is None:
        return backend
    vault = make(paths, StoreBackend.VAULT)
    if vault_is_there(paths):
        return vault
    raise CredentialStoreError(
        problem.message, hint=problem.hint, remedies=(*problem.remedies, _OFFER), code=problem.code
    )


def native_here(platform: str = sys.platform) -> StoreBackend:
    return _NATIVE.get(platform, StoreBackend.SECRET_SERVICE)


def backends_here(platform: str = sys.platform) -> tuple[StoreBackend, ...]:
    """The stores that can be chosen on this system."""
    return native_here(platform), StoreBackend.VAULT


def vault_is_there(paths: Paths) -> bool:
    """True if anything exists at the vault's path, readable or not."""
    return os.path.lexists(vault_path(paths))


def make(paths: Paths, kind: StoreBackend) -> KeyringBackend:
    """A backend, not contacted yet. Raises CredentialStoreError if it cannot be loaded."""
    try:
        match kind:
            case StoreBackend.VAULT:
                from backup.credentials.vault import VaultKeyring

                vault = VaultKeyring(vault_path(paths))
                vault.key_file = vault.key_file or file.load(paths).store.key_file
                return vault
            case StoreBackend.KEYCHAIN:
                from keyring.backends.macOS import Keyring

                return Keyring()  # type: ignore[no-untyped-call]
            case StoreBackend.CREDENTIAL_MANAGER:
                from keyring.backends.Windows import WinVaultKeyring

                return WinVaultKeyring()  # type: ignore[no-untyped-call]
            case StoreBackend.SECRET_SERVICE:
                from backup.credentials.secret_service.backend import SecretServiceKeyring

                return SecretServiceKeyring()  # type: ignore[no-untyped-call]
    except (ImportError, RuntimeError) as error:
        raise store_error(StoreState.UNAVAILABLE, f"cannot be loaded: {error}") from error


def probe(backend: KeyringBackend, timeout_s: float = PROBE_S) -> CredentialStoreError | None:
    """The problem of a backend now, found within `timeout_s` and without a prompt; None if it is ready."""
    try:
        with keyring_errors(timeout_s):
            bounded(lambda: check(backend), timeout_s)
    except CredentialStoreError as error:
        return error
    return None


def check(backend: KeyringBackend) -> None:
    """Raises the error that any other call would raise now."""
    own = getattr(backend, "check", None)
    if callable(own):
        own()
    else:
        backend.get_password("homeserver-backup:check", "homeserver-backup")


def refuse_unsafe(backend: KeyringBackend) -> None:
    """Raise CredentialStoreError for a backend that forgets, always fails or writes plain text."""
    module = f"{type(backend).__module__}."
    if module.startswith(_KEEP_NOTHING_SAFE):
        raise store_error(StoreState.UNAVAILABLE, f"({type(backend).__module__}) keeps nothing safely")


def kind_of(backend: KeyringBackend) -> StoreBackend | None:
    return {
        "backup.credentials.vault": StoreBackend.VAULT,
        "backup.credentials.secret_service.backend": StoreBackend.SECRET_SERVICE,
        "keyring.backends.macOS": StoreBackend.KEYCHAIN,
        "keyring.backends.Windows": StoreBackend.CREDENTIAL_MANAGER,
    }.get(type(backend).__module__)


def title(backend: KeyringBackend) -> str:
    """The store's name, as shown to the user."""
    kind = kind_of(backend)
    return TITLES[kind] if kind else type(backend).__module__
