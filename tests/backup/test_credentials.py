"""The credential store, on a real GNOME Keyring and without one."""

from __future__ import annotations

import json
import sys
import time
import types

import keyring.backends.fail
import keyring.backends.null
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError

from backup.config import file
from backup.credentials import Credentials, CredentialStore, CredentialStoreError, facts, selection, unlocking
from backup.credentials import choice as store_choice
from backup.credentials.vault_file.file import VaultFile
from backup.credentials.vault_file.unlocked import vault_path
from backup.model.credentials import StoreBackend, StoreSettings, StoreState
from backup.system.paths import Paths
from providers.errors import InvalidConfiguration, Unsupported
from providers.secret import Secret
from tests.backup.vault_tools import CHEAP, PASSPHRASE
from tests.credentials_fixture import SecretService

SOME = Credentials(
    username="AKIAEXAMPLE",
    password=Secret("päss \"word'"),
    extra={"session_token": Secret("t0ken-of-session")},
)


class MemoryKeyring(KeyringBackend):
    """A fake for a store of the system."""

    priority = 1

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if (service, username) not in self.entries:
            raise PasswordDeleteError("none")
        del self.entries[service, username]


def test_another_store_sees_an_entry_until_it_is_removed(paths: Paths, secret_service: SecretService):
    CredentialStore(paths).set("offsite", SOME)
    store = CredentialStore(paths)
    assert store.status().state is StoreState.READY
    assert store.get("offsite") == SOME
    assert store.has("offsite")
    assert store.get("another") is None
    assert store.remove("offsite") is True
    assert store.get("offsite") is None
    assert store.remove("offsite") is False


def test_setting_again_replaces(paths: Paths, secret_service: SecretService):
    store = CredentialStore(paths)
    store.set("offsite", SOME)
    store.set("offsite", Credentials(username="other", password=Secret("second")))
    assert store.get("offsite") == Credentials(username="other", password=Secret("second"))


def test_the_configuration_lists_entries_without_secrets(paths: Paths, secret_service: SecretService):
    store = CredentialStore(paths)
    store.set("offsite", SOME)
    first = file.load(paths).credentials["offsite"]
    assert first.username == "AKIAEXAMPLE"
    assert first.fields == ("password", "session_token")
    text = paths.config_file.read_text()
    assert "t0ken-of-session" not in text
    assert json.loads(text)["credentials"]["offsite"].keys() == {"username", "fields", "revision"}
    store.set("offsite", SOME)
    assert file.load(paths).credentials["offsite"].revision != first.revision
    store.remove("offsite")
    assert file.load(paths).credentials == {}


def test_entries_survive_a_restart_of_the_daemon(paths: Paths, secret_service: SecretService):
    CredentialStore(paths).set("offsite", SOME)
    secret_service.stop_daemon()
    secret_service.start()
    assert CredentialStore(paths).get("offsite") == SOME


def test_a_locked_keyring_is_reported_and_nothing_is_saved(paths: Paths, secret_service: SecretService):
    secret_service.lock()
    store = CredentialStore(paths)
    status = store.status()
    assert status.state is StoreState.LOCKED
    assert "nlock" in status.hint
    with pytest.raises(CredentialStoreError, match="locked") as caught:
        store.set("offsite", SOME)
    assert caught.value.code == "locked"
    assert not paths.config_file.exists()


def test_a_locked_keyring_never_prompts(paths: Paths, secret_service: SecretService, monkeypatch: pytest.MonkeyPatch):
    secret_service.lock()
    monkeypatch.setenv("DISPLAY", ":77")  # with a display, keyring's own backend opens a prompt and hangs
    started = time.monotonic()
    assert CredentialStore(paths).status().state is StoreState.LOCKED
    assert time.monotonic() - started < 2


def test_no_collection_yet(paths: Paths, secret_service_bus: SecretService):
    secret_service_bus.start(password=None)
    store = CredentialStore(paths)
    assert store.status().state is StoreState.NO_COLLECTION
    with pytest.raises(CredentialStoreError) as caught:
        store.set("offsite", SOME)
    assert caught.value.code == "no_collection"
    assert "gnome-keyring-daemon --unlock" in caught.value.hint


def test_a_bus_without_a_keyring(paths: Paths, secret_service_bus: SecretService):
    status = CredentialStore(paths).status()
    assert status.state is StoreState.UNAVAILABLE
    assert "no Secret Service" in status.detail
    assert "apt install" in status.hint


def test_no_bus_at_all(paths: Paths):
    store = CredentialStore(paths)
    assert store.status().state is StoreState.UNAVAILABLE
    with pytest.raises(CredentialStoreError, match="DBUS_SESSION_BUS_ADDRESS"):
        store.get("offsite")


def test_a_stale_bus_address(paths: Paths, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={paths.state_dir}/gone")
    assert CredentialStore(paths).status().state is StoreState.UNAVAILABLE


def test_waiting_for_a_hung_daemon_ends(paths: Paths, secret_service: SecretService):
    secret_service.freeze()
    store = CredentialStore(paths, timeout_s=0.4)
    started = time.monotonic()
    assert store.status().state is StoreState.HUNG
    with pytest.raises(CredentialStoreError, match="did not answer") as caught:
        store.get("offsite")
    assert caught.value.code == "hung"
    assert time.monotonic() - started < 2.5


def test_systemds_bus_is_found_without_the_variable(
    paths: Paths, secret_service: SecretService, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS")  # as in a cron job: $XDG_RUNTIME_DIR/bus exists
    assert CredentialStore(paths).status().state is StoreState.READY


def test_a_read_only_configuration_keeps_the_keyring_untouched(paths: Paths):
    paths.config_dir.mkdir(parents=True)
    paths.config_file.write_text("{ broken")
    backend = MemoryKeyring()
    with pytest.raises(InvalidConfiguration):
        CredentialStore(paths, backend=lambda: backend).set("offsite", SOME)
    assert backend.entries == {}
    assert paths.config_file.read_text() == "{ broken"


def test_an_entry_of_another_program_is_reported_without_its_text(paths: Paths):
    backend = MemoryKeyring()
    backend.set_password("homeserver-backup:offsite", "homeserver-backup", "hunter2-not-json")
    with pytest.raises(CredentialStoreError, match="not written by this program") as caught:
        CredentialStore(paths, backend=lambda: backend).get("offsite")
    assert "hunter2" not in str(caught.value)
    assert caught.value.code == "malformed"


@pytest.mark.parametrize("backend", [keyring.backends.null.Keyring, keyring.backends.fail.Keyring])
def test_a_backend_that_keeps_nothing_is_refused(paths: Paths, backend: type[KeyringBackend]):
    store = CredentialStore(paths, backend=backend)
    assert store.status().state is StoreState.UNAVAILABLE
    with pytest.raises(CredentialStoreError):
        store.set("offsite", SOME)


def test_a_backend_that_forgets_is_noticed(paths: Paths):
    class Forgetful(MemoryKeyring):
        def set_password(self, service: str, username: str, password: str) -> None:
            assert password

    with pytest.raises(CredentialStoreError, match="did not keep"):
        CredentialStore(paths, backend=Forgetful).set("offsite", SOME)
    assert file.load(paths).credentials == {}


@pytest.mark.parametrize(
    ("platform", "module", "name", "kind"),
    [
        ("darwin", "keyring.backends.macOS", "Keyring", StoreBackend.KEYCHAIN),
        ("win32", "keyring.backends.Windows", "WinVaultKeyring", StoreBackend.CREDENTIAL_MANAGER),
    ],
)
def test_the_native_store_is_used_on_macos_and_windows(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, platform: str, module: str, name: str, kind: StoreBackend
):
    native = type(name, (MemoryKeyring,), {"__module__": module})
    stub = types.ModuleType(module)
    setattr(stub, name, native)
    monkeypatch.setitem(sys.modules, module, stub)
    VaultFile(vault_path(paths), cost=CHEAP).create(PASSPHRASE)  # which hides nothing
    backend = selection.choose(paths, platform=platform)
    assert isinstance(backend, native)
    assert selection.backends_here(platform) == (kind, StoreBackend.VAULT)
    (used,) = [choice for choice in store_choice.choices(paths, platform=platform) if choice.in_use]
    assert (used.backend, used.state) == (kind, StoreState.READY)
    assert [fact.question for fact in facts.store_facts(kind, StoreSettings())]
    store = CredentialStore(paths, backend=lambda: backend)
    store.set("offsite", SOME)
    assert (store.get("offsite"), file.load(paths).store.backend) == (SOME, kind)
    for refused in (unlocking.unlock, unlocking.create):
        with pytest.raises(Unsupported):
            refused(paths, PASSPHRASE, kind)
    long = Credentials(extra={"service_account_json": Secret("x" * 2400)})
    if platform == "win32":
        with pytest.raises(CredentialStoreError, match="too long"):
            store.set("offsite", long)
        assert store.get("offsite") == SOME
    else:
        store.set("offsite", long)


def test_credentials_do_not_show_themselves():
    assert "t0ken" not in repr(SOME)
    assert "word'" not in str(SOME)
