"""Canaries: secrets that are told from everything else go through the whole product (set-up, transfer, failure, crash),
and are then looked for in every file, every process's command line and environment, every byte sent to the terminal."""

from __future__ import annotations

import base64
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backup.credentials.vault import vault_path
from backup.credentials.vault_file import VaultFile
from backup.paths import Paths
from backup.queue import Queue
from providers.secret import Secret
from tests.backup.queue_support import wait_until
from tests.backup.vault_tools import CHEAP
from tests.cli.conftest import ROOT
from tests.security.watch import ProcessWatch, forms, in_files, occurrences
from tests.servers.s3_server import ACCESS_KEY, REGION, SECRET_KEY, S3Server
from tests.terminal.terminal import Terminal

PASSPHRASE = f"canary-passphrase-{secrets.token_hex(6)}"
WRONG_SECRET = f"canary-wrong-secret-{secrets.token_hex(6)}"
WRONG_PASSPHRASE = f"canary-wrong-passphrase-{secrets.token_hex(6)}"
KEY_IN_FILE = f"canary-in-the-file-{secrets.token_hex(6)}"
CANARIES = [PASSPHRASE, WRONG_SECRET, WRONG_PASSPHRASE, KEY_IN_FILE, SECRET_KEY]


class Product:
    """The product as a user has it: command lines, some of them on a terminal, whose bytes are all kept."""

    def __init__(self, paths: Paths, temporary: Path) -> None:
        self.paths = paths
        self.home = Path(os.environ["HOME"])
        temporary.mkdir(parents=True)
        self.environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
        self.sent = bytearray()

    def run(self, *words: str, stdin: str = "", passphrase: str = "", broken: str = "") -> int:
        """A command with no terminal; its output counts as sent. `broken`: with a fault behind that method."""
        reader, writer = os.pipe()
        os.write(writer, passphrase.encode() + b"\n")
        os.close(writer)
        given = ["--passphrase-fd", str(reader)] if passphrase else []
        program = [sys.executable, str(ROOT / "tests/security/crash.py"), broken] if broken else self._program
        done = subprocess.run(
            [*program, "--verbose", *given, *words], input=stdin.encode(), capture_output=True, timeout=60,
            env=self.environment, pass_fds=[reader], start_new_session=True, check=False, cwd=ROOT,
        )  # fmt: skip
        os.close(reader)
        self.sent += done.stdout + done.stderr
        return done.returncode

    def on_terminal(self, words: list[str], play: Callable[[Terminal], None], *, broken: str = "") -> int:
        program = [sys.executable, str(ROOT / "tests/security/crash.py"), broken] if broken else self._program
        with Terminal([*program, *words], environment=self.environment, columns=120, rows=40) as terminal:
            try:
                play(terminal)
                return terminal.wait_exit(30)
            finally:
                self.sent += terminal.output

    @property
    def _program(self) -> list[str]:
        return [sys.executable, "-m", "backup"]


@pytest.fixture
def product(paths: Paths, tmp_path: Path, rclone_s3: S3Server) -> Iterator[Product]:
    made = Product(paths, tmp_path / "home" / "tmp")
    VaultFile(vault_path(paths), cost=CHEAP).create(Secret(PASSPHRASE))
    paths.config_file.write_text(
        '{"version": 1, "credential_store": {"backend": "vault"}, "providers": {'
        f'"minio": {{"type": "aws_s3", "container": "{rclone_s3.new_bucket()}", "endpoint_url": "{rclone_s3.url}",'
        f' "region": "{REGION}", "timeout": 5, "max_retries": 0}},'
        f'"astray": {{"type": "aws_s3", "container": "none", "endpoint_url": "{rclone_s3.url}",'
        f' "region": "{REGION}", "timeout": 5, "max_retries": 0, "secret_key": "{KEY_IN_FILE}"}}}}}}'
    )
    yield made
    queue = Queue(paths)
    assert queue.stop_worker()
    queue.close()


def test_no_canary_is_found_anywhere(product: Product, paths: Paths) -> None:
    with ProcessWatch(str(product.home), CANARIES) as watch:
        set_up(product)
        transfer(product)
        fail(product)
        crash(product, paths)
    assert len(watch.seen) > 10
    assert watch.found == set()
    assert in_files(product.home, CANARIES) == []
    assert occurrences(bytes(product.sent), CANARIES) == []
    assert list(product.home.rglob("core*")) == []


def set_up(product: Product) -> None:
    """The secret and the passphrase typed at hidden prompts; the one in the file is moved out of it."""

    def type_both(terminal: Terminal) -> None:
        terminal.wait_for(f"Secret of {ACCESS_KEY}")
        terminal.press(SECRET_KEY, "enter")
        terminal.wait_for("Passphrase of the vault")
        terminal.press(WRONG_PASSPHRASE, "enter")
        terminal.wait_until(lambda screen: screen.count("Passphrase of the vault") == 2)
        terminal.press(PASSPHRASE, "enter")
        terminal.wait_for("credentials of minio are kept")

    assert product.on_terminal(["set-credentials", "minio", "-u", ACCESS_KEY], type_both) == 0
    assert product.run("set-credentials", "astray", "-u", "AK", stdin=WRONG_SECRET, passphrase=PASSPHRASE) == 0
    assert product.run("test-providers", "minio", passphrase=PASSPHRASE) == 0
    assert product.run("enable-provider", "minio") == 0


def transfer(product: Product) -> None:
    source = product.home / "file.bin"
    source.write_bytes(os.urandom(300_000))
    assert product.run("upload", str(source), "--provider", "minio", passphrase=PASSPHRASE) == 0

    def unlock_and_look(terminal: Terminal) -> None:
        terminal.wait_for("no transfers under way")
        terminal.press("U")
        terminal.wait_for("Unlock the vault", "Passphrase")
        terminal.press(PASSPHRASE, "\x03", "\x18", "enter")  # Ctrl+C and Ctrl+X copy nothing
        terminal.wait_gone("Unlock the vault")
        terminal.press("2")
        terminal.wait_for("file.bin")
        terminal.press("q")

    assert product.on_terminal([], unlock_and_look) == 0
    assert product.run("credentials", "status") == 0
    assert product.run("status", "--json") == 0


def fail(product: Product) -> None:
    """Keys that the service does not take, a passphrase that is wrong, a setting that cannot be."""
    assert product.run("test-providers", "astray", passphrase=PASSPHRASE) != 0
    assert product.run("list", "--provider", "astray", "--json", passphrase=PASSPHRASE) != 0
    assert product.run("credentials", "unlock", passphrase=WRONG_PASSPHRASE) == 4
    assert product.run("set-config", "astray", "secret_key", "not by argument") == 3
    assert product.run("set-credentials", "nobody", stdin=WRONG_SECRET) == 3


def crash(product: Product, paths: Paths) -> None:
    """A fault of ours with secrets in the frames: on the command line, in the console; and a signal that dumps core."""
    fault = "set_credentials"
    assert product.run("set-credentials", "minio", stdin=SECRET_KEY, passphrase=PASSPHRASE, broken=fault) == 1
    assert b"internal error (RuntimeError)" in product.sent
    assert "a fault of ours" in (paths.logs_dir / "cli.log").read_text()

    def unlock(terminal: Terminal) -> None:
        terminal.wait_for("no transfers under way")
        terminal.press("U")
        terminal.wait_for("Unlock the vault", "Passphrase")
        terminal.press(PASSPHRASE, "enter")
        terminal.wait_until(lambda screen: "fault of ours" in screen or "rror" in screen, 20, "the fault is told")
        terminal.press("escape", "escape", "q", "ctrl+q")

    product.on_terminal([], unlock, broken="unlock_store")
    queue = Queue(paths)
    upload = ["upload", str(product.home / "file.bin"), "--provider", "minio", "--to", "again", "--detach"]
    assert product.run(*upload, passphrase=PASSPHRASE) == 0
    pid = wait_until(lambda: int((queue.worker_status() or {}).get("pid", 0)))
    assert limits(pid)["Max core file size"] == ("0", "0")
    os.kill(pid, signal.SIGABRT)
    wait_until(lambda: queue.worker_status() is None)
    queue.close()


def limits(pid: int) -> dict[str, tuple[str, str]]:
    rows = [re.split(r"\s{2,}", line) for line in Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]]
    return {row[0]: (row[1], row[2]) for row in rows}


def test_the_watch_finds_what_is_there(tmp_path: Path) -> None:
    """A net that catches nothing would pass every test."""
    for form in forms(PASSPHRASE):
        (tmp_path / "file").write_bytes(b"before " + form + b" after")
        assert in_files(tmp_path, [PASSPHRASE]) == [("file", PASSPHRASE)]
    assert occurrences(b"nothing here", [PASSPHRASE]) == []
    for before in range(4):
        told = b"\x1b]52;c;" + base64.b64encode(b"x" * before + PASSPHRASE.encode() + b"yy") + b"\x07"
        assert occurrences(told, [PASSPHRASE]) == [PASSPHRASE]
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", PASSPHRASE]
    environment = {"MARK": "canary-mark", "ALSO": WRONG_SECRET}
    with (
        ProcessWatch("canary-mark", [PASSPHRASE, WRONG_SECRET]) as watch,
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE) as process,
    ):
        wait_until(lambda: len(watch.found) == 2)
        process.communicate()
    assert {canary for _, canary in watch.found} == {PASSPHRASE, WRONG_SECRET}
