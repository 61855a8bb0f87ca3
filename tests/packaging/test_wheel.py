"""What `pip install .` gives: both commands, stylesheets and READMEs, no tests."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_PARTS = ("pyproject.toml", "README.md", "backup", "providers", "screens", "tui", "tests/__init__.py")


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=110, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is left in the tree; without network."""
    source = tmp_path_factory.mktemp("source")
    for part in _PARTS:
        (source / part).parent.mkdir(parents=True, exist_ok=True)
        run("cp", "-r", ROOT / part, source / part)
    folder = tmp_path_factory.mktemp("wheel")
    run(
        *(sys.executable, "-m", "pip", "wheel", source, "--wheel-dir", folder),
        *("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"),
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    run(
        *(sys.executable, "-m", "pip", "install", wheel, "--target", target),
        *("--no-deps", "--no-index", "--disable-pip-version-check", "--quiet"),
    )
    return target


def in_tree(pattern: str) -> set[str]:
    found = (path for package in ("backup", "providers", "screens", "tui") for path in (ROOT / package).rglob(pattern))
    return {str(path.relative_to(ROOT)) for path in found}


def test_all_that_is_needed_is_in_it(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert in_tree("*.py") <= names
    assert in_tree("*.tcss") <= names
    assert in_tree("README.md") <= names
    assert {name for name in names if name.endswith(".tcss")}


def test_nothing_else_is_in_it(wheel: Path):
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"backup", "providers", "screens", "tui"}


@pytest.mark.parametrize("command", ["homeserver-backup", "backup-venv"])
def test_both_commands_run(installed: Path, command: str, tmp_path: Path):
    # As in an environment of its own: our packages from there, theirs from here, nothing from this folder.
    script = f"import sys; sys.path.insert(0, {str(installed)!r}); sys.argv[0] = {command!r}\n"
    entry = (installed / "bin" / command).read_text().partition("\n")[2]
    (tmp_path / "entry.py").write_text(script + entry)
    version = run(sys.executable, "-P", tmp_path / "entry.py", "--version")
    assert version.startswith("homeserver-backup ")
    place = "import sys, backup; print(backup.__file__)"
    assert str(installed) in run(
        sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(installed)!r}); {place}"
    )
