"""The provider of a command that names none: never the local disk by accident."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.cli.diagnostics import ExitCode
from backup.system.paths import Paths
from tests.cli.conftest import Cli, write_config
from tests.processes import stop_worker

CLOUD = {"type": "aws_s3", "container": "copies", "endpoint_url": "http://127.0.0.1:9", "max_retries": 0, "timeout": 2}


@pytest.fixture(autouse=True)
def _worker_stopped(paths: Paths) -> Iterator[None]:
    yield
    assert stop_worker(paths)


@pytest.fixture
def verbs(paths: Paths, tmp_path: Path) -> list[list[str]]:
    """Every verb with a provider, with arguments that work on local storage."""
    (paths.local_storage).mkdir(parents=True)
    (paths.local_storage / "a").write_bytes(b"alpha")
    (tmp_path / "file").write_bytes(b"1")
    return [
        ["upload", str(tmp_path / "file")],
        ["list"],
        ["download", "a", "--to", str(tmp_path / "back")],
        ["delete", "--yes", "a"],
    ]


def refused(cli: Cli, paths: Paths, verbs: list[list[str]], said: str) -> None:
    """Every verb fails with `said`, and local storage is unchanged."""
    for verb in verbs:
        result = cli(*verb)
        assert result.code == ExitCode.CONFIGURATION, (verb, result)
        assert said in result.err
        assert result.out == ""
    assert os.listdir(paths.local_storage) == ["a"]


@pytest.mark.parametrize("enabled", [False, None])
def test_a_service_that_is_not_enabled_is_not_replaced_by_the_local_disk(
    cli: Cli, paths: Paths, verbs: list[list[str]], enabled: bool | None
):
    write_config(paths, cloud=CLOUD if enabled is None else {**CLOUD, "enabled": enabled})
    refused(cli, paths, verbs, "there is no default provider")
    assert cli("list", "--provider", "local").code == 0


def test_a_service_that_was_removed_is_not_replaced_by_the_local_disk(cli: Cli, paths: Paths, verbs: list[list[str]]):
    assert cli("set-config", "aws_s3", "container", "copies").code == 0
    from backup.core.core import Core

    core = Core(paths)
    core.instances.remove("aws_s3")
    core.close()
    assert "aws_s3" not in json.loads(paths.config_file.read_text())["providers"]
    refused(cli, paths, verbs, "there is no default provider")


def test_a_lost_configuration_does_not_send_copies_to_the_local_disk(
    cli: Cli, paths: Paths, verbs: list[list[str]], tmp_path: Path
):
    write_config(paths, usb={"type": "local", "container": str(tmp_path), "enabled": True})
    assert cli("upload", str(tmp_path / "file"), "--provider", "usb", "--to", "x").code == 0
    paths.config_file.write_text('{"version": 1, "providers": {}}')
    refused(cli, paths, verbs, "there is no default provider")
    paths.config_file.unlink()
    refused(cli, paths, verbs, "there is no default provider")


@pytest.mark.parametrize(
    "content",
    [
        "",
        " \n\t",
        "\0" * 512,
        "\ufeff",
        "null",
        "[]",
        '"text"',
        "3",
        '{"version": 1, "provid',
        '{"version": 1} {}',
        "{,}",
    ],
)
def test_a_damaged_configuration_is_neither_used_nor_overwritten(
    cli: Cli, paths: Paths, verbs: list[list[str]], content: str
):
    paths.config_dir.mkdir(parents=True)
    paths.config_file.write_text(content)
    refused(cli, paths, verbs, str(paths.config_file))
    for change in (["aws_s3", "container", "copies"], ["default_provider", "local"]):
        assert cli("set-config", *change).code == ExitCode.CONFIGURATION
    assert paths.config_file.read_text() == content


@pytest.mark.parametrize("kind", ["folder", "link", "pipe", "unreadable"])
def test_an_unreadable_configuration_counts_as_damaged(cli: Cli, paths: Paths, verbs: list[list[str]], kind: str):
    paths.config_dir.mkdir(parents=True)
    if kind == "folder":
        paths.config_file.mkdir()
    elif kind == "link":
        paths.config_file.symlink_to("/nonexistent/config.json")
    elif kind == "pipe":
        os.mkfifo(paths.config_file)
    else:
        paths.config_file.symlink_to("/proc/self/mem")  # root can open everything, but reading this file fails
    refused(cli, paths, verbs, str(paths.config_file))
    assert cli("set-config", "aws_s3", "container", "copies").code == ExitCode.CONFIGURATION


def test_the_only_enabled_service_is_the_default_and_of_several_none(cli: Cli, paths: Paths, tmp_path: Path):
    (tmp_path / "one").mkdir()
    usb = {"type": "local", "container": str(tmp_path / "one"), "enabled": True}
    write_config(paths, usb=usb, cloud=CLOUD)
    assert "using provider usb" in cli("list").err
    write_config(paths, usb=usb, nas=usb)
    several = cli("list")
    assert several.code == ExitCode.CONFIGURATION
    assert "several providers are enabled: usb, nas" in several.err
    assert "default_provider" in several.err


def test_default_provider_decides(cli: Cli, paths: Paths, tmp_path: Path):
    (tmp_path / "one").mkdir()
    usb = {"type": "local", "container": str(tmp_path / "one"), "enabled": True}
    write_config(paths, usb=usb, nas=usb, cloud=CLOUD)
    assert cli("set-config", "default_provider", "nas").out == "default_provider = nas\n"
    assert "using provider nas" in cli("list").err
    assert cli("get-config", "--json").json()["default_provider"] == "nas"
    assert "default: nas" in cli("list-providers").out
    unknown = cli("set-config", "default_provider", "nsa")
    assert unknown.code == ExitCode.CONFIGURATION
    assert "there is no provider 'nsa'" in unknown.err
    assert cli("set-config", "default_provider", "cloud").code == 0
    (tmp_path / "file").write_bytes(b"1")
    assert cli("upload", str(tmp_path / "file"), "--detach").code != 0  # disabled, and not replaced
    assert not paths.local_storage.exists()
    assert cli("set-config", "default_provider", "local").code == 0
    assert "using provider local" in cli("list").err
    assert cli("set-config", "default_provider", "").code == 0
    assert "several providers are enabled" in cli("list").err


def test_a_default_that_is_gone_is_named(cli: Cli, paths: Paths):
    paths.config_dir.mkdir(parents=True)
    paths.config_file.write_text('{"version": 1, "default_provider": "nas"}')
    gone = cli("list")
    assert gone.code == ExitCode.CONFIGURATION
    assert "default_provider is 'nas', and there is no provider of that name" in gone.err
    for wrong in ("3", "[]", "{}", "true"):
        paths.config_file.write_text(f'{{"version": 1, "default_provider": {wrong}}}')
        assert "default_provider: must be the name of a provider" in cli("list").err


def test_the_local_disk_is_the_default_while_nothing_else_was_set_up(cli: Cli, paths: Paths):
    assert "using provider local" in cli("list").err
    assert cli("set-config", "local", "max_bandwidth", "1MiB").code == 0
    assert "using provider local" in cli("list").err


def test_an_instance_cannot_have_the_name_of_the_setting(cli: Cli, paths: Paths):
    assert cli("set-config", "default_provider", "type", "local").code == ExitCode.CONFIGURATION
    assert cli("set-config", "aws_s3", "container").code == ExitCode.USAGE


def test_history_days_is_set_the_same_way(cli: Cli, paths: Paths):
    assert cli("get-config", "--json").json()["history_days"] == 90
    assert cli("set-config", "history_days", "30").out == "history_days = 30\n"
    assert cli("get-config", "--json").json()["history_days"] == 30
    refused = cli("set-config", "history_days", "0")
    assert refused.code == 3
    assert "1 to 36500" in refused.err
    assert cli("set-config", "history_days", "").out == "history_days = 90\n"
