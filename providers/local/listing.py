"""Pages of a folder listing in a fixed order, so that a page can be resumed from the last key of the previous one."""

from __future__ import annotations

import itertools
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from providers.contract.attributes import UNKNOWN, Attributes
from providers.contract.objects import Page, RemoteFile
from providers.errors import InvalidName, NotFound
from providers.filesystem.beneath import DIRECTORY, Way
from providers.local import folder_attributes
from providers.local.folder import Folder, encoded, is_ours

_KEPT_WALKS: Final = 4
_LINK: Final = "a symbolic link: it is never followed, and has no content of its own"
_SPECIAL: Final = "a socket, pipe or device: it has no content of its own"


def remote_file(key: str, found: os.stat_result, attributes: Attributes = UNKNOWN) -> RemoteFile:
    """An object as described by its inode; `attributes` are the original's if it is a folder. The etag changes with the
    content, and also whenever the inode changes."""
    directory = stat.S_ISDIR(found.st_mode)
    return RemoteFile(
        key=key,
        size_bytes=0 if directory else found.st_size,
        modified_at=found.st_mtime_ns / 1e9,
        mtime_ns=found.st_mtime_ns,
        attributes=attributes if directory else Attributes.of(found),
        stored_at=found.st_ctime_ns / 1e9,
        etag="" if directory else f"{found.st_ino:x}-{found.st_size:x}-{found.st_ctime_ns:x}",
    )


class FolderListing:
    """Serves `scan`. Keys are ordered by their path segments as bytes. Each directory is read once and its names
    sorted; files are examined only when their page is requested.

    A walk that ends at a page limit is kept for the next page, so that a directory of 100,000 files is not read again
    for each page. If the walk of a token is gone (another process, long ago), the walk restarts at its key.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, str, str], Iterator[RemoteFile | str]] = {}

    def page(self, prefix: str, delimiter: str, token: str | None, limit: int) -> Page:
        walk = self._take(prefix, delimiter, token)
        found = list(itertools.islice(walk, limit))
        files = [entry for entry in found if isinstance(entry, RemoteFile)]
        last = None
        if len(found) == limit:
            last = found[-1] if isinstance(found[-1], str) else found[-1].key
            self._keep((prefix, delimiter, last), walk)
        return Page(
            files=tuple(file for file in files if not file.left_out),
            prefixes=tuple(entry for entry in found if isinstance(entry, str)),
            left_out=tuple(file for file in files if file.left_out),
            next_token=last,
        )

    def close(self) -> None:
        with self._lock:
            self._waiting.clear()

    def _take(self, prefix: str, delimiter: str, token: str | None) -> Iterator[RemoteFile | str]:
        if token is not None:
            with self._lock:
                waiting = self._waiting.pop((prefix, delimiter, token), None)
            if waiting is not None:
                return waiting
        return self._walk(prefix, delimiter, token)

    def _keep(self, key: tuple[str, str, str], walk: Iterator[RemoteFile | str]) -> None:
        with self._lock:
            self._waiting[key] = walk
            while len(self._waiting) > _KEPT_WALKS:
                self._waiting.pop(next(iter(self._waiting)))

    def _walk(self, prefix: str, delimiter: str, token: str | None) -> Iterator[RemoteFile | str]:
        base, _, start = prefix.rpartition("/")
        after = None if token is None else [encoded(part) for part in token.removesuffix("/").split("/")]
        if prefix.startswith("/") or "//" in prefix:
            raise InvalidName(f"'{prefix}': no name here starts with '/' or has two in a row", hint="Leave it out.")
        depth = len(self._folder.segments(base)) if base else 0
        if self._folder.is_yet_to_be_made:
            return
        try:
            fd = self._open(base)
        except (NotFound, InvalidName):
            with self._folder.opened():  # only the container itself must exist
                return
        below = f"{base}/" if base else ""
        with closing(Way(fd)) as way:
            yield from self._entries(way, below, encoded(start), bool(delimiter), after[depth:] if after else None)

    def _open(self, base: str) -> int:
        if not base:
            with self._folder.opened() as root:
                return os.dup(root)
        with self._folder.parent(base) as (at, name):
            return os.open(name, DIRECTORY, dir_fd=at)

    def _entries(
        self, way: Way, below: str, start: bytes, flat: bool, after: list[bytes] | None
    ) -> Iterator[RemoteFile | str]:
        """The content of the directory at the end of `way`, recursive unless `flat`; only entries after the path
        `after`. Not recursive in Python: keys may have more folders than its stack allows."""
        level = self._level(way, below, start, after)
        if below and not start and after is None:
            yield from self._directory(way, level)
        levels = [level]
        while levels:
            entry = next(levels[-1].entries, None)
            if entry is None:
                levels.pop()
                way.leave()
                continue
            name, is_directory, deeper = entry
            key = levels[-1].below + name.decode("utf-8", "surrogateescape")
            if is_directory and not flat:
                entered = self._enter(way, name, key, deeper)
                if entered is not None:
                    levels.append(entered)
                    if deeper is None:
                        yield from self._directory(way, entered)
            elif deeper is None:
                yield from [f"{key}/"] if is_directory else self._file(way, name, key)

    def _directory(self, way: Way, level: _Level) -> Iterator[RemoteFile]:
        """The directory itself, if it is an object: when it is empty or has a stored mode."""
        attributes = folder_attributes.read(way.here())
        if level.empty or attributes.mode is not None:
            yield remote_file(level.below, os.fstat(way.here()), attributes)

    def _enter(self, way: Way, name: bytes, key: str, after: list[bytes] | None) -> _Level | None:
        """None if it was deleted or replaced since the parent directory was read."""
        try:
            with self._folder.translated(key):
                way.enter(name)
        except NotFound:
            return None
        return self._level(way, f"{key}/", b"", after)

    def _level(self, way: Way, below: str, start: bytes, after: list[bytes] | None) -> _Level:
        with self._folder.translated(below), os.scandir(way.here()) as entries:
            everything = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
        shown = sorted((name, folder) for name, folder in everything if not is_ours(name))
        wanted = (
            (name, folder, after[1:] if after and name == after[0] else None)
            for name, folder in shown
            if name.startswith(start) and not (after and name < after[0])
        )
        return _Level(below, not everything, wanted)

    def _file(self, way: Way, name: bytes, key: str) -> Iterator[RemoteFile]:
        try:
            with self._folder.translated(key):
                found = os.stat(name, dir_fd=way.here(), follow_symlinks=False)
        except NotFound:
            return
        if stat.S_ISREG(found.st_mode):
            yield remote_file(key, found)
        elif not stat.S_ISDIR(found.st_mode):
            what = _LINK if stat.S_ISLNK(found.st_mode) else _SPECIAL
            yield RemoteFile(key=key, size_bytes=0, left_out=what)


@dataclass
class _Level:
    """One directory of the walk."""

    below: str
    """Prefix of its names in keys."""
    empty: bool
    """Nothing is in it: no object, unfinished upload or symlink."""
    entries: Iterator[tuple[bytes, bool, list[bytes] | None]]
    """Name; whether it is a directory; the rest of the `after` path if the directory is on that path."""
