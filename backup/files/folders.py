"""Folders that are objects: empty ones, and those whose mode or owner differs from what a restore sets by default."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from backup.files import shut_folders
from backup.model.transfers import Conflicts
from providers.base import BaseProvider
from providers.contract.attributes import Attributes, Restoring
from providers.contract.cancel import CancelToken
from providers.contract.digests import digest_of
from providers.contract.upload import UploadRequest
from providers.engine.window import MemoryBody
from providers.errors import InvalidName, NotFound, ProviderError, from_os_error
from providers.filesystem import beneath as walk

OnWait = Callable[[float, ProviderError], None]


def store(
    provider: BaseProvider, facts: os.stat_result, key: str, conflicts: Conflicts, cancel: CancelToken, on_wait: OnWait
) -> str:
    """Store a folder with its mode, owner and group under a key that ends in '/'. Returns why an existing one was left
    as it is, or ''. Raises ProviderError."""
    attributes = Attributes.of(facts)
    why = _stays(provider, key, attributes, conflicts, cancel, on_wait)
    if why:
        return why
    request = UploadRequest(key=key, size_bytes=0, part_size_bytes=1, mtime_ns=facts.st_mtime_ns, attributes=attributes)
    digests = {name: digest_of(name, b"") for name in provider.capabilities.part_digests}

    def make() -> None:
        session = provider.open_upload(request)
        with cancel.calling(session.interrupt):
            session.commit([session.send(request.part(0), MemoryBody(), digests)])

    provider.retry.run(make, cancel, on_wait=on_wait)
    return ""


def _stays(
    provider: BaseProvider, key: str, own: Attributes, conflicts: Conflicts, cancel: CancelToken, on_wait: OnWait
) -> str:
    if conflicts is Conflicts.REPLACE:
        return ""
    try:
        there = provider.retry.run(lambda: provider.stat(key), cancel, on_wait=on_wait).attributes
    except (NotFound, InvalidName):
        return ""
    if there.mode is None:  # it exists only through the files in it
        return ""
    if conflicts is Conflicts.REFUSE:
        return "a folder of that name is already there"
    return "unchanged at the destination" if there.same(own) else ""


class FolderMemory(shut_folders.ShutFolderMemory, Protocol):
    """Outlives this process."""

    def made(self, path: Path) -> None: ...

    def is_own(self, path: Path) -> bool: ...


def make_private(path: Path, beneath: Path, mode: int, memory: FolderMemory, *, opens: bool) -> bool:
    """Create a folder that only its owner can enter until its mode is set; folders above it get `mode`. Returns True if
    it existed and was not created by this job. With `opens` such a folder can then be filled, even if it is shut to its
    owner. Raises ProviderError."""
    with walk.folder(path.parent, beneath, make=True, mode=mode) as at:
        try:
            os.mkdir(path.name, 0o700, dir_fd=at)
            memory.made(path)
            return False
        except FileExistsError:
            if memory.is_own(path):
                return False
            if opens:
                _open_up(at, path, memory)
            return True
        except OSError as error:
            raise from_os_error(error, path) from None


def _open_up(at: int, path: Path, memory: FolderMemory) -> None:
    """Make a folder writable that even its owner may not fill (0500); it gets its mode back at the end of the job."""
    with suppress(OSError):
        fd = os.open(path.name, walk.STEP, dir_fd=at)
        try:
            found = os.fstat(fd)
            if shut_folders.is_shut(found):
                memory.opening(path, stat.S_IMODE(found.st_mode))
                shut_folders.open_up(fd)
        finally:
            os.close(fd)


def restore(
    provider: BaseProvider,
    key: str,
    target: Path,
    beneath: Path,
    restoring: Restoring,
    *,
    was_there: bool,
    mode_before: int | None,
    cancel: CancelToken,
    on_wait: OnWait,
) -> int:
    """Give a filled folder its stored mode (and with `restoring.owner` its owner). Without a stored mode it gets the
    usual one, but if it `was_there` before, the `mode_before` it was opened. Returns how many stored values were
    invalid. Raises ProviderError."""
    try:
        kept = provider.retry.run(lambda: provider.stat(key), cancel, on_wait=on_wait).attributes
    except NotFound:  # removed since it was listed, but its files were fetched
        kept = Attributes()
    if kept.mode is None and was_there:
        if mode_before is not None:
            try:
                shut_folders.give_back(target, mode_before)
            except OSError as error:
                raise from_os_error(error, target) from None
        return kept.ignored
    with walk.folder(target, beneath) as way:
        try:
            fd = os.open(".", walk.DIRECTORY, dir_fd=way)
            try:
                restoring.apply(fd, kept, folder=True)
            finally:
                os.close(fd)
        except OSError as error:
            raise from_os_error(error, target) from None
    return kept.ignored
