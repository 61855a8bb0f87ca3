"""CI: it runs every Python on the machine, and fails if any part fails or runs no test."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUMMARY = "===== 3 passed in 1.00s ====="


def executable(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def a_python(path: Path, version: str) -> Path:
    return executable(path, f'echo "{version} {path}"')


def found(home: Path, path: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [ROOT / "tests" / "pythons"], capture_output=True, text=True, timeout=30, check=True,
        env={"HOME": str(home), "PATH": f"{path}:/usr/bin:/bin", **environment},
    )  # fmt: skip
    ours = [line for line in done.stdout.splitlines() if str(home) in line]
    assert done.stderr == ""
    return ours


def test_pythons_on_path_and_of_version_managers_are_found_once_each(tmp_path: Path) -> None:
    on_path = a_python(tmp_path / "bin" / "python3.31", "3.31")
    pyenv = a_python(tmp_path / ".pyenv/versions/3.32.1/bin/python3.32", "3.32")
    uv = a_python(tmp_path / ".local/share/uv/python/cpython-3.33.0-linux/bin/python3.33", "3.33")
    asdf = a_python(tmp_path / ".asdf/installs/python/3.34.0/bin/python3.34", "3.34")
    mise = a_python(tmp_path / ".local/share/mise/installs/python/3.35.0/bin/python3.35", "3.35")
    a_python(tmp_path / ".pyenv/versions/3.31.9/bin/python3.31", "3.31")
    places = {"3.31": on_path, "3.32": pyenv, "3.33": uv, "3.34": asdf, "3.35": mise}
    assert found(tmp_path, str(tmp_path / "bin")) == [f"{version} {path}" for version, path in places.items()]


def test_folders_of_version_managers_may_be_elsewhere(tmp_path: Path) -> None:
    python = a_python(tmp_path / "else where" / "versions/3.32.1/bin/python3.32", "3.32")
    assert found(tmp_path, "/nowhere", PYENV_ROOT=str(tmp_path / "else where")) == [f"3.32 {python}"]


def test_a_shim_that_fails_hides_no_real_python(tmp_path: Path) -> None:
    executable(tmp_path / "shims" / "python3.32", "echo 'pyenv: python3.32: command not found' >&2; exit 127")
    real = a_python(tmp_path / ".pyenv/versions/3.32.1/bin/python3.32", "3.32")
    assert found(tmp_path, str(tmp_path / "shims")) == [f"3.32 {real}"]
    real.unlink()
    assert found(tmp_path, str(tmp_path / "shims")) == []


def test_the_python_that_runs_this_is_among_them() -> None:
    done = subprocess.run(
        [ROOT / "tests" / "pythons"], capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).resolve().parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    versions = [line.split()[0] for line in done.stdout.splitlines()]
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in versions
    assert len(set(versions)) == len(versions)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A stand-in for a checkout, for `.ci/run`. Its `tests/run` prints SAYS_<version> and exits with EXIT_<version>."""
    folder = tmp_path / "a checkout"
    (folder / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", folder / ".ci")
    make = 'mkdir -p .venv/bin; [ -e .venv/bin/python ] || ln -s "$(command -v python3)" .venv/bin/python'
    executable(folder / "backup-venv", f'{make}; [ "$1" != test-cycle ] || [ -z "$CYCLE_FAILS" ]')
    executable(
        folder / "tests" / "run",
        'version=$(.venv/bin/python -c x | tr . _); echo "under $version: $*; REQUIRE_ALL=$REQUIRE_ALL" >>"$RAN"\n'
        'eval "echo \\"\\$SAYS_$version\\"; exit \\${EXIT_$version:-0}"',
    )
    executable(folder / "tests" / "pythons", 'cat "$PYTHONS"')
    return folder


def ci(checkout: Path, tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    tools = tmp_path / "tools"
    for version in ("3.31", "3.32"):
        executable(tools / version / "python3", f"echo {version}")
    (tmp_path / "pythons").write_text("".join(f"{each.name} {each}/python3\n" for each in sorted(tools.iterdir())))
    variables = {"SAYS_3_31": SUMMARY, "SAYS_3_32": SUMMARY, "CYCLE_FAILS": "", **environment}
    return subprocess.run(
        [checkout / ".ci" / "run"], capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": f"{tools / '3.31'}:/usr/bin:/bin", "PYTHONS": str(tmp_path / "pythons"),
             "RAN": str(tmp_path / "ran"), "TMPDIR": str(tmp_path), **variables},
    )  # fmt: skip


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout.splitlines()[-1]


def test_it_runs_parts_under_other_pythons_and_all_under_the_default(checkout: Path, tmp_path: Path) -> None:
    done = ci(checkout, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert last_line(done) == SUMMARY
    other, default = (tmp_path / "ran").read_text().splitlines()
    assert other.startswith("under 3_32: -n 2 tests/terminal ")
    assert default == "under 3_31: ; REQUIRE_ALL=1"
    assert other.endswith("REQUIRE_ALL=1")
    assert (checkout / ".venv" / "bin" / "python").resolve().parent.name != "3.32"
    assert not list(tmp_path.glob("homeserver-backup-ci-*"))


@pytest.mark.parametrize(
    "environment",
    [
        {"EXIT_3_32": "1", "SAYS_3_32": "== 1 failed, 2 passed in 1.00s =="},
        {"EXIT_3_31": "1", "SAYS_3_31": "== 1 failed, 2 passed in 1.00s =="},
        {"EXIT_3_32": "5", "SAYS_3_32": "== no tests ran in 0.01s =="},
        {"EXIT_3_31": "5", "SAYS_3_31": "== no tests ran in 0.01s =="},
    ],
)
def test_a_failing_part_fails_the_run_and_its_summary_is_last(
    checkout: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    done = ci(checkout, tmp_path, **environment)
    assert done.returncode == 1
    assert last_line(done) in environment.values()
    assert len((tmp_path / "ran").read_text().splitlines()) == 2  # the other part still runs


@pytest.mark.parametrize("said", ["", "== no tests ran in 0.01s ==", "== 0 passed in 0.01s ==", "all passed"])
@pytest.mark.parametrize("version", ["3_31", "3_32"])
def test_a_part_that_runs_no_test_fails(checkout: Path, tmp_path: Path, said: str, version: str) -> None:
    done = ci(checkout, tmp_path, **{f"SAYS_{version}": said})
    assert done.returncode == 1
    assert re.match(r"no tests ran \(Python 3\.3", last_line(done))


def test_a_failing_test_cycle_fails_the_run(checkout: Path, tmp_path: Path) -> None:
    done = ci(checkout, tmp_path, CYCLE_FAILS="1")
    assert done.returncode == 1
    assert "failed: Python 3.32" in done.stdout


def test_the_files_run_under_other_pythons_exist() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    words = re.search(r'parts="(.*?)"', script, re.DOTALL)
    assert words is not None
    parts = words[1].replace("\\\n", "").split()
    assert [part for part in parts if not (ROOT / part).exists()] == []
    for needed in ("tests/terminal", "test_ending", "test_worker", "test_journal"):
        assert needed in script
    assert "test-cycle" in script
