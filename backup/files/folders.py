"""Folders that are objects of their own: empty ones, and those whose mode or owner is not what a restore would give."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from backup.files import shut_folders
from backup.model import Conflicts
from providers.base import BaseProvider
from providers.contract.attributes import Attributes, Restoring
from providers.contract.cancel import CancelToken
from providers.contract.digests import digest_of
from providers.contract.upload import UploadRequest
from providers.engine.window import MemoryBody
from providers.errors import InvalidName, NotFound, ProviderError
from providers.filesystem import beneath as walk
from providers.os_errors import from_os_error

OnWait = Callable[[float, ProviderError], None]


def store(
    provider: BaseProvider, facts: os.stat_result, key: str, conflicts: Conflicts, cancel: CancelToken, on_wait: OnWait
) -> str:
    """Keep a folder with its mode, owner and group under a key that ends in '/'; returns why it was left as it stands
    there, '' when it was not. Raises ProviderError."""
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
    if there.mode is None:  # only the files in it have made it
        return ""
    if conflicts is Conflicts.REFUSE:
        return "a folder of that name is already there"
    return "unchanged at the destination" if there.same(own) else ""


def make_private(path: Path, beneath: Path, mode: int, *, opens: bool) -> bool:
    """Make a folder that nobody else can enter until its own mode is set, those above it with `mode`. True when one is
    there already; with `opens` that can be filled then, also if it is shut to its owner. Raises ProviderError."""
    with walk.folder(path.parent, beneath, make=True, mode=mode) as at:
        try:
            os.mkdir(path.name, 0o700, dir_fd=at)
            return False
        except FileExistsError:
            if opens:
                _open_up(at, path.name)
            return True
        except OSError as error:
            raise from_os_error(error, path) from None


def _open_up(at: int, name: str) -> None:
    """A folder that even its owner may not fill (0500) gets its own mode back at the end of the job."""
    with suppress(OSError):
        fd = os.open(name, walk.STEP, dir_fd=at)
        try:
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
    cancel: CancelToken,
    on_wait: OnWait,
) -> int:
    """Give a folder, now that it is filled, the mode that was kept with it (and with `restoring.owner` its owner); one
    of which none is known the usual one, unless it `was_there` before. Returns how many values were no metadata. Raises
    ProviderError."""
    try:
        kept = provider.retry.run(lambda: provider.stat(key), cancel, on_wait=on_wait).attributes
    except NotFound:  # removed since it was listed; its files came all the same
        kept = Attributes()
    if kept.mode is None and was_there:
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
