"""Jobs, items, plans and the queue: plain data that front ends draw and processes exchange."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from providers.contract.capabilities import Deletion, Proof
from providers.contract.report import ErrorInfo
from providers.errors import Cancelled

BROKEN_SHOWN_S: Final = 24 * 3600.0
"""How long a job that broke off is pointed out without being asked for: it cannot be tried again, just queued again."""


class JobKind(StrEnum):
    UPLOAD = "upload"
    DOWNLOAD = "download"
    DELETE = "delete"


class ItemKind(StrEnum):
    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    OTHER = "other"


class ItemState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    """Goes on by itself: at `wait_until`, or once what `error` names is there (credentials, network)."""
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    """A symlink or special file, or unchanged at the destination: `error` says which."""


TRANSITIONS: Final[dict[ItemState, frozenset[ItemState]]] = {
    ItemState.QUEUED: frozenset(
        {
            ItemState.RUNNING,
            ItemState.WAITING,
            ItemState.PAUSED,
            ItemState.CANCELLED,
            ItemState.FAILED,
            ItemState.SKIPPED,
        }
    ),
    ItemState.RUNNING: frozenset(
        {
            ItemState.DONE,
            ItemState.FAILED,
            ItemState.WAITING,
            ItemState.PAUSED,
            ItemState.CANCELLED,
            ItemState.QUEUED,
            ItemState.SKIPPED,
        }
    ),
    ItemState.WAITING: frozenset(
        {ItemState.QUEUED, ItemState.RUNNING, ItemState.PAUSED, ItemState.CANCELLED, ItemState.FAILED}
    ),
    ItemState.PAUSED: frozenset({ItemState.QUEUED, ItemState.CANCELLED}),
    ItemState.FAILED: frozenset({ItemState.QUEUED, ItemState.CANCELLED}),
    ItemState.CANCELLED: frozenset({ItemState.QUEUED}),
    ItemState.DONE: frozenset(),
    ItemState.SKIPPED: frozenset(),
}
"""The one state machine of an item: what may follow what. QUEUED after RUNNING is a worker that died or was stopped."""

FINAL_STATES: Final = frozenset({ItemState.DONE, ItemState.FAILED, ItemState.CANCELLED, ItemState.SKIPPED})


class Conflicts(StrEnum):
    """What to do where something of that name is already there."""

    REPLACE = "replace"
    SKIP_UNCHANGED = "skip_unchanged"
    """Leave alone what has the same size and mtime (and checksum where one is at hand); replace the rest."""
    REFUSE = "refuse"


class Links(StrEnum):
    """What becomes of symlinks in local folders that go up."""

    SKIP = "skip"
    """Left out, and counted."""
    FOLLOW = "follow"
    """What a link leads to is stored in its place, as long as it lies in what was chosen. One that leads out of that,
    nowhere, or back to a folder that holds it is left out, and counted."""
    STORE = "store"
    """The link itself, as an object that rclone reads too (`backup.files.links`)."""


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries of the chosen local folders go up, and how. Kept with the job."""

    links: Links = Links.SKIP
    include: tuple[str, ...] = ()
    """Patterns (`backup.files.filters`): with any, only what they match goes up."""
    exclude: tuple[str, ...] = ()
    """Patterns of what is left out, whatever `include` says."""
    one_file_system: bool = False
    """Folders on which another file system is mounted are left out."""


EVERYTHING: Final = Selection()


class ItemView(msgspec.Struct, frozen=True, kw_only=True):
    """One file (or folder, or object to delete) of a job."""

    id: int
    job_id: int
    job_kind: JobKind
    instance: str
    kind: ItemKind
    state: ItemState
    name: str
    """Path relative to what the user chose; raw (not escaped for a screen), undecodable bytes as surrogates."""
    key: str
    local_path: str
    size_bytes: int
    bytes_done: int = 0
    rate_bytes_per_s: float = 0.0
    left_s: float | None = None
    wait_until: float | None = None
    """When it goes on by itself: that of a queued one, where its instance stands still until then."""
    error: ErrorInfo | None = None
    """Why it failed, waits, was paused or skipped."""
    proof: Proof | None = None
    sha256: str = ""
    replaced: bool | None = None
    attempts: int = 0
    verifying: bool = False
    """All bytes moved; the proof is under way."""
    elapsed_s: float = 0.0
    finished_at: float | None = None
    calls: dict[str, int] = {}
    """Requests to the service that were sent for it, by kind, in all attempts. While it runs they come in late."""


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the user asked for. Counters are kept by the journal, never summed at a look."""

    id: int
    kind: JobKind
    instance: str
    title: str
    destination: str
    created_at: float
    scanning: bool
    counts: dict[ItemState, int]
    size_bytes: int
    """What moves: nothing of deletes, and of what was cancelled or skipped."""
    done_bytes: int
    listed_bytes: int = 0
    """All that the job was asked for, whatever became of it."""
    grown_bytes: int = 0
    """What its files had more, when they were moved, than when they were planned."""
    shrunk_bytes: int = 0
    """Likewise fewer: a file that shrank is not made up for by another that grew."""
    skipped_symlinks: int = 0
    skipped_special: int = 0
    ruled_out: int = 0
    """Left out by the user's rules; a folder counts as one, and what is in it is not looked at."""
    read_twice: int = 0
    """Downloads of which the service has no checksum, nor our history: two readings were equal."""
    ignored_metadata: int = 0
    """Modes and ids that were stored with files and are none: they were left aside."""
    error: ErrorInfo | None = None
    """Why the scan stopped short, or what is not as it was planned."""
    broke_at: float | None = None
    """When it did, or was seen not to be."""
    paused: bool = False
    """What it stands for is looked for no further until it is resumed."""
    held: ErrorInfo | None = None
    """Why nothing of it begins until somebody helps: credentials to unlock or to set. Once they are there it goes on by
    itself."""
    wait_until: float | None = None
    """When it goes on by itself, where its instance stands still, or what it stands for could not be listed."""
    waits_for: ErrorInfo | None = None
    """Why, until then."""

    @property
    def broken(self) -> bool:
        """Whether the scan stopped short, and not by the user's wish."""
        return self.error is not None and self.error.kind != Cancelled.kind

    @property
    def finished(self) -> bool:
        return not self.scanning and all(state in FINAL_STATES for state, count in self.counts.items() if count)


class FailedSince(msgspec.Struct, frozen=True, kw_only=True):
    """What ended badly since a moment, whichever command asked for it."""

    since: float
    items: int = 0
    """That have failed. What was cancelled was the user's wish."""
    broken_jobs: int = 0
    """Jobs whose scan has stopped short since then: no item stands for what they lack."""
    jobs: tuple[int, ...] = ()
    """Those of these items, and jobs whose scan has stopped short since then, whenever they were queued."""
    known_from: float | None = None
    """Set if `since` reaches back further than finished items are kept: failures before this moment may be missing, of
    jobs that were queued before `since`. None: everything is known."""
    forgotten: int = 0
    """Failed items of such jobs that were pruned: whether they failed before `since` or after it is not known."""


class QueueTotals(msgspec.Struct, frozen=True, kw_only=True):
    """What the one-line strip shows. `size_bytes` and `done_bytes` are of jobs that are not finished."""

    uploading: int = 0
    downloading: int = 0
    deleting: int = 0
    queued: int = 0
    waiting: int = 0
    paused: int = 0
    failed: int = 0
    broken_jobs: int = 0
    """Jobs whose scan stopped short within BROKEN_SHOWN_S, and not by the user's wish. No item stands for what is
    missing."""
    verified: int = 0
    size_bytes: int = 0
    done_bytes: int = 0
    rate_bytes_per_s: float = 0.0
    left_s: float | None = None
    scanning: bool = False
    worker_alive: bool = False
    worker_trouble: ErrorInfo | None = None
    """Why a worker that runs carries nothing out: it was stopped, or waits for room."""

    @property
    def active(self) -> int:
        return self.uploading + self.downloading + self.deleting

    @property
    def unfinished(self) -> int:
        return self.active + self.queued + self.waiting


class QueueSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The queue at one moment: running items first, then waiting, paused, queued, then what ended, newest first."""

    totals: QueueTotals
    jobs: tuple[JobView, ...]
    items: tuple[ItemView, ...]
    item_count: int
    """All there are; `items` is a window of them."""
    notice: str = ""
    """What whoever looks on for long should know: that the program was replaced meanwhile, or that the worker is
    another build."""


class LocalEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a local folder. `name` may hold surrogates for bytes that are not UTF-8."""

    name: str
    kind: ItemKind
    size_bytes: int
    modified_at: float


class TransferPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a confirmation says before anything starts."""

    kind: JobKind
    instance: str
    destination: str
    files: int
    folders: int
    size_bytes: int
    skipped_symlinks: int = 0
    skipped_special: int = 0
    links: int = 0
    """Symlinks among the files that are stored as such; or stored ones that a download can restore."""
    replaces: int = 0
    replaced_names: tuple[str, ...] = ()
    """The first few of them."""
    clashes: int = 0
    """Files whose name the service cannot tell from another one: they will be refused, before anything is sent."""
    clashing_names: tuple[str, ...] = ()
    """The first few of them."""
    unstorable: int = 0
    """Files and empty folders that the service, or for a download the disk here, cannot hold under their names: they
    will fail, each by itself. Not counted among the files and folders."""
    unstorable_folders: int = 0
    """Of these, the folders."""
    unstorable_names: tuple[str, ...] = ()
    unstorable_why: str = ""
    """Of the first of them."""
    unreadable: int = 0
    """Files and folders of an upload that cannot be read: they will fail, each by itself."""
    unreadable_names: tuple[str, ...] = ()
    """The first few of them."""
    unreadable_why: str = ""
    """Of the first of them."""
    modes_lost: int = 0
    """Files and folders of an upload with another mode or owner than a restore gives anyway, and no room for it
    there."""
    owned: int = 0
    """Files of a download that have another owner or group, or setuid, setgid or sticky; as far as a listing tells."""
    perhaps_owned: bool = False
    """Of some files of a download the listing does not tell it, though they may keep it."""
    restores_owner: bool = False
    """These get them; else they are left aside."""
    ignored_metadata: int = 0
    """Modes and ids that are none, likewise."""
    removes_folders: bool = False
    """`folders` are counted to be deleted themselves; else it says in how many the files are."""
    deletion: Deletion | None = None
    """What deleting means there, where this is a plan to delete."""
    needs_bytes: int = 0
    """Room that a download takes on its disk at its fullest: a new file is beside the old one until it is whole."""
    free_bytes: int | None = None
    """What is free on that disk, and not promised to other downloads; None: it does not say."""
    complete: bool = True
    """False when counting was cut off; the numbers are then at least so many."""
    refuses: int = 0
    """Files that will be refused, since something is there already and nothing is to be replaced."""
    refused_names: tuple[str, ...] = ()
    """The first few of them."""
    ruled_out: int = 0
    """Left out by the user's rules; a folder counts as one."""
    skipped_folders: int = 0
    """Empty folders, where the service keeps none."""
    left_out: int = 0
    """Of what stands at the service: things that have no bytes (Drive's own documents, shortcuts)."""
    left_out_names: tuple[str, ...] = ()
    """The first few of them."""
    unknown: bool = False
    """Nothing could be counted: the service did not answer."""
    found: str = ""
    """Names what was found, for whoever queues this plan: the transfer then looks for nothing again."""
    files_digest: str = ""
    """Stands for the keys of all files that were counted, in any order (`backup.files.name_digest`)."""

    @property
    def lacks_room(self) -> bool:
        return self.free_bytes is not None and self.needs_bytes > self.free_bytes

    @property
    def moves_nothing(self) -> bool:
        """Whether all that was chosen is of kinds that are left out."""
        return self.complete and not (self.files or self.folders or self.unreadable or self.unstorable)


class LiveItem(msgspec.Struct, frozen=True, kw_only=True):
    """A running item at one moment."""

    id: int
    bytes_done: int
    rate_bytes_per_s: float
    left_s: float | None
    verifying: bool


class LiveState(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker knows beyond the journal."""

    version: int = 0
    """Another one after each change."""
    rate_bytes_per_s: float = 0.0
    items: tuple[LiveItem, ...] = ()
    build: str = ""
    """Which build of the program the worker is."""
