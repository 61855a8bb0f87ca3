"""Records that are written to the journal and read back from it, typed."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from backup.model.transfers import Conflicts, ItemKind, ItemState, JobKind, Selection
from providers.contract.attributes import Restoring
from providers.contract.capabilities import Proof
from providers.contract.objects import storable_ns
from providers.contract.report import ErrorInfo


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """The destination of items. `settings` holds the non-secret settings that determine it, as JSON. `location` is
    `Storage.place`, empty until the worker first opened the instance. `account` is the provider's, empty until the
    service reported it."""

    instance: str
    type: str
    container: str
    settings: str
    location: str = ""
    account: str = ""
    id: int = 0


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """How many files the plan of a job found, unreadable ones included; if not `complete`, at least this many."""

    files: int
    size_bytes: int | None = None
    """Of all files; None if the plan did not count the bytes of some."""
    complete: bool = True
    digest: str = ""
    """Of their keys, as `TransferPlan.files_digest`; '' if unknown."""


class JobRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked for; the scan turns it into items."""

    kind: JobKind
    sources: tuple[str, ...]
    """Local paths, or keys (a prefix ends in '/')."""
    to: str = ""
    """Remote prefix of an upload; local folder of a download, or its exact path."""
    exact: bool = False
    """A download of one object to the path `to` itself."""
    conflicts: Conflicts = Conflicts.REPLACE
    restoring: Restoring = Restoring()
    """Which modes and owners are restored on downloaded files."""
    selection: Selection = Selection()
    """Of an upload."""
    restores_links: bool = False
    """A download creates symlinks for objects stored as such; otherwise they become files."""
    resolved: bool = False
    """Links in local paths were resolved when the job was queued: later links are not followed. Requests of earlier
    versions still contain theirs."""
    found: str = ""
    """Id of what the plan found (`backup.queries.findings`): the scan uses it instead of looking again."""
    planned: Planned | None = None
    """None if it was queued without a plan."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    instance: str
    place_id: int
    order: JobRequest


class NewItem(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is unique within its job. A repeated scan leaves existing items alone."""

    name: str
    key: str
    local_path: str = ""
    kind: ItemKind = ItemKind.FILE
    size_bytes: int = 0
    state: ItemState = ItemState.QUEUED
    last: bool = False
    """Begins only after the items of its job that are not `last`, and after earlier `last` items."""
    replaces: bool | None = None
    error: ErrorInfo | None = None


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed item, with everything that its transfer needs."""

    id: int
    job_id: int
    place_id: int
    instance: str
    job_kind: JobKind
    kind: ItemKind
    name: str
    key: str
    local_path: str
    size_bytes: int
    bytes_done: int
    attempts: int
    failures: int
    replaces: bool | None
    last: bool = False
    begun: bool
    """An earlier attempt left a checkpoint."""
    environment_id: int | None = None
    """As in `jobs.variables`; None: the worker's own."""


class Ending(StrEnum):
    """How an attempt ended. The wish in the journal decides what STOPPED becomes."""

    DONE = "done"
    FAILED = "failed"
    WAITING = "waiting"
    SKIPPED = "skipped"
    PAUSED = "paused"
    STOPPED = "stopped"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one attempt at an item."""

    item_id: int
    ending: Ending
    error: ErrorInfo | None = None
    wait_until: float | None = None
    counts_as_failure: bool = False
    size_bytes: int | None = None
    """The size that was moved, if known."""
    sha256: str = ""
    etag: str = ""
    """Of the object with digest `sha256`."""
    proof: Proof | None = None
    replaced: bool | None = None
    elapsed_s: float = 0.0
    ignored_metadata: int = 0
    """Stored modes and ids that are invalid."""
    clears: bool = False
    """Its checkpoint is no longer needed."""
    mtime_ns: int | None = None
    ctime_ns: int | None = None
    """Of the file, if it was read or the object reports it."""
    gone: bool = False
    """The object was looked for and is not there."""

    def __post_init__(self) -> None:
        """Times that the journal cannot hold are dropped."""
        for name in ("mtime_ns", "ctime_ns"):
            msgspec.structs.force_setattr(self, name, storable_ns(getattr(self, name)))


class Wish(StrEnum):
    """What the user wants of a running item."""

    PAUSE = "pause"
    CANCEL = "cancel"


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Why an instance's queue is held; `until` None: until credentials or settings change."""

    instance: str
    error: ErrorInfo
    until: float | None = None


class Cleanup(msgspec.Struct, frozen=True, kw_only=True):
    """What a cancelled item left behind."""

    item_id: int
    instance: str
    place_id: int
    job_kind: JobKind
    local_path: str
    attempts: int
    environment_id: int | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to an item."""

    at: float
    what: str
    error: ErrorInfo | None = None
