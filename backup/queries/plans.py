"""Plans: the effect of a transfer, counted before it starts. Counting stops after 5 s or 100,000 entries; such a plan
is not `complete`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from backup.files import links as stored_links
from backup.files import local as local_files
from backup.files.fitting import Fitting
from backup.files.free_space import Need
from backup.files.scan import IsAFolder, TreeEntry, upload_prefix, walk_local, walk_remote, walk_tree
from backup.files.targets import chosen_target
from backup.model.transfers import EVERYTHING, Conflicts, ItemKind, JobKind, Selection, TransferPlan
from backup.queries.budget import Budget
from backup.queries.destination import MTIME_SLACK_S, differs, existing_files, spellings_at
from backup.queries.findings import Finding
from backup.queries.tally import Tally
from providers.base import BaseProvider
from providers.contract.attributes import UNKNOWN
from providers.contract.cancel import CancelToken
from providers.contract.objects import RemoteFile
from providers.engine.encryption import refuse_encryption
from providers.errors import InvalidName, NotFound, ProviderError, from_os_error

Keep = Callable[[list[Finding]], str]
"""Keeps findings for the transfer; returns their token."""


def keep_nothing(found: list[Finding]) -> str:
    return ""


def upload(
    provider: BaseProvider,
    instance: str,
    paths: list[Path],
    to: str,
    conflicts: Conflicts,
    cancel: CancelToken,
    keep: Keep = keep_nothing,
    selection: Selection = EVERYTHING,
) -> TransferPlan:
    """Plan an upload. Raises NotFound if one of `paths` does not exist, InvalidName for `to`, and the errors of listing
    the destination."""
    refuse_encryption(provider.settings.encryption_enabled)
    prefix = upload_prefix(to)
    for path in paths:
        try:
            os.lstat(path)
        except OSError as error:
            raise from_os_error(error, path) from error
    tally, local = Tally(), Budget(cancel)
    everything: list[TreeEntry] = []
    files: dict[str, TreeEntry] = {}
    real = [local_files.resolved(str(path)) for path in paths]
    walked = walk_local(real, cancel=cancel, resolved=True, selection=selection, folders=True)
    for found in local.spend(entry for batch in walked for entry in batch):
        everything.append(found)
        if _count(tally, provider, prefix, found):
            files[prefix + found.name] = found
    remote = Budget(cancel)
    spellings = spellings_at(provider, prefix, remote, cancel)
    existing: set[str] = set()
    for file in existing_files(provider, files, remote, cancel, spellings):
        existing.add(file.key)
        if conflicts is not Conflicts.SKIP_UNCHANGED or differs(file, files[file.key]):
            tally.add_existing(file.key, conflicts)
    can = provider.capabilities
    tally.modes_lost = sum(
        found.unusual and not (can.modes if found.kind is ItemKind.FILE else can.folder_modes) for found in everything
    )
    tally.clashes = [key for key in files if spellings and spellings.twin(key)]
    complete = not (local.exhausted or remote.exhausted)
    plan = tally.plan(JobKind.UPLOAD, instance, f"{instance}:{prefix or '/'}", complete=complete)
    if local.exhausted:
        return plan
    elsewhere = None if remote.exhausted else False
    found_all = [
        Finding(source="", local=each, replaces=True if prefix + each.name in existing else elsewhere)
        for each in everything
    ]
    return msgspec.structs.replace(plan, found=keep(found_all))


def _count(tally: Tally, provider: BaseProvider, prefix: str, found: TreeEntry) -> bool:
    """Count an entry. True if it becomes an object, which may exist at the destination."""
    unstorable = _unstorable(provider, prefix, found)
    if unstorable is not None:
        tally.does_not_fit(prefix + found.name, unstorable, folder=found.kind is ItemKind.DIRECTORY)
        return False
    _count_local(tally, prefix, found, provider.capabilities.empty_directories)
    return not found.ruled_out and found.error is None and (found.kind is ItemKind.FILE or bool(found.stored))


def _unstorable(provider: BaseProvider, prefix: str, found: TreeEntry) -> InvalidName | None:
    """The reason why the service cannot hold that name; None if it can, or if nothing would be stored."""
    is_file = found.kind is ItemKind.FILE or found.stored
    is_folder = found.kind is ItemKind.DIRECTORY and provider.capabilities.empty_directories
    if found.ruled_out or found.error is not None or not (is_file or is_folder):
        return None
    try:
        provider.check_name(f"{prefix}{found.name}{'/' if is_folder else ''}")
    except InvalidName as error:
        return error
    return None


def _count_local(tally: Tally, prefix: str, found: TreeEntry, keeps_folders: bool) -> None:
    folder = found.name.rpartition("/")[0]
    if found.ruled_out:
        tally.ruled_out += 1
    elif found.error is not None:
        tally.unreadable[prefix + found.name] = found.error.message
        tally.digest.add(prefix + found.name)
    elif found.kind is ItemKind.FILE or found.stored:
        tally.add_file(prefix + found.name, folder, found.size_bytes)
        tally.links += found.stored
    elif found.kind is ItemKind.DIRECTORY and found.empty and not keeps_folders:
        tally.empty_folders += 1
    elif found.kind is ItemKind.DIRECTORY:
        tally.add_folder(found.name)
    elif found.kind is ItemKind.SYMLINK:
        tally.symlinks += 1
    else:
        tally.special += 1


def download(
    provider: BaseProvider,
    instance: str,
    keys: list[str],
    to: Path | str,
    cancel: CancelToken,
    keep: Keep = keep_nothing,
    *,
    conflicts: Conflicts = Conflicts.REPLACE,
    links: bool = False,
    owner: bool = False,
) -> TransferPlan:
    """Plan a download. With `owner`, attributes missing in the listing are requested per object, within the time limit.

    Raises NotFound for a missing key or an empty prefix, IsAFolder for a folder not named as one, and Conflict for a
    file where a folder is needed."""
    refuse_encryption(provider.settings.encryption_enabled)
    root, folder = chosen_target(to, keys)
    tally, budget = Tally(need=Need(conflicts)), Budget(cancel)
    found: list[Finding] = []
    for key, file in _remote(provider, keys, budget, cancel, walk_remote):
        found.append(Finding(source=key, remote=file))
        _count_attributes(provider, tally, file, cancel, ask=owner)
    listed = [(each.source, each.remote) for each in found if each.remote]
    _count_here(tally, Fitting(root, folder=folder), listed, conflicts, links=links)
    plan = tally.plan(JobKind.DOWNLOAD, instance, str(root), complete=not budget.exhausted)
    plan = msgspec.structs.replace(plan, restores_owner=owner)
    return msgspec.structs.replace(plan, found=keep(found)) if plan.complete else plan


def _count_here(
    tally: Tally, fitting: Fitting, found: list[tuple[str, RemoteFile]], conflicts: Conflicts, *, links: bool
) -> None:
    """Count the effect of each object on the local disk."""
    fits: list[tuple[str, RemoteFile, Path]] = []
    for chosen, file in found:
        as_link = links and stored_links.is_one(file.key)
        try:
            target = Path(file.key) if file.left_out else fitting.target(chosen, file, as_link=as_link)
            fits.append((chosen, file, target))
        except ProviderError as error:
            tally.does_not_fit(file.key, error)
    twofold = fitting.twofold()
    for chosen, file, target in fits:
        if file.key in twofold:
            tally.does_not_fit(file.key, twofold[file.key])
            continue
        counted = _count_remote(tally, chosen, file, str(target))
        tally.links += counted and stored_links.is_one(file.key)
        if not counted or file.key.endswith("/"):
            continue
        if os.path.lexists(target) and (conflicts is not Conflicts.SKIP_UNCHANGED or _differs_here(file, target)):
            tally.add_existing(str(target), conflicts)
        tally.need.add(file.size_bytes, target)


def _count_attributes(
    provider: BaseProvider, tally: Tally, file: RemoteFile, cancel: CancelToken, *, ask: bool
) -> None:
    kept = file.attributes
    unknown = kept == UNKNOWN and not file.left_out and provider.capabilities.modes
    if unknown and not ask:
        tally.perhaps_owned = True
    elif unknown:
        with suppress(NotFound):
            kept = provider.retry.run(lambda: provider.stat(file.key), cancel).attributes
    tally.owned += kept.owned
    tally.ignored_metadata += kept.ignored


def delete(
    provider: BaseProvider, instance: str, keys: list[str], cancel: CancelToken, keep: Keep = keep_nothing
) -> TransferPlan:
    """Plan a deletion. Raises as `download`."""
    tally, budget = Tally(), Budget(cancel)
    found: list[Finding] = []
    real = provider.capabilities.real_folders
    for key, file in _remote(provider, keys, budget, cancel, walk_tree):
        found.append(Finding(source=key, remote=file))
        if file.left_out:
            tally.left_out.append(file.key)
        elif real and file.key.endswith("/"):
            tally.folders.add(file.key)
        elif real:
            _count_remote(tally, "", file, file.key)
        else:
            _count_remote(tally, key, file, file.key)
    plan = tally.plan(JobKind.DELETE, instance, instance, complete=not budget.exhausted)
    removes = real and bool(tally.folders)
    plan = msgspec.structs.replace(plan, deletion=provider.deletion, removes_folders=removes)
    return msgspec.structs.replace(plan, found=keep(found)) if plan.complete else plan


def _differs_here(file: RemoteFile, target: Path) -> bool:
    """True if the local file differs, as far as a listing shows, or cannot be read."""
    try:
        facts = os.stat(target)
    except OSError:
        return True
    if file.size_bytes != facts.st_size:
        return True
    return file.modified_at is not None and abs(file.modified_at - facts.st_mtime) > MTIME_SLACK_S


def _count_remote(tally: Tally, chosen: str, file: RemoteFile, name_here: str) -> bool:
    """Count an object. False if it has no content, or was counted already (chosen twice, or the same local file)."""
    if name_here in tally.names:
        return False
    tally.names.add(name_here)
    if file.left_out:
        tally.left_out.append(file.key)
        return False
    folder, _, name = file.key.rpartition("/")
    if not name:
        tally.add_folder(folder)
    else:
        tally.add_file(file.key, folder if chosen.endswith("/") else "", file.size_bytes)
    return True


def _remote(
    provider: BaseProvider,
    keys: list[str],
    budget: Budget,
    cancel: CancelToken,
    walk: Callable[[BaseProvider, str, CancelToken], Iterator[RemoteFile]],
) -> Iterator[tuple[str, RemoteFile]]:
    folders: list[str] = []
    for key in keys:
        try:
            for file in budget.spend(walk(provider, key, cancel)):
                yield key, file
        except IsAFolder as error:
            folders += error.keys  # all are reported in one error
        if budget.exhausted:
            return
    if folders:
        raise IsAFolder(*folders)
