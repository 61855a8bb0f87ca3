"""`new-provider` in a copy of the source: it passes lint, and the suite lists what is to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from backup.cli.diagnostics import ExitCode
from tests.cli.conftest import ROOT, Cli


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    copy = tmp_path / "source"
    copy.mkdir()
    for name in ("backup", "providers", "screens", "tests", "tui"):
        shutil.copytree(ROOT / name, copy / name)  # with compiled files, which saves seconds
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def run(checkout: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.full
def test_it_passes_lint_and_fails_the_suite_with_a_list(cli: Cli, checkout: Path):
    result = cli("new-provider", "acme_cloud", "--checkout", str(checkout), "--json")
    assert result.code == 0, result.err
    made = [Path(path) for path in result.json()["files"]]
    assert all(path.is_file() for path in made)
    contracts = tomllib.loads((checkout / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (rooms,) = [contract for contract in contracts if contract["id"] == "providers-rooms"]
    assert [layer for layer in rooms["layers"] if "acme_cloud" in layer.split(" | ") and "local" in layer.split(" | ")]
    python = [str(path) for path in made if path.suffix == ".py"]
    checks = (["ruff", "check", "."], ["ruff", "format", "--check", *python], ["mypy", "--strict", *python])
    for command in checks:
        done = run(checkout, *command)
        assert done.returncode == 0, done.stdout
    done = run(checkout, "pytest", "-q", "-rN", "-p", "no:cacheprovider", "tests/contract", "-k", "acme_cloud")
    assert done.returncode == 1, done.stdout
    assert done.stdout.count("acme_cloud is still to do") == 1, "listed once, not with each test"
    assert " 3. scan: one page of a listing" in done.stdout
    assert "1 failed" in done.stdout
    assert "error" not in done.stdout.splitlines()[-1]
    readmes = run(checkout, "pytest", "-q", "-p", "no:cacheprovider", "tests/providers/test_readmes.py", "-k", "acme")
    assert readmes.returncode == 0, readmes.stdout


def test_wrong_names_and_places_are_refused(cli: Cli, checkout: Path, tmp_path: Path):
    assert cli("new-provider", "local", "--checkout", str(checkout)).code == ExitCode.CONFLICT
    assert cli("new-provider", "../evil", "--checkout", str(checkout)).code == ExitCode.UNSUPPORTED
    elsewhere = cli("new-provider", "acme", "--checkout", str(tmp_path))
    assert elsewhere.code == ExitCode.UNSUPPORTED
    assert "not a checkout" in elsewhere.err
