"""The supported and tested Pythons, which several files name, are the same in each."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
OLDEST = PROJECT["project"]["requires-python"].removeprefix(">=")


def words(name: str) -> str:
    return " ".join((ROOT / name).read_text().split())


def said_to_be_tested() -> list[str]:
    named = re.search(r"\(tested with ([^)]*)\)", words("README.md"))
    assert named is not None
    return re.findall(r"3\.\d+", named[1])


def test_the_classifiers_match_the_versions_tested_in_the_readme() -> None:
    prefix = "Programming Language :: Python :: 3."
    classifiers = PROJECT["project"]["classifiers"]
    assert [each.removeprefix(prefix[:-2]) for each in classifiers if each.startswith(prefix)] == said_to_be_tested()


def test_the_oldest_python_is_tested_and_the_same_everywhere() -> None:
    assert said_to_be_tested()[0] == OLDEST
    for name in ("README.md", "CONTRIBUTING.md", "backup-venv"):
        assert set(re.findall(r"(?<![\d.])(3\.\d+) or newer", words(name))) == {OLDEST}, name
    assert set(re.findall(r"--python-version (3\.\d+)", words("CONTRIBUTING.md"))) == {OLDEST}
    assert PROJECT["tool"]["mypy"]["python_version"] == OLDEST
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{OLDEST.replace('.', '')}"


def test_ci_uses_every_python_that_is_new_enough() -> None:
    """`.ci/run` asks `tests/pythons`, and leaves out only the default one, which runs everything."""
    major, minor = OLDEST.split(".")
    for name in ("tests/pythons", "backup-venv"):
        compared = re.findall(r"version_info\D*[<>]=? \((\d+), (\d+)\)", words(name))
        assert set(compared) == {(major, minor)}, name
    ci = words(".ci/run")
    assert "pythons=$(tests/pythons)" in ci
    assert not re.findall(r"(?<![\d.])3\.\d+", ci)


def test_set_up_looks_for_each_tested_python_by_name() -> None:
    names = re.search(r"for name in python3 ([^;]*);", words("backup-venv"))
    assert names is not None
    assert {f"python{version}" for version in said_to_be_tested()} <= set(names[1].split())
