"""What a transfer would do, counted before it starts. Counting stops after 5 s or 100,000 entries: a plan may say 'at
least'."""

from __future__ import annotations

import os
import time
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from backup.download_targets import chosen_target, local_name
from backup.model import Conflicts, ItemKind, JobKind, TransferPlan
from backup.scan import Found, IsAFolder, upload_prefix, walk_local, walk_prefix, walk_remote
from providers.base import BaseProvider
from providers.cancel import CancelToken
from providers.errors import InvalidName
from providers.objects import Page, RemoteFile
from providers.os_errors import from_os_error

LIMIT_S: Final = 5.0
LIMIT_ENTRIES: Final = 100_000
_NAMES_SHOWN: Final = 10
_SINGLE_QUESTIONS: Final = 16
"""Up to so many single files are looked up one by one; more in a listing of their folder."""
_MTIME_SLACK_S: Final = 1.0

T = TypeVar("T")


class _Budget:
    """How much may still be counted."""

    def __init__(self, cancel: CancelToken) -> None:
        self._until_s = time.monotonic() + LIMIT_S
        self._entries = LIMIT_ENTRIES
        self._cancel = cancel
        self.exhausted = False

    def spend(self, entries: Iterable[T]) -> Iterator[T]:
        for entry in entries:
            self._cancel.check()
            self._entries -= 1
            if self._entries < 0 or time.monotonic() > self._until_s:
                self.exhausted = True
                return
            yield entry


class _Tally(msgspec.Struct):
    """The plan while it is counted."""

    files: int = 0
    folders: set[str] = msgspec.field(default_factory=set)
    size_bytes: int = 0
    symlinks: int = 0
    special: int = 0
    unreadable: int = 0
    replaced: list[str] = msgspec.field(default_factory=list)
    clashes: list[str] = msgspec.field(default_factory=list)

    def add_file(self, folder: str, size_bytes: int) -> None:
        self.files += 1
        self.size_bytes += size_bytes
        self.add_folder(folder)

    def add_folder(self, folder: str) -> None:
        while folder and folder not in self.folders:
            self.folders.add(folder)
            folder = folder.rpartition("/")[0]

    def plan(self, kind: JobKind, instance: str, destination: str, *, complete: bool) -> TransferPlan:
        return TransferPlan(
            kind=kind,
            instance=instance,
            destination=destination,
            files=self.files,
            folders=len(self.folders),
            size_bytes=self.size_bytes,
            skipped_symlinks=self.symlinks,
            skipped_special=self.special,
            unreadable=self.unreadable,
            replaces=len(self.replaced),
            replaced_names=tuple(self.replaced[:_NAMES_SHOWN]),
            clashes=len(self.clashes),
            clashing_names=tuple(self.clashes[:_NAMES_SHOWN]),
            complete=complete,
        )


def upload(
    provider: BaseProvider, instance: str, paths: list[Path], to: str, conflicts: Conflicts, cancel: CancelToken
) -> TransferPlan:
    """Raises NotFound when one of `paths` is not there, InvalidName for `to`, and what looking at the destination
    raises."""
    prefix = upload_prefix(to)
    for path in paths:
        try:
            os.lstat(path)
        except OSError as error:
            raise from_os_error(error, path) from error
    tally, local = _Tally(), _Budget(cancel)
    files: dict[str, Found] = {}
    for found in local.spend(entry for batch in walk_local(paths, cancel=cancel) for entry in batch):
        _count_local(tally, found)
        if found.kind is ItemKind.FILE and found.error is None:
            files[prefix + found.name] = found
    remote = _Budget(cancel)
    spellings = None if provider.capabilities.case_sensitive else Spellings()
    if spellings:
        for name in remote.spend(_names(provider, prefix, cancel)):
            spellings.twin(name)
    for file in _standing(provider, files, remote, cancel, spellings):
        if conflicts is not Conflicts.SKIP_UNCHANGED or _differs(file, files[file.key]):
            tally.replaced.append(file.key)
    tally.clashes = [key for key in files if spellings and spellings.twin(key)]
    complete = not (local.exhausted or remote.exhausted)
    return tally.plan(JobKind.UPLOAD, instance, f"{instance}:{prefix or '/'}", complete=complete)


def _count_local(tally: _Tally, found: Found) -> None:
    folder = found.name.rpartition("/")[0]
    if found.error is not None:
        tally.unreadable += 1
    elif found.kind is ItemKind.FILE:
        tally.add_file(folder, found.size_bytes)
    elif found.kind is ItemKind.DIRECTORY:
        tally.add_folder(found.name)
    elif found.kind is ItemKind.SYMLINK:
        tally.symlinks += 1
    else:
        tally.special += 1


def _standing(
    provider: BaseProvider,
    files: dict[str, Found],
    budget: _Budget,
    cancel: CancelToken,
    spellings: Spellings | None = None,
) -> Iterator[RemoteFile]:
    """Those objects that stand where the files would go. `spellings` learns of all that are seen."""
    single = [key for key, found in files.items() if "/" not in found.name]
    if len(single) > _SINGLE_QUESTIONS:
        folder = single[0].rpartition("/")[0]
        yield from _among(files, budget.spend(_level(provider, f"{folder}/" if folder else "", cancel)))
    else:
        for key in single:
            yield from _among({key: files[key]}, budget.spend(_level(provider, key, cancel)))
    for prefix in sorted({_top(key, found) for key, found in files.items() if "/" in found.name}):
        for file in budget.spend(walk_prefix(provider, prefix, cancel)):
            if spellings:
                spellings.twin(file.key)
            if file.key in files:
                yield file


def _among(files: dict[str, Found], listed: Iterable[RemoteFile]) -> Iterator[RemoteFile]:
    return (file for file in listed if file.key in files)


def _top(key: str, found: Found) -> str:
    """The prefix at the destination of the chosen folder in which `found` lies."""
    return key[: len(key) - len(found.name)] + found.name.partition("/")[0] + "/"


class Spellings:
    """Names between which a service makes no difference (Dropbox): of folders as well as of files."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}

    def twin(self, key: str) -> str | None:
        """What `key`, or a folder in it, was spelt when it was first given; None when it was just so."""
        parts = key.rstrip("/").split("/")
        for end in range(1, len(parts) + 1):
            path = "/".join(parts[:end])
            first = self._first.setdefault(unicodedata.normalize("NFC", path).lower(), path)
            if first != path:
                return first
        return None


def _names(provider: BaseProvider, prefix: str, cancel: CancelToken) -> Iterator[str]:
    """Files and folders that stand in the folder `prefix`."""
    for page in _pages(provider, prefix, cancel):
        yield from (file.key for file in page.files)
        yield from page.prefixes


def _level(provider: BaseProvider, prefix: str, cancel: CancelToken) -> Iterator[RemoteFile]:
    """The objects that begin with `prefix`, without those in folders below it."""
    for page in _pages(provider, prefix, cancel):
        yield from page.files


def _pages(provider: BaseProvider, prefix: str, cancel: CancelToken) -> Iterator[Page]:
    token: str | None = None
    while True:
        page = provider.retry.run(lambda at=token: provider.scan(prefix, delimiter="/", token=at), cancel)  # type: ignore[misc]
        yield page
        token = page.next_token
        if token is None:
            return


def _differs(remote: RemoteFile, local: Found) -> bool:
    """As far as a listing tells: most services keep the file's own time out of it."""
    if remote.size_bytes != local.size_bytes:
        return True
    if remote.modified_at is None or remote.stored_at is None or remote.modified_at == remote.stored_at:
        return False
    return abs(remote.modified_at - local.mtime_ns / 1e9) > _MTIME_SLACK_S


def download(
    provider: BaseProvider, instance: str, keys: list[str], to: Path | str, cancel: CancelToken
) -> TransferPlan:
    """Raises NotFound for a key that is not there, or a prefix with nothing below it (IsAFolder for a folder that was
    not named as one), and Conflict where a file stands where a folder is needed."""
    root, folder = chosen_target(to, keys)
    tally, budget = _Tally(), _Budget(cancel)
    for key, file in _remote(provider, keys, budget, cancel):
        target = _local_target(root, key, file.key) if folder else root
        _count_remote(tally, key, file)
        if target and os.path.lexists(target):
            tally.replaced.append(str(target))
    return tally.plan(JobKind.DOWNLOAD, instance, str(root), complete=not budget.exhausted)


def delete(provider: BaseProvider, instance: str, keys: list[str], cancel: CancelToken) -> TransferPlan:
    """Raises as `download` does."""
    tally, budget = _Tally(), _Budget(cancel)
    for key, file in _remote(provider, keys, budget, cancel):
        _count_remote(tally, key, file)
    plan = tally.plan(JobKind.DELETE, instance, instance, complete=not budget.exhausted)
    return msgspec.structs.replace(plan, deletion=provider.deletion)


def _count_remote(tally: _Tally, chosen: str, file: RemoteFile) -> None:
    folder, _, name = file.key.rpartition("/")
    if not name:
        tally.add_folder(folder)
    else:
        tally.add_file(folder if chosen.endswith("/") else "", file.size_bytes)


def _remote(
    provider: BaseProvider, keys: list[str], budget: _Budget, cancel: CancelToken
) -> Iterator[tuple[str, RemoteFile]]:
    folders: list[str] = []
    for key in keys:
        try:
            for file in budget.spend(walk_remote(provider, key, cancel)):
                yield key, file
        except IsAFolder as error:
            folders += error.keys  # all of them are named at once
        if budget.exhausted:
            return
    if folders:
        raise IsAFolder(*folders)


def _local_target(to: Path, chosen: str, key: str) -> Path | None:
    """Where a download puts an object; None where it will be refused."""
    try:
        return to / local_name(key, chosen)
    except InvalidName:
        return None
