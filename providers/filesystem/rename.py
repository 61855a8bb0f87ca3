"""Renaming a finished file without overwriting, on every file system."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

_RENAME_NOREPLACE: Final = 1
"""linux/fs.h."""


def _load() -> Any:
    """The C library's `renameat2` (glibc 2.28, musl 1.2.6), or None."""
    try:
        return ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None


_renameat2: Final = _load()


def rename_new(temp: str | bytes, name: str | bytes, *, at: int, reserving: Callable[[], None] = lambda: None) -> None:
    """Rename `temp` to `name`, both in the directory `at`, never overwriting.

    Uses RENAME_NOREPLACE if the file system supports it, else a hard link. Some (exFAT, some network shares) have
    neither: then an empty file reserves the name. `reserving` is called before that, because a kill may leave the empty
    file. Raises FileExistsError if the name is taken, and OSError.
    """
    try:
        _in_one_step(os.fsencode(temp), os.fsencode(name), at)
        return
    except FileExistsError:
        raise
    except OSError:  # not supported here, or an error that recurs below
        pass
    try:
        os.link(temp, name, src_dir_fd=at, dst_dir_fd=at, follow_symlinks=False)
    except FileExistsError:
        if not is_same_file(temp, name, at=at):  # NFS may repeat a link whose answer was lost
            raise
    except OSError:
        reserving()
        _reserve_and_rename(temp, name, at)
        return
    os.unlink(temp, dir_fd=at)


def is_same_file(first: str | bytes, second: str | bytes, *, at: int) -> bool:
    """Whether two names in the directory `at` are the same inode. Raises OSError."""
    one, two = (os.stat(name, dir_fd=at, follow_symlinks=False) for name in (first, second))
    return (one.st_dev, one.st_ino) == (two.st_dev, two.st_ino)


def _in_one_step(temp: bytes, name: bytes, at: int) -> None:
    if _renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if _renameat2(at, temp, at, name, _RENAME_NOREPLACE) != 0:
        failure = ctypes.get_errno()
        raise OSError(failure, os.strerror(failure))


def _reserve_and_rename(temp: str | bytes, name: str | bytes, at: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    os.close(os.open(name, flags, 0o600, dir_fd=at))
    try:
        os.replace(temp, name, src_dir_fd=at, dst_dir_fd=at)
    except OSError:
        with suppress(OSError):
            if os.stat(name, dir_fd=at, follow_symlinks=False).st_size == 0:
                os.unlink(name, dir_fd=at)
        raise
