"""Start of the program: loaded modules, help, and the answer to a wrong command line."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time

import pytest

from backup.cli import diagnostics
from backup.cli.diagnostics import ExitCode
from backup.cli.main import VERBS
from backup.cli.naming import program_name
from backup.system.paths import Paths
from providers import errors
from tests.cli.conftest import ROOT, Cli


def loaded_by(*argv: str) -> set[str]:
    code = (
        "import sys, json\n"
        "from backup.cli.main import run\n"
        f"code = run({list(argv)!r}, 'homeserver-backup')\n"
        "print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    exit_code, modules = json.loads(done.stderr.splitlines()[-1])
    assert exit_code == 0
    return set(modules)


@pytest.mark.few(2)
@pytest.mark.parametrize("verb", ["upload", "test-cycle", "list", "transfers"])
def test_help_of_a_verb_loads_no_sdk(verb: str):
    assert not loaded_by(verb, "--help") & {"textual", "boto3", "botocore", "b2sdk", "google", "keyring"}


def test_every_verb_has_a_line_in_the_help(cli: Cli):
    shown = cli("--help")
    assert shown.code == 0
    for verb in VERBS:
        assert verb in shown.out
        assert importlib.import_module(f"backup.cli.commands.{verb.replace('-', '_')}").command.name == verb


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_explains_itself(cli: Cli, verb: str):
    shown = cli(verb, "--help")
    assert shown.code == 0
    assert len(shown.out.splitlines()) > 4
    assert verb in {"transfers", "credentials"} or "--json" in shown.out


def test_exit_codes_are_in_the_help(cli: Cli):
    text = " ".join(cli("--help").out.split())
    for code, meaning in diagnostics.MEANINGS.items():
        assert f"{code.value} {meaning}" in text


def test_every_error_kind_has_the_exit_code_of_its_family():
    kinds = {
        cls.kind for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.ProviderError)
    }
    without = {kind for kind in kinds if diagnostics.exit_code(kind) is ExitCode.FAILURE}
    assert without == {"provider"}


@pytest.mark.parametrize(
    ("argv0", "typed", "name"),
    [
        ("/usr/bin/homeserver-backup", None, "homeserver-backup"),
        ("/usr/bin/homeserver-backup", "./backup-venv", "homeserver-backup"),
        ("/venv/bin/backup-venv", None, "backup-venv"),
        ("/x/backup/__main__.py", None, "python -m backup"),
        ("/x/backup/__main__.py", "../a folder/backup-venv", "../a folder/backup-venv"),
    ],
)
def test_it_uses_the_name_it_was_called_by(argv0: str, typed: str | None, name: str, monkeypatch: pytest.MonkeyPatch):
    if typed is not None:
        monkeypatch.setenv("HOMESERVER_BACKUP_COMMAND", typed)
    assert program_name(argv0) == name
    assert "HOMESERVER_BACKUP_COMMAND" not in os.environ  # not inherited by children


@pytest.mark.parametrize("verb", [("set-config",), ("credentials", "import")])
def test_usage_and_examples_use_the_typed_name(verb: tuple[str, ...], program: Cli):
    shown = program(*verb, "--help", environment={"HOMESERVER_BACKUP_COMMAND": "./backup-venv"})
    assert shown.out.startswith(f"Usage: ./backup-venv {' '.join(verb)} ")
    assert shown.out.count(f"./backup-venv {' '.join(verb)} ") > 1
    assert "homeserver-backup" not in shown.out


def test_an_unknown_verb_is_a_usage_error(cli: Cli):
    result = cli("uplaod", "x")
    assert result.code == ExitCode.USAGE
    assert "uplaod" in result.err
    assert result.out == ""


def test_without_a_terminal_the_console_does_not_open(cli: Cli):
    result = cli()
    assert result.code == ExitCode.USAGE
    assert "Commands:" in result.err
    assert result.out == ""


def test_an_unexpected_error_says_where_the_log_is(cli: Cli, monkeypatch: pytest.MonkeyPatch):
    def broken(_: object) -> None:
        raise ZeroDivisionError("hunter2 is in here")

    monkeypatch.setattr("backup.core.instances.Instances.all", broken)
    result = cli("list-providers")
    assert result.code == ExitCode.FAILURE
    assert "ZeroDivisionError" in result.err
    assert "logs" in result.err
    assert "hunter2" not in result.err


def test_a_closed_pipe_is_no_traceback(paths: object):
    started = time.monotonic()
    done = subprocess.run(
        f"{sys.executable} -m backup get-config --describe | true",
        shell=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert time.monotonic() - started < 30


def test_a_state_folder_that_cannot_be_used_is_named(paths: Paths, program: Cli):
    paths.state_dir.parent.parent.mkdir(parents=True, exist_ok=True)
    paths.state_dir.parent.write_text("a file in place of the folder")
    done = program("list")
    assert done.code == ExitCode.NOT_FOUND
    assert str(paths.state_dir.parent) in done.err
    assert "Traceback" not in done.err


def test_a_broken_configuration_is_reported_beside_the_defaults(paths: Paths, cli: Cli):
    paths.config_dir.mkdir(parents=True, exist_ok=True)
    paths.config_file.write_text("{bad")
    shown = cli("get-config")
    assert "line 1" in shown.err
    assert paths.config_file.read_text() == "{bad"
