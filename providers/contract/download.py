"""Downloads: what passes between `run_download` (`providers/engine/download.py`) and its checkpoint."""

from __future__ import annotations

from typing import Protocol

import msgspec

from providers.contract.capabilities import Proof
from providers.contract.objects import RemoteFile


class SavedDownload(msgspec.Struct, frozen=True, kw_only=True):
    """Everything needed to continue in another process.

    `temp_name` stands beside the target; of it, the parts in `done` (indices from 0, each `part_size_bytes` long but
    the last) are whole and on disk. `size_bytes` and `etag` tell whether the object is still the same.
    """

    key: str
    etag: str
    size_bytes: int
    part_size_bytes: int
    temp_name: str
    done: tuple[int, ...] = ()
    replaces: bool = False
    """Whether a file of the target's name was there when it was begun."""
    proved_sha256: str = ""
    """What was read twice and is about to get its name; kept where no checksum could tell it again."""
    reserves: bool = False
    """An empty file of the target's name may be ours: it kept the name free for the rename."""


class DownloadCheckpoint(Protocol):
    """Durable memory of one download; every method returns only after the fact is on disk."""

    def load(self) -> SavedDownload | None: ...

    def save(self, saved: SavedDownload) -> None: ...

    def part_done(self, index: int) -> None: ...

    def clear(self) -> None:
        """Nothing of it is left beside the target."""


class DownloadResult(msgspec.Struct, frozen=True, kw_only=True):
    remote: RemoteFile
    sha256: str
    proof: Proof
    replaced: bool
    """Whether a file of that name stood there before."""
    resumed_bytes: int = 0
