"""The build of the program that a process runs, and detection of replaced files.

Modules are loaded when first needed: a process whose files were replaced (`git pull`, `pip install --upgrade`, a new
environment) would run two builds at once.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parents[2]
_PACKAGES: Final = ("backup", "providers")
"""The packages of the worker; the console's own files do not matter to it."""


_LOOK_S: Final = 10.0


@dataclass(frozen=True)
class Build:
    id: str
    """Equal for equal files, wherever they are."""
    files: tuple[tuple[str, int, int, int], ...]
    """Name, size, time and inode of each file: quick to compare."""
    environment: tuple[int, int]
    """The folder of the Python environment."""


@functools.cache
def current() -> Build:
    """The build of this process: called early, before files can be replaced. Reads them all, once; about 10 ms."""
    return Build(_digest(), _files(), _environment())


def replaced() -> bool:
    """Whether the files that this process started with changed or are gone. A change of times alone does not count."""
    begun = current()
    try:
        if _environment() != begun.environment:
            return True
        return _files() != begun.files and _digest() != begun.id
    except OSError:
        return True


def _sources() -> list[Path]:
    return sorted(path for package in _PACKAGES for path in (_ROOT / package).rglob("*.py"))


def _files() -> tuple[tuple[str, int, int, int], ...]:
    found = ((path, path.stat()) for path in _sources())
    return tuple((str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino) for path, stat in found)


def _digest() -> str:
    whole = hashlib.sha256()
    for path in _sources():
        content = path.read_bytes()
        whole.update(f"{path.relative_to(_ROOT)} {len(content)}\n".encode())
        whole.update(content)
    return whole.hexdigest()[:16]


def _environment() -> tuple[int, int]:
    stat = os.stat(sys.prefix)
    return stat.st_dev, stat.st_ino


class BuildNotice:
    """Notice about builds for front ends that stay open. May be called often; checks every ten seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Compares with the files of now; called early, like `current`."""
        self._own = current().id
        self._clock = clock
        self._replaced = False
        self._next = clock() + _LOOK_S

    def of(self, worker: str) -> str:
        """The notice, or ''. `worker`: the build of the worker, '' if unknown."""
        if not self._replaced and self._clock() >= self._next:
            self._next = self._clock() + _LOOK_S
            self._replaced = replaced()
        if self._replaced:
            return "This program was updated while running. Quit it and start it again."
        if worker and worker != self._own:
            return "The worker runs another build of this program (another folder, or an update). Both work together."
        return ""
