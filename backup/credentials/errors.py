"""The error of the credential store, and the conversion of keyring's errors into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Final

from backup.model.credentials import StoreState
from providers.errors import ProviderError
from providers.remedies import Action, Remedy

_HINTS: Final = {
    StoreState.LOCKED: (
        "Unlock the keyring of this session, here or with a desktop login, then try again. On a server "
        "`gnome-keyring-daemon --unlock` reads its password from standard input."
    ),
    StoreState.NO_COLLECTION: (
        "Create the default keyring, then try again. On a server `gnome-keyring-daemon --unlock` makes one with the "
        "password that it reads from standard input."
    ),
    StoreState.UNAVAILABLE: (
        "Install a keyring (Debian: apt install gnome-keyring dbus-user-session), log in again and unlock it; "
        "`dbus-run-session` gives a session bus where there is none."
    ),
    StoreState.HUNG: "The keyring does not answer. Stop gnome-keyring-daemon, or log out and in again, then try again.",
}
_REMEDIES: Final = {
    StoreState.LOCKED: (Remedy(Action.UNLOCK_STORE),),
    StoreState.NO_COLLECTION: (Remedy(Action.CREATE_KEYRING),),
}


class CredentialStoreError(ProviderError):
    """Secrets could not be read or kept. `code` is the StoreState (`locked`, `hung`, ...), or for one entry `missing`,
    `malformed`, `not_kept`."""

    kind: ClassVar[str] = "credential_store"
    remedies: tuple[Remedy, ...] = (Remedy(Action.SET_CREDENTIALS),)
    state: ClassVar[StoreState | None] = None
    """Of the store, where the class alone tells it: then it is the `code`."""

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
            message,
            hint=hint,
            remedies=remedies,
            code=code or (self.state.value if self.state else ""),
            retry_after_s=retry_after_s,
        )


def store_error(state: StoreState, detail: str) -> CredentialStoreError:
    """The error of a store in a state other than READY."""
    return CredentialStoreError(
        f"the credential store {detail}", hint=_HINTS[state], remedies=_REMEDIES.get(state, ()), code=state.value
    )


@contextmanager
def keyring_errors(timeout_s: float) -> Iterator[None]:
    """Convert errors of a backend into CredentialStoreError. A CredentialStoreError as cause (of the vault) is raised
    itself."""
    from keyring.errors import KeyringError, KeyringLocked

    from backup.credentials.backend_errors import NoCollection

    try:
        yield
    except CredentialStoreError:
        raise
    except TimeoutError as error:
        raise store_error(StoreState.HUNG, f"did not answer within {timeout_s:g} s") from error
    except KeyringError as error:
        if isinstance(error.__cause__, CredentialStoreError):
            raise error.__cause__ from None
        if isinstance(error, KeyringLocked):
            raise store_error(StoreState.LOCKED, "is locked") from error
        if isinstance(error, NoCollection):
            raise store_error(StoreState.NO_COLLECTION, str(error)) from error
        raise store_error(StoreState.UNAVAILABLE, str(error)) from error
    except (OSError, RuntimeError) as error:
        raise store_error(StoreState.UNAVAILABLE, str(error)) from error
