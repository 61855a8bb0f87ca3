"""Unlocking and creating the session's keyring from a terminal, against a real GNOME Keyring on a private bus."""

from __future__ import annotations

import os
import threading
import time

import pytest
from jeepney import HeaderFields, MessageType, new_error, new_method_return
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import Proxy, open_dbus_connection

from backup.credentials.secret_service import collection
from backup.credentials.secret_service.backend import SecretServiceKeyring
from providers.secret import Secret
from tests.credentials_fixture import SecretService

PASSWORD = Secret("correct horse")


def _keyring() -> SecretServiceKeyring:
    return SecretServiceKeyring()


def test_unlock_opens_a_locked_keyring(secret_service: SecretService) -> None:
    _keyring().set_password("service", "user", "kept")
    secret_service.lock()
    collection.unlock_default(PASSWORD)
    assert _keyring().get_password("service", "user") == "kept"


def test_unlock_of_an_open_keyring_changes_nothing(secret_service: SecretService) -> None:
    collection.unlock_default(Secret("not looked at"))
    _keyring().check()


def test_a_wrong_password_is_reported_and_keeps_it_locked(secret_service: SecretService) -> None:
    secret_service.lock()
    with pytest.raises(collection.WrongKeyringPassword) as raised:
        collection.unlock_default(Secret("wrong canary"))
    assert "canary" not in f"{raised.value!s}{raised.value!r}{raised.value.hint}"
    assert raised.value.code == "locked"
    collection.unlock_default(PASSWORD)


def test_without_a_default_keyring_unlock_says_so_and_create_makes_a_lasting_one(
    secret_service_bus: SecretService,
) -> None:
    secret_service_bus.start(password=None)
    with pytest.raises(collection.NoDefaultCollection):
        collection.unlock_default(PASSWORD)
    collection.create_default(Secret("pässphrase"))
    _keyring().set_password("service", "user", "kept")
    secret_service_bus.lock()
    collection.unlock_default(Secret("pässphrase"))
    assert _keyring().get_password("service", "user") == "kept"


def test_create_does_not_touch_an_existing_keyring(secret_service: SecretService) -> None:
    with pytest.raises(collection.CollectionExists):
        collection.create_default(Secret("another"))


def test_an_empty_password_is_refused(secret_service_bus: SecretService) -> None:
    secret_service_bus.start(password=None)
    with pytest.raises(collection.WrongKeyringPassword, match="empty"):
        collection.create_default(Secret(""))


def test_a_call_to_a_frozen_daemon_ends_in_time(secret_service: SecretService) -> None:
    secret_service.freeze()
    started = time.monotonic()
    with pytest.raises(collection.NoAnswer):
        collection.unlock_default(PASSWORD, timeout_s=0.3)
    assert time.monotonic() - started < 2


def test_no_service_on_the_bus(secret_service_bus: SecretService) -> None:
    with pytest.raises(collection.NoSecretService, match="no Secret Service"):
        collection.unlock_default(PASSWORD)


def test_no_bus(monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/nothing")
    with pytest.raises(collection.NoSecretService, match="no session bus"):
        collection.unlock_default(PASSWORD)


class OtherService:
    """A Secret Service other than GNOME Keyring, with nothing but a locked default keyring."""

    def __init__(self, address: str, error: str) -> None:
        self._connection = open_dbus_connection(address)
        self._error = error
        reply = Proxy(message_bus, self._connection).RequestName("org.freedesktop.secrets")
        assert reply == (1,)
        self.asked: list[str] = []
        self._stop = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop = True
        self._thread.join(5)
        self._connection.close()

    def _serve(self) -> None:
        while not self._stop:
            try:
                message = self._connection.receive(timeout=0.05)
            except TimeoutError:
                continue
            if message.header.message_type is not MessageType.method_call:
                continue
            member = message.header.fields[HeaderFields.member]
            self.asked.append(member)
            match member:
                case "ReadAlias":
                    answer = new_method_return(message, "o", ("/org/freedesktop/secrets/collection/other",))
                case "Get":
                    answer = new_method_return(message, "v", (("b", True),))
                case "OpenSession" if message.body[0] == "plain":
                    answer = new_method_return(message, "vo", (("s", ""), "/session"))
                case "OpenSession" if self._error == "plain only":
                    answer = new_error(message, "org.freedesktop.DBus.Error.NotSupported")
                case "OpenSession":
                    answer = new_method_return(message, "vo", (("ay", b"\x02" * 128), "/session"))
                case _ if self._error == "ignored":
                    answer = new_method_return(message)
                case _:
                    answer = new_error(message, self._error, "s", ("said the service",))
            self._connection.send(answer)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("org.freedesktop.DBus.Error.UnknownMethod", collection.NotOffered),
        ("org.freedesktop.DBus.Error.UnknownInterface", collection.NotOffered),
        ("org.freedesktop.DBus.Error.AccessDenied", collection.NoSecretService),
        ("org.gnome.keyring.Error.Denied", collection.WrongKeyringPassword),
        ("ignored", collection.Dismissed),
        ("plain only", collection.NotOffered),
    ],
)
def test_each_answer_of_another_service_has_its_own_error(
    secret_service_bus: SecretService, error: str, expected: type[collection.CollectionError]
) -> None:
    service = OtherService(secret_service_bus.address, error)
    try:
        with pytest.raises(expected) as raised:
            collection.unlock_default(PASSWORD)
    finally:
        service.close()
    assert "the vault" in raised.value.hint
    assert ("UnlockWithMasterPassword" in service.asked) == (error != "plain only")


def test_kinds_and_classes_pair_up() -> None:
    family: list[type[collection.CollectionError]] = [
        collection.CollectionError,
        *collection.CollectionError.__subclasses__(),
    ]
    assert len({cls.kind for cls in family}) == len(family)
