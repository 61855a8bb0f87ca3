"""Folders that are shut even to their owner (0500) but have to be filled: opened for as long as that takes."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from providers.contract.attributes import PERMISSIONS
from providers.errors import ProviderError
from providers.filesystem import beneath as walk

_OWN: Final = stat.S_IRWXU
_LOCK: Final = threading.Lock()
_OPENED: Final[dict[tuple[int, int], list[int]]] = {}
"""Device and inode of the folders that are open now: number of users, and the former mode."""


class ShutFolderMemory(Protocol):
    """Outlives this process."""

    def opening(self, path: Path, mode: int) -> None: ...

    def forget(self, path: Path) -> None: ...


@contextmanager
def opened(folders: Sequence[Path], beneath: Path, memory: ShutFolderMemory) -> Iterator[None]:
    """Open those of `folders` (outermost first) that are shut to their owner, if that is this user. The last caller to
    leave gives them their mode back. A folder that cannot be opened is reported by what cannot be put there."""
    with ExitStack() as stack:
        for path in folders:
            with suppress(ProviderError, OSError):
                stack.enter_context(_opened(path, beneath, memory))
        yield


@contextmanager
def _opened(path: Path, beneath: Path, memory: ShutFolderMemory) -> Iterator[None]:
    with walk.folder(path, beneath) as fd:
        key = _enter(fd, path, memory)
        try:
            yield
        finally:
            _leave(fd, key, path, memory)


def _enter(fd: int, path: Path, memory: ShutFolderMemory) -> tuple[int, int]:
    found = os.fstat(fd)
    key = (found.st_dev, found.st_ino)
    with _LOCK:
        if key in _OPENED:
            _OPENED[key][0] += 1
        elif is_shut(found):
            memory.opening(path, stat.S_IMODE(found.st_mode))
            _OPENED[key] = [1, stat.S_IMODE(found.st_mode)]
            open_up(fd)
    return key


def _leave(fd: int, key: tuple[int, int], path: Path, memory: ShutFolderMemory) -> None:
    with _LOCK:
        if key not in _OPENED:
            return
        _OPENED[key][0] -= 1
        if not _OPENED[key][0]:
            _, mode = _OPENED.pop(key)
            os.chmod(f"/proc/self/fd/{fd}", mode)
            memory.forget(path)


def give_back(path: Path, mode: int) -> None:
    """Give an opened folder its former `mode` back, unless it was changed since. Follows no symlink on the way. Raises
    ProviderError, OSError."""
    with walk.folder(path, Path("/")) as fd:
        found = os.fstat(fd)
        if found.st_uid == os.geteuid() and found.st_mode & PERMISSIONS == (mode | _OWN) & PERMISSIONS:
            os.chmod(f"/proc/self/fd/{fd}", mode)


def is_shut(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and found.st_mode & _OWN != _OWN


def open_up(fd: int) -> None:
    """Let its owner fill the folder `fd`, which may be a descriptor opened with O_PATH."""
    found = os.fstat(fd)
    if is_shut(found):
        os.chmod(f"/proc/self/fd/{fd}", stat.S_IMODE(found.st_mode) | _OWN)
