"""Full disks, killed and competing writers lose nothing that was confirmed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backup.credentials.vault_file import errors
from backup.credentials.vault_file.file import RawKey, VaultFile
from tests.backup.vault_tools import PASSPHRASE, new_vault, vault_at


class _Fails:
    """Make the n-th system call fail, like a full or broken disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self.calls = 0
        self._at = at
        for module, name in ((tempfile, "mkstemp"), (os, "fdopen"), (os, "fsync"), (os, "replace"), (os, "open")):
            monkeypatch.setattr(module, name, self._wrapped(getattr(module, name)))

    def _wrapped(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == self._at:
                raise OSError(28, "No space left on device")
            return real(*args, **kwargs)

        return call


def test_a_disk_that_fails_at_any_step_leaves_the_old_vault_or_the_new_one(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    vault.set(key, "s", "u", "0")
    outcomes = set()
    for at in range(1, 50):
        with pytest.MonkeyPatch.context() as patch:
            fails = _Fails(patch, at)
            before = vault.entries(key)["s", "u"]
            with contextlib.suppress(errors.VaultNotWritten):
                vault.set(key, "s", "u", str(at))
            done = fails.calls < at
        now = vault.entries(vault.open(PASSPHRASE))["s", "u"]
        assert now in (before, str(at))
        outcomes.add(now == before)
        vault.set(key, "t", "u", "still works")
        assert not [path for path in vault.path.parent.iterdir() if path.name.startswith(".vault.json.")]
        if done:
            break
    else:
        pytest.fail("there was no end of steps")
    assert outcomes == {True, False}


_WRITER = """
import sys
from pathlib import Path
from backup.credentials.vault_file.file import RawKey, VaultFile
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
vault = VaultFile(path)
key = vault.open(RawKey.parse(sys.stdin.buffer.read()))
for number in range(count):
    vault.set(key, name, str(number), name * 50)
    print(number, flush=True)
"""


def _writer(vault: VaultFile, raw: RawKey, name: str, count: int) -> subprocess.Popen[bytes]:
    reading, writing = os.pipe()
    os.write(writing, raw.reveal())
    os.close(writing)
    command = [sys.executable, "-c", _WRITER, str(vault.path), name, str(count)]
    process = subprocess.Popen(command, stdin=reading, stdout=subprocess.PIPE)
    os.close(reading)
    return process


def test_two_processes_and_a_thread_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    raw = RawKey.generate()
    vault.add_slot(key, raw)
    writers = [_writer(vault, raw, name, 25) for name in ("one", "two")]

    def write() -> None:
        for number in range(25):
            vault.set(key, "thread", str(number), "x")

    thread = threading.Thread(target=write)
    thread.start()
    for number in range(25):
        vault.set(key, "here", str(number), "x")
    thread.join(30)
    for process in writers:
        with process:
            process.communicate(timeout=30)
        assert process.returncode == 0
    names = ("one", "two", "thread", "here")
    assert set(vault.entries(key)) == {(name, str(number)) for name in names for number in range(25)}
    assert vault.describe().generation == 2 + 4 * 25


def test_a_killed_writer_loses_nothing_it_had_confirmed(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    raw = RawKey.generate()
    vault.add_slot(key, raw)
    for attempt in range(3):
        process = _writer(vault, raw, f"run{attempt}", 10_000)
        assert process.stdout is not None
        confirmed = [int(process.stdout.readline()) for _ in range(3 + 7 * attempt)][-1]
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        process.stdout.close()
        entries = vault.entries(vault.open(PASSPHRASE))
        assert {(f"run{attempt}", str(number)) for number in range(confirmed + 1)} <= set(entries)
    vault.set(key, "after", "u", "x")
    assert not [path for path in vault.path.parent.iterdir() if path.name.startswith(".vault.json.")]


def test_a_lock_that_is_never_released_is_reported(tmp_path: Path) -> None:
    vault, key = new_vault(tmp_path)
    impatient = vault_at(tmp_path, lock_timeout_s=0.1)
    with vault._locked(), pytest.raises(errors.VaultBusy):
        impatient.set(key, "s", "u", "x")
    assert impatient.get(key, "s", "u") is None
    assert impatient.open(PASSPHRASE)
