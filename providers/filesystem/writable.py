"""Unfinished files that have their final mode already, which may forbid even their owner to write (0400)."""

from __future__ import annotations

import os
import stat
from contextlib import suppress


def make_writable(name: str | bytes, *, at: int) -> None:
    """Let the owner of the file `name`, in the directory `at`, go on writing it: a process may have been killed, or a
    try may have failed, when it had its final mode. Never through a symlink; where the disk has no modes (FAT), or this
    does not help, opening it says so."""
    with suppress(OSError):
        if not hasattr(os, "O_PATH"):
            os.chmod(name, 0o600, dir_fd=at, follow_symlinks=False)
            return
        found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
        try:
            if stat.S_ISREG(os.fstat(found).st_mode):
                os.chmod(f"/proc/self/fd/{found}", 0o600)
        finally:
            os.close(found)
