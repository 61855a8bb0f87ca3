"""Presence of a worker, and why it does not answer: read from its lock and the system, without asking the worker."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from backup.system.paths import Paths
from backup.system.private_files import private_folder
from providers.errors import ProviderError

_POLL_S: Final = 0.02
_STOPPED_POLL_S: Final = 0.2
_NOTE_BYTES: Final = 64
"""Size of the note in the lock file: written in full at the start, so that it can be changed on a full disk."""


class WorkerState(StrEnum):
    NONE = "none"
    RUNNING = "running"
    """It holds the lock, and nothing suggests that it is not at work."""
    STOPPED = "stopped"
    """It was stopped by a signal (SIGSTOP, Ctrl-Z, a debugger)."""
    WAITS_FOR_ROOM = "waits_for_room"
    """The disk of the state folder is full."""


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    state: WorkerState
    pid: int | None = None


class WorkerSilent(ProviderError):
    """A worker holds the lock but does not run what is queued. The queue is kept until it does."""

    kind = "worker"


def announce(lock: int, state: WorkerState = WorkerState.RUNNING) -> None:
    """Write process id and state of the lock's holder into the lock file."""
    note = f"{os.getpid()} {state.value}".encode().ljust(_NOTE_BYTES)
    with suppress(OSError):  # the note is optional
        os.pwrite(lock, note, 0)


@contextmanager
def lock_if_free(paths: Paths) -> Iterator[bool]:
    """Whether no worker runs; none can start inside the block."""
    private_folder(paths.state_dir)
    lock = os.open(paths.worker_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _taken(lock)
    finally:
        os.close(lock)


def wait_until_gone(paths: Paths, timeout_s: float) -> bool:
    """Whether the worker is gone within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        with lock_if_free(paths) as free:
            if free:
                return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)


def look(paths: Paths) -> Presence:
    """Never waits."""
    try:
        lock = os.open(paths.worker_lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return Presence(state=WorkerState.NONE)
    try:
        return Presence(state=WorkerState.NONE) if _taken(lock) else _described(os.pread(lock, _NOTE_BYTES, 0))
    finally:
        os.close(lock)


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_stopped(paths: Paths) -> bool:
    """Whether the worker was stopped by a signal: a request to it would only time out."""
    return look(paths).state is WorkerState.STOPPED


def is_awaited(paths: Paths) -> bool:
    """Whether a process waits for a stopped worker (`outlast_stop`)."""
    with _waiting(paths) as mine:
        return not mine


def outlast_stop(paths: Paths, patience_s: float) -> bool:
    """Wait until the worker is no longer stopped, or gone. False if another process already waits, or after
    `patience_s`."""
    deadline = time.monotonic() + patience_s
    with _waiting(paths) as mine:
        while mine and is_stopped(paths):
            if time.monotonic() >= deadline:
                return False
            time.sleep(_STOPPED_POLL_S)
        return mine


@contextmanager
def _waiting(paths: Paths) -> Iterator[bool]:
    """Whether no other process waits; none can begin to inside the block."""
    lock = os.open(paths.successor_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _taken(lock)
    finally:
        os.close(lock)


def trouble(paths: Paths) -> WorkerSilent | None:
    """Why the worker does nothing; None if nothing is known to be wrong."""
    found = look(paths)
    match found.state:
        case WorkerState.STOPPED:
            return WorkerSilent(
                f"the worker (process {found.pid}) was stopped by a signal",
                hint=f"Resume it: kill -CONT {found.pid}",
                code=found.state.value,
            )
        case WorkerState.WAITS_FOR_ROOM:
            return WorkerSilent(
                f"the worker waits for room on the disk of {paths.state_dir}",
                hint="Free some space there; it continues by itself.",
                code=found.state.value,
            )
    return None


def _described(note: bytes) -> Presence:
    number, _, state = note.decode("ascii", "replace").strip().partition(" ")
    if not number.isdecimal():
        return Presence(state=WorkerState.RUNNING)
    pid = int(number)
    if _is_stopped(pid):
        return Presence(state=WorkerState.STOPPED, pid=pid)
    waits = state == WorkerState.WAITS_FOR_ROOM
    return Presence(state=WorkerState.WAITS_FOR_ROOM if waits else WorkerState.RUNNING, pid=pid)


def _is_stopped(pid: int) -> bool:
    if sys.platform != "linux":
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] in {"T", "t"}
    except (OSError, IndexError):
        return False
