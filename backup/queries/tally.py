"""The counters of a plan."""

from __future__ import annotations

from typing import Final

import msgspec

from backup.files.free_space import Need
from backup.files.name_digest import NameDigest
from backup.model.transfers import Conflicts, JobKind, TransferPlan
from providers.errors import ProviderError

_NAMES_SHOWN: Final = 10


class Tally(msgspec.Struct):
    """The counters of a plan that is being made."""

    files: int = 0
    folders: set[str] = msgspec.field(default_factory=set)
    size_bytes: int = 0
    symlinks: int = 0
    links: int = 0
    need: Need = msgspec.field(default_factory=Need)
    special: int = 0
    empty_folders: int = 0
    left_out: list[str] = msgspec.field(default_factory=list)
    unreadable: dict[str, str] = msgspec.field(default_factory=dict)
    """Local files and folders that cannot be read, with the reason."""
    replaced: list[str] = msgspec.field(default_factory=list)
    refused: list[str] = msgspec.field(default_factory=list)
    unstorable: dict[str, str] = msgspec.field(default_factory=dict)
    """Keys that the service, or for a download the local disk, cannot hold, with the reason."""
    unstorable_folders: int = 0
    ruled_out: int = 0
    modes_lost: int = 0
    owned: int = 0
    perhaps_owned: bool = False
    ignored_metadata: int = 0
    clashes: list[str] = msgspec.field(default_factory=list)
    names: set[str] = msgspec.field(default_factory=set)
    """Local names of everything counted."""
    digest: NameDigest = msgspec.field(default_factory=NameDigest)
    """Digest of the files' keys, including unreadable and unstorable ones."""

    def add_file(self, key: str, folder: str, size_bytes: int) -> None:
        self.digest.add(key)
        self.files += 1
        self.size_bytes += size_bytes
        self.add_folder(folder)

    def add_existing(self, name: str, conflicts: Conflicts) -> None:
        """Count something that exists where a file would go."""
        (self.refused if conflicts is Conflicts.REFUSE else self.replaced).append(name)

    def does_not_fit(self, key: str, error: ProviderError, *, folder: bool | None = None) -> None:
        """Count a key that the service, or for a download the local disk, cannot hold. `folder` None: a final '/'
        decides."""
        if key in self.unstorable:
            return
        self.unstorable[key] = error.message
        if key.endswith("/") if folder is None else folder:
            self.unstorable_folders += 1
        else:
            self.digest.add(key)

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
            links=self.links,
            needs_bytes=self.need.bytes,
            skipped_folders=self.empty_folders,
            ruled_out=self.ruled_out,
            modes_lost=self.modes_lost,
            owned=self.owned,
            perhaps_owned=self.perhaps_owned,
            ignored_metadata=self.ignored_metadata,
            refuses=len(self.refused),
            refused_names=tuple(self.refused[:_NAMES_SHOWN]),
            unstorable=len(self.unstorable),
            unstorable_folders=self.unstorable_folders,
            unstorable_names=tuple(self.unstorable)[:_NAMES_SHOWN],
            unstorable_why=next(iter(self.unstorable.values()), ""),
            left_out=len(self.left_out),
            left_out_names=tuple(self.left_out[:_NAMES_SHOWN]),
            unreadable=len(self.unreadable),
            unreadable_names=tuple(self.unreadable)[:_NAMES_SHOWN],
            unreadable_why=next(iter(self.unreadable.values()), ""),
            replaces=len(self.replaced),
            replaced_names=tuple(self.replaced[:_NAMES_SHOWN]),
            clashes=len(self.clashes),
            clashing_names=tuple(self.clashes[:_NAMES_SHOWN]),
            complete=complete,
            files_digest=self.digest.text if complete else "",
        )
