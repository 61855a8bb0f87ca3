"""Canaries: recognisable secrets go through the whole product (set-up, transfer, failure, crash), and are then searched
in every file (short-lived ones too), in the command line and environment of every process, and in every byte sent to a
terminal or to systemd's journal."""

from __future__ import annotations

import base64
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from backup.credentials.passphrase import CREDENTIAL_NAME
from backup.credentials.vault import vault_path
from backup.credentials.vault_file.file import VaultFile
from backup.model.transfers import ItemState
from backup.queue.client import Queue
from backup.system.paths import Paths
from providers.secret import Secret
from tests.backup.queue_support import wait_until
from tests.backup.vault_tools import CHEAP
from tests.cli.conftest import ROOT
from tests.processes import stop_worker
from tests.security.watch import ProcessWatch, forms, in_files, occurrences
from tests.servers.s3_server import ACCESS_KEY, REGION, SECRET_KEY, S3Server
from tests.terminal.terminal import Terminal

PASSPHRASE = f"canary-passphrase-{secrets.token_hex(6)}"
WRONG_SECRET = f"canary-wrong-secret-{secrets.token_hex(6)}"
WRONG_PASSPHRASE = f"canary-wrong-passphrase-{secrets.token_hex(6)}"
PROXY_PASSWORD = f"canary-of-a-proxy-{secrets.token_hex(6)}"
KEY_IN_FILE = f"canary-in-the-file-{secrets.token_hex(6)}"
CANARIES = [PASSPHRASE, WRONG_SECRET, WRONG_PASSPHRASE, KEY_IN_FILE, SECRET_KEY]


class Product:
    """The product as a user runs it: command lines, some on a terminal, with all output bytes kept."""

    def __init__(self, paths: Paths, temporary: Path) -> None:
        self.paths = paths
        self.home = Path(os.environ["HOME"])
        temporary.mkdir(parents=True)
        (self.home / "Downloads").mkdir()
        self.outside = temporary.parents[1] / "outside"
        """Files outside the product: the spy's notes, and the credentials given by systemd."""
        self.spied = self.outside / "spied"
        self.spied.mkdir(parents=True)
        self.environment = {
            **os.environ,
            "TMPDIR": str(temporary),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "tests/security/spy"), str(ROOT)]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "CANARY_SPY": str(self.spied),
        }
        self.sent = bytearray()

    def run(self, *words: str, stdin: str = "", passphrase: str = "", broken: str = "") -> int:
        """Run a command without a terminal; its output counts as sent. `broken`: the method with an injected bug."""
        done = self._done(words, stdin, passphrase, broken)
        self.sent += done.stdout + done.stderr
        return done.returncode

    def key_of_a_slot(self) -> str:
        """A key for systemd, read from a pipe; it is a canary from now on."""
        done = self._done(["credentials", "unattended", "--print-key"], "", PASSPHRASE, "")
        self.sent += done.stderr
        return done.stdout.decode().strip()

    def by_systemd(self, *program: str, key: str) -> int:
        """Run a program like a unit of systemd: no terminal, the key in a folder, output and errors to the journal."""
        folder = self.outside / "credentials"
        folder.mkdir(mode=0o700)
        (folder / CREDENTIAL_NAME).write_text(key)
        done = subprocess.run(
            [sys.executable, "-m", *program], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
            env={**self.environment, "CREDENTIALS_DIRECTORY": str(folder)}, start_new_session=True, cwd=ROOT,
        )  # fmt: skip
        self.sent += done.stdout + done.stderr
        return done.returncode

    def noted(self, kind: str) -> list[str]:
        """The spy's notes of a kind: "wrote" (paths), "kept", "started"."""
        lines = (self.spied / "log").read_text(errors="surrogateescape").split("\n")
        return [line.partition(" ")[2] for line in lines if line.startswith(f"{kind} ")]

    def _done(
        self, words: Sequence[str], stdin: str, passphrase: str, broken: str
    ) -> subprocess.CompletedProcess[bytes]:
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
        return done

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
    assert stop_worker(paths)


def test_no_canary_is_found_anywhere(product: Product, paths: Paths) -> None:
    with ProcessWatch(str(product.home), CANARIES) as watch:
        set_up(product)
        transfer(product)
        fail(product)
        crash(product, paths)
        key = without_anybody(product)
    canaries = [*CANARIES, key]
    assert len(watch.seen) > 10
    assert watch.found == set()
    assert in_files(product.home, canaries) == []
    assert [found for found in in_files(product.spied, canaries) if not was_in_configuration(*found, product)] == []
    assert occurrences(bytes(product.sent), canaries) == []
    assert [path for path in product.noted("wrote") if is_elsewhere(path, product)] == []
    assert len(product.noted("started")) > 2
    assert any("/.vault.json." in line for line in product.noted("kept"))  # the spy saw files that are gone
    assert list(product.home.rglob("core*")) == []


def test_the_password_of_a_proxy_goes_only_to_the_proxy(product: Product, paths: Paths) -> None:
    """A password in the user's environment is not passed on by the command, and nothing is queued with it."""
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        threading.Thread(target=answer_all, args=(listener, heads), daemon=True).start()
        source = product.home / "file.bin"
        source.write_bytes(b"content")
        with ProcessWatch(str(product.home), [PROXY_PASSWORD]) as watch:
            pair = ["set-credentials", "minio", "-u", ACCESS_KEY]
            assert product.run(*pair, stdin=SECRET_KEY, passphrase=PASSPHRASE) == 0
            assert product.run("set-config", "minio", "proxy", f"http://user@{address}") == 0
            secret = ["set-credentials", "minio", "--setting", "proxy_password"]
            assert product.run(*secret, stdin=PROXY_PASSWORD, passphrase=PASSPHRASE) == 0
            assert product.run("test-providers", "minio", passphrase=PASSPHRASE) != 0
        assert watch.found == set()
        sent = base64.b64encode(f"user:{PROXY_PASSWORD}".encode())
        assert heads
        assert all(b"proxy-authorization: Basic " + sent in head for head in heads)
        assert product.run("set-config", "minio", "proxy", "") == 0
        elsewhere = '"minio": {"enabled": true, "endpoint_url": "http://s3.test", '
        text = paths.config_file.read_text().replace('"endpoint_url"', '"was"')
        paths.config_file.write_text(text.replace('"minio": {', elsewhere))
        product.environment["HTTP_PROXY"] = f"http://user:{PROXY_PASSWORD}@{address}"
        product.environment["NO_PROXY"] = ""
        assert product.run("upload", str(source), "--provider", "minio", "--detach", passphrase=PASSPHRASE) == 3
        listener.shutdown(socket.SHUT_RDWR)
    assert b"HTTP_PROXY holds a password" in product.sent
    assert product.run("upload", str(source), "--provider", "local") == 0  # starts a worker
    assert stop_worker(paths)
    assert in_files(product.home, [PROXY_PASSWORD]) == []
    assert in_files(product.spied, [PROXY_PASSWORD]) == []
    assert occurrences(bytes(product.sent), [PROXY_PASSWORD]) == []


def answer_all(listener: socket.socket, heads: list[bytes]) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client:
            heads.append(client.recv(65536))
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\nConnection: close\r\n\r\n<ListBucketResult/>")


def set_up(product: Product) -> None:
    """Type the secret and the passphrase at hidden prompts; the secret in the file is moved to the store."""

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
        terminal.wait_for("Unlock the vault", "Passphrase")
        terminal.press(PASSPHRASE, "\x03", "\x18")  # Ctrl+C and Ctrl+X copy nothing
        take_screenshot(terminal, product.home / "Downloads")
        terminal.press("enter")
        terminal.wait_gone("Unlock the vault")
        terminal.press("2")
        terminal.wait_for("file.bin")
        terminal.press("q")

    assert product.run("credentials", "lock") == 0  # a worker that still runs would open it
    assert product.on_terminal([], unlock_and_look) == 0
    assert product.run("credentials", "status") == 0
    assert product.run("status", "--json") == 0


def take_screenshot(terminal: Terminal, folder: Path) -> None:
    """Use the command palette, as a user does, with the passphrase in its field."""
    terminal.press("\x10")
    terminal.wait_for("Search for commands")
    terminal.press("screenshot")
    terminal.wait_for("Save an SVG")
    terminal.press("enter")
    wait_until(lambda: [file for file in folder.glob("*.svg") if "</svg>" in file.read_text()])
    (picture,) = folder.glob("*.svg")
    assert "••••" in picture.read_text()
    terminal.wait_gone("Search for commands")


def fail(product: Product) -> None:
    """Keys that the service rejects, a wrong passphrase, an invalid setting."""
    assert product.run("test-providers", "astray", passphrase=PASSPHRASE) != 0
    assert product.run("list", "--provider", "astray", "--json", passphrase=PASSPHRASE) != 0
    assert product.run("credentials", "unlock", passphrase=WRONG_PASSPHRASE) == 4
    assert product.run("set-config", "astray", "secret_key", "not by argument") == 3
    assert product.run("set-credentials", "nobody", stdin=WRONG_SECRET) == 3


def crash(product: Product, paths: Paths) -> None:
    """A bug with secrets in the frames, on the command line and in the console; and a signal that dumps core."""
    fault = "set"
    assert product.run("set-credentials", "minio", stdin=SECRET_KEY, passphrase=PASSPHRASE, broken=fault) == 1
    assert b"internal error (RuntimeError)" in product.sent
    assert "a fault of ours" in (paths.logs_dir / "cli.log").read_text()

    def unlock(terminal: Terminal) -> None:
        terminal.wait_for("Unlock the vault", "Passphrase")
        terminal.press(PASSPHRASE, "enter")
        terminal.wait_until(lambda screen: "fault of ours" in screen or "rror" in screen, 20, "the fault is reported")
        terminal.press("escape", "escape", "q", "ctrl+q")

    assert product.run("credentials", "lock") == 0
    product.on_terminal([], unlock, broken="unlock")
    queue = Queue(paths)
    upload = ["upload", str(product.home / "file.bin"), "--provider", "minio", "--to", "again", "--detach"]
    assert product.run(*upload, passphrase=PASSPHRASE) == 0
    pid = wait_until(lambda: int((queue.worker_status() or {}).get("pid", 0)))
    assert limits(pid)["Max core file size"] == ("0", "0")
    os.kill(pid, signal.SIGABRT)
    wait_until(lambda: queue.worker_status() is None)
    queue.close()


def without_anybody(product: Product) -> str:
    """Have transfers that wait for the vault done by a worker with systemd's key, logging at DEBUG to the journal.
    Returns the key."""
    queue = Queue(product.paths)
    job = queue.queue_upload("minio", [product.home / "file.bin"], "alone")  # by a process without the key
    assert stop_worker(product.paths)
    key = product.key_of_a_slot()
    assert product.by_systemd("backup.worker", "--linger", "0", "--verbose", key=key) == 0
    assert queue.job(job.id).counts[ItemState.DONE] == 1
    queue.close()
    return key


def was_in_configuration(copy: str, canary: str, product: Product) -> bool:
    """True for the secret that the user wrote into the configuration, which is only there until the store has it."""
    kept = dict(line.split(" ", 1) for line in product.noted("kept"))
    return canary == KEY_IN_FILE and Path(kept[copy]).name.startswith(".config.json.")


def is_elsewhere(path: str, product: Product) -> bool:
    return not path.startswith((str(product.home), str(product.outside), "/dev/null", "/dev/tty", "/proc/self/"))


def limits(pid: int) -> dict[str, tuple[str, str]]:
    rows = [re.split(r"\s{2,}", line) for line in Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]]
    return {row[0]: (row[1], row[2]) for row in rows}


def test_the_watch_finds_what_is_there(tmp_path: Path) -> None:
    """A watch that finds nothing would pass every test."""
    for form in forms(PASSPHRASE):
        (tmp_path / "file").write_bytes(b"before " + form + b" after")
        assert in_files(tmp_path, [PASSPHRASE]) == [("file", PASSPHRASE)]
    assert occurrences(b"nothing here", [PASSPHRASE]) == []
    for before in range(4):
        copied = b"\x1b]52;c;" + base64.b64encode(b"x" * before + PASSPHRASE.encode() + b"yy") + b"\x07"
        assert occurrences(copied, [PASSPHRASE]) == [PASSPHRASE]
    gone = "import os, sys; open('f', 'w').write(sys.stdin.read()); os.rename('f', 'g'); open('g', 'w'); os.remove('g')"
    spied = tmp_path / "spied"
    spied.mkdir()
    subprocess.run(
        [sys.executable, "-c", gone], input=PASSPHRASE.encode(), timeout=30, check=True, cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT / "tests/security/spy"), "CANARY_SPY": str(spied)},
    )  # fmt: skip
    assert not (tmp_path / "g").exists()
    assert [canary for _, canary in in_files(spied, [PASSPHRASE])] == [PASSPHRASE]
    assert (spied / "log").read_text().count(f"wrote {tmp_path}") == 2
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", PASSPHRASE]
    environment = {"MARK": "canary-mark", "ALSO": WRONG_SECRET}
    with (
        ProcessWatch("canary-mark", [PASSPHRASE, WRONG_SECRET]) as watch,
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE) as process,
    ):
        wait_until(lambda: len(watch.found) == 2)
        process.communicate()
    assert {canary for _, canary in watch.found} == {PASSPHRASE, WRONG_SECRET}
