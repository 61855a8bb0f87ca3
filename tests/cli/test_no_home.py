"""A user without a home folder, as in a container or a system account: every program reports it in one line."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backup.cli.diagnostics import ExitCode
from backup.cli.main import VERBS, run
from backup.system.paths import Paths
from providers.errors import InvalidConfiguration
from tests.cli.conftest import ROOT, Cli

UNLISTED = """
import pwd, runpy, sys
def nobody(_):
    raise KeyError("uid not found")
pwd.getpwuid = nobody
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
"""Runs a module as a user that the system does not know."""


def start(module: str, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", UNLISTED, module, *arguments],
        capture_output=True, text=True, timeout=60, check=False, cwd=cwd, stdin=subprocess.DEVNULL,
        env={**known, **environment},
    )  # fmt: skip


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("backup", ["list-providers"]), ("backup", ["upload", "x"]), ("backup", ["status", "--json"]), ("backup", []),
        ("backup.worker", []), ("backup.queries", []),
    ],
)  # fmt: skip
def test_each_entry_point_reports_it_in_one_line(tmp_path: Path, module: str, arguments: list[str]) -> None:
    done = start(module, *arguments, cwd=tmp_path)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "there is no home folder" in done.stderr
    assert "XDG_STATE_HOME" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "arguments", [["--help"], ["upload", "--help"], ["transfers", "list", "-h"], ["credentials", "lock", "--help"]]
)
def test_help_needs_no_home(tmp_path: Path, arguments: list[str]) -> None:
    done = start("backup", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: ")


def test_every_verb_has_its_help_without_folders(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def nowhere() -> Paths:
        raise InvalidConfiguration("there is no home folder")

    monkeypatch.setattr(Paths, "default", nowhere)
    for verb in VERBS:
        assert run([verb, "--help"], "homeserver-backup") == 0
        assert capsys.readouterr().out.startswith(f"Usage: homeserver-backup {verb} ")
    assert run(["upload"], "homeserver-backup") == ExitCode.USAGE
    assert run(["status"], "homeserver-backup") == ExitCode.CONFIGURATION


def test_with_given_folders_it_works_without_a_home(tmp_path: Path) -> None:
    folders = {f"XDG_{name}_HOME": str(tmp_path / name) for name in ("CONFIG", "STATE", "DATA")}
    done = start("backup", "list-providers", cwd=tmp_path, **folders)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("before", [None, 0o755])
def test_the_folder_of_local_storage_is_private(cli: Cli, paths: Paths, tmp_path: Path, before: int | None) -> None:
    old = os.umask(0o022)
    try:
        if before is not None:
            paths.local_storage.mkdir(parents=True)
            paths.data_dir.chmod(before)
        assert cli("test-cycle").code == 0
    finally:
        os.umask(old)
    assert stat.S_IMODE(paths.data_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE(paths.local_storage.stat().st_mode) & 0o077 == 0 or before is not None
