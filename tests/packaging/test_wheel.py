"""The result of `pip install .`: both commands, stylesheets, READMEs, templates, the license, no tests."""

from __future__ import annotations

import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from backup.system.paths import Paths
from tests.packaging.conftest import ROOT, run


def in_tree(pattern: str) -> set[str]:
    found = (path for package in ("backup", "providers", "screens", "tui") for path in (ROOT / package).rglob(pattern))
    return {str(path.relative_to(ROOT)) for path in found}


def test_the_wheel_has_all_that_is_needed(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert in_tree("*.py") <= names
    assert in_tree("*.tcss") <= names
    assert in_tree("README.md") <= names
    assert len(in_tree("*.template")) == 4
    assert in_tree("*.template") <= names
    assert {name for name in names if name.endswith(".tcss")}


def test_the_wheel_has_nothing_else(wheel: Path):
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"backup", "providers", "screens", "tui"}


def test_the_license_is_in_the_wheel_and_matches_the_project(wheel: Path):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "LICENSE").read_text()
    assert project["license"] in text
    assert f"{project['authors'][0]['name']} - All rights reserved." in text
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/licenses/LICENSE"))
        assert archive.read(name).decode() == text
        (metadata,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA"))
    assert {f"License-Expression: {project['license']}", "License-File: LICENSE"} <= set(metadata.splitlines())


def test_the_license_is_in_the_source_distribution(source: Path, tmp_path: Path):
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", build, tmp_path, cwd=source)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        (name,) = (name for name in packed.getnames() if name.count("/") == 1 and name.endswith("/LICENSE"))
        member = packed.extractfile(name)
        assert member is not None
        assert member.read() == (ROOT / "LICENSE").read_bytes()


def test_the_wheel_has_the_requirements_of_the_project(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA"))
    lines = [line.partition(": ")[2] for line in metadata.splitlines() if line.startswith("Requires-Dist: ")]
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert set(map(Requirement, lines)) == set(map(Requirement, listed))


@pytest.mark.parametrize("command", ["homeserver-backup", "backup-venv"])
def test_both_commands_run(installed: Path, command: str, paths: Paths, tmp_path: Path):
    """With the installed files alone, from another folder."""
    program = installed / "bin" / command
    assert run(program, "--version", cwd=tmp_path).startswith("homeserver-backup ")
    assert f"Usage: {command} " in run(program, "--help", cwd=tmp_path)
    place = run(installed / "bin" / "python", "-c", "import backup; print(backup.__file__)", cwd=tmp_path)
    assert place.startswith(str(installed))


def test_the_installed_program_passes_test_cycle(installed: Path, paths: Paths, tmp_path: Path):
    said = run(installed / "bin" / "homeserver-backup", "test-cycle", "--size", "1MiB", cwd=tmp_path)
    assert "passed in" in said
