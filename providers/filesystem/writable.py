"""Making unfinished files writable whose final mode forbids writing even to their owner (0400)."""

from __future__ import annotations

import os
import stat
from contextlib import suppress


def make_writable(name: str | bytes, *, at: int) -> None:
    """Let the owner write the file `name` in the directory `at` again, after a process was killed or failed when the
    final mode was already set. Never follows a symlink. If this fails or the disk has no modes (FAT), opening the file
    reports it."""
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
