"""`credentials`, and other verbs with a vault that is opened by descriptor, by key or not at all, and never hangs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backup.cli.diagnostics import ExitCode
from backup.config import file as config
from backup.credentials.vault import unlocked_here, vault_path
from backup.credentials.vault_file.errors import VaultLocked, WrongPassphrase
from backup.credentials.vault_file.file import VaultFile
from backup.model.credentials import StoreBackend
from backup.system.paths import Paths
from providers.secret import Secret
from tests.backup.vault_tools import CHEAP, PASSPHRASE
from tests.cli.conftest import Cli, write_config
from tests.credentials_fixture import SecretService


def fd_with(text: str) -> int:
    """The reading end of a pipe that contains `text`."""
    reader, writer = os.pipe()
    os.write(writer, text.encode() + b"\n")
    os.close(writer)
    return reader


@pytest.fixture
def cheap_vault(paths: Paths) -> Iterator[Paths]:
    """A locked vault that is cheap to open."""
    VaultFile(vault_path(paths), cost=CHEAP).create(PASSPHRASE, label="mine")
    with config.edit(paths) as draft:
        draft.choose_store(StoreBackend.VAULT)
    yield paths
    unlocked_here(vault_path(paths)).lock()


@pytest.fixture
def opened(cli: Cli, cheap_vault: Paths) -> Callable[..., int]:
    """Arguments that let a command open that vault: a fresh descriptor for each call."""

    def number() -> int:
        unlocked_here(vault_path(cheap_vault)).lock()  # each command line is a process of its own
        return fd_with(PASSPHRASE.reveal())

    return number


def test_a_vault_is_created(cli: Cli, paths: Paths):
    refused = cli("set-credentials", "aws_s3", "-u", "AK", stdin="secret-1\n")
    assert refused.code == ExitCode.CREDENTIAL_STORE
    assert "credentials create-vault" in refused.err
    made = cli("credentials", "create-vault", "--passphrase-fd", str(fd_with("correct horse")), "--json")
    assert (made.code, made.json()["state"]) == (0, "ready")
    assert "weak" in made.err
    assert cli("set-credentials", "aws_s3", "-u", "AK", stdin="secret-1\n").code == 0
    assert vault_path(paths).stat().st_mode & 0o777 == 0o600
    places = vault_path(paths).read_text() + paths.config_file.read_text()
    assert "secret-1" not in places
    assert "correct horse" not in places
    unlocked_here(vault_path(paths)).lock()


def test_a_locked_vault_is_an_exit_code_and_not_a_hidden_prompt(cli: Cli, cheap_vault: Paths):
    for verb in (["set-credentials", "aws_s3"], ["credentials", "unlock"], ["credentials", "recovery-kit", "--yes"]):
        done = cli(*verb, stdin="x\n")
        assert done.code in {ExitCode.CREDENTIAL_STORE, 0}, verb
    assert cli("set-credentials", "aws_s3", stdin="x\n").code == ExitCode.CREDENTIAL_STORE


def test_a_wrong_passphrase_says_what_would_be_lost(cli: Cli, cheap_vault: Paths):
    wrong = cli("credentials", "unlock", "--passphrase-fd", str(fd_with("not it")))
    assert wrong.code == ExitCode.CREDENTIAL_STORE
    assert "No backup is lost" in wrong.err
    assert "not it" not in wrong.err.replace("does not", "")
    right = cli("credentials", "unlock", "--passphrase-fd", str(fd_with(PASSPHRASE.reveal())))
    assert (right.code, "the next command asks again" in right.out) == (0, True)  # no worker runs
    empty = cli("credentials", "unlock", "--passphrase-fd", str(fd_with("")))
    assert empty.code == ExitCode.CREDENTIAL_STORE
    assert cli("credentials", "unlock", "--passphrase-fd", "77").code == ExitCode.CREDENTIAL_STORE


def test_set_list_status_remove(cli: Cli, opened: Callable[[], int]):
    fd = str(opened())
    assert cli("credentials", "set", "aws_s3", "-u", "AK", "--passphrase-fd", fd, stdin="secret-1\n").code == 0
    more = cli(
        "set-credentials", "aws_s3", "--setting", "session_token", "--passphrase-fd", str(opened()), stdin="tok-1\n"
    )
    assert more.code == 0
    (entry,) = cli("credentials", "list", "--json").json()["credentials"]
    assert (entry["key"], entry["state"], entry["fields"]) == ("aws_s3", "set", ["password", "session_token"])
    arguments = ["set-credentials", "aws_s3", "--expires", "2020-01-01", "--passphrase-fd", str(opened())]
    assert cli(*arguments, stdin="secret-2\n").code == 0
    assert cli("credentials", "list", "--json").json()["credentials"][0]["state"] == "expired"
    status = cli("credentials", "status", "--json").json()
    assert status["backend"] == "vault"
    assert [slot["kind"] for slot in status["slots"]] == ["passphrase"]
    assert {choice["backend"] for choice in status["choices"]} == {"vault", "secret_service"}
    text = cli("credentials")
    assert "protects against root" in text.out
    removed = cli("credentials", "remove", "aws_s3", "--passphrase-fd", str(opened()), "--json")
    assert removed.json() == {"name": "aws_s3", "removed": True}
    (entry,) = cli("credentials", "list", "--json").json()["credentials"]
    assert entry["state"] == "missing"


def test_password_command_opens_it_by_itself(cli: Cli, cheap_vault: Paths, tmp_path: Path):
    script = tmp_path / "pass"
    script.write_text(f"#!/bin/sh\necho '{PASSPHRASE.reveal()}'\n")
    script.chmod(0o700)
    wrong = cli("credentials", "unattended", "command", "--password-command", "echo not-it")
    assert wrong.code == ExitCode.CREDENTIAL_STORE
    assert config.load(cheap_vault).store.password_command == ()
    done = cli("credentials", "unattended", "command", "--password-command", str(script), "--json")
    assert done.code == 0, done.err
    assert done.json()["protects"].startswith("Protects")
    unlocked_here(vault_path(cheap_vault)).lock()
    assert cli("set-credentials", "aws_s3", "-u", "AK", stdin="secret-1\n").code == 0
    assert cli("credentials", "doctor", "--json").json()["findings"]


def test_a_key_file_and_its_units(cli: Cli, cheap_vault: Paths, opened: Callable[[], int], tmp_path: Path):
    units, key = tmp_path / "units", tmp_path / "vault.key"
    arguments = [
        "credentials",
        "unattended",
        "key-file",
        "--key-file",
        str(key),
        "--units",
        str(units),
        "--user",
        "root",
    ]
    locked = cli(*arguments)
    assert locked.code == ExitCode.CREDENTIAL_STORE
    assert not key.exists()
    done = cli(*arguments, "--passphrase-fd", str(opened()), "--json")
    assert done.code == 0, done.err
    made = done.json()
    assert key.stat().st_mode & 0o777 == 0o600
    assert {Path(unit["path"]).name for unit in made["units"]} == {
        "homeserver-backup.service",
        "homeserver-backup.timer",
    }
    assert made["verified"] is True, made["says"]
    assert any("enable --now" in line for line in made["commands"])
    service = (units / "homeserver-backup.service").read_text()
    assert "transfers wait" in service
    assert key.read_text().strip() not in service + done.out
    unlocked_here(vault_path(cheap_vault)).lock()
    again = cli(*arguments, "--json")  # the key opens it now
    assert [unit["state"] for unit in again.json()["units"]] == ["unchanged", "unchanged"]
    slots = cli("credentials", "status", "--json").json()["slots"]
    assert [slot["kind"] for slot in slots] == ["passphrase", "key"]
    unlocked_here(vault_path(cheap_vault)).lock()
    assert cli("set-credentials", "aws_s3", "-u", "AK", stdin="secret-1\n").code == 0
    assert "opens it again" in cli("credentials", "lock").out
    (finding,) = [
        found
        for found in cli("credentials", "doctor", "--json").json()["findings"]
        if found["what"] == "unattended jobs"
    ]
    assert finding["verdict"] == "ok"


def test_units_for_systemds_credential_and_for_boot(cli: Cli, opened: Callable[[], int], tmp_path: Path):
    system = cli(
        "credentials", "unattended", "systemd", "--units", str(tmp_path / "system"), "--user", "root",
        "--job", "upload /srv --provider minio", "--json", "--passphrase-fd", str(opened()),
    ).json()  # fmt: skip
    assert system["verified"] is True, system["says"]
    assert any("systemd-creds encrypt --with-key=host" in line for line in system["commands"])
    text = (tmp_path / "system" / "homeserver-backup.service").read_text()
    assert "LoadCredentialEncrypted=" in text
    assert "upload /srv --provider minio" in text
    key = cli("credentials", "unattended", "--print-key", "--passphrase-fd", str(opened()))
    assert len(key.out.strip()) == 44
    user = cli(
        "credentials", "unattended", "key-file", "--resume", "--units", str(tmp_path / "user"), "--user", "root",
        "--json", "--passphrase-fd", str(opened()),
    ).json()  # fmt: skip
    assert user["verified"] in {True, None}, user["says"]
    assert any("enable-linger" in line for line in user["commands"])
    refused = cli("credentials", "unattended", "systemd", "--resume", "--units", str(tmp_path / "x"))
    assert refused.code == ExitCode.CONFIGURATION


def test_change_passphrase_and_slots(cli: Cli, cheap_vault: Paths, opened: Callable[[], int]):
    done = cli(
        "credentials", "change-passphrase", "--passphrase-fd", str(opened()),
        "--new-passphrase-fd", str(fd_with("wholly other words here")), "--json",
    )  # fmt: skip
    assert done.json() == {"changed": True}
    VaultFile(vault_path(cheap_vault)).open(Secret("wholly other words here"))
    (slot,) = cli("credentials", "status", "--json").json()["slots"]
    last = cli("credentials", "remove-slot", slot["id"], "--passphrase-fd", str(fd_with("wholly other words here")))
    assert last.code == ExitCode.CREDENTIAL_STORE
    assert "last one" in last.err


def test_another_passphrase_and_a_new_key(cli: Cli, cheap_vault: Paths, opened: Callable[[], int], tmp_path: Path):
    file, second, key = VaultFile(vault_path(cheap_vault)), Secret("another in the safe"), tmp_path / "vault.key"
    added = cli(
        "credentials", "add-passphrase", "--label", "safe", "--passphrase-fd", str(opened()),
        "--new-passphrase-fd", str(fd_with(second.reveal())), "--json",
    )  # fmt: skip
    assert (added.json()["kind"], added.json()["label"]) == ("passphrase", "safe")
    old = file.open(second)
    made = cli("credentials", "unattended", "key-file", "--key-file", str(key), "--passphrase-fd", str(opened()))
    assert made.code == 0, made.err
    refused = cli("credentials", "renew-key", "--passphrase-fd", str(opened()))
    assert refused.code == ExitCode.CREDENTIAL_STORE
    assert "safe" in refused.err
    assert "--drop-others" in refused.err
    assert file.entries(old) == {}
    renewed = cli("credentials", "renew-key", "--drop-others", "--passphrase-fd", str(opened()), "--json")
    assert [slot["kind"] for slot in renewed.json()["slots"]] == ["passphrase", "key"]
    with pytest.raises(VaultLocked, match="renewed"):
        file.entries(old)
    with pytest.raises(WrongPassphrase):
        file.open(second)
    unlocked_here(vault_path(cheap_vault)).lock()
    (slot,) = [slot["id"] for slot in renewed.json()["slots"] if slot["kind"] == "key"]
    assert cli("credentials", "remove-slot", slot).code == 0  # the key file opens the vault for that
    unlocked_here(vault_path(cheap_vault)).lock()
    stale = cli("set-credentials", "aws_s3", stdin="secret-1\n")
    assert stale.code == ExitCode.CREDENTIAL_STORE
    again = cli("set-credentials", "aws_s3", "--passphrase-fd", str(opened()), stdin="secret-1\n")
    assert again.code == 0, again.err  # an outdated key does not lock out a user with the passphrase


@pytest.mark.parametrize(
    "verb",
    ["list", "upload", "download", "delete", "test-providers", "test-cycle", "transfers wait", "authorize",
     "set-credentials", "remove-credentials", *(f"credentials {verb}" for verb in ("test", "set", "remove", "move",
     "unlock", "create-vault", "import", "unattended", "recovery-kit", "add-passphrase", "renew-key", "remove-slot"))],
)  # fmt: skip
def test_a_verb_that_reads_credentials_takes_a_passphrase(cli: Cli, verb: str):
    assert "--passphrase-fd" in cli(*verb.split(), "--help").out


def test_move_to_the_vault_and_back(cli: Cli, paths: Paths, secret_service: SecretService):
    assert cli("set-credentials", "aws_s3", "-u", "AK", stdin="secret-1\n").code == 0
    VaultFile(vault_path(paths), cost=CHEAP).create(PASSPHRASE)
    fd = str(fd_with(PASSPHRASE.reveal()))
    moved = cli("credentials", "move", "--to", "vault", "--keep", "--passphrase-fd", fd, "--json")
    assert moved.json() == {
        "source": "secret_service", "to": "vault", "moved": ["aws_s3"], "deleted": [], "copies_left": True,
    }  # fmt: skip
    assert "to delete them" in cli("credentials", "status").out
    assert cli("credentials", "move", "--to", "vault", "--yes", "--json").json()["deleted"] == ["aws_s3"]
    back = cli("credentials", "move", "--to", "secret_service", "--yes")
    assert back.code == 0
    assert "now kept in the Secret Service" in back.out
    unlocked_here(vault_path(paths)).lock()


def test_the_sessions_keyring_from_the_terminal(cli: Cli, secret_service_bus: SecretService):
    secret_service_bus.start(password=None)
    none_yet = cli("set-credentials", "aws_s3", "-u", "AK", stdin="secret-1\n")
    assert none_yet.code == ExitCode.CREDENTIAL_STORE
    assert "credentials create-keyring" in none_yet.err
    for verb in ("add-passphrase", "renew-key"):
        refused = cli("credentials", verb)  # asks for nothing useless
        assert (refused.code, "there is no vault yet" in refused.err) == (ExitCode.CREDENTIAL_STORE, True)
    made = cli("credentials", "create-keyring", "--passphrase-fd", str(fd_with("correct horse")), "--json")
    assert made.json()["state"] == "ready"
    assert cli("set-credentials", "aws_s3", "-u", "AK", stdin="secret-1\n").code == 0
    secret_service_bus.lock()
    assert cli("credentials", "status", "--json").json()["status"]["state"] == "locked"
    wrong = cli("credentials", "unlock", "--passphrase-fd", str(fd_with("wrong")))
    assert wrong.code == ExitCode.CREDENTIAL_STORE
    assert (
        cli("credentials", "unlock", "--passphrase-fd", str(fd_with("correct horse")), "--json").json()["state"]
        == "ready"
    )
    assert cli("credentials", "lock", "--json").json()["state"] == "locked"


def test_imports_move_secrets_and_blank_them_if_the_user_agrees(
    cli: Cli, paths: Paths, opened: Callable[[], int], tmp_path: Path
):
    earlier = tmp_path / "earlier.json"
    earlier.write_text(json.dumps({"aws_s3": {"container": "b", "access_key": "AK", "secret_key": "sec-1"}, "ftp": {}}))
    shown = cli("credentials", "import", "json", str(earlier), "--dry-run", "--json")
    assert shown.json()["found"][0]["secrets"] == ["secret_key"]
    assert "sec-1" not in shown.out + shown.err
    assert cli("credentials", "import", "json", str(earlier)).code == ExitCode.INTERRUPTED  # nobody agreed
    done = cli("credentials", "import", "json", str(earlier), "--yes", "--json", "--passphrase-fd", str(opened()))
    assert done.json()["blanked"] is True, done.err
    assert json.loads(earlier.read_text())["aws_s3"]["secret_key"] == ""
    assert config.load(paths).credentials["aws_s3"].fields == ("password",)
    aws = tmp_path / "aws"
    aws.mkdir()
    (aws / "credentials").write_text(
        "[work]\naws_access_key_id = AK2\naws_secret_access_key = sec-2\n"
        "aws_session_token = sec-4\nx_security_token_expires = 2020-01-01T00:00:00Z\n"
    )
    (aws / "config").write_text("[profile work]\nregion = eu-central-1\n")
    work = cli("credentials", "import", "aws", str(aws / "credentials"), "--yes", "--json").json()
    assert work["saved"][0]["name"] == "work"
    assert config.load(paths).instances["work"].values["region"] == "eu-central-1"
    listed = {entry["key"]: entry for entry in cli("credentials", "list", "--json").json()["credentials"]}
    assert (listed["work"]["state"], listed["work"]["expires_at"]) == ("expired", 1577836800)
    assert "expired, until 20" in cli("credentials", "status").out
    assert "expired" in cli("credentials", "list").out
    assert cli("set-config", "work", "access_key", "AK5").code == 0
    assert config.load(paths).credentials["work"].expires_at == 1577836800  # the secret is the same
    printed = json.dumps({"Version": 1, "AccessKeyId": "AK6", "SecretAccessKey": "sec-6"})
    piped = cli("credentials", "import", "aws", "-", "--yes", "--json", stdin=printed)
    assert piped.json()["saved"][0]["name"] == "aws_s3-2", piped.err
    dump = json.dumps({"work": {"type": "s3", "access_key_id": "AK3", "secret_access_key": "sec-3", "region": "r"}})
    twin = cli("credentials", "import", "rclone", "--yes", "--json", stdin=dump).json()
    assert twin["saved"][0]["name"] == "work-2"  # existing providers are never changed
    assert "sec-" not in paths.config_file.read_text()


def test_the_recovery_kit_goes_to_standard_output_only(cli: Cli, paths: Paths, opened: Callable[[], int]):
    write_config(paths, minio={"type": "aws_s3", "container": "bucket", "endpoint_url": "http://127.0.0.1:9"})
    with config.edit(paths) as draft:
        draft.choose_store(StoreBackend.VAULT)
    fd = str(opened())
    assert cli("set-credentials", "minio", "-u", "AK", "--passphrase-fd", fd, stdin="sec-in-the-kit\n").code == 0
    asked = cli("credentials", "recovery-kit")
    assert asked.code == ExitCode.INTERRUPTED
    assert "sec-in-the-kit" not in asked.out
    page = cli("credentials", "recovery-kit", "--yes", "--passphrase-fd", str(opened()))
    assert page.code == 0, page.err
    assert "sec-in-the-kit" in page.out
    assert "endpoint = http://127.0.0.1:9" in page.out
    assert "█" in page.out
    assert "WARNING" in page.err
    for file in paths.config_dir.parent.parent.rglob("*"):
        assert not file.is_file() or b"sec-in-the-kit" not in file.read_bytes(), file


def test_doctor_says_what_is_wrong(cli: Cli, paths: Paths):
    found = cli("credentials", "doctor", "--json")
    assert found.code == 1
    verdicts = {item["what"]: item["verdict"] for item in found.json()["findings"]}
    assert verdicts["store in use"] == "bad"
    assert cli("credentials", "create-vault", "--passphrase-fd", str(fd_with("four words by chance"))).code == 0
    unlocked_here(vault_path(paths)).lock()
    vault_path(paths).chmod(0o644)
    write_config(paths, aws_s3={"secret_key": "in clear"})
    found = cli("credentials", "doctor", "--json")
    details = " ".join(item["detail"] for item in found.json()["findings"])
    assert "others may read" in details
    assert "aws_s3.secret_key" in details


def test_transfers_wait_with_nothing_to_do(cli: Cli):
    done = cli("transfers", "wait", "--json")
    assert (done.code, done.json()) == (0, {"jobs": [], "failed": []})
