"""The vault in a real terminal: first set-up on a machine without a session bus, and the bytes sent to the terminal."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from backup.core.core import Core
from backup.model.transfers import ItemState
from backup.system.paths import Paths
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import Fault
from tests.backup.queue_support import Workbench
from tests.servers.s3_requests import put_object
from tests.servers.s3_server import ACCESS_KEY, SECRET_KEY, S3Server
from tests.terminal.terminal import Terminal

PASSPHRASE = "marble tractor violin quiet"


@pytest.fixture
def environment(paths: Paths, tmp_path: Path) -> dict[str, str]:
    """As over SSH: no session bus, no display."""
    assert "DBUS_SESSION_BUS_ADDRESS" not in os.environ
    (tmp_path / "home").mkdir(exist_ok=True)
    return {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}


def fill_in_s3(terminal: Terminal, bucket: str, endpoint: str) -> None:
    terminal.press("1")
    terminal.wait_for("set up")
    terminal.press("s")
    terminal.wait_for("1 service", "Amazon S3")
    terminal.press("down", "enter")
    terminal.wait_for("2 settings", "Bucket")
    terminal.press(bucket, "tab", ACCESS_KEY, "tab", SECRET_KEY, "tab", "tab", endpoint)
    terminal.wait_for("•" * len(SECRET_KEY), endpoint)
    terminal.press("enter")


def queue_without_the_key(paths: Paths, path: Path) -> None:
    """Queue as a command does: the worker that it starts cannot open the vault."""
    core = Core(paths)
    core.queue.queue_upload("aws_s3", [path])
    core.close()


def everything_below(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_first_time_set_up_through_the_vault_then_a_second_start_asks_to_unlock(
    environment: dict[str, str], paths: Paths, tmp_path: Path, rclone_s3: S3Server, rclone_proxy: FaultProxy
) -> None:
    bucket, photo, clip = rclone_s3.new_bucket(), tmp_path / "home" / "photo.raw", tmp_path / "home" / "clip.raw"
    photo.write_bytes(b"raw" * 1000)
    began = time.monotonic()
    with Terminal.console(environment=environment) as terminal:
        terminal.wait_for("no keyring", "services ready")
        fill_in_s3(terminal, bucket, f"http://127.0.0.1:{rclone_proxy.port}")
        terminal.wait_for("All five steps passed.", timeout_s=60)
        terminal.press("enter")
        terminal.wait_for("Create a vault for the secret", "how hard to guess")
        terminal.press(PASSPHRASE, "enter", PASSPHRASE)
        terminal.wait_for("fair · guessed in about")
        terminal.press("enter")
        terminal.wait_for("aws_s3 is saved, checked and enabled.")
        took_s = time.monotonic() - began
        terminal.press("enter")
        terminal.wait_for("vault ready", bucket, "Nothing is stored here yet.")
        held = rclone_proxy.fault(Fault.stall(at=1000), when=put_object(), times=None)
        terminal.press("tab", "end", "u")
        terminal.wait_for("1 file", "photo.raw")
        terminal.press("y")
        held.wait_held(1, timeout_s=30)
        terminal.press("q")
        assert terminal.wait_exit() == 0
        first_output = bytes(terminal.output)
    assert took_s < 60
    assert rclone_s3.keys(bucket) == set()
    held.release()
    bench = Workbench(paths)
    (job,) = bench.queue.snapshot().jobs
    assert bench.finish(job).counts[ItemState.DONE] == 1  # by the worker alone
    bench.kill_worker_of(job)
    bench.close()

    clip.write_bytes(b"clip" * 1000)
    queue_without_the_key(paths, clip)
    with Terminal.console(environment=environment) as terminal:
        terminal.wait_for("Unlock the vault", "vault locked")
        terminal.press("not it", "enter")
        terminal.wait_for("Wrong passphrase for the vault")
        terminal.press("escape")
        terminal.wait_gone("Another store")
        terminal.wait_for("The vault is locked", "U opens the credential store", "U unlock", "1 waiting")
        terminal.press("3")
        terminal.wait_for("clip.raw", "waiting: store locked · u unlocks")
        terminal.press("2")
        terminal.wait_for("U opens the credential store")
        terminal.press("U")
        terminal.wait_for("Another store")
        terminal.press(PASSPHRASE, "enter")
        terminal.wait_for("vault ready", bucket, "photo.raw")
        terminal.press("3")
        terminal.wait_for("clip.raw", "sha-256")
        terminal.press("q")
        terminal.wait_exit()
        second_output = bytes(terminal.output)
    assert rclone_s3.keys(bucket) == {"photo.raw", "clip.raw"}
    for sent in (first_output, second_output, everything_below(tmp_path / "home")):
        assert PASSPHRASE.encode() not in sent
        assert SECRET_KEY.encode() not in sent


_CRASH = """
import sys
from tests.tui.scripted import ScriptedQuestions
from tests.tui.scripted_store import StoreScript
from tests.tui.standin import console
from backup.model.credentials import StoreState
service = StoreScript(vault=StoreState.LOCKED)
app = console(service, ScriptedQuestions())
def crash(secret):
    in_a_local = secret.reveal()
    raise SystemError("the vault broke: " + str(len(in_a_local)))
from screens.modals.credentials.passphrase_dialogs import UnlockStore
def act(self):
    crash(self.field.take())
UnlockStore.submit = act
app.run()
sys.exit(app.return_code)
"""


def test_a_crash_and_the_clipboard_reveal_no_secret(environment: dict[str, str]) -> None:
    canary = "canary-in-the-passphrase"
    with Terminal([sys.executable, "-c", _CRASH], environment=environment, columns=100, rows=40) as terminal:
        terminal.wait_for("Unlock the vault")
        terminal.press(canary)
        terminal.wait_for("•" * len(canary))
        terminal.press("\x01", "ctrl+c", "\x18")  # to the beginning, copy, cut
        terminal.press("\x1b[1;2F", "ctrl+c", "\x18", "enter")  # the same with all of it selected
        assert terminal.wait_exit(30) != 0
        terminal.wait_for("SystemError", "the vault broke: 24")
        sent = bytes(terminal.output)
    assert canary.encode() not in sent
    assert b"\x1b]52;" not in sent
