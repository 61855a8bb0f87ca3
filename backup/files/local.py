"""The local side of the browser."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from backup.model.transfers import ItemKind, LocalEntry
from providers.errors import from_os_error


def entries(folder: Path) -> tuple[LocalEntry, ...]:
    """The entries of a folder, unsorted. Entries that vanish meanwhile are left out; those that may not be examined
    have size 0."""
    try:
        with os.scandir(folder) as found:
            return tuple(entry for item in found if (entry := _entry(item)))
    except OSError as error:
        raise from_os_error(error, folder) from error


def _entry(item: os.DirEntry[str]) -> LocalEntry | None:
    try:
        facts = item.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError:
        return LocalEntry(name=item.name, kind=ItemKind.OTHER, size_bytes=0, modified_at=0.0)
    kind = kind_of(facts.st_mode)
    size_bytes = facts.st_size if kind is ItemKind.FILE else 0
    return LocalEntry(name=item.name, kind=kind, size_bytes=size_bytes, modified_at=facts.st_mtime)


def kind_of(mode: int) -> ItemKind:
    if stat.S_ISREG(mode):
        return ItemKind.FILE
    if stat.S_ISDIR(mode):
        return ItemKind.DIRECTORY
    return ItemKind.SYMLINK if stat.S_ISLNK(mode) else ItemKind.OTHER


def resolved(path: str) -> str:
    """An absolute path with the links above its last name resolved; if that name is a link, it stays one."""
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(folder), name)
