"""Uploads: what a session guarantees, and the data that passes between the part loop, a session and a checkpoint.

The loop itself is `run_upload` in `providers/engine/upload.py`. An adapter implements `UploadSession`; it never
retries,
never hashes and never reports progress: the loop does all three, once, for every service.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from providers.contract.attributes import UNKNOWN, Attributes
from providers.contract.capabilities import Proof
from providers.contract.objects import RemoteFile


class UploadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be stored. Fixed over a resume."""

    key: str
    size_bytes: int
    part_size_bytes: int
    mtime_ns: int | None = None
    attributes: Attributes = UNKNOWN
    """Mode, owner and group, kept with the object where capabilities say so."""
    sha256: str = ""
    """Lower-case hex when it is known before the object is begun (always for objects sent in one request)."""
    digests: dict[str, str] = msgspec.field(default_factory=dict)
    """`capabilities.whole_digests` over the whole file, where they are known before the object is begun."""
    session_id: str = ""
    """Random, and kept with the unfinished upload where the service has room: it tells ours from that of another
    machine with the same key."""
    only_if_absent: bool = False
    """Raise Conflict instead of replacing an object. Honoured by the server where capabilities say so, else checked
    first."""

    @property
    def part_count(self) -> int:
        return max(1, -(-self.size_bytes // self.part_size_bytes))

    def part(self, index: int) -> Part:
        offset = index * self.part_size_bytes
        return Part(index=index, offset=offset, size_bytes=min(self.part_size_bytes, self.size_bytes - offset))


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A window of the file. `index` counts from 0."""

    index: int
    offset: int
    size_bytes: int


class PartReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """What the service gave back for a part. `digests` are of the bytes that were sent, lower-case hex."""

    index: int
    size_bytes: int
    tag: str = ""
    """The service's own word for it (ETag); needed to commit."""
    digests: dict[str, str] = msgspec.field(default_factory=dict)


class PartBody(Protocol):
    """The bytes of one part as a binary file. Reading takes from the bandwidth limit and moves the progress; seeking
    back takes progress back. `read` raises Cancelled when asked to stop, and Integrity when the file on disk has
    become shorter."""

    def read(self, size: int = -1, /) -> bytes: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def tell(self) -> int: ...

    def __len__(self) -> int: ...


class UploadSession(ABC):
    """One object on its way up.

    Nothing is visible under the final name before `commit` (or, for an object sent in one request, before that
    request's success). Every method raises only ProviderError.
    """

    request: UploadRequest

    @property
    @abstractmethod
    def token(self) -> dict[str, Any] | None:
        """JSON-serialisable; `open_upload(request, token=...)` in another process continues with it. None: not
        resumable."""

    @abstractmethod
    def confirmed(self) -> Sequence[PartReceipt]:
        """The parts which the server holds whole, asked of the server; never more than it has.

        Raises NotFound when the session has expired or was aborted.
        """

    @abstractmethod
    def send(self, part: Part, body: PartBody, digests: Mapping[str, str]) -> PartReceipt:
        """Send one part; True to `capabilities.parallel_parts` it may be called from several threads, else in order.

        `digests` hold what `capabilities.part_digests` asks for, over just these bytes; hand them to the server
        wherever it enforces them. Integrity when the server's answer disagrees.
        """

    @abstractmethod
    def commit(self, receipts: Sequence[PartReceipt]) -> RemoteFile:
        """Make the object visible, all parts in order, in one step. Returns it as the service now describes it.

        Conflict when `only_if_absent` and something is there; NotFound when the session is gone (it may have been
        committed by a call whose answer was lost: the loop looks).
        """

    @abstractmethod
    def abort(self) -> None:
        """Remove what was sent. Safe to call twice, and after the session is gone."""

    def discard(self) -> None:  # noqa: B027 - most services refuse damaged parts before anything is visible
        """Remove what was committed, because it was proved not to be what was sent: only an object that this session
        made anew and that it can address beyond doubt; never one that was there before. Raises ProviderError."""

    @abstractmethod
    def interrupt(self) -> None:
        """Make every call under way fail at once (within 1 s, also on a stalled connection). From any thread; never
        blocks."""


class PendingUpload(msgspec.Struct, frozen=True, kw_only=True):
    """An unfinished upload that the server knows of."""

    key: str
    token: dict[str, Any]
    started_at: float
    session_id: str = ""
    """`UploadRequest.session_id` of whoever began it; '' where the service does not tell."""
    size_bytes: int | None = None
    """What it holds; None where nobody asked (`Storage.unfinished_uploads` does)."""


class SourceIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Tells whether a file is still the one that was begun."""

    size_bytes: int
    mtime_ns: int
    inode: int


class SavedUpload(msgspec.Struct, frozen=True, kw_only=True):
    """Everything needed to continue in another process. `token` is None between intent and opening."""

    source: SourceIdentity
    request: UploadRequest
    intended_at: float
    strangers: tuple[dict[str, Any], ...] = ()
    """Tokens of unfinished uploads of this key that were there before ours: never adopted, never removed."""
    token: dict[str, Any] | None = None
    receipts: tuple[PartReceipt, ...] = ()


class Checkpoint(Protocol):
    """Durable memory of one upload; every method returns only after the fact is on disk."""

    def load(self) -> SavedUpload | None: ...

    def save(self, saved: SavedUpload) -> None:
        """The intent (before anything is created at the service), and again once the session has a token."""

    def part_done(self, receipt: PartReceipt) -> None: ...

    def clear(self) -> None:
        """The session is over; nothing of it is left at the service."""


class UploadResult(msgspec.Struct, frozen=True, kw_only=True):
    remote: RemoteFile
    sha256: str
    proof: Proof
    replaced: bool | None
    """Whether an older object was replaced; None when that was not asked."""
    resumed_bytes: int = 0
    """Bytes that an earlier attempt had sent and that were not sent again."""
    mtime_ns: int | None = None
    ctime_ns: int | None = None
    """Of the file, as it was read."""
