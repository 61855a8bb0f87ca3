"""Start of the program: time, loaded modules, and the script that creates the environment."""

from __future__ import annotations

import getpass
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def compiled() -> dict[str, str]:
    """Environment variables with which Python keeps compiled files, as it does for users."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def cpu_s(*command: str | Path, cwd: Path) -> float:
    """CPU time of a process and its children. Wall time would include the load of other tests."""
    before = os.times()
    subprocess.run(command, capture_output=True, timeout=60, check=True, cwd=cwd, env=compiled())
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def more_s(ours: Sequence[str | Path], bare: Sequence[str | Path], *, enough_s: float, cwd: Path = ROOT) -> float:
    """The smallest difference in time between `ours` and `bare`, over up to 20 tries: other tests on this machine can
    only slow each of them down."""
    least = math.inf
    base = min(cpu_s(*bare, cwd=cwd) for _ in range(3))
    for _ in range(20):
        least = min(least, cpu_s(*ours, cwd=cwd) - base)
        if least < enough_s:
            break
    return least


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_version_and_help_take_less_than_150_ms_more_than_python(option: str):
    ours, bare = (sys.executable, "-m", "backup", option), (sys.executable, "-c", "pass")
    assert more_s(ours, bare, enough_s=0.150) < 0.150


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_version_and_help_load_neither_screen_nor_sdk(option: str):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "backup", option],
        capture_output=True, text=True, timeout=60, check=True, cwd=ROOT,
    )  # fmt: skip
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "click" in loaded
    assert not loaded & {"textual", "rich", "boto3", "botocore", "b2sdk", "google", "keyring", "sqlite3", "asyncio"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return make_checkout(tmp_path / "a folder")


def make_checkout(folder: Path) -> Path:
    """A minimal clone for the script, with a stand-in for its environment."""
    (folder / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "backup-venv", folder)
    (folder / "requirements.lock").write_text("click==8.2.0\n")
    python = folder / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\necho "ran $*"\n')
    python.chmod(0o755)
    stamp = subprocess.run(["cksum"], input="click==8.2.0\n", capture_output=True, text=True, check=True)
    (folder / ".venv" / ".installed").write_text(f"{stamp.stdout.strip()} {folder}\n")
    return folder


def start(
    script: Path, *arguments: str, path: str | None = None, cwd: Path | None = None, user: int | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [script, *arguments],
        capture_output=True, text=True, timeout=60, check=False, cwd=cwd, user=user,
        env={**os.environ, "PATH": path or os.environ["PATH"]},
    )  # fmt: skip


def test_an_existing_environment_is_used(checkout: Path):
    done = start(checkout / "backup-venv", "list", "a b")
    assert (done.returncode, done.stdout) == (0, "ran -X utf8 -P -m backup list a b\n")


def test_a_second_start_adds_less_than_100_ms(checkout: Path):
    ours, bare = (checkout / "backup-venv", "status"), (checkout / ".venv/bin/python", "status")
    assert more_s(ours, bare, enough_s=0.100, cwd=checkout) < 0.100


def test_it_uses_the_typed_name(checkout: Path):
    (checkout / ".venv" / "bin" / "python").write_text('#!/bin/sh\necho "$HOMESERVER_BACKUP_COMMAND"\n')
    done = subprocess.run(
        ["./backup-venv", "status"], capture_output=True, text=True, timeout=60, check=True, cwd=checkout
    )
    assert done.stdout == "./backup-venv\n"


def test_it_runs_through_links_and_from_another_folder(checkout: Path, tmp_path: Path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "one").symlink_to("../a folder/backup-venv")
    (tmp_path / "two").symlink_to(tmp_path / "bin" / "one")
    done = start(tmp_path / "two", "status", cwd=Path("/"))
    assert (done.returncode, done.stdout) == (0, "ran -X utf8 -P -m backup status\n")


def tools_without_python(tmp_path: Path) -> Path:
    """A PATH with the tools of the script, and no Python."""
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


def test_no_python_is_one_line_with_a_fix(checkout: Path, tmp_path: Path):
    (checkout / ".venv" / ".installed").unlink()
    done = start(checkout / "backup-venv", path=str(tools_without_python(tmp_path)))
    assert "apt install python3 python3-venv" in one_line(done)


def test_an_old_python_is_one_line_with_a_fix(checkout: Path, tmp_path: Path):
    (checkout / ".venv" / ".installed").unlink()
    tools = tools_without_python(tmp_path)
    fake_python(tools, 'case $1 in --version) echo "Python 3.9.2" ;; *) exit 1 ;; esac')
    line = one_line(start(checkout / "backup-venv", path=str(tools)))
    assert "3.11 or newer is needed" in line
    assert "Python 3.9.2" in line


def test_a_missing_venv_module_is_one_line_with_a_fix(checkout: Path, tmp_path: Path):
    (checkout / ".venv" / ".installed").unlink()
    tools = tools_without_python(tmp_path)
    fake_python(tools, 'case $2 in *ensurepip*) exit 1 ;; *) echo "$0" ;; esac')
    assert "apt install python3-venv" in one_line(start(checkout / "backup-venv", path=str(tools)))


def test_an_interrupted_installation_starts_again(checkout: Path, tmp_path: Path):
    """Without a stamp the partial environment is cleared, created, filled and stamped; the next start only runs."""
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
    assert log.read_text() == "venv -X utf8 -P -m backup --version\n"


def test_a_failed_installation_is_not_used(checkout: Path, tmp_path: Path):
    (checkout / "requirements.lock").write_text("click==8.3.0\n")
    tools = tools_without_python(tmp_path)
    fake_python(tools, 'echo "$0"')
    (checkout / ".venv" / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    done = start(checkout / "backup-venv", path=str(tools))
    assert done.returncode == 1
    assert "Check the network" in done.stderr
    assert not (checkout / ".venv" / ".installed").exists()


@pytest.fixture
def shared() -> Iterator[Path]:
    """A set-up checkout that another user can reach (pytest's folders are private), with its Python beside it."""
    base = Path(tempfile.mkdtemp(prefix="shared-checkout-"))
    base.chmod(0o755)
    folder = make_checkout(base / "a folder")
    (base / "home").mkdir()
    (folder / ".venv" / "bin" / "python").rename(base / "home" / "python3.12")
    (folder / ".venv" / "bin" / "python").symlink_to("python3.12")
    (folder / ".venv" / "bin" / "python3.12").symlink_to(base / "home" / "python3.12")
    yield folder
    for entry in (base / "home", folder, folder / ".venv"):
        entry.chmod(0o755)
    shutil.rmtree(base)


def as_somebody_else(folder: Path) -> subprocess.CompletedProcess[str]:
    """Start the script as an ordinary user, because root may enter and write anywhere."""
    return start(folder / "backup-venv", "status", cwd=Path("/"), user=65534 if os.getuid() == 0 else None)


def test_everybody_can_start_what_the_owner_has_set_up(shared: Path):
    shared.chmod(0o555)
    assert as_somebody_else(shared).stdout == "ran -X utf8 -P -m backup status\n"


def test_a_python_that_this_user_cannot_reach_is_named_with_a_fix(shared: Path):
    (shared.parent / "home").chmod(0)
    for writable in (shared, shared / ".venv"):
        writable.chmod(0o555)
        line = one_line(as_somebody_else(shared))
        assert f"made with {shared.parent}/home/python3.12, and " in line
        assert f"may not enter {shared.parent}/home." in line
        assert f"rm -r '{shared}/.venv' && PATH=/usr/bin:/bin '{shared}/backup-venv' --version" in line
        assert f"as the owner ({getpass.getuser()})" in line
        writable.chmod(0o777)


def test_a_missing_python_is_not_called_out_of_reach(shared: Path):
    shared.chmod(0o555)
    (shared.parent / "home" / "python3.12").unlink()
    line = one_line(as_somebody_else(shared))
    assert f"{shared.parent}/home/python3.12, which is gone" in line
    assert f"'{shared}/backup-venv' --version" in line


def test_an_environment_closed_to_others_is_reported(shared: Path):
    shared.chmod(0o555)
    (shared / ".venv").chmod(0)
    assert f"chmod -R a+rX '{shared}/.venv'" in one_line(as_somebody_else(shared))


@pytest.mark.parametrize(
    ("change", "cause"),
    [("stamp", "is not made yet, and"), ("lock", "has changed since")],
)
def test_an_update_that_only_the_owner_can_make_is_reported(shared: Path, change: str, cause: str):
    if change == "stamp":
        (shared / ".venv" / ".installed").unlink()
    else:
        (shared / "requirements.lock").write_text("click==8.3.0\n")
    shared.chmod(0o555)
    line = one_line(as_somebody_else(shared))
    assert cause in line
    assert f"'{shared}/backup-venv' --version" in line


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


class Pythons:
    """Stand-ins for the system's Python and those of the environments, which record each call in one line."""

    def __init__(self, checkout: Path, tmp_path: Path) -> None:
        self.checkout = checkout
        self.log = tmp_path / "calls"
        self.log.touch()
        tools = tmp_path / "stand-ins"
        tools.mkdir()
        self.path = f"{tools}{os.pathsep}{os.environ['PATH']}"
        inner = tmp_path / "inner"
        inner.write_text(
            f'#!/bin/sh\necho "$0 $*" >>"{self.log}"\n[ ! -f "{tmp_path}/fail" ] || case $* in *park) exit 1 ;; esac\n'
        )
        inner.chmod(0o755)
        self.fail = tmp_path / "fail"
        fake_python(
            tools,
            f"""echo "system $*" >>"{self.log}"
case $1$2 in
    -mvenv) mkdir -p "$4/bin" && cp "{inner}" "$4/bin/python" && printf '#!%s/bin/python\\n' "$4" >"$4/bin/tool" \\
        && echo "command = $4" >"$4/pyvenv.cfg" ;;
    -c*made,*) shift; exec "{sys.executable}" -c "$@" ;;
    -c*realpath*) echo "$0" ;;
esac""",
        )
        shutil.copy(inner, checkout / ".venv" / "bin" / "python")

    def start(self) -> subprocess.CompletedProcess[str]:
        return start(self.checkout / "backup-venv", "status", path=self.path)

    def calls(self) -> list[str]:
        found = self.log.read_text().replace(str(self.checkout), "HERE").splitlines()
        self.log.write_text("")
        return found


@pytest.fixture
def pythons(checkout: Path, tmp_path: Path) -> Pythons:
    return Pythons(checkout, tmp_path)


def test_a_changed_lock_goes_into_a_new_folder_that_replaces_the_old_one(checkout: Path, pythons: Pythons):
    (checkout / ".venv" / "mark").touch()
    (checkout / "requirements.lock").write_text("click==8.3.0\n")
    done = pythons.start()
    assert done.returncode == 0, done.stderr
    calls = pythons.calls()
    made = next(at for at, call in enumerate(calls) if "-m venv --clear HERE/.venv.new" in call)
    parked = calls.index("HERE/.venv.new/bin/python -X utf8 -P -m backup.worker.park")
    assert made < parked < calls.index("HERE/.venv/bin/python -X utf8 -P -m backup.worker.park --go-on")
    assert any(call.startswith("HERE/.venv.new/bin/python -m pip install") for call in calls[made:parked])
    assert not any(call.startswith("HERE/.venv/bin/python") for call in calls[:parked])
    assert calls[-1] == "HERE/.venv/bin/python -X utf8 -P -m backup status"
    assert sorted(path.name for path in checkout.iterdir() if path.name.startswith(".venv")) == [".venv", ".venv.lock"]
    assert not (checkout / ".venv" / "mark").exists()
    assert (checkout / ".venv" / "bin" / "tool").read_text() == f"#!{checkout}/.venv/bin/python\n"
    assert (checkout / ".venv" / "pyvenv.cfg").read_text() == f"command = {checkout}/.venv\n"
    assert pythons.start().returncode == 0
    assert pythons.calls() == ["HERE/.venv/bin/python -X utf8 -P -m backup status"]


def test_a_worker_that_does_not_exit_keeps_its_environment(checkout: Path, pythons: Pythons):
    (checkout / ".venv" / "mark").touch()
    (checkout / "requirements.lock").write_text("click==8.3.0\n")
    pythons.fail.touch()
    done = pythons.start()
    assert done.returncode == 1
    assert "nothing was switched" in done.stderr
    assert (checkout / ".venv" / "mark").exists()
    pythons.calls()
    pythons.fail.unlink()
    assert pythons.start().returncode == 0
    assert not any("pip install" in call for call in pythons.calls())  # the new environment is used
    assert not (checkout / ".venv" / "mark").exists()


@pytest.mark.parametrize("moment", ["while it is made", "before the switch", "between the two renames", "after it"])
def test_after_a_kill_during_the_switch_the_next_start_continues(checkout: Path, pythons: Pythons, moment: str):
    (checkout / "requirements.lock").write_text("click==8.3.0\n")
    (checkout / ".venv" / "mark").touch()
    assert pythons.start().returncode == 0
    new, venv = checkout / ".venv.new", checkout / ".venv"
    venv.rename(new)
    (checkout / ".venv.old").mkdir()
    (checkout / ".venv.old" / "mark").touch()
    if moment in ("while it is made", "before the switch"):
        (checkout / ".venv.old").rename(venv)
        (venv / "bin").mkdir()
        shutil.copy(new / "bin" / "python", venv / "bin")
        (venv / ".outdated").touch()
    if moment == "while it is made":
        (new / ".installed").unlink()
    if moment == "after it":
        new.rename(venv)
    pythons.calls()
    assert pythons.start().returncode == 0
    calls = pythons.calls()
    assert calls[-1] == "HERE/.venv/bin/python -X utf8 -P -m backup status"
    assert any("pip install" in call for call in calls) == (moment == "while it is made")
    assert not (venv / "mark").exists()
    assert not new.exists()
