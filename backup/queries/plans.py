"""What a transfer would do, counted before it starts. Counting stops after 5 s or 100,000 entries: a plan may say 'at
least'."""

from __future__ import annotations

import math
import os
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from backup.files import links as stored_links
from backup.files import local as local_files
from backup.files.free_space import Need
from backup.files.scan import Found, IsAFolder, upload_prefix, walk_local, walk_remote, walk_tree
from backup.files.targets import chosen_target, local_name
from backup.model import EVERYTHING, Conflicts, ItemKind, JobKind, Selection, TransferPlan
from backup.queries.findings import Finding
from backup.queries.tally import Tally
from providers.base import BaseProvider
from providers.contract.attributes import UNKNOWN
from providers.contract.cancel import CancelToken
from providers.contract.objects import Page, RemoteFile
from providers.engine.encryption import refuse_encryption
from providers.errors import IncompleteListing, InvalidName, NotFound
from providers.os_errors import from_os_error

LIMIT_S: Final = 5.0
LIMIT_ENTRIES: Final = 100_000
_QUESTIONS_A_PAGE: Final = 10
"""A page of a listing costs about as much as so many questions for one object (S3's price list: 12)."""
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


Keep = Callable[[list[Finding]], str]
"""Keeps what was found for the transfer; returns what names it."""


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
    """Raises NotFound when one of `paths` is not there, InvalidName for `to`, and what looking at the destination
    raises."""
    refuse_encryption(provider.settings.encryption_enabled)
    prefix = upload_prefix(to)
    for path in paths:
        try:
            os.lstat(path)
        except OSError as error:
            raise from_os_error(error, path) from error
    tally, local = Tally(), _Budget(cancel)
    everything: list[Found] = []
    files: dict[str, Found] = {}
    real = [local_files.resolved(str(path)) for path in paths]
    walked = walk_local(real, cancel=cancel, resolved=True, selection=selection, folders=True)
    for found in local.spend(entry for batch in walked for entry in batch):
        everything.append(found)
        if _count(tally, provider, prefix, found):
            files[prefix + found.name] = found
    remote = _Budget(cancel)
    spellings = _spellings(provider, prefix, remote, cancel)
    standing: set[str] = set()
    for file in _standing(provider, files, remote, cancel, spellings):
        standing.add(file.key)
        if conflicts is not Conflicts.SKIP_UNCHANGED or _differs(file, files[file.key]):
            tally.stands(file.key, conflicts)
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
        Finding(source="", local=each, replaces=True if prefix + each.name in standing else elsewhere)
        for each in everything
    ]
    return msgspec.structs.replace(plan, found=keep(found_all))


def _count(tally: Tally, provider: BaseProvider, prefix: str, found: Found) -> bool:
    """Whether the entry becomes an object, for which the destination has to be looked at."""
    unstorable = _unstorable(provider, prefix, found)
    if unstorable is not None:
        tally.unstorable[prefix + found.name] = unstorable.message
        if found.kind is ItemKind.DIRECTORY:
            tally.unstorable_folders += 1
        else:
            tally.digest.add(prefix + found.name)
        return False
    _count_local(tally, prefix, found, provider.capabilities.empty_directories)
    return not found.ruled_out and found.error is None and (found.kind is ItemKind.FILE or bool(found.stored))


def _unstorable(provider: BaseProvider, prefix: str, found: Found) -> InvalidName | None:
    """Why the service cannot hold something of that name; None where it can, or where nothing will be stored of it."""
    is_file = found.kind is ItemKind.FILE or found.stored
    is_folder = found.kind is ItemKind.DIRECTORY and provider.capabilities.empty_directories
    if found.ruled_out or found.error is not None or not (is_file or is_folder):
        return None
    try:
        provider.check_name(f"{prefix}{found.name}{'/' if is_folder else ''}")
    except InvalidName as error:
        return error
    return None


def _count_local(tally: Tally, prefix: str, found: Found, keeps_folders: bool) -> None:
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


def _standing(
    provider: BaseProvider,
    files: dict[str, Found],
    budget: _Budget,
    cancel: CancelToken,
    spellings: Spellings | None = None,
) -> Iterator[RemoteFile]:
    """Those objects that stand where the files would go. `spellings` learns of all that are seen.

    They are looked for in listings, and where these go on for longer than asking would take, one by one: a few files
    may stand beside millions of objects.
    """
    left = set(files)
    pages = math.inf if spellings is not None else 1 + len(files) // _QUESTIONS_A_PAGE
    for page in _listings(provider, files, pages, cancel):
        if page is None:
            break
        for file in budget.spend(page.files):
            if spellings is not None:
                spellings.twin(file.key)
            if file.key in left:
                left.discard(file.key)
                yield file
        if budget.exhausted or not left:
            return
    else:
        return
    for key in budget.spend(sorted(left)):
        try:
            yield provider.retry.run(lambda at=key: provider.stat(at), cancel)  # type: ignore[misc]
        except (NotFound, InvalidName):
            continue


def _listings(
    provider: BaseProvider, files: dict[str, Found], most: float, cancel: CancelToken
) -> Iterator[Page | None]:
    """Every place where one of the files would go, page by page; None at last where there were more than `most`, or
    where something in them cannot be read."""
    single = [key for key, found in files.items() if "/" not in found.name]
    folders = {_top(key, found) for key, found in files.items() if "/" in found.name}
    places = [(prefix, "") for prefix in sorted(folders)]
    if single:
        folder = single[0][: single[0].rfind("/") + 1]
        places.insert(0, (single[0] if len(single) == 1 else folder, "/"))
    incomplete = False
    for prefix, delimiter in places:
        pages = _pages(provider, prefix, delimiter, cancel)
        while most > 0 and (page := next(pages, None)) is not None:
            most -= 1
            yield page
            incomplete = incomplete or bool(page.unread)
            if page.next_token is None:
                break
        else:
            yield None
            return
    if incomplete:
        yield None


def _top(key: str, found: Found) -> str:
    """The prefix at the destination of the chosen folder in which `found` lies."""
    return key[: len(key) - len(found.name)] + found.name.partition("/")[0] + "/"


def _spellings(provider: BaseProvider, prefix: str, budget: _Budget, cancel: CancelToken) -> Spellings | None:
    """What is at the destination, where a service makes no difference between some names."""
    if provider.capabilities.case_sensitive:
        return None
    spellings = Spellings()
    for name in budget.spend(_names(provider, prefix, cancel)):
        spellings.twin(name)
    return spellings


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
    for page in _pages(provider, prefix, "/", cancel):
        yield from (file.key for file in page.files)
        yield from page.prefixes


def _pages(provider: BaseProvider, prefix: str, delimiter: str, cancel: CancelToken) -> Iterator[Page]:
    token: str | None = None
    while True:
        try:
            page = provider.retry.run(lambda at=token: provider.scan(prefix, delimiter=delimiter, token=at), cancel)  # type: ignore[misc]
        except IncompleteListing as error:  # what is not in it is asked for by name
            page = error.page
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
    """With `owner` each object is asked for what a listing does not tell, as far as the time of a plan allows.

    Raises NotFound for a key that is not there, or a prefix with nothing below it (IsAFolder for a folder that was
    not named as one), and Conflict where a file stands where a folder is needed."""
    refuse_encryption(provider.settings.encryption_enabled)
    root, folder = chosen_target(to, keys)
    tally, budget = Tally(need=Need(conflicts)), _Budget(cancel)
    found: list[Finding] = []
    for key, file in _remote(provider, keys, budget, cancel, walk_remote):
        found.append(Finding(source=key, remote=file))
        _count_attributes(provider, tally, file, cancel, ask=owner)
        target = _local_target(root, key, file.key) if folder else root
        is_link = stored_links.is_one(file.key)
        if is_link and links and target:
            target = target.with_name(target.name.removesuffix(stored_links.SUFFIX))
        counted = _count_remote(tally, key, file, str(target or file.key))
        tally.links += counted and is_link
        stands = counted and target and os.path.lexists(target) and not file.key.endswith("/")
        if target and stands and (conflicts is not Conflicts.SKIP_UNCHANGED or _differs_here(file, target)):
            tally.stands(str(target), conflicts)
        if counted and target and not file.key.endswith("/"):
            tally.need.add(file.size_bytes, target)
    plan = tally.plan(JobKind.DOWNLOAD, instance, str(root), complete=not budget.exhausted)
    plan = msgspec.structs.replace(plan, restores_owner=owner)
    return msgspec.structs.replace(plan, found=keep(found)) if plan.complete else plan


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
    """Raises as `download` does."""
    tally, budget = Tally(), _Budget(cancel)
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
    """As far as a listing tells; a file that cannot be looked at is one that would be replaced."""
    try:
        facts = os.stat(target)
    except OSError:
        return True
    if file.size_bytes != facts.st_size:
        return True
    return file.modified_at is not None and abs(file.modified_at - facts.st_mtime) > _MTIME_SLACK_S


def _count_remote(tally: Tally, chosen: str, file: RemoteFile, name_here: str) -> bool:
    """Whether one more will be moved: what is chosen twice, or becomes the same file here, is counted once."""
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
    budget: _Budget,
    cancel: CancelToken,
    walk: Callable[[BaseProvider, str, CancelToken], Iterator[RemoteFile]],
) -> Iterator[tuple[str, RemoteFile]]:
    folders: list[str] = []
    for key in keys:
        try:
            for file in budget.spend(walk(provider, key, cancel)):
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
