"""Local trees, walked by directory descriptor, so that no symlink placed there meanwhile is followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from backup.files import links, local
from backup.files.filters import Filter
from backup.model.transfers import ItemKind, Links, Selection
from providers.contract.attributes import Attributes
from providers.contract.cancel import CancelToken
from providers.contract.report import ErrorInfo
from providers.engine import source
from providers.errors import Conflict, ProviderError, from_os_error, lacks_descriptors
from providers.filesystem import beneath as walk

_MOST_LINKS: Final = 32
"""Limit of nested links to folders that are followed."""


class TreeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a local tree. Names may contain surrogates for bytes that are not UTF-8."""

    name: str
    """Relative to the folder that holds what was chosen, so it begins with the chosen name; separated by '/'."""
    path: str
    kind: ItemKind
    size_bytes: int = 0
    mtime_ns: int = 0
    error: ErrorInfo | None = None
    """Why it cannot be read, or its folder cannot be listed."""
    empty: bool = False
    """An empty directory."""
    unusual: bool = False
    """Its mode, owner or group differs from what a restore sets by default. Directories that are neither unusual nor
    empty are not reported, and non-empty ones only on request."""
    stored: bool = False
    """A symlink that is uploaded as such, under its own name."""
    ruled_out: bool = False
    """The user's rules leave it out, a folder with everything in it."""
    reason: str = ""
    """Why a symlink is left out, unless that is obvious."""


def top_name(path: Path | str) -> str:
    """The name under which a chosen path is stored: its own, also for `.` and for a path with a final '/'."""
    return os.path.basename(os.path.abspath(path)) or "root"


class LocalWalk:
    """Walk of the chosen paths: files, empty directories, symlinks and special files, and what cannot be read.

    With `resolved` the folders above the paths may not be symlinks, as in `JobRequest.resolved`. Raises Cancelled, and
    nothing else.
    """

    def __init__(self, selection: Selection, cancel: CancelToken, *, resolved: bool, folders: bool = False) -> None:
        """Raises InvalidConfiguration for an invalid pattern."""
        self.links = selection.links
        self.cancel = cancel
        self.filter = Filter(selection)
        self._stays = selection.one_file_system
        self._device = 0
        self._resolved = resolved
        self.folders = folders
        self._roots: tuple[str, ...] = ()

    def over(self, paths: Sequence[Path | str]) -> Iterator[TreeEntry]:
        tops = [os.path.abspath(path) for path in paths]
        if self.links is Links.FOLLOW:
            self._roots = tuple(os.path.realpath(top) for top in tops)
        for path, top in zip(paths, map(Path, tops), strict=True):
            yield from self._chosen(top, top_name(path))

    def _chosen(self, top: Path, name: str) -> Iterator[TreeEntry]:
        beneath = Path("/") if self._resolved else top.parent
        try:
            facts = source.look(top, beneath)
        except ProviderError as error:
            if lacks_descriptors(error):
                raise
            yield TreeEntry(name=name, path=str(top), kind=ItemKind.OTHER, error=ErrorInfo.of(error))
            return
        self._device = facts.st_dev
        if stat.S_ISDIR(facts.st_mode):
            yield from _Tree(self, top, name, ()).found(beneath)
        elif stat.S_ISLNK(facts.st_mode):
            yield from self.link(name, str(top), facts, ())
        else:
            yield entry(name, str(top), facts)

    def rules_out(self, name: str, facts: os.stat_result) -> bool:
        """Whether the user's rules leave out an entry below what was chosen."""
        folder = stat.S_ISDIR(facts.st_mode)
        if folder and self._stays and facts.st_dev != self._device:
            return True
        return not self.filter.takes_all and self.filter.leaves_out(below_chosen(name), folder=folder)

    def link(self, name: str, path: str, facts: os.stat_result, chain: tuple[str, ...]) -> Iterator[TreeEntry]:
        """The entries for a symlink; `chain` are the real folders through which the walk came here."""
        found = entry(name, path, facts)
        match self.links:
            case Links.SKIP:
                yield found
            case Links.STORE:
                yield self._stored(found, facts)
            case Links.FOLLOW:
                yield from self._followed(found, chain)

    @staticmethod
    def _stored(found: TreeEntry, facts: os.stat_result) -> TreeEntry:
        """Store it under its own name, unless a file already has that name."""
        named = f"{found.name}{links.SUFFIX}"
        if os.path.lexists(f"{found.path}{links.SUFFIX}"):
            taken = Conflict(
                f"{named}: a file has the name under which this link would be stored",
                hint="Rename that file, or the link.",
            )
            return msgspec.structs.replace(found, error=ErrorInfo.of(taken))
        return msgspec.structs.replace(found, name=named, size_bytes=facts.st_size, stored=True)

    def _followed(self, found: TreeEntry, chain: tuple[str, ...]) -> Iterator[TreeEntry]:
        """Resolve the link once; its target is then read by the real path, without any link."""
        real = os.path.realpath(found.path)
        reason = self._refusal(real, chain)
        try:
            facts = None if reason else source.look(Path(real), Path("/"))
        except ProviderError as error:
            if lacks_descriptors(error):
                raise
            facts = None
        if facts is None or stat.S_ISLNK(facts.st_mode):  # to itself
            yield msgspec.structs.replace(found, reason=reason or "a symbolic link that leads nowhere")
        elif "/" in found.name and self.rules_out(found.name, facts):
            yield msgspec.structs.replace(entry(found.name, real, facts), ruled_out=True)
        elif stat.S_ISDIR(facts.st_mode):
            yield from _Tree(self, Path(real), found.name, chain).found(Path("/"))
        else:
            yield entry(found.name, real, facts)

    def _refusal(self, real: str, chain: tuple[str, ...]) -> str:
        if not any(_is_in(real, root) for root in self._roots):
            return "a symbolic link that leads out of what was chosen: choose what it leads to as well"
        if any(_is_in(place, real) for place in chain):
            return "a symbolic link back to a folder that holds it"
        return f"more than {_MOST_LINKS} symbolic links, one inside the other" if len(chain) > _MOST_LINKS else ""


def below_chosen(name: str) -> str:
    """The path below the chosen folder; `name` begins with that folder's own name."""
    return name.partition("/")[2]


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


class _Tree:
    """One folder, and everything below it. `chain`: the real folders through which links led here."""

    def __init__(self, walk: LocalWalk, top: Path, name: str, chain: tuple[str, ...]) -> None:
        self._walk = walk
        self._top = str(top)
        self._name = name
        self._chain = chain
        self._pending: list[tuple[bytes, ...]] = [()]

    def found(self, beneath: Path) -> Iterator[TreeEntry]:
        """Walk depth first with its own stack: a tree may be deeper than Python's stack."""
        try:
            with walk.folder(Path(self._top), beneath) as top:
                start = os.open(".", walk.DIRECTORY, dir_fd=top)
        except (ProviderError, OSError) as error:
            yield self._failed((), error, ItemKind.DIRECTORY)
            return
        with closing(walk.Way(start)) as way:
            while self._pending:
                self._walk.cancel.check()
                yield from self._folder(way, self._pending.pop())

    def _folder(self, way: walk.Way, at: tuple[bytes, ...]) -> Iterator[TreeEntry]:
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
        unusual = not Attributes.of(facts).usual
        if (empty or (unusual and self._walk.folders)) and facts.st_nlink:  # else it was deleted meanwhile
            yield TreeEntry(
                name=self._named(at),
                path=self._path(at),
                kind=ItemKind.DIRECTORY,
                mtime_ns=facts.st_mtime_ns,
                empty=empty,
                unusual=unusual,
                ruled_out=empty and bool(at) and self._walk.filter.leaves_out_empty(below_chosen(self._named(at))),
            )

    def _look(self, here: int, at: tuple[bytes, ...]) -> Iterator[TreeEntry]:
        try:
            facts = os.stat(at[-1], dir_fd=here, follow_symlinks=False)
        except FileNotFoundError:
            return
        except OSError as error:
            yield self._failed(at, error)
            return
        if self._walk.rules_out(self._named(at), facts):
            yield msgspec.structs.replace(entry(self._named(at), self._path(at), facts), ruled_out=True)
        elif stat.S_ISDIR(facts.st_mode):
            self._pending.append(at)
        elif stat.S_ISLNK(facts.st_mode):
            chain = (*self._chain, self._path(at[:-1]))
            yield from self._walk.link(self._named(at), self._path(at), facts, chain)
        else:
            yield entry(self._named(at), self._path(at), facts)

    def _changed(self, way: walk.Way, at: tuple[bytes, ...]) -> list[TreeEntry]:
        """What replaced a folder since it was seen; nothing if it is still a folder."""
        try:
            way.go(at[:-1])
            facts = os.stat(at[-1], dir_fd=way.here(), follow_symlinks=False)
        except (OSError, IndexError):
            return []
        return [] if stat.S_ISDIR(facts.st_mode) else [entry(self._named(at), self._path(at), facts)]

    def _failed(
        self, at: tuple[bytes, ...], error: OSError | ProviderError, kind: ItemKind = ItemKind.OTHER
    ) -> TreeEntry:
        path = self._path(at)
        failure = from_os_error(error, path) if isinstance(error, OSError) else error
        if lacks_descriptors(failure):  # no fault of the file: the walk is tried again
            raise failure
        return TreeEntry(name=self._named(at), path=path, kind=kind, error=ErrorInfo.of(failure))

    def _named(self, at: tuple[bytes, ...]) -> str:
        return "/".join((self._name, *map(os.fsdecode, at)))

    def _path(self, at: tuple[bytes, ...]) -> str:
        return os.path.join(self._top, *map(os.fsdecode, at))


def entry(name: str, path: str, facts: os.stat_result) -> TreeEntry:
    """The entry as it was seen."""
    kind = local.kind_of(facts.st_mode)
    size_bytes = facts.st_size if kind is ItemKind.FILE else 0
    return TreeEntry(
        name=name,
        path=path,
        kind=kind,
        size_bytes=size_bytes,
        mtime_ns=facts.st_mtime_ns,
        unusual=kind is ItemKind.FILE and not Attributes.of(facts).usual,
    )
