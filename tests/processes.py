"""The processes of the product, seen and ended as their user or systemd does."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from backup.handshake import presence
from backup.system.paths import Paths


def stop_worker(paths: Paths, timeout_s: float = 10.0) -> bool:
    """Have a worker that runs park what is under way and leave; True once none runs."""
    deadline = time.monotonic() + timeout_s
    asked = 0
    while True:
        pid = presence.look(paths).pid
        if pid and pid != asked:  # one that has just begun has not written its number down yet
            asked = pid
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if presence.wait_until_gone(paths, 0.1):
            return True
        if time.monotonic() >= deadline:
            return False


def child_that_answers(parent: int | None = None) -> int | None:
    """The process that answers a console's questions, by default this one's; None when none runs."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended while it was looked at
            state, ppid = status.read_text().rpartition(")")[2].split()[:2]
            asked = b"backup.queries" in status.with_name("cmdline").read_bytes()
            if asked and state != "Z" and int(ppid) == (parent or os.getpid()):
                return int(status.parent.name)
    return None
