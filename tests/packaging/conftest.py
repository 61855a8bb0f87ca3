"""The wheel, and an environment with it installed."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_PARTS = ("pyproject.toml", "LICENSE", "README.md", "backup", "providers", "screens", "tui", "tests/__init__.py")


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source to build from, so that the tree stays clean."""
    source = tmp_path_factory.mktemp("source")
    for part in _PARTS:
        (source / part).parent.mkdir(parents=True, exist_ok=True)
        run("cp", "-r", ROOT / part, source / part)
    return source


@pytest.fixture(scope="session")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without network."""
    folder = tmp_path_factory.mktemp("wheel")
    run(
        *(sys.executable, "-m", "pip", "wheel", source, "--wheel-dir", folder),
        *("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"),
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in its own environment, which borrows its dependencies from this one: no network."""
    environment = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    run(
        *(sys.executable, "-m", "pip", "--python", environment / "bin" / "python", "install", wheel),
        *("--no-deps", "--no-index", "--disable-pip-version-check", "--quiet"),
    )
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")  # after its own; .pth files there are not read
    return environment
