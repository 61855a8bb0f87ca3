"""Conversion of what a scan found to the items of a job."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from backup.files import folders as stored_folders
from backup.files import links, scan, targets
from backup.journal.records import Job, NewItem
from backup.model.transfers import Conflicts, ItemKind, ItemState
from providers.contract.attributes import UNKNOWN
from providers.contract.objects import RemoteFile
from providers.contract.report import ErrorInfo
from providers.errors import Conflict, InvalidName, ProviderError, Unsupported

Walk = Callable[[str], Iterator[RemoteFile]]
"""Lists the objects under a chosen key."""
_SKIPPED: Final = {
    ItemKind.SYMLINK: ErrorInfo(Unsupported.kind, "a symbolic link: links are not stored, and never followed"),
    ItemKind.OTHER: ErrorInfo(Unsupported.kind, "a socket, pipe or device: only files and folders are stored"),
}


class Local(NamedTuple):
    """An entry of a local tree, and whether it would replace an object (None: unknown)."""

    found: scan.TreeEntry
    replaces: bool | None


class RuledOut:
    """Counts what the user's rules leave out."""

    def __init__(self) -> None:
        self.count = 0

    def without(self, batch: list[scan.TreeEntry]) -> list[scan.TreeEntry]:
        taken = [found for found in batch if not found.ruled_out]
        self.count += len(batch) - len(taken)
        return taken


def upload_item(job: Job, local: Local) -> NewItem:
    found = local.found
    key = f"{job.order.to}{found.name}"
    state, error, replaces = ItemState.QUEUED, found.error, None
    if error:
        state = ItemState.FAILED
    elif found.reason:
        state, error = ItemState.SKIPPED, ErrorInfo(Unsupported.kind, found.reason)
    elif found.kind in _SKIPPED and not found.stored:
        state, error = ItemState.SKIPPED, _SKIPPED[found.kind]
    elif found.kind is not ItemKind.DIRECTORY:
        replaces = local.replaces
        if replaces and job.order.conflicts is Conflicts.REFUSE:
            state = ItemState.FAILED
            error = ErrorInfo.of(Conflict(f"{key}: something of that name is already there"))
    return NewItem(
        name=found.name,
        key=key,
        local_path=found.path,
        kind=found.kind,
        size_bytes=found.size_bytes,
        state=state,
        error=error,
        replaces=replaces,
    )


def download_items(job: Job, walk: Walk, memory: stored_folders.FolderMemory) -> Iterator[NewItem]:
    root = Path(job.order.to)
    folded: targets.FoldedNames | None = None
    folders: dict[str, NewItem] = {}
    for source in job.order.sources:
        for file in walk(source):
            if file.left_out:
                yield _left_out(file)
                continue
            restores = job.order.restores_links and links.is_one(file.key)
            if job.order.exact:
                yield _item(file, root.name, str(root), restores)
                continue
            if folded is None:
                mode = job.order.restoring.mode_of(UNKNOWN, folder=True)
                folded = targets.FoldedNames(root, Path("/") if job.order.resolved else None, mode)
            try:
                name = targets.local_name(file.key, source)
                targets.refuse_content_of_a_folder(file)
                twin = folded.twin(name.removesuffix("/"))
                if twin is not None:
                    raise InvalidName(f"'{file.key}': this disk cannot distinguish it from '{twin}'")
            except InvalidName as error:
                yield msgspec.structs.replace(
                    _item(file, file.key, "", False), state=ItemState.FAILED, error=ErrorInfo.of(error)
                )
            else:
                if file.key.endswith("/"):
                    folders[name] = _folder_item(job, file, name, memory)
                    continue
                target = name.removesuffix(links.SUFFIX) if restores else name
                yield _item(file, name, str(root / target), restores)

    yield from sorted(folders.values(), key=lambda item: (-item.name.count("/"), item.name))


def _folder_item(job: Job, file: RemoteFile, name: str, memory: stored_folders.FolderMemory) -> NewItem:
    """Create the folder now, private while it is filled; it gets its mode once all files of the job are there. If that
    fails, each item in it reports the error."""
    order = job.order
    root = Path(order.to)
    top = root if order.resolved else Path(os.path.realpath(root))
    there = None
    with suppress(ProviderError):
        beneath = Path("/") if order.resolved else top
        opens = order.conflicts is not Conflicts.REFUSE  # REFUSE changes nothing that exists
        mode = order.restoring.mode_of(UNKNOWN, folder=True)
        there = stored_folders.make_private(
            top.joinpath(*name.removesuffix("/").split("/")), beneath, mode, memory, opens=opens
        )
    return NewItem(
        name=name, key=file.key, local_path=str(root / name), kind=ItemKind.DIRECTORY, last=True, replaces=there
    )


def delete_items(job: Job, walk: Walk) -> Iterator[NewItem]:
    """Folders come last, innermost first: a real folder must be empty by then."""
    folders: set[str] = set()
    for source in job.order.sources:
        for file in walk(source):
            if file.left_out:
                yield _left_out(file)
            elif file.key.endswith("/"):
                folders.add(file.key)
            else:
                yield _item(file, file.key, "")
    for folder in sorted(folders, key=lambda key: (-key.count("/"), key)):
        yield NewItem(name=folder, key=folder, kind=ItemKind.DIRECTORY, last=True)


def _left_out(file: RemoteFile) -> NewItem:
    why = ErrorInfo(Unsupported.kind, file.left_out)
    return NewItem(name=file.key, key=file.key, kind=ItemKind.OTHER, state=ItemState.SKIPPED, error=why)


def _item(file: RemoteFile, name: str, path: str, restores: bool = False) -> NewItem:
    kind = ItemKind.DIRECTORY if file.key.endswith("/") else ItemKind.SYMLINK if restores else ItemKind.FILE
    return NewItem(name=name, key=file.key, local_path=path, kind=kind, size_bytes=file.size_bytes)
