"""Credentials of an ordinary user, while these tests run as root: the user's own vault and keyring."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.cli.diagnostics import ExitCode
from backup.credentials.vault_file.file import VaultFile
from tests.backup.vault_tools import CHEAP, PASSPHRASE
from tests.cli.conftest import ROOT
from tests.cli.test_credentials_verbs import fd_with
from tests.credentials_fixture import SecretService


@pytest.fixture
def users_home() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="user-"))
    os.chown(home, 65534, 65534)
    yield home
    shutil.rmtree(home)


AS_USER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]


def as_user(
    home: Path, *arguments: str, stdin: str = "", passphrase: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    fd = fd_with(passphrase) if passphrase else None
    words = ["--passphrase-fd", str(fd), *arguments] if fd is not None else list(arguments)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        **more,
    }
    done = subprocess.run(
        [*AS_USER, sys.executable, "-m", "backup", *words],
        input=stdin, text=True, capture_output=True, timeout=60, cwd=home, env=environment, check=False,
        pass_fds=[fd] if fd is not None else [],
    )  # fmt: skip
    if fd is not None:
        os.close(fd)
    return done


def test_an_ordinary_user_has_their_own_vault(users_home: Path):
    folder = users_home / ".config" / "homeserver-backup"
    folder.mkdir(parents=True, mode=0o700)
    VaultFile(folder / "vault.json", cost=CHEAP).create(PASSPHRASE)
    for path in (users_home / ".config", folder, folder / "vault.json", folder / "vault.json.lock"):
        os.chown(path, 65534, 65534)
    assert as_user(users_home, "credentials", "use", "vault").returncode == 0
    locked = as_user(users_home, "set-credentials", "aws_s3", "-u", "AK", stdin="secret-1\n")
    assert locked.returncode == ExitCode.CREDENTIAL_STORE, locked.stderr
    kept = as_user(
        users_home, "set-credentials", "aws_s3", "-u", "AK", stdin="secret-1\n", passphrase=PASSPHRASE.reveal()
    )
    assert kept.returncode == 0, kept.stderr
    status = json.loads(as_user(users_home, "credentials", "status", "--json").stdout)
    assert status["backend"] == "vault"
    (folder / "vault.json").chmod(0o000)
    os.chown(folder / "vault.json", 0, 0)
    foreign = json.loads(as_user(users_home, "credentials", "status", "--json").stdout)
    assert foreign["status"]["state"] == "unavailable"
    assert "cannot be read" in foreign["status"]["detail"]


def test_an_ordinary_user_has_their_own_keyring(users_home: Path):
    service = SecretService(users_home, as_user=AS_USER)
    try:
        service.start(password=None)
        session = {"DBUS_SESSION_BUS_ADDRESS": service.address, "XDG_RUNTIME_DIR": str(users_home), "DISPLAY": ":77"}
        made = as_user(users_home, "credentials", "create-keyring", passphrase="correct horse", **session)
        assert made.returncode == 0, made.stderr
        assert as_user(users_home, "set-credentials", "aws_s3", stdin="secret-1\n", **session).returncode == 0
        service.lock()
        locked = as_user(users_home, "set-credentials", "aws_s3", stdin="secret-2\n", **session)
        assert locked.returncode == ExitCode.CREDENTIAL_STORE  # and no prompt on that display
        unlocked = as_user(users_home, "credentials", "unlock", "--json", passphrase="correct horse", **session)
        assert json.loads(unlocked.stdout)["state"] == "ready", unlocked.stderr
        service.stop_daemon()
        stopped = json.loads(as_user(users_home, "credentials", "status", "--json", **session).stdout)
        assert stopped["status"]["state"] == "unavailable"
    finally:
        service.close()
