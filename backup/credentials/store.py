"""The credential store: one entry a credentials key, in a keyring backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from backup import config, redaction
from backup.credentials import selection
from backup.credentials.bounded import bounded
from backup.credentials.entry import Credentials, from_text, to_text
from backup.credentials.errors import CredentialStoreError, store_error
from backup.model import StoreState, StoreStatus
from backup.paths import Paths

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

T = TypeVar("T")

SERVICE_PREFIX: Final = "homeserver-backup:"
"""Before the credentials key: Windows, for one, tells entries apart by the service alone."""
_USER: Final = "homeserver-backup"


class CredentialStore:
    """Every method answers within `timeout_s` a call, never opens a prompt, and may be called from any thread.

    Those that read or change an entry raise CredentialStoreError. Nothing is ever written in plain text.
    """

    def __init__(
        self, paths: Paths, *, backend: Callable[[], KeyringBackend] = selection.choose, timeout_s: float = 3.0
    ) -> None:
        self._paths = paths
        self._choose = backend
        self._timeout_s = timeout_s

    def status(self) -> StoreStatus:
        """Which backend, and whether it can be used now. Never raises."""
        try:
            self._ask(_check)
        except CredentialStoreError as error:
            return StoreStatus(
                state=StoreState(error.code), backend=self._title(), detail=error.message, hint=error.hint
            )
        return StoreStatus(state=StoreState.READY, backend=self._title())

    def get(self, key: str) -> Credentials | None:
        """The entry, or None when there is none. Its secrets are blackened in logs from now on."""
        text = self._ask(lambda backend: backend.get_password(SERVICE_PREFIX + key, _USER))
        if text is None:
            return None
        credentials = from_text(key, text)
        redaction.hide(*credentials.secrets())
        return credentials

    def has(self, key: str) -> bool:
        return self._ask(lambda backend: backend.get_password(SERVICE_PREFIX + key, _USER)) is not None

    def set(self, key: str, credentials: Credentials) -> None:
        """Keep an entry, replacing an older one, and note in the configuration that it is there.

        It was read back when this returns. Raises InvalidConfiguration, before anything is kept, when the configuration
        is read-only.
        """
        redaction.hide(*credentials.secrets())
        text = to_text(credentials)
        with config.edit(self._paths) as draft:
            self._ask(lambda backend: backend.set_password(SERVICE_PREFIX + key, _USER, text))
            if self._ask(lambda backend: backend.get_password(SERVICE_PREFIX + key, _USER)) != text:
                raise CredentialStoreError(f"the keyring did not keep the entry {key!r}", code="not_kept")
            draft.index_credentials(key, credentials.username, credentials.fields)

    def remove(self, key: str) -> bool:
        """Delete an entry. False when there was none."""
        with config.edit(self._paths) as draft:
            there = self._ask(lambda backend: backend.get_password(SERVICE_PREFIX + key, _USER)) is not None
            if there:
                self._ask(lambda backend: backend.delete_password(SERVICE_PREFIX + key, _USER))
            draft.forget_credentials(key)
        return there

    def _ask(self, question: Callable[[KeyringBackend], T]) -> T:
        from keyring.errors import KeyringError, KeyringLocked

        from backup.credentials.backend_errors import NoCollection

        def call() -> T:
            backend = self._choose()
            selection.refuse_unsafe(backend)
            return question(backend)

        try:
            return bounded(call, self._timeout_s)
        except CredentialStoreError:
            raise
        except TimeoutError as error:
            raise store_error(StoreState.HUNG, f"gave no answer within {self._timeout_s:g} s") from error
        except KeyringLocked as error:
            raise store_error(StoreState.LOCKED, "is locked") from error
        except NoCollection as error:
            raise store_error(StoreState.NO_COLLECTION, str(error)) from error
        except (KeyringError, OSError, RuntimeError) as error:
            raise store_error(StoreState.UNAVAILABLE, str(error)) from error

    def _title(self) -> str:
        try:
            return selection.title(self._choose())
        except CredentialStoreError:
            return ""


def _check(backend: KeyringBackend) -> None:
    check = getattr(backend, "check", None)
    if callable(check):
        check()
    else:
        backend.get_password(SERVICE_PREFIX + "check", _USER)
