"""What there is to transfer, streamed: local trees and what is below a remote prefix.

Nothing here follows a symlink, leaves what it was given, or holds a whole listing in memory.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from backup.local_files import kind_of
from backup.model import ItemKind
from backup.text import shell_quoted
from providers import beneath as walk
from providers import source
from providers.base import BaseProvider
from providers.cancel import CancelToken
from providers.errors import InvalidName, NotFound, ProviderError
from providers.objects import RemoteFile
from providers.os_errors import from_os_error
from providers.report import ErrorInfo

BATCH: Final = 500
_NO_NAMES: Final = frozenset({"", ".", ".."})
T = TypeVar("T")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a local tree. Names may hold surrogates for bytes that are not UTF-8."""

    name: str
    """Relative to the folder that holds what was chosen: begins with the chosen file's or folder's own name; '/'
    between."""
    path: str
    kind: ItemKind
    size_bytes: int = 0
    mtime_ns: int = 0
    error: ErrorInfo | None = None
    """Why it cannot be read, or its folder not be listed."""
    empty: bool = False
    """A directory with nothing in it. Other directories are not reported."""


def walk_local(
    paths: Sequence[Path | str], *, cancel: CancelToken | None = None, resolved: bool = False
) -> Iterator[list[Found]]:
    """Batches of up to 500 entries: files, empty directories, symlinks and special files, and what cannot be read.

    What vanishes between being seen and being looked at is left out. With `resolved` the folders above `paths` are no
    symlinks either, as in `Order.resolved`. Raises Cancelled, and nothing else.
    """
    return batches(_walk(paths, cancel or CancelToken(), resolved=resolved), BATCH)


def top_name(path: Path | str) -> str:
    """The name under which something chosen is stored: its own, also for `.` and for a path with a final '/'."""
    return os.path.basename(os.path.abspath(path)) or "root"


def upload_prefix(to: str) -> str:
    """What the keys of an upload to the folder `to` begin with: '' at the top, else `to` with one '/' behind it.

    Raises InvalidName for a folder that no service could hold and no disk take back.
    """
    folder = to.strip("/")
    if (folder and any(part in _NO_NAMES for part in folder.split("/"))) or "\0" in folder:
        raise InvalidName(
            f"'{to}': a folder at the provider has no empty parts, no '.' and '..' and no NUL in its name",
            hint="Name it from the top, like photos/2024; leave it out for the top itself.",
        )
    return f"{folder}/" if folder else ""


def batches(entries: Iterable[T], size: int) -> Iterator[list[T]]:
    remaining = iter(entries)
    while batch := list(islice(remaining, size)):
        yield batch


def _walk(paths: Sequence[Path | str], cancel: CancelToken, *, resolved: bool) -> Iterator[Found]:
    for path in paths:
        top = Path(os.path.abspath(path))
        name = top_name(path)
        try:
            facts = source.look(top, Path("/") if resolved else top.parent)
        except ProviderError as error:
            yield Found(name=name, path=str(top), kind=ItemKind.OTHER, error=ErrorInfo.of(error))
            continue
        if stat.S_ISDIR(facts.st_mode):
            yield from _Tree(top, name, cancel).found(Path("/") if resolved else top.parent)
        else:
            yield _entry(name, str(top), facts)


class _Tree:
    """A chosen folder, walked by directory descriptor, so that no symlink is followed that is put there meanwhile."""

    def __init__(self, top: Path, name: str, cancel: CancelToken) -> None:
        self._top = str(top)
        self._name = name
        self._cancel = cancel
        self._pending: list[tuple[bytes, ...]] = [()]

    def found(self, beneath: Path) -> Iterator[Found]:
        """Depth first with a stack of its own: a tree may be deeper than Python's."""
        try:
            with walk.folder(Path(self._top), beneath) as top:
                start = os.open(".", walk.DIRECTORY, dir_fd=top)
        except (ProviderError, OSError) as error:
            yield self._failed((), error, ItemKind.DIRECTORY)
            return
        with closing(walk.Way(start)) as way:
            while self._pending:
                self._cancel.check()
                yield from self._folder(way, self._pending.pop())

    def _folder(self, way: walk.Way, at: tuple[bytes, ...]) -> Iterator[Found]:
        empty = True
        try:
            way.go(at)
            here = way.here()
            with os.scandir(here) as entries:
                for entry in entries:
                    empty = False
                    yield from self._look(here, (*at, os.fsencode(entry.name)))
            facts = os.fstat(here)
        except FileNotFoundError:
            return
        except OSError as error:
            yield from self._changed(way, at) or [self._failed(at, error, ItemKind.DIRECTORY)]
            return
        if empty and facts.st_nlink:  # else it was deleted meanwhile
            yield Found(
                name=self._named(at),
                path=self._path(at),
                kind=ItemKind.DIRECTORY,
                mtime_ns=facts.st_mtime_ns,
                empty=True,
            )

    def _look(self, here: int, at: tuple[bytes, ...]) -> Iterator[Found]:
        try:
            found = _entry(self._named(at), self._path(at), os.stat(at[-1], dir_fd=here, follow_symlinks=False))
        except FileNotFoundError:
            return
        except OSError as error:
            yield self._failed(at, error)
            return
        if found.kind is ItemKind.DIRECTORY:
            self._pending.append(at)
        else:
            yield found

    def _changed(self, way: walk.Way, at: tuple[bytes, ...]) -> list[Found]:
        """What has taken the place of a folder since it was seen; nothing if it is a folder still."""
        try:
            way.go(at[:-1])
            facts = os.stat(at[-1], dir_fd=way.here(), follow_symlinks=False)
        except (OSError, IndexError):
            return []
        return [] if stat.S_ISDIR(facts.st_mode) else [_entry(self._named(at), self._path(at), facts)]

    def _failed(self, at: tuple[bytes, ...], error: OSError | ProviderError, kind: ItemKind = ItemKind.OTHER) -> Found:
        path = self._path(at)
        failure = from_os_error(error, path) if isinstance(error, OSError) else error
        return Found(name=self._named(at), path=path, kind=kind, error=ErrorInfo.of(failure))

    def _named(self, at: tuple[bytes, ...]) -> str:
        return "/".join((self._name, *map(os.fsdecode, at)))

    def _path(self, at: tuple[bytes, ...]) -> str:
        return os.path.join(self._top, *map(os.fsdecode, at))


def _entry(name: str, path: str, facts: os.stat_result) -> Found:
    kind = kind_of(facts.st_mode)
    size_bytes = facts.st_size if kind is ItemKind.FILE else 0
    return Found(name=name, path=path, kind=kind, size_bytes=size_bytes, mtime_ns=facts.st_mtime_ns)


def walk_remote(provider: BaseProvider, key: str, cancel: CancelToken) -> Iterator[RemoteFile]:
    """What a chosen key stands for: the object itself, or with a final '/' everything below that prefix ('/' alone: all
    there is), the marker that some tools leave for the folder itself included. Raises ProviderError; NotFound when
    there is nothing."""
    if not key.endswith("/"):
        yield _single(provider, key, cancel)
        return
    anything = False
    for file in walk_prefix(provider, "" if key == "/" else key, cancel):
        anything = True
        yield file
    if not anything:
        hint = f"A file is named without the final '/': {shell_quoted(key[:-1])}." if _is_file(provider, key) else ""
        raise NotFound(f"{key}: there is nothing below it", hint=hint)


class IsAFolder(NotFound):
    """Folders that were named as files are. `keys`: as they were named."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys
        named = ", ".join(f"'{key}'" for key in keys)
        is_folder = "is a folder" if len(keys) == 1 else "are folders"
        right = " ".join(shell_quoted(f"{key}/") for key in keys)
        super().__init__(f"{named} {is_folder}, not a file", hint=f"A folder is named with a final '/': {right}")


def _single(provider: BaseProvider, key: str, cancel: CancelToken) -> RemoteFile:
    try:
        return provider.retry.run(lambda: provider.stat(key), cancel)
    except NotFound:
        below = provider.retry.run(lambda: provider.scan(f"{key}/", delimiter="/", limit=1), cancel)
        if below.files or below.prefixes:
            raise IsAFolder(key) from None
        raise


def _is_file(provider: BaseProvider, key: str) -> bool:
    """Whether what was named as a folder is a file; no answer is a no."""
    try:
        provider.stat(key.rstrip("/"))
    except ProviderError:
        return False
    return True


def walk_prefix(provider: BaseProvider, prefix: str, cancel: CancelToken) -> Iterator[RemoteFile]:
    """Everything below a prefix, page by page, each page retried as the settings say."""
    token: str | None = None
    while True:
        page = provider.retry.run(lambda at=token: provider.scan(prefix, token=at), cancel)  # type: ignore[misc]
        yield from page.files
        token = page.next_token
        if token is None:
            return


class Destination:
    """What stands in the folders of an upload's destination already, as far as it is known by now, so that not every
    file needs a question of its own. Safe from any thread."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.complete = False

    def look(self, provider: BaseProvider, prefixes: Iterable[str], cancel: CancelToken, *, limit: int) -> None:
        """List at most `limit` objects; more than that leave the rest unknown. Raises ProviderError, Cancelled."""
        for prefix in prefixes:
            for file in walk_prefix(provider, prefix, cancel):
                if len(self.keys) >= limit:
                    return
                self.keys.add(file.key)
        self.complete = True

    def has(self, key: str) -> bool | None:
        """None: not known (yet)."""
        return True if key in self.keys else False if self.complete else None
