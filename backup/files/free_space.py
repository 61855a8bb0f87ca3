"""Free space on the disk of a restore, checked before the first byte. A disk that does not report it has enough."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from heapq import nlargest
from pathlib import Path
from sqlite3 import Connection
from typing import Final, NamedTuple

from backup.handshake.takeover import open_journal
from backup.journal.records import Job, JobRequest, NewItem
from backup.model.transfers import Conflicts, ItemKind, ItemState
from backup.system.packing import to_name, unpack
from backup.system.paths import Paths
from backup.system.text import size
from providers.errors import QuotaExceeded

_LARGE_AT_ONCE: Final = 2
"""The instance runner gives the first large file all connections but one."""
_HINT: Final = "Make room there, choose another folder, or fetch less at once."


class Room(NamedTuple):
    """Space on one disk, for this user."""

    device: int
    free_bytes: int


def on_disk_of(folder: Path) -> Room | None:
    """The disk on which `folder` is or will be created; None if it does not report its space."""
    for place in (folder, *folder.parents):
        try:
            found = os.statvfs(place)
            device = os.stat(place).st_dev
        except FileNotFoundError:
            continue
        except OSError:
            return None
        return Room(device, found.f_bavail * found.f_frsize) if found.f_blocks else None
    return None


def extra_bytes(size_bytes: int, target: str | os.PathLike[str]) -> int:
    """How much more the disk holds once `target` has this size: an existing file goes when the new one is complete."""
    try:
        found = os.lstat(target)
    except (OSError, ValueError):
        return size_bytes
    return max(0, size_bytes - found.st_size) if stat.S_ISREG(found.st_mode) else size_bytes


class Need:
    """Space that a download still takes: the growth in the end, plus the old file beside each new one until that is
    complete. The old files count for the largest two, since no more large files of a job are fetched at once."""

    def __init__(self, conflicts: Conflicts = Conflicts.REPLACE) -> None:
        self._conflicts = conflicts
        self._growth_bytes = 0
        self._beside_bytes: list[int] = []

    def add(self, size_bytes: int, target: str | os.PathLike[str], *, held_bytes: int = 0) -> None:
        """Add a file to be fetched. `held_bytes` of it are on the disk already, in a temporary file."""
        if self._left_alone(size_bytes, target):
            return
        growth_bytes = max(0, extra_bytes(size_bytes, target) - held_bytes)
        self._growth_bytes += growth_bytes
        beside_bytes = max(0, size_bytes - held_bytes) - growth_bytes
        self._beside_bytes = nlargest(_LARGE_AT_ONCE, (*self._beside_bytes, beside_bytes))

    def _left_alone(self, size_bytes: int, target: str | os.PathLike[str]) -> bool:
        """Whether an existing file is not replaced; one of the same size is most likely the same file."""
        if self._conflicts is Conflicts.REPLACE:
            return False
        try:
            found = os.lstat(target)
        except (OSError, ValueError):
            return False
        return self._conflicts is Conflicts.REFUSE or (stat.S_ISREG(found.st_mode) and found.st_size == size_bytes)

    @property
    def bytes(self) -> int:
        return self._growth_bytes + sum(self._beside_bytes)


def promised_bytes(db: Connection, device: int, *, but_job: int = 0) -> int:
    """The bytes that other downloads, running or queued, still need on a disk."""
    total = 0
    query = "SELECT id, request FROM jobs WHERE kind = 'download' AND open_items AND id <> ?"
    for row in db.execute(query, (but_job,)).fetchall():
        order = unpack(row["request"], JobRequest)
        there = on_disk_of(Path(order.to))
        if there is not None and there.device == device:
            total += _left_bytes(db, row["id"], order.conflicts)
    return total


def _left_bytes(db: Connection, job_id: int, conflicts: Conflicts) -> int:
    rows = db.execute(
        "SELECT local_path, size_bytes, bytes_done FROM items WHERE job_id = ?"
        " AND state IN ('queued', 'running', 'waiting')",
        (job_id,),
    )
    need = Need(conflicts)
    for row in rows:
        need.add(row["size_bytes"], to_name(row["local_path"]), held_bytes=row["bytes_done"])
    return need.bytes


def left_bytes(paths: Paths, folder: Path) -> int | None:
    """The bytes that are free on the disk of `folder` and not promised; None if it does not report them."""
    disk = on_disk_of(folder)
    if disk is None or not paths.journal_file.exists():
        return None if disk is None else disk.free_bytes
    with open_journal(paths)[0] as journal, journal.look() as db:
        return max(0, disk.free_bytes - promised_bytes(db, disk.device))


def refuse_too_much(folder: str | Path, needed_bytes: int, free_bytes: int, promised: int = 0) -> None:
    """Raises QuotaExceeded if more is needed than is free and not `promised` to others."""
    missing = needed_bytes + promised - free_bytes
    if missing <= 0:
        return
    others = f" (other downloads still need {size(promised)})" if promised else ""
    raise QuotaExceeded(
        f"{folder}: these files need {size(needed_bytes)} there, {size(missing)} more than is free{others}",
        hint=_HINT,
        code="ENOSPC",
    )


class Share(NamedTuple):
    """The part of a disk that a download may fill."""

    folder: str
    free_bytes: int
    promised_bytes: int
    """To other downloads."""
    conflicts: Conflicts = Conflicts.REPLACE

    @classmethod
    def of(cls, db: Connection, job: Job) -> Share | None:
        """None if the disk does not report its space. The job's own temporary files count as free."""
        disk = on_disk_of(Path(job.order.to))
        if disk is None:
            return None
        query = "SELECT coalesce(sum(bytes_done), 0) FROM items WHERE job_id = ? AND finished_at IS NULL"
        begun = int(db.execute(query, (job.id,)).fetchone()[0])
        promised = promised_bytes(db, disk.device, but_job=job.id)
        return cls(job.order.to, disk.free_bytes + begun, promised, job.order.conflicts)

    def taking(self, batches: Iterable[list[NewItem]]) -> Iterator[list[NewItem]]:
        """The batches that fit. Raises QuotaExceeded before the first that does not."""
        need = Need(self.conflicts)
        for batch in batches:
            for item in batch:
                if item.kind is ItemKind.FILE and item.state is ItemState.QUEUED:
                    need.add(item.size_bytes, item.local_path)
            refuse_too_much(self.folder, need.bytes, self.free_bytes, self.promised_bytes)
            yield batch
