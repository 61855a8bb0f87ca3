"""Objects and pages of a listing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeGuard

import msgspec

from providers.contract.attributes import UNKNOWN, Attributes
from providers.errors import Conflict, Integrity

MAX_SIZE_BYTES: Final = 2**63 - 1
_DIGITS: Final = re.compile(r"[0-9]{1,19}")
_YEARS_1_TO_9999_S: Final = (-62_135_596_800.0, 253_402_300_799.0)
_MTIME_LIMIT_NS: Final = 2**63


def storable_ns(time_ns: int | None) -> int | None:
    """A file time in nanoseconds; None if it does not fit into 64 bits (before 1677, after 2262), as nothing can keep
    such a time."""
    return time_ns if time_ns is not None and -_MTIME_LIMIT_NS <= time_ns < _MTIME_LIMIT_NS else None


def is_text(value: str) -> bool:
    """Whether UTF-8 can encode it: JSON may hold lone surrogates, which no file or database can."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


class RemoteFile(msgspec.Struct, frozen=True, kw_only=True):
    """One object, in the same form for every service.

    `key` is relative to the container and prefix of the instance, separated by '/'. Times are seconds since the epoch.
    """

    key: str
    size_bytes: int
    modified_at: float | None = None
    """The file's own mtime if the service kept it, else the time of storing."""
    mtime_ns: int | None = None
    """The file's own mtime in nanoseconds, if the service kept it."""
    attributes: Attributes = UNKNOWN
    """Mode, owner and group, as far as stored and contained in this answer. Parsed, but not to be trusted."""
    stored_at: float | None = None
    etag: str = ""
    """Opaque; changes when the content does. Used for If-Match, never read as a digest."""
    id: str = ""
    """The service's own id or version, if names alone do not identify an object."""
    checksums: dict[str, str] = msgspec.field(default_factory=dict)
    """Checksums that the service computed over the stored bytes, lower-case hex: 'md5', 'sha256', 'sha1',
    'dropbox_hash', and the composite forms 'md5-composite', 'sha1-composite' and 'sha256-composite'
    ('<hex>-<parts>')."""
    part_size_bytes: int | None = None
    """Length of each part except the last, if the service reports it and a composite checksum needs it."""
    recorded_sha256: str = ""
    """The SHA-256 that was written to the object's metadata at upload. Proves a download, never an upload."""
    recorded_sha1: str = ""
    """The same for a SHA-1, which other programs write (rclone's `large_file_sha1`)."""

    left_out: str = ""
    """Why an entry without bytes of its own cannot be transferred (`Page.left_out`); empty for objects."""

    def __post_init__(self) -> None:
        """An impossible size is refused (Integrity); an impossible time, or an ETag that is not text, is dropped."""
        if not is_size(self.size_bytes):
            raise no_size(self.key, self.size_bytes)
        for name in ("modified_at", "stored_at"):
            if not _is_time(getattr(self, name)):
                msgspec.structs.force_setattr(self, name, None)
        msgspec.structs.force_setattr(self, "mtime_ns", storable_ns(self.mtime_ns))
        if not is_text(self.etag):
            msgspec.structs.force_setattr(self, "etag", "")

    def as_dict(self) -> dict[str, Any]:
        """The form returned by the guide's `list_files`."""
        return {
            "name": self.key,
            "size": self.size_bytes,
            "modified": self.modified_at,
            "etag": self.etag,
            "id": self.id,
            "checksums": dict(self.checksums),
        }


def is_size(value: object) -> TypeGuard[int]:
    """Whether a value is a possible number of bytes."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SIZE_BYTES


def _is_time(seconds: float | None) -> bool:
    first, last = _YEARS_1_TO_9999_S
    return seconds is None or (math.isfinite(seconds) and first <= seconds <= last)


def size_from_text(key: str, value: object) -> int:
    """A size that a service writes as text. Raises Integrity unless it is a plain number."""
    if not isinstance(value, str) or not _DIGITS.fullmatch(value):
        raise no_size(key, value)
    return int(value)


def size_from_json(key: str, value: object) -> int:
    """A size that a service gives as a JSON number. Raises Integrity for anything else."""
    if value.__class__ is not int:
        raise no_size(key, value)
    return value


def no_size(key: str, value: object) -> Integrity:
    shown = repr(value)[:60] if not isinstance(value, int) or abs(value) < 10**60 else "a number of more than 60 digits"
    return Integrity(
        f"{key[:200]}: the service reports an impossible size: {shown}",
        hint="Nothing was done with it. Check for a proxy in between, or a server update.",
        code="size",
    )


def not_empty(folder: str, name: str) -> Conflict:
    """The error for a folder to be removed that holds `name`, unknown to the caller."""
    return Conflict(
        f"{folder}: is not empty, so it was kept: '{name}' is in it",
        hint="It appeared meanwhile, or is of a kind never deleted here. Check it, then delete the folder again.",
        code="not_empty",
    )


def not_deleted(key: str) -> Integrity:
    """The error for a success answer that does not confirm this deletion."""
    return Integrity(
        f"{key}: the service's answer does not confirm the deletion",
        hint="Check whether it is still listed, and for a proxy in front of the service.",
        code="not_deleted",
    )


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a listing, in no particular order. `next_token` is None on the last page. With a delimiter,
    `prefixes` are the folders, each ending in '/'."""

    files: tuple[RemoteFile, ...] = ()
    prefixes: tuple[str, ...] = ()
    next_token: str | None = None
    left_out: tuple[RemoteFile, ...] = ()
    """Other entries that are no objects: they can be neither fetched nor deleted."""
    unread: str = ""
    """Why entries are missing; '' for a complete page. Only for display: other callers get `IncompleteListing`
    (`providers/errors.py`)."""


def pages(ask: Callable[[str | None], Page]) -> Iterator[Page]:
    """All pages of a listing, in order. `ask` returns the page of a token; None asks for the first one."""
    token: str | None = None
    while True:
        page = ask(token)
        yield page
        token = page.next_token
        if token is None:
            return
