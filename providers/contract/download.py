"""Data passed between `run_download` (`providers/engine/download.py`) and its checkpoint."""

from __future__ import annotations

from typing import Protocol

import msgspec

from providers.contract.capabilities import Proof
from providers.contract.objects import RemoteFile


class SavedDownload(msgspec.Struct, frozen=True, kw_only=True):
    """All that is needed to continue in another process.

    `temp_name` is in the folder of the target. Its parts in `done` (indices from 0, each `part_size_bytes` long except
    the last) are complete and on disk. `size_bytes` and `etag` show whether the object is still the same.
    """

    key: str
    etag: str
    size_bytes: int
    part_size_bytes: int
    temp_name: str
    done: tuple[int, ...] = ()
    replaces: bool = False
    """Whether a file with the target's name existed when the download began."""
    proved_sha256: str = ""
    """SHA-256 of a file that was read twice and is about to be renamed; kept if no checksum could verify it again."""
    reserves: bool = False
    """An empty file with the target's name may be ours: it reserves the name for the rename."""


class DownloadCheckpoint(Protocol):
    """Durable record of one download; every method returns only after the data is on disk."""

    def load(self) -> SavedDownload | None: ...

    def save(self, saved: SavedDownload) -> None: ...

    def part_done(self, index: int) -> None: ...

    def clear(self) -> None:
        """Nothing of it is left in the folder of the target."""


class DownloadResult(msgspec.Struct, frozen=True, kw_only=True):
    remote: RemoteFile
    sha256: str
    proof: Proof
    replaced: bool
    """Whether a file of that name existed before."""
    resumed_bytes: int = 0
