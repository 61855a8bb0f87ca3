"""The one error of the credential store."""

from __future__ import annotations

from typing import ClassVar, Final

from backup.model import StoreState
from providers.errors import ProviderError

CURES: Final = {
    StoreState.LOCKED: (
        "Unlock the keyring of this session, then try again: a desktop log-in does it; "
        "on a server `gnome-keyring-daemon --unlock` reads its password from standard input."
    ),
    StoreState.NO_COLLECTION: (
        "Create the default keyring, then try again: on a server `gnome-keyring-daemon --unlock` "
        "makes one with the password that it reads from standard input."
    ),
    StoreState.UNAVAILABLE: (
        "Install a keyring (Debian: apt install gnome-keyring dbus-user-session), log in again and unlock it; "
        "`dbus-run-session` gives a session bus where there is none."
    ),
    StoreState.HUNG: "The keyring does not answer. End gnome-keyring-daemon, or log out and in again, then try again.",
}


class CredentialStoreError(ProviderError):
    """Secrets could not be read or kept. `code` is the StoreState (`locked`, `hung`, ...), or `missing`, `malformed`,
    `not_kept` for what is wrong with one entry."""

    kind: ClassVar[str] = "credential_store"
    cure: ClassVar[str] = "Set them anew with set-credentials."


def store_error(state: StoreState, detail: str) -> CredentialStoreError:
    """The error of a store in a state other than READY."""
    return CredentialStoreError(f"the credential store {detail}", hint=CURES[state], code=state.value)
