"""The console as users run it: a real pty, a real keyring, a real S3 server, the real worker."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.model.transfers import ItemState
from backup.queue.client import Queue
from backup.system.paths import Paths
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import Fault
from tests.credentials_fixture import SecretService
from tests.processes import stop_worker
from tests.servers.s3_requests import put_object, put_part
from tests.servers.s3_server import ACCESS_KEY, SECRET_KEY, S3Server
from tests.terminal.terminal import Terminal

BIG_BYTES = 300 * 10**6
FILES = 1000
PRIMARY = "#4fd1c5"


@pytest.fixture
def home(paths: Paths) -> Iterator[Path]:
    """A user's home with a large file and a folder of many; their worker is stopped afterwards."""
    home = paths.config_dir.parent.parent / "ada"
    (home / "many").mkdir(parents=True)
    for number in range(FILES):
        (home / "many" / f"file-{number:04}.txt").write_text(f"content of file {number}\n")
    block = os.urandom(10**6)
    with (home / "big.bin").open("wb") as file:
        for number in range(BIG_BYTES // len(block)):
            file.write(number.to_bytes(4, "big") + block[4:])
    yield home
    assert stop_worker(paths)


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def console(home: Path, *, columns: int = 110, rows: int = 32) -> Terminal:
    return Terminal.console(environment={**os.environ, "HOME": str(home)}, columns=columns, rows=rows)


def set_s3_up(terminal: Terminal, endpoint: str, bucket: str) -> None:
    terminal.wait_for("Nothing is stored here yet")
    terminal.press("1")
    terminal.wait_for("not set up")
    terminal.press("home", "down", "enter")
    terminal.wait_for("2 settings", "Check the connection")
    for text in (bucket, ACCESS_KEY, SECRET_KEY, "", endpoint):
        terminal.press(text, "tab")
    terminal.press("enter")
    seen = terminal.wait_for("✔ reach", "✔ authenticate", "✔ container", "✔ list", "✔ write, read, delete")
    assert " ms" in seen
    terminal.press("enter")
    terminal.wait_for("Secret Service")
    terminal.press("enter")
    terminal.wait_for("saved, checked and enabled")
    terminal.press("enter")
    terminal.wait_for(f"aws_s3  {bucket}", "Nothing is stored here yet")
    wait_focus(terminal, right=True)


def wait_focus(terminal: Terminal, *, right: bool) -> None:
    """Wait until the border of that pane has the colour of focus."""
    column = terminal.screen.columns // 2 + (5 if right else -5)
    terminal.wait_until(lambda _: terminal.screen.buffer[2][column].fg == PRIMARY.removeprefix("#"), what="focus")


@pytest.mark.timeout(400)
def test_from_the_form_to_verified_files_through_a_restart(
    home: Path, paths: Paths, rclone_s3: S3Server, rclone_proxy: FaultProxy, secret_service: SecretService
) -> None:
    bucket = rclone_s3.new_bucket()
    with console(home) as terminal:
        set_s3_up(terminal, f"http://127.0.0.1:{rclone_proxy.port}", bucket)
        held = rclone_proxy.fault(Fault.stall(at=5 * 10**6), when=put_part(), times=None)
        terminal.wait_for("many/", "big.bin")
        terminal.press("tab")
        wait_focus(terminal, right=False)
        terminal.press("home", "down", "space", "space")
        terminal.wait_for("2 selected")
        terminal.press("u")
        question = terminal.wait_for("1,001 files", bucket)
        assert "286 MiB" in question
        terminal.press("y")
        terminal.press("3")
        held.wait_held(1, timeout_s=90)  # a worker was started, has found 1,001 files, and sends parts of the large one
        terminal.wait_for("uploading", "big.bin", timeout_s=60)
        watched = terminal.wait_until(lambda text: "%" in text and "/s" in text, 60, "progress of a file")
        assert "verified" not in watched or "1,001" not in watched
        terminal.wait_until(
            lambda text: "▲ big.bin" in text and re.search(r"verified \d+", text) is not None,
            60,
            "the large file under way, and files of the folder finished beside it",
        )
        terminal.press("q")
        terminal.wait_for("goes on in the background")
        assert terminal.wait_exit() == 0
    assert rclone_proxy.count(put_part()) >= 1
    held.release()

    with console(home) as terminal:
        terminal.press("3")
        terminal.wait_for("verified 1,001", timeout_s=120)
        terminal.wait_for("sha-256")
        terminal.press("2")
        terminal.wait_for(f"aws_s3  {bucket}")
        terminal.wait_until(lambda text: text.count("big.bin") == 2, what="both panes")
        assert not rclone_s3.unfinished_uploads(bucket)
        stored = rclone_s3.keys(bucket)
        assert len(stored) == FILES + 1

        (home / "back").mkdir()
        terminal.press("r")
        terminal.wait_for("back/")  # the cursor stays on its row when rows are inserted before it
        terminal.press("home", "down", "enter")
        terminal.wait_for("/back")
        terminal.press("tab")
        wait_focus(terminal, right=True)
        terminal.press("end", "d")
        terminal.wait_for("1 file", "back")
        terminal.press("y")
        deadline = time.monotonic() + 60
        while not (home / "back" / "big.bin").exists():
            assert time.monotonic() < deadline, terminal.text()
            terminal.wait_until(lambda text: True)
        terminal.press("q")
        terminal.wait_exit()
    assert digest(home / "back" / "big.bin") == digest(home / "big.bin")
    assert SECRET_KEY.encode() not in terminal.output
    queue = Queue(paths)
    try:
        jobs = queue.snapshot().jobs
    finally:
        queue.close()
    assert sum(job.counts.get(ItemState.DONE, 0) for job in jobs) == FILES + 2
    assert rclone_proxy.count(put_object()) >= FILES
