"""Names are bytes under any locale, and output never fails because of its characters."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from backup.cli.diagnostics import ExitCode
from backup.files import double_encoded
from backup.queue.client import Queue
from backup.system.paths import Paths
from tests.cli.conftest import ROOT, Cli, write_config
from tests.processes import stop_worker
from tests.terminal.terminal import Terminal

NAME = "Grüße-日本.txt"
RAW = b"raw-\xff.txt"


@pytest.fixture(scope="module")
def latin1(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A single-byte locale, compiled for this test."""
    folder = tmp_path_factory.mktemp("locales")
    made = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(folder / "de_DE.ISO-8859-1")]
    subprocess.run(made, check=True, capture_output=True, timeout=60)
    return {"LOCPATH": str(folder), "LC_ALL": "de_DE.ISO-8859-1"}


@pytest.fixture(autouse=True)
def _worker_stopped(paths: Paths) -> Iterator[None]:
    yield
    assert stop_worker(paths)


def run(
    command: list[str | bytes], environment: Mapping[str, str], *, stdout: int = subprocess.PIPE, **more: object
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        command,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        timeout=60,
        check=False,
        **more,
    )


def pip_command(folder: Path) -> Path:
    """The command as pip installs it."""
    script = folder / "homeserver-backup"
    script.write_text(
        f"#!{sys.executable}\nimport sys\nfrom backup.cli.main import main\n"
        "if __name__ == '__main__':\n    sys.exit(main())\n"
    )
    script.chmod(0o755)
    return script


@pytest.mark.parametrize("way", ["pip", "module"])
def test_names_keep_their_bytes_under_a_locale_that_is_not_utf8(
    paths: Paths, tmp_path: Path, latin1: Mapping[str, str], way: str
):
    source = os.fsencode(tmp_path / "src")
    os.mkdir(source)
    for name in (NAME.encode(), RAW):
        Path(os.fsdecode(source + b"/" + name)).write_bytes(b"content")
    start: list[str | bytes] = [str(pip_command(tmp_path))] if way == "pip" else [sys.executable, "-P", "-m", "backup"]
    up = run([*start, "upload", source, "--to", NAME.encode()], latin1)
    assert up.returncode == 0, up.stderr
    assert sorted(os.listdir(os.fsencode(paths.local_storage / NAME / "src"))) == sorted([NAME.encode(), RAW])
    listed = run([*start, "list"], latin1)
    assert listed.returncode == 0, listed.stderr
    assert f"{NAME}/src/{NAME}".encode() in listed.stdout
    assert rb"raw-\xff.txt" in listed.stdout


def test_names_keep_their_bytes_under_cron_without_a_locale(paths: Paths, tmp_path: Path):
    (tmp_path / NAME).write_bytes(b"content")
    names = ("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "PYTHONUTF8")
    cron = ["env", *(word for name in names for word in ("-u", name))]
    command = [*cron, sys.executable, "-P", "-m", "backup"]
    up = run([*command, "upload", str(tmp_path / NAME)], {})
    assert up.returncode == 0, up.stderr
    assert os.listdir(os.fsencode(paths.local_storage)) == [NAME.encode()]
    assert NAME.encode() in run([*command, "list"], {}).stdout


@pytest.mark.parametrize("options", [["-I"], ["-P"], ["-P", "-X", "utf8=0"], ["-E", "-W", "error"]])
def test_the_interpreters_options_survive(paths: Paths, latin1: Mapping[str, str], options: list[str]):
    report = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom backup.system import terminal\n"
        "terminal.ensure_utf8_mode()\n"
        "print(sys.flags.utf8_mode, sys.flags.isolated, sys.flags.safe_path, sys.flags.ignore_environment, sys.argv)"
    )
    done = run([sys.executable, *options, "-c", report, b"arg-\xff", NAME.encode()], {**latin1, "PYTHONUTF8": "0"})
    assert done.returncode == 0, done.stderr
    isolated, safe = "-I" in options, "-P" in options or "-I" in options
    expected = f"1 {int(isolated)} {safe} {int(isolated or '-E' in options)} "
    assert done.stdout.decode().startswith(expected)
    assert (
        ascii(["-c", os.fsdecode(b"arg-\xff"), NAME])[1:-1] in ascii(done.stdout.decode())
        or NAME in done.stdout.decode()
    )


def test_a_safe_path_and_open_descriptors_survive(paths: Paths, tmp_path: Path, latin1: Mapping[str, str]):
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    report = (
        "import os, sys\nfrom backup.system import terminal\nterminal.ensure_utf8_mode()\n"
        "print(sys.flags.utf8_mode, sys.flags.safe_path, os.read(int(sys.argv[1]), 99), os.environ.get({tried!r}))"
    ).format(tried="HOMESERVER_BACKUP_UTF8")
    reader, writer = os.pipe()
    os.write(writer, b"secret")
    os.close(writer)
    done = run(
        [sys.executable, "-c", report, str(reader)],
        {**latin1, "PYTHONSAFEPATH": "1"},
        pass_fds=[reader],
        cwd=tmp_path,
    )
    os.close(reader)
    assert done.stdout.decode().split() == ["1", "True", "b'secret'", "None"], done.stderr


def test_it_restarts_only_once(monkeypatch: pytest.MonkeyPatch):
    from backup.system import terminal

    began: list[list[bytes]] = []
    monkeypatch.setattr(os, "execv", lambda path, arguments: began.append(arguments))
    monkeypatch.setattr(sys, "flags", type("Flags", (), {"utf8_mode": 0}))
    terminal.ensure_utf8_mode()
    assert began[0][1:3] == [b"-X", b"utf8"]
    terminal.ensure_utf8_mode()  # in the new process, whose Python cannot do it
    assert len(began) == 1
    assert "HOMESERVER_BACKUP_UTF8" not in os.environ


def test_every_process_of_ours_runs_in_utf8_mode(paths: Paths, tmp_path: Path, latin1: Mapping[str, str]):
    from backup.queries.client import QuestionsClient

    (tmp_path / "f").write_bytes(b"1" * 100_000)
    write_config(paths, local={"max_bandwidth": 2000, "enabled": True})
    done = run([sys.executable, "-m", "backup", "upload", str(tmp_path / "f"), "--detach"], latin1)
    assert done.returncode == 0, done.stderr
    queue = Queue(paths)
    status = queue.worker_status()
    queue.close()
    assert status is not None
    words = Path(f"/proc/{status['pid']}/cmdline").read_bytes().split(b"\0")
    assert words[1:3] == [b"-X", b"utf8"]
    assert QuestionsClient(paths)._argv[1:3] == ("-X", "utf8")


def on_terminal(command: list[str], environment: Mapping[str, str]) -> tuple[int, bytes]:
    """The terminal output of a command, and its exit code."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "COLUMNS": "200", **environment}, cwd=ROOT
    )
    os.close(slave)
    written = b""
    try:
        while chunk := os.read(master, 65536):
            written += chunk
    except OSError:  # Linux reports the end of a terminal like this
        pass
    os.close(master)
    return process.wait(timeout=60), written


@pytest.mark.few(3)
@pytest.mark.parametrize("verb", [["list"], ["list-providers"], ["transfers"], ["upload", NAME], ["--help"]])
@pytest.mark.parametrize("kind", ["latin1", "ascii"])
def test_a_terminal_gets_only_what_it_can_show(
    paths: Paths, tmp_path: Path, latin1: Mapping[str, str], verb: list[str], kind: str
):
    paths.local_storage.mkdir(parents=True)
    (paths.local_storage / NAME).write_bytes(b"1")
    (tmp_path / NAME).write_bytes(b"1")
    verb = [str(tmp_path / NAME) if word == NAME else word for word in verb]
    environment = latin1 if kind == "latin1" else {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code, written = on_terminal([sys.executable, "-m", "backup", *verb], environment)
    assert code == 0, written
    assert b"internal error" not in written
    written.decode("latin-1" if kind == "latin1" else "ascii")
    if verb[0] in {"list", "upload"}:
        assert "Gr\u00fc\u00dfe-\\u65e5\\u672c.txt".encode("latin-1") in written if kind == "latin1" else True
        assert rb"Gr\xfc\xdfe-\u65e5\u672c.txt" in written if kind == "ascii" else True
        assert "ü".encode() not in written


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "verb", [["list"], ["list", "--json"], ["--help"], ["--version"], ["list-providers"], ["upload"]]
)
def test_output_that_cannot_be_written_is_its_own_error(paths: Paths, tmp_path: Path, verb: list[str]):
    paths.local_storage.mkdir(parents=True)
    (paths.local_storage / "a").write_bytes(b"1")
    (tmp_path / "f").write_bytes(b"1")
    more = [str(tmp_path / "f")] if verb == ["upload"] else []
    with open("/dev/full", "wb") as full:
        done = run([sys.executable, "-m", "backup", *verb, *more], {}, stdout=full.fileno())
    assert done.returncode == ExitCode.QUOTA
    assert b"the output cannot be written" in done.stderr
    assert b"No space left on device" in done.stderr
    assert b"internal error" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    assert not (paths.local_storage / "f").exists()  # nothing was done without output


def test_a_closed_pipe_is_quiet(paths: Paths):
    paths.local_storage.mkdir(parents=True)
    for number in range(300):
        (paths.local_storage / f"file-{number}").touch()
    reader, writer = os.pipe()
    os.close(reader)
    done = run([sys.executable, "-m", "backup", "list"], {}, stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr.splitlines()) == (1, [b"using provider local"])


@pytest.mark.parametrize("closed", [1, 2])
def test_a_closed_descriptor_does_no_harm(paths: Paths, closed: int):
    shell = f'exec "$0" -m backup list {closed}>&-'
    done = run([shutil.which("sh") or "sh", "-c", shell, sys.executable], {})
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr + done.stdout
    assert b"using provider" not in done.stdout


def test_doctor_lists_double_encoded_names(cli: Cli, paths: Paths):
    wrong = NAME.encode().decode("latin-1")
    (paths.local_storage / "d").mkdir(parents=True)
    for name in (wrong, NAME, "plain"):
        (paths.local_storage / "d" / name).write_bytes(b"1")
    for verb in (["doctor"], ["credentials", "doctor"]):
        found = cli(*verb, "--json")
        (finding,) = [each for each in found.json()["findings"] if each["what"] == "names at local"]
        assert finding["verdict"] == "bad"
        assert finding["detail"].startswith("1 name stored double-encoded")
        assert f"'d/{NAME}'" in finding["detail"]
        assert found.code == 1
    (paths.local_storage / "d" / wrong).unlink()
    (finding,) = [each for each in cli("doctor", "--json").json()["findings"] if each["what"] == "names at local"]
    assert finding["verdict"] == "ok"


@pytest.mark.parametrize("encoding", ["latin-1", "iso8859-15", "iso8859-2", "koi8-r"])
@pytest.mark.parametrize("name", ["Grüße", "日本語", "naïve/é", "Привет"])
def test_a_double_encoded_name_is_told_from_a_correct_one(name: str, encoding: str):
    assert double_encoded.repaired(name.encode().decode(encoding, "surrogateescape")) == name
    assert double_encoded.repaired(name) is None


@pytest.mark.parametrize("above", ["Grüße", "日本", "caf\udce9"])
def test_a_double_encoded_name_is_found_in_a_correctly_named_folder(above: str):
    """This happens if a command in UTF-8 named the folder, and a worker in latin-1 found the file."""
    wrong = NAME.encode().decode("latin-1")
    assert double_encoded.repaired(f"{above}/{wrong}") == f"{above}/{NAME}"
    assert double_encoded.repaired(f"{wrong}/{above}/x") == f"{NAME}/{above}/x"


@pytest.mark.parametrize("name", ["plain", "Ã", "Ü", "ÀÉÎ", "Škoda", "été/à", "\udcff", "©2024", "£5"])
def test_other_names_are_left_alone(name: str):
    assert double_encoded.repaired(name) is None


@pytest.mark.parametrize("kind", ["latin1", "ascii"])
def test_the_console_draws_what_the_terminal_can_show(
    paths: Paths, tmp_path: Path, latin1: Mapping[str, str], kind: str
):
    home = tmp_path / "me"
    home.mkdir()
    (home / "ü日").write_bytes(b"1")
    environment = latin1 if kind == "latin1" else {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    with Terminal.console(environment={**os.environ, "HOME": str(home), **environment}, columns=110) as terminal:
        name = r"ü\u65e5" if kind == "latin1" else r"\xfc\u65e5"
        wanted = name.encode("latin-1" if kind == "latin1" else "ascii")
        terminal.wait_until(lambda _: wanted in terminal.output)
        terminal.wait_for("+- this machine")
        terminal.press_bytes(b"\xfc")  # no UTF-8: a letter of latin-1
        terminal.press("q")
        assert terminal.wait_exit() == 0
    bytes(terminal.output).decode("latin-1" if kind == "latin1" else "ascii")
    assert "─".encode() not in terminal.output
