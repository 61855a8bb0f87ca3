"""The Secret Service of a Linux session (GNOME Keyring, KWallet, KeePassXC), used without ever opening a prompt.

keyring's own backend opens prompts, which hang unseen on a server, and waits forever for a daemon that does not answer
(both observed with keyring 25.7, SecretStorage 3.5).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import secretstorage
from jeepney import DBusErrorResponse
from jeepney.bus import get_bus
from jeepney.io.blocking import DBusConnection, prep_socket
from keyring.backends import SecretService
from keyring.errors import KeyringError, KeyringLocked
from secretstorage.exceptions import (
    ItemNotFoundException,
    LockedException,
    PromptDismissedException,
    SecretStorageException,
)

from backup.credentials.backend_errors import NoCollection, NoService

APP_ID: Final = "homeserver-backup"


class _ImpatientConnection(DBusConnection):  # type: ignore[misc]  # jeepney has no types
    """A connection whose requests all end by one deadline, so that abandoned threads end too."""

    def __init__(self, sock: Any, deadline: float) -> None:
        self._deadline = deadline
        super().__init__(sock)

    def receive(self, *, timeout: float | None = None) -> Any:
        return super().receive(timeout=max(0.0, self._deadline - time.monotonic()))


class SecretServiceKeyring(SecretService.Keyring):
    """keyring's backend, except that it raises KeyringLocked or NoCollection instead of opening a prompt."""

    appid = APP_ID
    timeout_s = 3.0

    def get_preferred_collection(self) -> secretstorage.Collection:
        """The default collection, which is unlocked; the caller closes its connection.

        Raises NoService, NoCollection, KeyringLocked.
        """
        with _keyring_errors():
            connection = connect(self.timeout_s)
            try:
                collection = _default_collection(connection)
                if collection.is_locked():
                    raise KeyringLocked("is locked")
            except BaseException:
                connection.close()
                raise
            return collection

    def unlock(self, item: Any) -> None:
        """The parent's hook for items. Never prompts: raises KeyringLocked for a locked item."""
        if item.is_locked():
            raise KeyringLocked("is locked")

    def check(self) -> None:
        """Raises the error that any other call would raise now."""
        with closing(self.get_preferred_collection().connection):
            return

    def get_password(self, service: str, username: str) -> str | None:
        with _keyring_errors():
            found: str | None = super().get_password(service, username)  # type: ignore[no-untyped-call]
            return found

    def set_password(self, service: str, username: str, password: str) -> None:
        with _keyring_errors():
            super().set_password(service, username, password)  # type: ignore[no-untyped-call]

    def delete_password(self, service: str, username: str) -> None:
        with _keyring_errors():
            super().delete_password(service, username)  # type: ignore[no-untyped-call]


def connect(timeout_s: float) -> DBusConnection:
    try:
        sock = prep_socket(get_bus(_bus_address()), timeout=timeout_s)
    except (ConnectionError, FileNotFoundError, PermissionError, ValueError, RuntimeError) as error:
        raise NoService(f"has no session bus: {error}") from error
    connection = _ImpatientConnection(sock, time.monotonic() + timeout_s)
    if not secretstorage.check_service_availability(connection):
        connection.close()
        raise NoService("is missing: no Secret Service on the session bus")
    return connection


def _bus_address() -> str:
    """The session's bus; systemd's default path if a cron job or plain login has no variable for it."""
    address = os.environ.get("DBUS_SESSION_BUS_ADDRESS")
    if address:
        return address
    socket = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}") / "bus"
    if not socket.exists():
        raise NoService("has no session bus: DBUS_SESSION_BUS_ADDRESS is not set")
    return f"unix:path={socket}"


def _default_collection(connection: DBusConnection) -> secretstorage.Collection:
    try:
        return secretstorage.Collection(connection)
    except ItemNotFoundException as error:
        raise NoCollection("has no default keyring yet") from error


@contextmanager
def _keyring_errors() -> Iterator[None]:
    """Convert all errors into those of keyring, or TimeoutError."""
    try:
        yield
    except (KeyringError, TimeoutError):
        raise
    except (LockedException, PromptDismissedException) as error:
        raise KeyringLocked("is locked") from error
    except (SecretStorageException, OSError) as error:
        raise NoService(f"does not work: {error}") from error
    except DBusErrorResponse as error:
        raise NoService(f"does not work: {error.name}") from error
