"""Logs: private, rotating, and without secrets."""

from __future__ import annotations

import logging
import stat
import subprocess
import sys

import pytest

from backup.system import logs, redaction
from backup.system.paths import Paths
from providers.secret import MASK, Secret

LOG = logging.getLogger("backup.something")


@pytest.fixture(autouse=True)
def _levels(monkeypatch: pytest.MonkeyPatch):
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)


def test_each_process_has_one_private_log_file(paths: Paths):
    file = logs.set_up(paths, "worker")
    LOG.info("moved %d bytes", 7)
    LOG.debug("too much")
    assert file == paths.logs_dir / "worker.log"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(paths.logs_dir.stat().st_mode) == 0o700
    text = file.read_text()
    assert text.endswith("backup.something: moved 7 bytes\n")
    assert "INFO" in text
    assert "too much" not in text


def test_verbose_logs_more_but_not_the_messages_of_sdks(paths: Paths):
    file = logs.set_up(paths, "cli", verbose=True)
    LOG.debug("in detail")
    logging.getLogger("botocore.endpoint").debug("headers and all")
    logging.getLogger("urllib3.connectionpool").warning("retrying")
    text = file.read_text()
    assert "in detail" in text
    assert "headers and all" not in text
    assert "retrying" in text


def test_registered_secrets_are_redacted_everywhere(paths: Paths):
    redaction.hide(Secret("s3cr/t+with=signs"), Secret('quote"d'))
    file = logs.set_up(paths, "cli")
    LOG.info("plain s3cr/t+with=signs, in a URL s3cr%2Ft%2Bwith%3Dsigns")
    LOG.info("in an argument %s", {"key": "s3cr/t+with=signs"})
    LOG.info('as JSON writes it: quote\\"d')
    try:
        raise ValueError("s3cr/t+with=signs")
    except ValueError:
        LOG.exception("failed")
    text = file.read_text()
    assert "s3cr" not in text
    assert "quote" not in text
    assert text.count(MASK) >= 5
    assert "Traceback" in text


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("Authorization: AWS4-HMAC-SHA256 Credential=AK/2026, Signature=beefbeef", "beefbeef"),
        ("{'Authorization': b'Bearer abcdefghijklmnopqrst'}", "abcdefghijkl"),
        ("sent Bearer abcdefghijklmnopqrst.uvw", "abcdefgh"),
        ("GET /b/k?X-Amz-Signature=0123abcd&X-Amz-Date=2026", "0123abcd"),
        ("?X-Amz-Security-Token=FwoGZX&x=1", "FwoGZX"),
        ("key AKIAIOSFODNN7EXAMPLE was refused", "AKIAIOSFODNN7EXAMPLE"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI"),
        ('{"password": "two words"}', "two words"),
        ("application_key=K001abc", "K001abc"),
        ("https://user:hunter2@example.net/", "hunter2"),
        ("encryption_salt: pepper", "pepper"),
    ],
)
def test_text_that_looks_like_a_secret_is_redacted(line: str, secret: str):
    assert secret not in redaction.redact(line)
    assert MASK in redaction.redact(line)


@pytest.mark.parametrize(
    "line",
    ["Basic authentication failed", "notes about passwords.txt", "https://example.net:9000/bucket/a@b", "left 2:10"],
)
def test_plain_words_are_not_redacted(line: str):
    assert redaction.redact(line) == line


def test_redacting_a_long_line_takes_no_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(redaction, "_hidden", frozenset())  # other tests of this process have hidden "x-x-x-…"
    line = "a-" * 50_000 + "://" + "x" * 50_000
    assert redaction.redact(line) == line


def test_a_message_cannot_forge_a_line_or_control_a_terminal(paths: Paths):
    file = logs.set_up(paths, "cli")
    LOG.info("file %s", "a\n2026-01-01 ERROR forged \x1b[2J \u202e \udc80")
    text = file.read_text()
    assert text.count("\n") == 1
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_log_rotates_and_keeps_a_few(paths: Paths, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logs, "MAX_BYTES", 2000)
    file = logs.set_up(paths, "worker")
    for number in range(200):
        LOG.info("line %d with some text to fill the file", number)
    names = sorted(entry.name for entry in paths.logs_dir.iterdir())
    assert names == ["worker.log", "worker.log.1", "worker.log.2", "worker.log.3", "worker.log.lock"]
    assert file.stat().st_size <= 2000
    assert all(stat.S_IMODE(entry.stat().st_mode) == 0o600 for entry in paths.logs_dir.iterdir())
    assert "line 199" in file.read_text()


def test_processes_that_share_a_log_lose_no_line_when_it_rotates(paths: Paths):
    script = (
        "import logging, sys; from backup.system import logs; from backup.system.paths import Paths;"
        "logs.MAX_BYTES = 40_000;"
        "logs.set_up(Paths.default(), 'cli')\n"
        "for n in range(200): logging.getLogger('x').info('process %s line %d.', sys.argv[1], n)"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", script, name], env=paths.environment()) for name in ("one", "two")
    ]
    assert [child.wait(timeout=60) for child in children] == [0, 0]
    lines = "".join(file.read_text() for file in paths.logs_dir.glob("cli.log*")).splitlines()
    assert sum("process one line" in line for line in lines) == 200
    assert sum("process two line" in line for line in lines) == 200
    assert (paths.logs_dir / "cli.log.1").exists() or len("".join(lines)) < 40_000


def test_setting_up_again_replaces(paths: Paths):
    first = logs.set_up(paths, "one")
    second = logs.set_up(paths, "two")
    LOG.info("hello")
    assert first.read_text() == ""
    assert second.read_text().count("hello") == 1
    logs.close()
    logs.close()
    LOG.info("nowhere")
    assert "nowhere" not in second.read_text()


def test_a_hardened_process_dumps_no_core():
    script = (
        "import resource; from backup.system.hardening import harden_process; harden_process();"
        "import ctypes; print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "(0, 0) 0"
