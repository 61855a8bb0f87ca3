"""Jobs, items, plans and the queue: plain data that front ends show and processes exchange."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from providers.contract.capabilities import Deletion, Proof
from providers.contract.report import ErrorInfo
from providers.errors import Cancelled

BROKEN_SHOWN_S: Final = 24 * 3600.0
"""How long a job that broke off is shown without being asked for: it cannot be retried, only queued again."""


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
    """Continues by itself: at `wait_until`, or once what `error` names is available (credentials, network)."""
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
"""The only state machine of an item. QUEUED follows RUNNING when a worker died or was stopped."""

FINAL_STATES: Final = frozenset({ItemState.DONE, ItemState.FAILED, ItemState.CANCELLED, ItemState.SKIPPED})


class Conflicts(StrEnum):
    """What to do if the name already exists."""

    REPLACE = "replace"
    SKIP_UNCHANGED = "skip_unchanged"
    """Leave alone what has the same size and mtime (and checksum, if one is available); replace the rest."""
    REFUSE = "refuse"


class Links(StrEnum):
    """What to do with symlinks in uploaded folders."""

    SKIP = "skip"
    """Left out, and counted."""
    FOLLOW = "follow"
    """The target of a link is stored in its place if it lies within what was chosen. A link that leads out of that,
    leads nowhere, or leads back to a folder that contains it is left out, and counted."""
    STORE = "store"
    """The link itself, as an object that rclone can read (`backup.files.links`)."""


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries of the chosen local folders are uploaded, and how. Stored with the job."""

    links: Links = Links.SKIP
    include: tuple[str, ...] = ()
    """Patterns (`backup.files.filters`): if there are any, only what they match is uploaded."""
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
    """When it continues by itself; of a queued item, when its instance does."""
    error: ErrorInfo | None = None
    """Why it failed, waits, was paused or skipped."""
    proof: Proof | None = None
    sha256: str = ""
    replaced: bool | None = None
    attempts: int = 0
    verifying: bool = False
    """All bytes were moved; the proof is under way."""
    elapsed_s: float = 0.0
    finished_at: float | None = None
    calls: dict[str, int] = {}
    """Requests sent to the service for it, by kind, in all attempts. While it runs they are counted with a delay."""


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """One request of the user. The journal keeps the counters; no query sums over items."""

    id: int
    kind: JobKind
    instance: str
    title: str
    destination: str
    created_at: float
    scanning: bool
    counts: dict[ItemState, int]
    size_bytes: int
    """Bytes to move, without deletes and without what was cancelled or skipped."""
    done_bytes: int
    listed_bytes: int = 0
    """All bytes that the job was asked for, whatever happened to them."""
    grown_bytes: int = 0
    """Bytes that its files had gained between planning and moving."""
    shrunk_bytes: int = 0
    """Bytes that its files had lost: growth of one file does not offset another that shrank."""
    skipped_symlinks: int = 0
    skipped_special: int = 0
    ruled_out: int = 0
    """Left out by the user's rules; a folder counts as one, since its content is not examined."""
    read_twice: int = 0
    """Downloads without a checksum at the service or in our history: two readings were equal."""
    ignored_metadata: int = 0
    """Invalid modes and ids that were stored with files; they were ignored."""
    error: ErrorInfo | None = None
    """Why the scan stopped short, or what differs from the plan."""
    broke_at: float | None = None
    """When the scan stopped short, or the difference was found."""
    paused: bool = False
    """Its scan does not continue until it is resumed."""
    held: ErrorInfo | None = None
    """Why nothing of it begins until the user helps: credentials to unlock or to set. It then continues by itself."""
    wait_until: float | None = None
    """When it continues by itself, if its instance is held or its objects could not be listed."""
    waits_for: ErrorInfo | None = None
    """The reason for that wait."""

    @property
    def broken(self) -> bool:
        """Whether the scan stopped short, and not by the user's wish."""
        return self.error is not None and self.error.kind != Cancelled.kind

    @property
    def finished(self) -> bool:
        return not self.scanning and all(state in FINAL_STATES for state, count in self.counts.items() if count)


class FailedSince(msgspec.Struct, frozen=True, kw_only=True):
    """What ended badly since a given time, whichever command queued it."""

    since: float
    items: int = 0
    """Failed items. Cancelled ones do not count, as the user wanted that."""
    broken_jobs: int = 0
    """Jobs whose scan stopped short since then: what they lack has no items."""
    jobs: tuple[int, ...] = ()
    """The jobs of these items, and jobs whose scan stopped short since then, whenever they were queued."""
    known_from: float | None = None
    """Set if finished items are not kept back to `since`: earlier failures than this, of jobs queued before `since`,
    may be missing. None: everything is known."""
    forgotten: int = 0
    """Failed items of such jobs that were pruned: whether they failed before or after `since` is unknown."""


class QueueTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of the one-line strip. `size_bytes` and `done_bytes` are of unfinished jobs."""

    uploading: int = 0
    downloading: int = 0
    deleting: int = 0
    queued: int = 0
    waiting: int = 0
    paused: int = 0
    failed: int = 0
    broken_jobs: int = 0
    """Jobs whose scan stopped short within BROKEN_SHOWN_S, except those that the user cancelled. What they lack has no
    items."""
    verified: int = 0
    size_bytes: int = 0
    done_bytes: int = 0
    rate_bytes_per_s: float = 0.0
    left_s: float | None = None
    scanning: bool = False
    worker_alive: bool = False
    worker_trouble: ErrorInfo | None = None
    """Why a running worker does nothing: it was stopped, or waits for space."""

    @property
    def active(self) -> int:
        return self.uploading + self.downloading + self.deleting

    @property
    def unfinished(self) -> int:
        return self.active + self.queued + self.waiting


class QueueSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The queue at one moment: running items first, then waiting, paused, queued, then ended ones, newest first."""

    totals: QueueTotals
    jobs: tuple[JobView, ...]
    items: tuple[ItemView, ...]
    item_count: int
    """The number of all items; `items` is a window of them."""
    notice: str = ""
    """For front ends that stay open: the program was replaced meanwhile, or the worker is of another build."""


class LocalEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a local folder. `name` may contain surrogates for bytes that are not UTF-8."""

    name: str
    kind: ItemKind
    size_bytes: int
    modified_at: float


class TransferPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The facts that a confirmation shows before anything starts."""

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
    """Files whose names the service cannot distinguish from another: they will be refused before anything is sent."""
    clashing_names: tuple[str, ...] = ()
    """The first few of them."""
    unstorable: int = 0
    """Files and empty folders that the service (or the local disk of a download) cannot hold under their names: each
    will fail by itself. Not counted among the files and folders."""
    unstorable_folders: int = 0
    """Of these, the folders."""
    unstorable_names: tuple[str, ...] = ()
    unstorable_why: str = ""
    """The reason for the first of them."""
    unreadable: int = 0
    """Files and folders of an upload that cannot be read: each will fail by itself."""
    unreadable_names: tuple[str, ...] = ()
    """The first few of them."""
    unreadable_why: str = ""
    """The reason for the first of them."""
    modes_lost: int = 0
    """Files and folders of an upload with a mode or owner that a restore would not set by default, and that the service
    cannot store."""
    owned: int = 0
    """Files of a download with another owner or group, or with setuid, setgid or sticky, as far as a listing
    reports."""
    perhaps_owned: bool = False
    """The listing does not report this for some files of a download, though they may have it."""
    restores_owner: bool = False
    """These files get their owner and group back; otherwise both are ignored."""
    ignored_metadata: int = 0
    """Invalid modes and ids; they are ignored."""
    removes_folders: bool = False
    """`folders` counts folders to delete; otherwise the folders that contain the files."""
    deletion: Deletion | None = None
    """What deleting means at the service, if this is a plan to delete."""
    needs_bytes: int = 0
    """Peak disk space of a download: a new file lies beside the old one until it is complete."""
    free_bytes: int | None = None
    """Free bytes on that disk that are not promised to other downloads; None: unknown."""
    complete: bool = True
    """False if counting was cut off: the numbers are then minimums."""
    refuses: int = 0
    """Files that will be refused, since the name exists and nothing is to be replaced."""
    refused_names: tuple[str, ...] = ()
    """The first few of them."""
    ruled_out: int = 0
    """Left out by the user's rules; a folder counts as one."""
    skipped_folders: int = 0
    """Empty folders, if the service cannot store them."""
    left_out: int = 0
    """Entries at the service that have no bytes (Drive's own documents, shortcuts)."""
    left_out_names: tuple[str, ...] = ()
    """The first few of them."""
    unknown: bool = False
    """Nothing could be counted: the service did not answer."""
    found: str = ""
    """Id of what was found, for the job that is queued from this plan: its scan then need not search again."""
    files_digest: str = ""
    """A digest of the keys of all counted files, independent of order (`backup.files.name_digest`)."""

    @property
    def lacks_room(self) -> bool:
        return self.free_bytes is not None and self.needs_bytes > self.free_bytes

    @property
    def moves_nothing(self) -> bool:
        """Whether everything chosen is of kinds that are left out."""
        return self.complete and not (self.files or self.folders or self.unreadable or self.unstorable)


class LiveItem(msgspec.Struct, frozen=True, kw_only=True):
    """A running item at one moment."""

    id: int
    bytes_done: int
    rate_bytes_per_s: float
    left_s: float | None
    verifying: bool


class LiveState(msgspec.Struct, frozen=True, kw_only=True):
    """The worker's state that the journal does not have."""

    version: int = 0
    """Differs after each change."""
    rate_bytes_per_s: float = 0.0
    items: tuple[LiveItem, ...] = ()
    build: str = ""
    """The build of the worker's program."""
