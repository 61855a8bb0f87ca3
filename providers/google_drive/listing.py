"""Listings, folder by folder. The page token holds the complete state, so another process can continue."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from providers.contract.listing import Trail, whole
from providers.contract.objects import Page, RemoteFile
from providers.errors import Integrity, InvalidName, ProviderError
from providers.google_drive import objects
from providers.google_drive.folders import Drive

_FOLDERS_AT_ONCE: Final = 50
"""Maximum number of folders in one query, which would get too long otherwise."""
_REQUESTS_A_PAGE: Final = 8


class _Entry(msgspec.Struct, array_like=True):
    """An entry found but not yet returned."""

    path: str
    """Path of its folder, with '/' at the end; '' for the root."""
    name: str
    id: str
    file: RemoteFile | None = None
    """None for a folder."""
    ambiguous: bool = False
    own: RemoteFile | None = None
    """A folder that is itself an object."""

    @property
    def shown(self) -> str:
        """The segment shown. Folders with one name are one folder, so they get an id only if the name needs one."""
        return objects.segment(self.name, self.id, ambiguous=self.ambiguous and self.file is not None)


class _Frame(msgspec.Struct, array_like=True):
    """Folders that are read together, and the position in them."""

    folders: list[tuple[str, str]]
    """Id and path."""
    page: str = ""
    held: list[_Entry] = []
    """Last entries of the previous page: the next page may have more with the same name."""
    trail: Trail = Trail()

    @property
    def paths(self) -> int:
        return len({path for _, path in self.folders})


class _Walk(msgspec.Struct, array_like=True):
    frames: list[_Frame]
    """A stack; the last frame is read next."""
    ready: list[_Entry] = []
    """Entries that did not fit on the previous page."""


class DriveListing:
    """A listing of keys that start with `prefix`. `folder_ids` are those of the prefix's folder."""

    def __init__(self, drive: Drive, prefix: str, *, fold: bool, tree: bool = False) -> None:
        """`fold` returns folders without their contents, `tree` returns them as well as their contents."""
        self._drive = drive
        self._base = prefix[: prefix.rfind("/") + 1]
        self._start = prefix[len(self._base) :]
        self._fold = fold
        self._tree = tree
        self._troubles: list[ProviderError] = []
        """Errors for unreadable entries."""

    def first(self, folder_ids: Iterable[str]) -> str:
        """The token of the first page."""
        folder_ids = list(folder_ids)
        above, slash, name = self._base.removesuffix("/").rpartition("/")
        own = [_Entry(above + slash, name, folder_ids[0])] if self._tree and name and not self._start else []
        stored = self._own(folder_ids) if self._names_own else None
        own += [_Entry(above + slash, name, folder_ids[0], own=stored)] if stored else []
        return _text(_Walk([_Frame([(item, self._base) for item in folder_ids])], own))

    @property
    def _names_own(self) -> bool:
        """True if the listed folder itself is returned when it is an object."""
        return bool(self._base) and not (self._start or self._fold or self._tree)

    def _own(self, folder_ids: Iterable[str]) -> RemoteFile | None:
        found = (objects.folder_object(self._base, self._drive.get(folder_id)) for folder_id in folder_ids)
        return next(filter(None, found), None)

    def page(self, token: str, limit: int) -> Page:
        """At most `limit` entries. Fewer, or none, do not mean the end: a page costs a bounded number of requests,
        even with many empty folders."""
        try:
            walk = msgspec.json.decode(token, type=_Walk)
        except msgspec.DecodeError:
            raise InvalidName("the page token is invalid") from None
        requests = 0
        while walk.frames and len(walk.ready) < limit and requests < _REQUESTS_A_PAGE:
            walk.ready += self._read_on(walk, limit)
            requests += 1
        shown, walk.ready = walk.ready[:limit], walk.ready[limit:]
        named = [file for entry in shown if (file := self._object(entry)) is not None]
        files = [file for file in named if not file.left_out]
        left_out = [file for file in named if file.left_out]
        folders = [entry for entry in shown if entry.file is None and (self._fold or self._tree)]
        prefixes = [f"{entry.path}{entry.shown}/" for entry in folders]
        more = bool(walk.ready or walk.frames)
        page = Page(
            files=tuple(files),
            prefixes=tuple(prefixes),
            next_token=_text(walk) if more else None,
            left_out=tuple(left_out),
        )
        return whole(page, self._troubles)

    def _read_on(self, walk: _Walk, limit: int) -> list[_Entry]:
        frame = walk.frames.pop()
        ids = [folder_id for folder_id, _ in frame.folders]
        answer = self._drive.find(
            ids, page=frame.page, limit=max(1, min(limit, 1000)), order="name", troubles=self._troubles
        )
        items = objects.items_of(answer)
        if frame.paths > 1 and not all(map(objects.parents_of, items)) and not frame.page:
            walk.frames += [_Frame(group) for group in _by_path(frame.folders)]
            return []
        found = frame.held + list(self._entries(frame, items))
        page = str(answer.get("nextPageToken") or "")
        held = _last_of_one_name(found) if page else []
        decided = _marked_ambiguous(found[: len(found) - len(held)])
        if page:
            walk.frames.append(_Frame(frame.folders, page, held, frame.trail.step(page, brought=bool(items))))
        if not self._fold:
            folders = [(entry.id, f"{entry.path}{entry.shown}/") for entry in decided if entry.file is None]
            walk.frames += [_Frame(batch) for batch in _batches(folders)]
        return [
            entry
            for entry in _once(decided)
            if self._fold or self._tree or entry.file is not None or entry.own is not None
        ]

    def _object(self, entry: _Entry) -> RemoteFile | None:
        if entry.file is not None:
            return msgspec.structs.replace(entry.file, key=entry.path + entry.shown)
        if entry.own is None or self._fold or self._tree:
            return None
        return msgspec.structs.replace(entry.own, key=f"{entry.path}{entry.shown}/")

    def _entries(self, frame: _Frame, items: Iterable[dict[str, Any]]) -> Iterator[_Entry]:
        paths = dict(frame.folders)
        alone = frame.folders[0][1] if frame.paths == 1 else None
        for item in items:
            parents = [parent for parent in objects.parents_of(item) if parent in paths]
            path = paths[parents[0]] if parents else alone
            name, file_id = item["name"], item["id"]
            if path is None:
                self._troubles.append(Integrity(f"Google does not say in which folder '{name}' is"))
                continue
            if path == self._base and not name.startswith(self._start) and not self._could_be(name, file_id):
                continue
            if objects.is_folder(item):
                yield _Entry(path, name, file_id, own=objects.folder_object(f"{path}{name}/", item))
            elif objects.has_bytes(item):
                try:
                    yield _Entry(path, name, file_id, objects.remote_file(path + name, item))
                except Integrity as error:
                    self._troubles.append(error)
            else:
                yield _Entry(path, name, file_id, objects.left_out(path + name, item))

    def _could_be(self, name: str, file_id: str) -> bool:
        """The prefix may match the name in its 'name [id=…]' form."""
        return objects.segment(name, file_id, ambiguous=True).startswith(self._start)


def _text(walk: _Walk) -> str:
    return msgspec.json.encode(walk).decode()


def _marked_ambiguous(entries: list[_Entry]) -> list[_Entry]:
    """Marks files that share a name in one folder. `entries` holds the results of all queries for a path."""
    counts: dict[tuple[str, str], int] = {}
    for entry in entries:
        if entry.file is not None:
            counts[entry.path, entry.name] = counts.get((entry.path, entry.name), 0) + 1
    for entry in entries:
        entry.ambiguous = entry.file is not None and counts[entry.path, entry.name] > 1
    return entries


def _once(entries: list[_Entry]) -> Iterator[_Entry]:
    """Folders with one name only once, preferring one that is an object."""
    seen: set[tuple[str, str]] = set()
    for entry in sorted(entries, key=lambda entry: entry.own is None):
        key = (entry.path, entry.shown)
        if entry.file is None:
            if key in seen:
                continue
            seen.add(key)
        yield entry


def _last_of_one_name(entries: list[_Entry]) -> list[_Entry]:
    """Entries at the end of a page that share the last name. Ignores case, because Drive's sorting may."""
    if not entries:
        return []
    last = entries[-1].name.casefold()
    start = len(entries)
    while start and entries[start - 1].name.casefold() == last:
        start -= 1
    return entries[start:]


def _by_path(folders: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    for _, group in itertools.groupby(sorted(folders, key=lambda item: item[1]), key=lambda item: item[1]):
        yield list(group)


def _batches(folders: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Folders to read together. Folders of one path stay in one batch, to detect equal names among their files."""
    batch: list[tuple[str, str]] = []
    for same in _by_path(folders):
        if batch and len(batch) + len(same) > _FOLDERS_AT_ONCE:
            yield batch
            batch = []
        batch += same
    if batch:
        yield batch
