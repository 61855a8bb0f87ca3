"""Starting: what is loaded, how long it takes, what a wrong command line gets."""

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
from backup.cli.main import VERBS, program_name
from backup.paths import Paths
from providers import errors
from tests.cli.conftest import ROOT, Cli

HEAVY = {"textual", "boto3", "botocore", "obstore", "keyring", "rich", "sqlite3", "asyncio"}


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


@pytest.mark.parametrize("argv", [["--help"], ["--version"]])
def test_help_and_version_load_nothing_heavy(argv: list[str]):
    assert not loaded_by(*argv) & HEAVY


@pytest.mark.parametrize("verb", ["upload", "test-cycle", "list", "transfers"])
def test_help_of_a_verb_loads_no_sdk(verb: str):
    assert not loaded_by(verb, "--help") & {"textual", "boto3", "botocore", "obstore", "keyring"}


def cpu_s(*argv: str) -> float:
    """CPU time of a process: wall time would measure the other tests on this machine."""
    before = os.times()
    subprocess.run([sys.executable, *argv], cwd=ROOT, capture_output=True, timeout=30, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_start_up_takes_less_than_150_ms_more_than_python(option: str):
    bare = min(cpu_s("-c", "pass") for _ in range(3))
    ours = min(cpu_s("-m", "backup", option) for _ in range(3))
    assert ours - bare < 0.150


def test_every_verb_has_its_line_in_the_help(cli: Cli):
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


def test_every_error_kind_has_an_exit_code_of_its_family():
    kinds = {
        cls.kind for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.ProviderError)
    }
    without = {kind for kind in kinds if diagnostics.exit_code(kind) is ExitCode.FAILURE}
    assert without == {"provider"}


@pytest.mark.parametrize(
    ("argv0", "name"),
    [
        ("/usr/bin/homeserver-backup", "homeserver-backup"),
        ("./backup-venv", "backup-venv"),
        ("/x/backup/__main__.py", "python -m backup"),
    ],
)
def test_it_goes_by_the_name_it_was_called(argv0: str, name: str):
    assert program_name(argv0) == name


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

    monkeypatch.setattr("backup.service.Service.instances", broken)
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
    paths.state_dir.parent.write_text("a file stands where the folder should be")
    done = program("list")
    assert done.code == ExitCode.NOT_FOUND
    assert str(paths.state_dir.parent) in done.err
    assert "Traceback" not in done.err


def test_a_broken_configuration_is_said_beside_its_defaults(paths: Paths, cli: Cli):
    paths.config_dir.mkdir(parents=True, exist_ok=True)
    paths.config_file.write_text("{bad")
    shown = cli("get-config")
    assert "line 1" in shown.err
    assert paths.config_file.read_text() == "{bad"
