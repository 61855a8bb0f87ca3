"""The lock files: every package is pinned with hashes, no index is named, and the two agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-test.lock")


def entries(name: str) -> list[str]:
    """One string per package, with continuation lines joined."""
    joined = (ROOT / name).read_text().replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def pins(name: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for entry in entries(name):
        package, _, version = entry.split()[0].partition("==")
        found.setdefault(package, set()).add(version)
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_is_pinned_with_hashes(name: str):
    assert len(entries(name)) > 10
    for entry in entries(name):
        assert re.match(r"^[a-z0-9-]+(\[[a-z0-9,-]+\])?==[^\s;]+ ", entry), entry[:60]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry[:60]


@pytest.mark.parametrize("name", LOCKS)
def test_no_index_no_host_and_no_path_is_named(name: str):
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(-i|-f|--index-url|--extra-index-url|--find-links|--trusted-host)", text, re.MULTILINE)
    assert not re.search(r"(^|\s|@)\.{0,2}/\w", text)


def test_the_test_lock_installs_on_top():
    run, test = pins("requirements.lock"), pins("requirements-test.lock")
    assert run.items() <= test.items()


def test_the_requirements_of_the_project_are_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [re.match(r"[A-Za-z0-9-]+", item) for item in project["project"]["dependencies"]]
    names = {found.group().lower() for found in asked if found}
    assert names <= pins("requirements.lock").keys()
    assert "pytest" in pins("requirements-test.lock")
    assert "pytest" not in pins("requirements.lock")


def test_linux_and_macos_are_both_supported():
    """Packages with machine code have hashes of wheels for several platforms."""
    compiled = next(entry for entry in entries("requirements.lock") if entry.startswith("msgspec=="))
    assert compiled.count("--hash=") > 10
