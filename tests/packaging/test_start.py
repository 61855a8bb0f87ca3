"""How long a start takes, and what it loads; and the script that makes the environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def elapsed_s(*arguments: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, timeout=60, check=True, cwd=ROOT)
    return time.perf_counter() - started


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_version_and_help_are_quick(option: str):
    """Within 150 ms of `python -c pass`. The quickest of several counts on both sides: other tests run meanwhile."""
    bare: list[float] = []
    ours: list[float] = []
    for _ in range(12):
        bare.append(elapsed_s("-c", "pass"))
        ours.append(elapsed_s("-m", "backup", option))
        if len(ours) >= 3 and min(ours) - min(bare) < 0.150:
            return
    pytest.fail(f"{option} takes {min(ours):.3f} s, python -c pass {min(bare):.3f} s")


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_version_and_help_load_neither_screen_nor_sdk(option: str):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "backup", option],
        capture_output=True, text=True, timeout=60, check=True, cwd=ROOT,
    )  # fmt: skip
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "click" in loaded
    assert not loaded & {"textual", "rich", "boto3", "botocore", "obstore", "keyring", "sqlite3"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone as far as the script needs one, its environment (a stand-in) already made."""
    folder = tmp_path / "a folder"
    (folder / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "backup-venv", folder)
    (folder / "requirements.lock").write_text("click==8.2.0\n")
    python = folder / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\necho "ran $*"\n')
    python.chmod(0o755)
    stamp = subprocess.run(["cksum"], input="click==8.2.0\n", capture_output=True, text=True, check=True)
    (folder / ".venv" / ".installed").write_text(f"{stamp.stdout.strip()} {folder}\n")
    return folder


def start(script: Path, *arguments: str, path: str | None = None, cwd: Path | None = None):
    environment = {**os.environ, "PATH": path or os.environ["PATH"]}
    return subprocess.run(
        [script, *arguments], capture_output=True, text=True, timeout=60, check=False, env=environment, cwd=cwd
    )


def test_a_made_environment_is_just_used(checkout: Path):
    done = start(checkout / "backup-venv", "list", "a b")
    assert (done.returncode, done.stdout) == (0, "ran -P -m backup list a b\n")


def test_it_runs_through_links_and_from_another_folder(checkout: Path, tmp_path: Path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "one").symlink_to("../a folder/backup-venv")
    (tmp_path / "two").symlink_to(tmp_path / "bin" / "one")
    done = start(tmp_path / "two", "status", cwd=Path("/"))
    assert (done.returncode, done.stdout) == (0, "ran -P -m backup status\n")


def tools_without_python(tmp_path: Path) -> Path:
    """A PATH with what the script itself uses, and no Python."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for tool in ("sh", "dirname", "readlink", "cksum", "cat", "rm", "mv"):
        (folder / tool).symlink_to(shutil.which(tool) or tool)
    return folder


def fake_python(folder: Path, body: str) -> None:
    python = folder / "python3"
    python.write_text(f"#!/bin/sh\n{body}\n")
    python.chmod(0o755)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_no_python_is_one_line_with_the_cure(checkout: Path, tmp_path: Path):
    (checkout / ".venv" / ".installed").unlink()
    done = start(checkout / "backup-venv", path=str(tools_without_python(tmp_path)))
    assert "apt install python3 python3-venv" in one_line(done)


def test_an_old_python_is_one_line_with_the_cure(checkout: Path, tmp_path: Path):
    (checkout / ".venv" / ".installed").unlink()
    tools = tools_without_python(tmp_path)
    fake_python(tools, 'case $1 in --version) echo "Python 3.9.2" ;; *) exit 1 ;; esac')
    line = one_line(start(checkout / "backup-venv", path=str(tools)))
    assert "3.11 or newer is needed" in line
    assert "Python 3.9.2" in line


def test_a_missing_venv_module_is_one_line_with_the_cure(checkout: Path, tmp_path: Path):
    (checkout / ".venv" / ".installed").unlink()
    tools = tools_without_python(tmp_path)
    fake_python(tools, 'case $2 in *ensurepip*) exit 1 ;; *) echo "$0" ;; esac')
    assert "apt install python3-venv" in one_line(start(checkout / "backup-venv", path=str(tools)))


def test_an_interrupted_installation_is_begun_anew(checkout: Path, tmp_path: Path):
    """No stamp: the half-made environment is cleared, made, filled and stamped; the next start only runs."""
    (checkout / ".venv" / ".installed").unlink()
    tools = tools_without_python(tmp_path)
    log = tmp_path / "calls"
    fake_python(tools, f'echo "$*" >>"{log}"; echo "$0"')
    venv_python = checkout / ".venv" / "bin" / "python"
    venv_python.write_text(f'#!/bin/sh\necho "venv $*" >>"{log}"\n')
    done = start(checkout / "backup-venv", "--version", path=str(tools))
    assert done.returncode == 0, done.stderr
    calls = log.read_text()
    assert f"-m venv --clear {checkout}/.venv" in calls
    assert f"--require-hashes -r {checkout}/requirements.lock" in calls
    log.unlink()
    assert start(checkout / "backup-venv", "--version", path=str(tools)).returncode == 0
    assert log.read_text() == "venv -P -m backup --version\n"


def test_a_failed_installation_is_not_taken_for_a_whole_one(checkout: Path, tmp_path: Path):
    (checkout / "requirements.lock").write_text("click==8.3.0\n")
    tools = tools_without_python(tmp_path)
    fake_python(tools, 'echo "$0"')
    (checkout / ".venv" / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    done = start(checkout / "backup-venv", path=str(tools))
    assert done.returncode == 1
    assert "Check the network" in done.stderr
    assert not (checkout / ".venv" / ".installed").exists()


def test_the_scripts_are_posix():
    for script in ("backup-venv", "tests/run", ".ci/run"):
        assert (ROOT / script).read_text().startswith("#!/bin/sh\n")
        assert os.access(ROOT / script, os.X_OK)
        done = subprocess.run(["sh", "-n", ROOT / script], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr


def test_of_two_first_starts_one_installs(checkout: Path, tmp_path: Path):
    (checkout / ".venv" / ".installed").unlink()
    tools = tools_without_python(tmp_path)
    log = tmp_path / "calls"
    fake_python(tools, f'echo "$*" >>"{log}"; case $2 in *flock*) exec "{sys.executable}" "$@" ;; esac; echo "$0"')
    (checkout / ".venv" / "bin" / "python").write_text("#!/bin/sh\nread -r line </dev/null || :\n")
    command = [str(checkout / "backup-venv"), "--version"]
    environment = {**os.environ, "PATH": str(tools)}
    both = [subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert log.read_text().count("-m venv --clear") == 1
