"""Setting providers up from the command line: settings, secrets, enabling, checking."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from backup.cli.diagnostics import ExitCode
from backup.credentials import CredentialStore
from backup.system.paths import Paths
from providers.secret import MASK, Secret
from tests.cli.conftest import Cli, write_config
from tests.credentials_fixture import SecretService

CANARY = "canary-77d0aa-secret"


def test_providers_are_listed_with_services_that_could_be_set_up(cli: Cli):
    result = cli("list-providers")
    assert result.code == 0
    assert "local" in result.out
    assert "ready" in result.out
    assert "aws_s3" in result.out
    document = cli("list-providers", "--json").json()
    assert [info["name"] for info in document["instances"]] == ["local"]
    assert {service["name"] for service in document["services"]} >= {"local", "aws_s3"}


def test_a_service_whose_sdk_is_missing_is_listed_with_the_reason(cli: Cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("providers.registry._missing_module", lambda _: "not installed: boto3")
    result = cli("list-providers")
    assert result.code == 0
    assert "unavailable: not installed: boto3" in result.out


def test_set_config_then_get_config(cli: Cli, paths: Paths):
    assert cli("set-config", "minio", "type", "aws_s3").code == 0
    changed = cli("set-config", "minio", "upload_chunk_size", "64MiB", "--json")
    assert changed.json() == {
        "name": "minio", "type": "aws_s3", "key": "upload_chunk_size", "value": 67108864, "state": "incomplete",
    }  # fmt: skip
    shown = cli("get-config", "minio")
    assert "67108864" in shown.out
    assert str(paths.config_file) in shown.out
    document = cli("get-config", "--json").json()
    assert set(document["providers"]) == {"local", "minio"}
    assert document["providers"]["minio"]["type"] == "aws_s3"


def test_a_negative_value_is_a_value(cli: Cli):
    result = cli("set-config", "local", "max_retries", "-1")
    assert result.code == ExitCode.CONFIGURATION
    assert "max_retries" in result.err


def test_the_settings_of_a_service_are_described(cli: Cli):
    shown = cli("get-config", "aws_s3", "--describe")
    assert shown.code == 0
    assert "endpoint_url" in shown.out
    assert re.search(r"max_retries +integer, 0\.\.20 +3 +How many times", shown.out)
    assert "Example: https://s3.example.net" in shown.out
    fields = {item["name"]: item for item in cli("get-config", "--describe", "--json").json()["services"]["aws_s3"]}
    assert fields["secret_key"]["secret"]
    assert fields["secret_key"]["default"] is None
    assert fields["addressing_style"]["choices"] == ["auto", "path", "virtual"]
    assert cli("get-config", "gopher", "--describe").code == ExitCode.CONFIGURATION


def test_a_secret_on_the_command_line_is_refused_with_a_fix(cli: Cli, paths: Paths):
    result = cli("set-config", "aws_s3", "secret_key", CANARY)
    assert result.code == ExitCode.CONFIGURATION
    assert "set-credentials" in result.err
    assert CANARY not in result.err + result.out
    assert not paths.config_file.exists()


def test_an_unknown_provider_is_its_own_error(cli: Cli):
    for verb in (["get-config"], ["test-providers"], ["set-credentials"], ["disable-provider"], ["list", "--provider"]):
        result = cli(*verb, "nope", stdin="x\n")
        assert result.code == ExitCode.CONFIGURATION, verb
        assert "'nope'" in result.err


def test_credentials_are_read_from_stdin_and_never_shown(cli: Cli, paths: Paths, secret_service: SecretService):
    cli("set-config", "aws_s3", "container", "copies")
    result = cli("set-credentials", "aws_s3", "--username", "AKIAEXAMPLE", stdin=f"{CANARY}\nignored\n")
    assert result.code == 0
    found = CredentialStore(paths).get("aws_s3")
    assert found is not None
    assert (found.username, found.password) == ("AKIAEXAMPLE", Secret(CANARY))
    shown = [cli(*verb) for verb in (["get-config"], ["get-config", "--json"], ["list-providers", "--json"])]
    assert MASK in shown[0].out
    assert all(CANARY not in item.out + item.err for item in [result, *shown])
    assert CANARY not in paths.config_file.read_text()
    assert all(CANARY not in log.read_text() for log in paths.logs_dir.iterdir())
    assert cli("remove-credentials", "aws_s3", "--json").json() == {"name": "aws_s3", "removed": True}
    assert cli("remove-credentials", "aws_s3").code == 0


def test_a_secret_beside_the_pair_is_set_by_its_name(cli: Cli, paths: Paths, secret_service: SecretService):
    cli("set-config", "google_drive", "client_id", "1234.apps.googleusercontent.com")
    assert cli("set-credentials", "google_drive", "--setting", "client_secret", stdin=f"{CANARY}\n").code == 0
    key_file = '{\n  "type": "service_account"\n}'
    assert cli("set-credentials", "google_drive", "--setting", "service_account_json", stdin=key_file).code == 0
    found = CredentialStore(paths).get("google_drive")
    assert found is not None
    assert found.extra == {"client_secret": Secret(CANARY), "service_account_json": Secret(key_file)}
    refused = cli("set-credentials", "google_drive", "--setting", "client_id", stdin="x\n")
    assert refused.code == ExitCode.CONFIGURATION
    both = cli("set-credentials", "google_drive", "--setting", "client_secret", "-u", "x", stdin="x\n")
    assert both.code == ExitCode.USAGE


def test_without_a_keyring_nothing_is_saved_and_a_fix_is_shown(cli: Cli, paths: Paths):
    result = cli("set-credentials", "aws_s3", stdin=f"{CANARY}\n")
    assert result.code == ExitCode.CREDENTIAL_STORE
    assert "gnome-keyring" in result.err
    assert CANARY not in result.err
    assert not paths.config_file.exists()


def test_no_secret_is_asked_for_an_unknown_provider(cli: Cli):
    result = cli("set-credentials", "nope", "--username", "me")
    assert result.code == ExitCode.CONFIGURATION
    assert "'nope'" in result.err
    assert "standard input" not in result.err


def test_an_empty_secret_is_refused(cli: Cli):
    assert cli("set-credentials", "aws_s3", stdin="").code == ExitCode.USAGE


def test_a_secret_in_the_file_is_moved_and_reported(cli: Cli, paths: Paths, secret_service: SecretService):
    write_config(paths, aws_s3={"container": "c", "access_key": "A", "secret_key": CANARY})
    result = cli("list-providers")
    assert "moved from the configuration file" in result.err
    assert "aws_s3.secret_key" in result.err
    assert CANARY not in paths.config_file.read_text()


def test_a_secret_that_stays_in_the_file_causes_a_warning(cli: Cli, paths: Paths):
    write_config(paths, aws_s3={"container": "c", "secret_key": CANARY})
    result = cli("list-providers")
    assert "plain text" in result.err
    assert CANARY not in result.err + result.out


def test_enabling_checks_first_and_disabling_undoes(cli: Cli, paths: Paths, tmp_path: Path):
    disk = tmp_path / "disk"
    cli("set-config", "disk", "type", "local")
    cli("set-config", "disk", "container", str(disk))
    refused = cli("enable-provider", "disk")
    assert refused.code == ExitCode.NOT_FOUND
    assert "cannot enable disk" in refused.err
    disk.mkdir()
    enabled = cli("enable-provider", "disk")
    assert enabled.code == 0
    assert "write, read, delete" in enabled.out
    assert cli("disable-provider", "disk", "--json").json() == {"name": "disk", "enabled": False, "state": "disabled"}
    assert cli("enable-provider", "disk", "--json").json()["state"] == "ready"


def test_checks_run_for_all_and_are_remembered(cli: Cli, tmp_path: Path):
    cli("set-config", "disk", "type", "local")
    cli("set-config", "disk", "container", str(tmp_path / "gone"))
    plain = cli("test-providers", "--json")
    assert (plain.code, [item["name"] for item in plain.json()["providers"]]) == (0, ["local"])
    assert "not checked, because not enabled: disk" in plain.err
    result = cli("test-providers", "--all", "--json")
    assert result.code == ExitCode.NOT_FOUND
    assert "disk failed its check" in result.err
    outcome = {item["name"]: item for item in result.json()["providers"]}
    assert outcome["local"]["ok"]
    assert [step["state"] for step in outcome["local"]["steps"]] == ["ok"] * 5
    assert outcome["disk"]["error"]["kind"] == "not_found"
    infos = {info["name"]: info for info in cli("list-providers", "--json").json()["instances"]}
    assert infos["local"]["check_ok"] is True
    assert infos["disk"]["check_ok"] is False
    assert cli("test-providers", "local").code == 0


def test_a_broken_configuration_names_file_and_line(cli: Cli, paths: Paths):
    paths.config_dir.mkdir(parents=True)
    paths.config_file.write_text('{"version": 1,\n oops}')
    result = cli("set-config", "aws_s3", "container", "c")
    assert result.code == ExitCode.CONFIGURATION
    assert "line 2" in result.err
    assert str(paths.config_file) in result.err
    assert json.loads(cli("list-providers", "--json").out)["instances"][0]["state"] == "invalid"
