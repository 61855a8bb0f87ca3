"""The vault as a keyring backend, also as `keyring` itself uses it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import keyring.backend
import keyring.core
import pytest
from keyring.errors import InitError, KeyringLocked, PasswordDeleteError

from backup.credentials import Credentials, CredentialStore, selection, vault
from backup.credentials.backend_errors import NoCollection
from backup.credentials.passphrase import CREDENTIAL_NAME
from backup.credentials.vault import Unlocked, VaultKeyring
from backup.credentials.vault_file.errors import (
    VaultExists,
    VaultLocked,
    VaultRolledBack,
    VaultTampered,
    WrongKey,
    WrongPassphrase,
)
from backup.credentials.vault_file.file import RawKey, VaultFile
from backup.model.credentials import StoreState
from backup.system.paths import Paths
from providers.secret import Secret
from tests.backup.vault_tools import CHEAP, PASSPHRASE, forge, header_with

NAME = "backup.credentials.vault.VaultKeyring"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A vault with a cheap passphrase."""
    path = tmp_path / "vault" / "vault.json"
    VaultFile(path, cost=CHEAP).create(PASSPHRASE)
    return path


@pytest.fixture
def backend(path: Path) -> VaultKeyring:
    backend = VaultKeyring(path, unlocked=Unlocked())
    backend.unlock(PASSPHRASE)
    return backend


def test_the_vault_keeps_the_contract_of_a_keyring(backend: VaultKeyring) -> None:
    assert backend.get_password("service", "user") is None
    backend.set_password("service", "user", "pässword")
    backend.set_password("service", "user", "newer")
    backend.set_password("service", "other", "x")
    assert backend.get_password("service", "user") == "newer"
    found = backend.get_credential("service", None)
    assert found is not None
    assert (found.username, found.password) == ("other", "x")
    assert backend.get_credential("service", "nobody") is None
    backend.delete_password("service", "user")
    with pytest.raises(PasswordDeleteError):
        backend.delete_password("service", "user")


def test_a_locked_vault_raises_and_never_prompts(path: Path) -> None:
    backend = VaultKeyring(path, unlocked=Unlocked())
    for use in (
        lambda: backend.get_password("s", "u"),
        lambda: backend.set_password("s", "u", "x"),
        lambda: backend.delete_password("s", "u"),
        lambda: backend.get_credential("s", None),
        backend.check,
    ):
        with pytest.raises(KeyringLocked) as raised:
            use()
        assert isinstance(raised.value.__cause__, VaultLocked)


def test_failures_are_keyring_errors_with_the_error_of_the_vault_as_cause(
    backend: VaultKeyring, tmp_path: Path
) -> None:
    with pytest.raises(NoCollection):
        VaultKeyring(tmp_path / "none.json", unlocked=Unlocked()).get_password("s", "u")
    old = backend.file.path.read_bytes()
    backend.set_password("s", "u", "x")
    backend.file.path.write_bytes(old)
    with pytest.raises(KeyringLocked) as locked:
        backend.check()
    assert isinstance(locked.value.__cause__, VaultRolledBack)
    forge(backend.file, header_with(generation=9))
    with pytest.raises(InitError) as raised:
        backend.get_password("s", "u")
    assert isinstance(raised.value.__cause__, VaultTampered)


def test_unlock_lock_and_a_wrong_passphrase(path: Path) -> None:
    backend = VaultKeyring(path, unlocked=Unlocked())
    with pytest.raises(WrongPassphrase):
        backend.unlock(Secret("wrong"))
    assert not backend.unlocked
    backend.unlock(PASSPHRASE)
    backend.set_password("s", "u", "x")
    backend.lock()
    with pytest.raises(KeyringLocked):
        backend.get_password("s", "u")
    assert "locked" in repr(backend.unlocked)


def test_a_vault_is_created_and_opened(tmp_path: Path) -> None:
    backend = VaultKeyring(tmp_path / "new" / "vault.json", unlocked=Unlocked(), cost=CHEAP)
    backend.create(PASSPHRASE, label="mine")
    backend.set_password("s", "u", "x")
    assert backend.file.describe().slots[0].label == "mine"
    with pytest.raises(VaultExists):
        backend.create(PASSPHRASE)


def test_backends_of_one_process_share_what_is_unlocked(path: Path) -> None:
    first = VaultKeyring(path)
    try:
        first.unlock(PASSPHRASE)
        first.set_password("s", "u", "x")
        assert VaultKeyring(path).get_password("s", "u") == "x"
    finally:
        first.lock()
    with pytest.raises(KeyringLocked):
        VaultKeyring(path).get_password("s", "u")


def test_another_process_takes_the_key_over(backend: VaultKeyring, path: Path) -> None:
    backend.set_password("s", "u", "x")
    worker = VaultKeyring(path, unlocked=Unlocked())
    worker.accept(backend.handover())
    assert worker.get_password("s", "u") == "x"
    worker.lock()
    with pytest.raises(WrongKey):
        worker.accept(Secret("canary"))
    with pytest.raises(VaultLocked):
        worker.handover()
    backend.file.renew_key(backend.file.open(PASSPHRASE), [PASSPHRASE])
    with pytest.raises(VaultLocked, match="renewed"):
        worker.accept(backend.handover())
    assert not worker.unlocked


def test_a_systemd_credential_opens_it_unattended(
    backend: VaultKeyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.set_password("s", "u", "x")
    raw = RawKey.generate()
    backend.file.add_slot(backend.file.open(PASSPHRASE), raw)
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    job = VaultKeyring(backend.file.path, unlocked=Unlocked())
    with pytest.raises(KeyringLocked):
        job.get_password("s", "u")
    (folder / CREDENTIAL_NAME).write_bytes(RawKey.generate().reveal())
    with pytest.raises(KeyringLocked) as raised:
        job.get_password("s", "u")
    assert isinstance(raised.value.__cause__, WrongKey)
    (folder / CREDENTIAL_NAME).write_bytes(raw.text().reveal().encode() + b"\n")
    assert job.get_password("s", "u") == "x"


def test_it_is_registered_and_found_by_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    (module,) = project["entry-points"]["keyring.backends"].values()
    assert f"{module}.VaultKeyring" == NAME
    assert importlib.import_module(module).VaultKeyring in keyring.backend.KeyringBackend._classes
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    found = keyring.core.load_keyring(NAME)
    assert isinstance(found, VaultKeyring)
    assert VaultKeyring.viable
    assert 0 < found.priority < 1
    assert found.path == vault.vault_path(Paths.default())


def test_the_keyring_command_uses_it_with_a_key_file(backend: VaultKeyring, tmp_path: Path) -> None:
    raw = RawKey.generate()
    backend.file.add_slot(backend.file.open(PASSPHRASE), raw)
    key_file = tmp_path / "key"
    key_file.touch(mode=0o600)
    key_file.write_text(raw.text().reveal())
    environment = {**os.environ, "KEYRING_PROPERTY_PATH": str(backend.path)}
    command = [sys.executable, "-m", "keyring", "-b", NAME]

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *words],
            env={**environment, **variables},
            input="kept",
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    opens = {"KEYRING_PROPERTY_KEY_FILE": str(key_file)}
    assert run("set", "service", "user", **opens).returncode == 0
    assert run("get", "service", "user", **opens).stdout == "kept\n"
    assert backend.get_password("service", "user") == "kept"
    locked = run("get", "service", "user")
    assert locked.returncode != 0
    assert "KeyringLocked" in locked.stderr


def test_the_credential_store_works_on_it(path: Path, paths: Paths) -> None:
    unlocked = Unlocked()
    store = CredentialStore(paths, backend=lambda: VaultKeyring(path, unlocked=unlocked))
    assert store.status().state is StoreState.LOCKED
    VaultKeyring(path, unlocked=unlocked).unlock(PASSPHRASE)
    assert store.status().state is StoreState.READY
    store.set("minio", Credentials(username="key", password=Secret("secret")))
    assert store.get("minio") == Credentials(username="key", password=Secret("secret"))
    assert store.remove("minio") is True
    missing = CredentialStore(paths, backend=lambda: VaultKeyring(path.with_name("no.json"), unlocked=Unlocked()))
    assert missing.status().state is StoreState.NO_COLLECTION
    assert selection.title(VaultKeyring(path)) == "vault (an encrypted file of this program)"
