"""Sources of passphrases and keys, and what is refused."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from backup.credentials import passphrase
from backup.credentials.passphrase_quality import BAR_STEPS, Strength, assess
from backup.credentials.vault_file.errors import PassphraseError, WrongKey
from backup.credentials.vault_file.file import RawKey
from providers.secret import Secret

# The prompt


def test_a_new_passphrase_is_asked_for_twice() -> None:
    answers = iter(["one", "one", "one", "two"])
    assert passphrase.new_from_prompt(ask=lambda _: next(answers)) == Secret("one")
    with pytest.raises(match="differ"):
        passphrase.new_from_prompt(ask=lambda _: next(answers))
    with pytest.raises(PassphraseError, match="no passphrase"):
        passphrase.from_prompt(ask=lambda _: "")


def test_without_a_terminal_there_is_no_prompt_and_no_hang() -> None:
    code = (
        "from backup.credentials.passphrase import *\n"
        "try: from_prompt()\nexcept PassphraseError as error: print(error.message)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input="typed\n",
        capture_output=True,
        text=True,
        timeout=30,
        start_new_session=True,
    )
    assert "no terminal" in done.stdout
    assert done.stderr == ""


def test_the_terminal_does_not_show_what_is_typed() -> None:
    code = (
        "import fcntl, termios\nfrom backup.credentials.passphrase import *\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        "assert from_prompt('Say') == Secret('canary')\nprint('right')"
    )
    controller, terminal = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    )
    os.close(terminal)
    seen = b""
    while b"Say: " not in seen:
        seen += os.read(controller, 1024)
    os.write(controller, b"canary\n")
    while b"right" not in seen:
        seen += os.read(controller, 1024)
    assert child.wait(10) == 0
    os.close(controller)
    assert b"canary" not in seen


# A file descriptor


def _pipe(data: bytes, *, close: bool = True) -> tuple[int, int]:
    reading, writing = os.pipe()
    os.write(writing, data)
    if close:
        os.close(writing)
    return reading, writing


@pytest.mark.parametrize("data", [b"pass phrase\nmore", b"pass phrase", b"pass phrase\r\n"])
def test_the_first_line_of_a_closed_descriptor(data: bytes) -> None:
    reading, _ = _pipe(data)
    assert passphrase.from_fd(reading) == Secret("pass phrase")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reading)


def test_a_descriptor_that_stays_open_ends_at_its_line(tmp_path: Path) -> None:
    reading, writing = _pipe(b"first\n", close=False)
    assert passphrase.from_fd(reading) == Secret("first")
    os.close(writing)
    (tmp_path / "file").write_text("from a file\n")
    assert passphrase.from_fd(os.open(tmp_path / "file", os.O_RDONLY)) == Secret("from a file")


def test_reading_a_silent_descriptor_ends_and_closes_it() -> None:
    reading, writing = _pipe(b"canary", close=False)
    started = time.monotonic()
    with pytest.raises(PassphraseError, match="no data") as raised:
        passphrase.from_fd(reading, timeout_s=0.1)
    assert time.monotonic() - started < 5
    assert "canary" not in str(raised.value)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reading)
    os.close(writing)


def test_impossible_descriptors_are_refused() -> None:
    controller, terminal = pty.openpty()
    with pytest.raises(PassphraseError, match="terminal"):
        passphrase.from_fd(terminal)
    os.close(controller)
    reading, _ = _pipe(b"x" * 5000)
    with pytest.raises(PassphraseError, match="more than 4096"):
        passphrase.from_fd(reading)
    with pytest.raises(PassphraseError, match="empty"):
        passphrase.from_fd(_pipe(b"\nsecond")[0])
    for number in (1, 2):
        with pytest.raises(PassphraseError, match="for output"):
            passphrase.from_fd(number)
        os.fstat(number)
    with pytest.raises(PassphraseError, match="cannot be read"):
        passphrase.from_fd(987)


def test_standard_input_stays_taken() -> None:
    code = (
        "import os\nfrom backup.credentials.passphrase import *\n"
        "assert from_fd(0) == Secret('by stdin')\nassert os.read(0, 1) == b''\nassert os.open('/dev/null', 0) > 2"
    )
    subprocess.run([sys.executable, "-c", code], input=b"by stdin\nrest", timeout=30, check=True)


# A command


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_the_first_line_that_a_command_prints() -> None:
    assert passphrase.from_command(["printf", "one two\\nthree\\n"]) == Secret("one two")


def test_a_command_gets_no_input_no_terminal_and_no_shell() -> None:
    code = (
        "import os, sys; assert sys.stdin.read() == ''\n"
        "try: os.open('/dev/tty', os.O_RDWR)\nexcept OSError: print(sys.argv[1])"
    )
    assert passphrase.from_command([*_python(code), "$HOME; `id`"]) == Secret("$HOME; `id`")


def test_a_failing_command_is_reported_without_its_output(capfd: pytest.CaptureFixture[str]) -> None:
    code = "import sys; print('canary-out'); print('canary-err', file=sys.stderr); sys.exit(3)"
    with pytest.raises(PassphraseError, match="exit code 3") as raised:
        passphrase.from_command(_python(code))
    assert "canary" not in str(raised.value) + repr(raised.value) + raised.value.hint
    assert capfd.readouterr() == ("", "")


def test_a_command_that_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"sleep 600 & echo $! > {pid_file}; wait"
    started = time.monotonic()
    with pytest.raises(PassphraseError, match="did not finish"):
        passphrase.from_command(["sh", "-c", script], timeout_s=0.5)
    assert time.monotonic() - started < 10
    deadline = time.monotonic() + 10
    while _alive(int(pid_file.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["/does/not/exist"], "cannot be run"),
        (["true"], "empty"),
        ("pass show x", "list of words"),
        ([], "list of words"),
        ([""], "list of words"),
        (["a\0b"], "list of words"),
        (["sh", "-c", "kill -9 $$"], "SIGKILL"),
        (["head", "-c", "3000000", "/dev/zero"], "more than"),
    ],
)
def test_commands_that_give_no_passphrase(argv: list[str], says: str) -> None:
    with pytest.raises(PassphraseError, match=says):
        passphrase.from_command(argv)


# Keys


def test_a_key_file_is_written_once_and_read_by_its_owner_only(tmp_path: Path) -> None:
    key, path = RawKey.generate(), tmp_path / "key"
    passphrase.write_key_file(path, key)
    assert path.stat().st_mode & 0o777 == 0o600
    assert passphrase.read_key_file(path).reveal() == key.reveal()
    with pytest.raises(PassphraseError, match="cannot be created"):
        passphrase.write_key_file(path, RawKey.generate())
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(PassphraseError, match="others may"):
            passphrase.read_key_file(path)
    path.chmod(0o600)
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "folder").mkdir()
    for wrong in ("link", "fifo", "folder", "nothing"):
        with pytest.raises(PassphraseError, match="key file"):
            passphrase.read_key_file(tmp_path / wrong)
    path.write_text("canary")
    with pytest.raises(WrongKey):
        passphrase.read_key_file(path)


def test_a_key_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    passphrase.write_key_file(path, RawKey.generate())
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(PassphraseError, match="another user"):
        passphrase.read_key_file(path)


def test_unattended_jobs_take_systemds_key_then_the_file(tmp_path: Path) -> None:
    by_systemd, by_file = RawKey.generate(), RawKey.generate()
    key_file = tmp_path / "key"
    passphrase.write_key_file(key_file, by_file)
    folder = tmp_path / "credentials"
    folder.mkdir()
    environment = {"CREDENTIALS_DIRECTORY": str(folder)}
    assert passphrase.unattended_key(environment=environment) is None
    found = passphrase.unattended_key(key_file, environment)
    assert found is not None
    assert found.reveal() == by_file.reveal()
    (folder / passphrase.CREDENTIAL_NAME).write_bytes(by_systemd.reveal())
    found = passphrase.unattended_key(key_file, environment)
    assert found is not None
    assert found.reveal() == by_systemd.reveal()


def test_reading_a_descriptor_does_not_disturb_other_threads() -> None:
    reading, writing = os.pipe()
    results: list[Secret] = []
    thread = threading.Thread(target=lambda: results.append(passphrase.from_fd(reading, timeout_s=10)))
    thread.start()
    os.write(writing, b"late")
    os.close(writing)
    thread.join(10)
    assert results == [Secret("late")]


# Quality


@pytest.mark.parametrize(
    ("text", "strength"),
    [
        ("", Strength.EMPTY),
        ("password", Strength.VERY_WEAK),
        ("P4ssw0rd1!", Strength.VERY_WEAK),
        ("Summer2026!", Strength.VERY_WEAK),
        ("qwertyuiop", Strength.VERY_WEAK),
        ("a" * 60, Strength.VERY_WEAK),
        ("passwordpassword", Strength.VERY_WEAK),
        ("maple maple maple maple", Strength.VERY_WEAK),
        ("correct horse battery staple", Strength.WEAK),
        ("maple anvil trombone cactus", Strength.FAIR),
        ("maple anvil trombone cactus velvet orbit", Strength.GOOD),
        ("J8fk2Lq9ZpWx", Strength.GOOD),
        ("hqzvmwkdjtrbxnpcyfgs", Strength.STRONG),
    ],
)
def test_the_quality_of_a_passphrase(text: str, strength: Strength) -> None:
    quality = assess(text)
    assert quality.strength is strength
    assert quality.filled == list(Strength).index(strength) <= BAR_STEPS
    assert bool(quality.advice) == (strength not in (Strength.GOOD, Strength.STRONG))


def test_more_words_are_never_worse_and_the_time_follows_the_bits() -> None:
    words = ["maple", "anvil", "trombone", "cactus", "velvet", "orbit", "pencil"]
    bits = [assess(" ".join(words[:count])).bits for count in range(1, len(words))]
    assert bits == sorted(bits)
    assert assess("maple").guessed_after_s < 1 < assess(" ".join(words)).guessed_after_s
    started = time.monotonic()
    assess("x1!" * 1000)
    assert time.monotonic() - started < 0.5
