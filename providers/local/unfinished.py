"""All unfinished uploads in a folder. Their file names do not reveal the keys."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing, suppress

from providers.contract.upload import PendingUpload
from providers.errors import NotFound
from providers.filesystem.beneath import Way
from providers.local.folder import Folder, begun_at, encoded


def all_unfinished(folder: Folder) -> list[PendingUpload]:
    """`key` is the path of the file with the bytes sent so far."""
    if folder.is_yet_to_be_made:
        return []
    with folder.opened() as root:
        start = os.dup(root)
    with closing(Way(start)) as way:
        return list(_below(folder, way))


def _below(folder: Folder, way: Way) -> Iterator[PendingUpload]:
    pending: list[tuple[bytes, ...]] = [()]
    while pending:
        at = pending.pop()
        shown = os.fsdecode(b"/".join(at))
        with suppress(NotFound), folder.translated(shown):  # deleted since it was listed
            way.go(at)
            with os.scandir(way.here()) as entries:
                names = [os.fsencode(entry.name) for entry in entries]
            for name in names:
                try:
                    facts = os.stat(name, dir_fd=way.here(), follow_symlinks=False)
                except FileNotFoundError:  # its upload has completed
                    continue
                if stat.S_ISDIR(facts.st_mode):
                    pending.append((*at, name))
                elif (started_at := begun_at(name)) is not None and stat.S_ISREG(facts.st_mode):
                    yield PendingUpload(
                        key=os.fsdecode(b"/".join((*at, name))),
                        token={"temp": name.decode("ascii")},
                        started_at=started_at,
                        size_bytes=facts.st_size,
                    )


def discard(folder: Folder, upload: PendingUpload) -> None:
    """Remove one. Any other file of that name is left alone."""
    parent, _, name = upload.key.rpartition("/")
    if begun_at(encoded(name)) is None:
        return
    beside = f"{parent}/x" if parent else "x"
    with suppress(NotFound), folder.parent(beside) as (at, _):
        with suppress(FileNotFoundError):  # its list of parts, if it has one
            os.unlink(encoded(name.removesuffix(".partial") + ".ledger"), dir_fd=at)
        os.unlink(encoded(name), dir_fd=at)
