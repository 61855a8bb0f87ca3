"""Unlocking, locking or creating the session's default keyring from a terminal, without a desktop prompt.

Uses GNOME Keyring's own interface, as PAM does at login (gnome-keyring 42: daemon/dbus/gkd-secret-service.c). KWallet
and KeePassXC have none like it; use the vault there. The password crosses the bus encrypted (the Secret Service's DH
session).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, ClassVar, Final, TypeVar

from jeepney import DBusErrorResponse
from jeepney.io.blocking import DBusConnection
from keyring.errors import KeyringError
from secretstorage.defines import SS_PATH, SS_PREFIX
from secretstorage.exceptions import ItemNotFoundException, PromptDismissedException, SecretStorageException
from secretstorage.util import DBusAddressWrapper, format_secret, open_session

from backup.credentials.errors import CredentialStoreError
from backup.credentials.secret_service.backend import connect
from backup.model.credentials import StoreState
from backup.system.bounded import bounded
from providers.secret import Secret

T = TypeVar("T")

LABEL: Final = "Default keyring"
_VAULT: Final = "Use the vault instead: an encrypted file of this program."
_INTERNAL: Final = "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface"
_DENIED: Final = "org.gnome.keyring.Error.Denied"
_NO_SUCH_INTERFACE: Final = frozenset(
    f"org.freedesktop.DBus.Error.{name}" for name in ("UnknownMethod", "UnknownInterface", "NotSupported")
)
_NO_PATH: Final = "/"


class CollectionError(CredentialStoreError):
    """The session's keyring could not be unlocked or created. No password is ever part of the message."""

    kind: ClassVar[str] = "keyring"
    state: ClassVar[StoreState] = StoreState.UNAVAILABLE


class WrongKeyringPassword(CollectionError):
    kind = "keyring_wrong_password"
    state = StoreState.LOCKED
    cure = f"Type it again: it is the keyring's own, on a desktop usually the login password. {_VAULT}"


class NotOffered(CollectionError):
    """This Secret Service is not GNOME Keyring, or lacks the interface."""

    kind = "keyring_not_offered"
    cure = f"Unlock it with its own program. {_VAULT}"


class Dismissed(CollectionError):
    kind = "keyring_dismissed"
    state = StoreState.LOCKED
    cure = f"Try again. {_VAULT}"


class NoDefaultCollection(CollectionError):
    kind = "keyring_no_collection"
    state = StoreState.NO_COLLECTION
    cure = f"Create it. {_VAULT}"


class CollectionExists(CollectionError):
    kind = "keyring_exists"
    cure = "Unlock it with its password."


class NoSecretService(CollectionError):
    kind = "keyring_no_service"
    cure = _VAULT


class NoAnswer(CollectionError):
    kind = "keyring_no_answer"
    state = StoreState.HUNG
    cure = f"Stop gnome-keyring-daemon, or log out and in again. {_VAULT}"


def unlock_default(password: Secret, *, timeout_s: float = 5.0) -> None:
    """Unlock the default keyring. If it is unlocked already, the password is not checked.

    Raises a CollectionError within about `timeout_s`.
    """
    _ask(timeout_s, lambda connection: _unlock(connection, password))


def create_default(password: Secret, *, label: str = LABEL, timeout_s: float = 5.0) -> None:
    """Create an unlocked keyring and make it the default. An empty password is refused, because the keyring would be in
    clear text on disk. Raises CollectionExists if there is a default one, and other CollectionErrors.
    """
    if not password:
        raise WrongKeyringPassword("the keyring's password must not be empty", hint="Choose a passphrase.")
    _ask(timeout_s, lambda connection: _create(connection, password, label))


def lock_default(*, timeout_s: float = 5.0) -> None:
    """Lock the default keyring, for every program of the session. Raises a CollectionError within about `timeout_s`."""
    _ask(timeout_s, _lock)


def _lock(connection: DBusConnection) -> None:
    path = _default(connection)
    if path == _NO_PATH:
        raise NoDefaultCollection("the session has no default keyring yet")
    _service(connection).call("Lock", "ao", [path])
    if not _locked(connection, path):
        raise NotOffered("the keyring stayed open")


def _unlock(connection: DBusConnection, password: Secret) -> None:
    path = _default(connection)
    if path == _NO_PATH:
        raise NoDefaultCollection("the session has no default keyring yet")
    if _locked(connection, path):
        _internal(connection).call("UnlockWithMasterPassword", "o(oayays)", path, _sealed(connection, password))
        if _locked(connection, path):
            raise Dismissed("the keyring stayed locked")


def _create(connection: DBusConnection, password: Secret, label: str) -> None:
    if _default(connection) != _NO_PATH:
        raise CollectionExists("the session has a default keyring already")
    attributes = {f"{SS_PREFIX}Collection.Label": ("s", label)}
    (path,) = _internal(connection).call(
        "CreateWithMasterPassword", "a{sv}(oayays)", attributes, _sealed(connection, password)
    )
    if path == _NO_PATH:
        raise Dismissed("no keyring was created")
    _service(connection).call("SetAlias", "so", "default", path)
    if _locked(connection, path):
        raise Dismissed("the new keyring is locked")


def _default(connection: DBusConnection) -> str:
    (path,) = _service(connection).call("ReadAlias", "s", "default")
    return str(path)


def _locked(connection: DBusConnection, path: str) -> bool:
    return bool(DBusAddressWrapper(path, f"{SS_PREFIX}Collection", connection).get_property("Locked"))


def _service(connection: DBusConnection) -> Any:
    return DBusAddressWrapper(SS_PATH, f"{SS_PREFIX}Service", connection)


def _internal(connection: DBusConnection) -> Any:
    return DBusAddressWrapper(SS_PATH, _INTERNAL, connection)


def _sealed(connection: DBusConnection, password: Secret) -> tuple[str, bytes, bytes, str]:
    session = open_session(connection)
    if not session.encrypted:
        raise NotOffered("the Secret Service offers no encrypted session; the password was not sent")
    return format_secret(session, password.reveal().encode("utf-8", "surrogateescape"), "text/plain")


def _ask(timeout_s: float, question: Callable[[DBusConnection], T]) -> T:
    def call() -> T:
        with closing(connect(timeout_s)) as connection:
            return question(connection)

    with _collection_errors(timeout_s):
        return bounded(call, timeout_s + 0.5)


@contextmanager
def _collection_errors(timeout_s: float) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise NoAnswer(f"the keyring did not answer within {timeout_s:g} s") from error
    except PromptDismissedException as error:
        raise Dismissed("the prompt was dismissed") from error
    except ItemNotFoundException as error:
        raise _of_reply(error.__cause__, "the keyring has disappeared") from error
    except DBusErrorResponse as error:
        raise _of_reply(error, f"the keyring answered {error.name}") from error
    except (KeyringError, SecretStorageException, OSError) as error:
        raise NoSecretService(f"the session's keyring {error}") from error


def _of_reply(reply: BaseException | None, otherwise: str) -> CollectionError:
    name = getattr(reply, "name", "")
    if name == _DENIED:
        return WrongKeyringPassword("the keyring did not accept the password")
    if name in _NO_SUCH_INTERFACE:
        return NotOffered("this keyring cannot be unlocked or created from a terminal")
    return NoSecretService(otherwise)
