"""Which keyring backend is used here. Made directly: keyring's own choice could be a null or a plain-text one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from backup.credentials.errors import store_error
from backup.model import StoreState

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

_KEEP_NOTHING_SAFE: Final = ("keyring.backends.null", "keyring.backends.fail", "keyrings.alt.", "keyrings.cryptfile.")


def choose(platform: str = sys.platform) -> KeyringBackend:
    """The native keychain on macOS, the Secret Service elsewhere. Never falls back to anything else.

    Asks nothing of the backend yet. Raises CredentialStoreError when it cannot be loaded.
    """
    try:
        if platform == "darwin":
            from keyring.backends.macOS import Keyring

            return Keyring()  # type: ignore[no-untyped-call]
        from backup.credentials.secret_service import SecretServiceKeyring

        return SecretServiceKeyring()  # type: ignore[no-untyped-call]
    except (ImportError, RuntimeError) as error:
        raise store_error(StoreState.UNAVAILABLE, f"cannot be loaded: {error}") from error


def refuse_unsafe(backend: KeyringBackend) -> None:
    """Raises CredentialStoreError for a backend that forgets, always fails or writes plain text."""
    module = f"{type(backend).__module__}."
    if module.startswith(_KEEP_NOTHING_SAFE):
        raise store_error(StoreState.UNAVAILABLE, f"({type(backend).__module__}) keeps nothing safely")


def title(backend: KeyringBackend) -> str:
    """What a person calls it."""
    module = type(backend).__module__
    if module == "backup.credentials.secret_service":
        return "Secret Service (the session's keyring)"
    if module == "keyring.backends.macOS":
        return "macOS Keychain"
    return module
