"""Which build of the program a process runs, and whether its files were replaced since it began.

Modules are loaded when they are first needed: a process whose files were replaced (`git pull`, `pip install --upgrade`,
a new environment) would run two builds at once.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parents[1]
_PACKAGES: Final = ("backup", "providers")
"""What the worker is made of; the console's own files do not matter to it."""


@dataclass(frozen=True)
class Build:
    id: str
    """The same for the same files, wherever they are."""
    files: tuple[tuple[str, int, int, int], ...]
    """Each by its name, size, time and inode: quick to compare."""
    environment: tuple[int, int]
    """The folder of the Python environment."""


@functools.cache
def current() -> Build:
    """Of this process: called early, before somebody can replace the files. Reads them all, once; about 10 ms."""
    return Build(_digest(), _files(), _environment())


def replaced() -> bool:
    """Whether the files that this process was begun with are others by now, or gone. Times alone do not count."""
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
