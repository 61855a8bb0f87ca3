"""Upload sessions: their guarantees, and the data passed between the part loop, a session and a checkpoint.

The loop is `run_upload` in `providers/engine/upload.py`. An adapter implements `UploadSession`; it never retries,
hashes or reports progress. The loop does all three, once, for every service.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from providers.contract.attributes import UNKNOWN, Attributes
from providers.contract.capabilities import Proof
from providers.contract.objects import RemoteFile, storable_ns


class UploadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The object to store. Does not change across a resume."""

    key: str
    size_bytes: int
    part_size_bytes: int
    mtime_ns: int | None = None
    attributes: Attributes = UNKNOWN
    """Mode, owner and group, stored with the object if the capabilities allow it."""
    sha256: str = ""
    """Lower-case hex, if known before the upload begins (always for objects sent in one request)."""
    digests: dict[str, str] = msgspec.field(default_factory=dict)
    """`capabilities.whole_digests` of the whole file, if known before the upload begins."""
    session_id: str = ""
    """Random; stored with the unfinished upload if the service allows. It tells our upload from one that another
    machine began for the same key."""
    only_if_absent: bool = False
    """Raise Conflict instead of replacing an object. Enforced by the server if capabilities say so, else checked
    first."""

    def __post_init__(self) -> None:
        """An impossible time is dropped."""
        msgspec.structs.force_setattr(self, "mtime_ns", storable_ns(self.mtime_ns))

    @property
    def part_count(self) -> int:
        return max(1, -(-self.size_bytes // self.part_size_bytes))

    def part(self, index: int) -> Part:
        offset = index * self.part_size_bytes
        return Part(index=index, offset=offset, size_bytes=min(self.part_size_bytes, self.size_bytes - offset))


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A slice of the file. `index` counts from 0."""

    index: int
    offset: int
    size_bytes: int


class PartReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """The service's receipt for a part. `digests` are of the bytes sent, lower-case hex."""

    index: int
    size_bytes: int
    tag: str = ""
    """The service's identifier for it (ETag); needed to commit."""
    digests: dict[str, str] = msgspec.field(default_factory=dict)


class PartBody(Protocol):
    """The bytes of one part, as a binary file. Reading uses up bandwidth limit and advances the progress; seeking back
    takes the progress back. `read` raises Cancelled on request, and Integrity if the file on disk has become
    shorter."""

    def read(self, size: int = -1, /) -> bytes: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def tell(self) -> int: ...

    def __len__(self) -> int: ...


class UploadSession(ABC):
    """The upload of one object.

    Nothing is visible under the final name before `commit` (for an object sent in one request: before that request
    succeeds). Every method raises only ProviderError.
    """

    request: UploadRequest

    @property
    @abstractmethod
    def token(self) -> dict[str, Any] | None:
        """JSON-serialisable; `open_upload(request, token=...)` in another process continues with it. None if not
        resumable."""

    @abstractmethod
    def confirmed(self) -> Sequence[PartReceipt]:
        """The complete parts that the server holds, as the server reports them; never more than it has.

        Raises NotFound if the session has expired or was aborted.
        """

    @abstractmethod
    def send(self, part: Part, body: PartBody, digests: Mapping[str, str]) -> PartReceipt:
        """Send one part. May be called from several threads if `capabilities.parallel_parts`; otherwise parts come in
        order.

        `digests` has those named in `capabilities.part_digests`, over exactly these bytes; pass them to the server if
        it enforces them. Raises Integrity if the server's answer disagrees.
        """

    @abstractmethod
    def commit(self, receipts: Sequence[PartReceipt]) -> RemoteFile:
        """Make the object visible, all parts in order, in one step. Returns it as the service now describes it.

        Conflict if `only_if_absent` and the key is taken. NotFound if the session is gone (perhaps committed by a call
        whose answer was lost: the loop checks).
        """

    @abstractmethod
    def abort(self) -> None:
        """Remove what was sent. May be called twice, and after the session is gone."""

    def discard(self) -> None:  # noqa: B027 - most services refuse damaged parts before anything is visible
        """Remove a committed object that proved different from what was sent: only one that this session newly created
        and can identify with certainty, never one that existed before. Raises ProviderError."""

    @abstractmethod
    def interrupt(self) -> None:
        """Make every running call fail within 1 s, even on a stalled connection. May be called from any thread; never
        blocks."""


class PendingUpload(msgspec.Struct, frozen=True, kw_only=True):
    """An unfinished upload that the server reports."""

    key: str
    token: dict[str, Any]
    started_at: float
    session_id: str = ""
    """`UploadRequest.session_id` of the upload that began it; '' if the service does not report it."""
    size_bytes: int | None = None
    """Bytes it holds; None if not requested (`Storage.unfinished_uploads` does request it)."""


class SourceIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Identifies the file an upload was begun with."""

    size_bytes: int
    mtime_ns: int
    inode: int


class SavedUpload(msgspec.Struct, frozen=True, kw_only=True):
    """All that is needed to continue in another process. `token` is None between the intent and opening the session."""

    source: SourceIdentity
    request: UploadRequest
    intended_at: float
    strangers: tuple[dict[str, Any], ...] = ()
    """Tokens of unfinished uploads of this key that existed before ours: never adopted, never removed."""
    token: dict[str, Any] | None = None
    receipts: tuple[PartReceipt, ...] = ()
    begun_twice: bool = False
    """An earlier attempt may have begun a session too, whose token was lost: to be removed once the upload is done."""


class Checkpoint(Protocol):
    """Durable record of one upload; every method returns only after the data is on disk."""

    def load(self) -> SavedUpload | None: ...

    def save(self, saved: SavedUpload) -> None:
        """Called with the intent, before anything is created at the service, and again once the session has a token."""

    def part_done(self, receipt: PartReceipt) -> None: ...

    def clear(self) -> None:
        """The session is over, and nothing of it is left at the service."""


class UploadResult(msgspec.Struct, frozen=True, kw_only=True):
    remote: RemoteFile
    sha256: str
    proof: Proof
    replaced: bool | None
    """Whether an older object was replaced; None if not checked."""
    resumed_bytes: int = 0
    """Bytes sent by an earlier attempt and not sent again."""
    mtime_ns: int | None = None
    ctime_ns: int | None = None
    """Of the file at the time it was read."""
