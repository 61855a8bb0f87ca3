"""What is written into the journal and read back from it, typed."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from backup.model.transfers import Conflicts, ItemKind, ItemState, JobKind, Selection
from providers.contract.attributes import Restoring
from providers.contract.capabilities import Proof
from providers.contract.report import ErrorInfo


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Where items go. `settings` holds the non-secret settings that decide about it, as JSON; `location` is
    `Storage.place`, empty until the worker opened the instance for the first time, `account` that of the provider,
    empty until the service has told it."""

    instance: str
    type: str
    container: str
    settings: str
    location: str = ""
    account: str = ""
    id: int = 0


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """How many files the plan of a job has found, the unreadable ones too; not `complete`: at least so many."""

    files: int
    size_bytes: int | None = None
    """Of all of them; None where the plan has not counted the bytes of some."""
    complete: bool = True
    digest: str = ""
    """Of their keys, as `TransferPlan.files_digest`; '' where it is not known."""


class JobRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked for; the scan turns it into items."""

    kind: JobKind
    sources: tuple[str, ...]
    """Local paths, or keys (a prefix ends in '/')."""
    to: str = ""
    """Remote prefix of an upload; local folder, or the very path, of a download."""
    exact: bool = False
    """A download of one object to the path `to` itself."""
    conflicts: Conflicts = Conflicts.REPLACE
    restoring: Restoring = Restoring()
    """What downloaded files get of their modes and owners."""
    selection: Selection = Selection()
    """Of an upload."""
    restores_links: bool = False
    """A download makes symlinks of what is stored as such; else they come as files."""
    resolved: bool = False
    """The links in local paths were followed when it was given: one that stands there later is not. Orders of earlier
    versions still have theirs."""
    found: str = ""
    """Names what its plan has found (`backup.queries.findings`): the scan takes that up instead of looking again."""
    planned: Planned | None = None
    """None where it was queued without a plan."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    instance: str
    place_id: int
    order: JobRequest


class NewItem(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is unique within its job: what is there already when a scan is repeated is left alone."""

    name: str
    key: str
    local_path: str = ""
    kind: ItemKind = ItemKind.FILE
    size_bytes: int = 0
    state: ItemState = ItemState.QUEUED
    last: bool = False
    """Begins only when nothing of its job is left that is not `last`, and no `last` item before it."""
    replaces: bool | None = None
    error: ErrorInfo | None = None


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """An item that was claimed: everything that its transfer needs."""

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
    """A checkpoint of an earlier attempt is there."""
    environment_id: int | None = None
    """What `jobs.variables` knows; None: the worker's own."""


class Ending(StrEnum):
    """How an attempt ended. What STOPPED means is decided by the wish that stands in the journal."""

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
    """The size that was really moved, where it is known."""
    sha256: str = ""
    etag: str = ""
    """Of the object whose digest `sha256` is."""
    proof: Proof | None = None
    replaced: bool | None = None
    elapsed_s: float = 0.0
    ignored_metadata: int = 0
    """Modes and ids that were kept with it and are none."""
    clears: bool = False
    """Its checkpoint is done with."""
    mtime_ns: int | None = None
    ctime_ns: int | None = None
    """Of the file, where it was read or its object tells."""
    gone: bool = False
    """Its object was looked for, and is not there."""


class Wish(StrEnum):
    """What the user wants of a running item."""

    PAUSE = "pause"
    CANCEL = "cancel"


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Why an instance's queue stands still; `until` None: until credentials or settings change."""

    instance: str
    error: ErrorInfo
    until: float | None = None


class Cleanup(msgspec.Struct, frozen=True, kw_only=True):
    """What a cancelled item has left behind."""

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
