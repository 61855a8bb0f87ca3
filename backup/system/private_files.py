"""Writes of small files that must not be lost, half written, or readable by others."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from providers.errors import Conflict

_POLL_S: Final = 0.02


def private_folder(path: Path) -> None:
    """Make `path` a folder that only its owner can enter (0700), even if it existed with wider permissions."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)


def write_private(path: Path, data: bytes) -> None:
    """Replace the content of `path` by `data`, readable by its owner only (0600).

    Readers see the old or the new content, even after a power cut. If `path` is a symlink, its target is replaced.
    After an OSError the old content is unchanged.
    """
    target = Path(os.path.realpath(path))
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def exclusive_lock(path: Path, what: str, *, timeout_s: float = 10.0) -> Iterator[None]:
    """Exclude all other threads and processes from blocks with the same `path`. The lock ends with its process.

    Not reentrant. Raises Conflict, naming `what`, if it was held elsewhere for `timeout_s`.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise Conflict(
                        f"{what} was in use by another process for {timeout_s:.0f} s",
                        hint="Wait for it, or end the process that holds it, then try again.",
                        code="locked",
                    ) from None
                time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)
