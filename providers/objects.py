"""What a listing returns."""

from __future__ import annotations

from typing import Any

import msgspec

from providers.attributes import UNKNOWN, Attributes


class RemoteFile(msgspec.Struct, frozen=True, kw_only=True):
    """One object, in the same form for every service.

    `key` is relative to the instance's container and prefix, separated by '/'. Times are seconds since the epoch.
    """

    key: str
    size_bytes: int
    modified_at: float | None = None
    """The file's own mtime where the service kept it, else the service's time of storing."""
    mtime_ns: int | None = None
    """The file's own mtime, to the nanosecond, where the service kept it."""
    attributes: Attributes = UNKNOWN
    """Mode, owner and group, as far as the service kept them and this answer tells; parsed, not to be trusted."""
    stored_at: float | None = None
    etag: str = ""
    """Opaque; changes when the content does. Used for If-Match, never taken for a digest."""
    id: str = ""
    """The service's own id or version, where names alone do not address an object."""
    checksums: dict[str, str] = msgspec.field(default_factory=dict)
    """What the service itself computed over the stored bytes, lower-case hex: 'md5', 'sha256', 'sha1', 'dropbox_hash',
    and the composite forms 'md5-composite', 'sha1-composite' and 'sha256-composite' ('<hex>-<parts>')."""
    part_size_bytes: int | None = None
    """The length of each part but the last, where the service tells and a composite checksum needs it."""
    recorded_sha256: str = ""
    """The SHA-256 that was written into the object's metadata at upload; proves a download, never an upload."""
    recorded_sha1: str = ""
    """The same for a SHA-1, which other programs leave (rclone's `large_file_sha1`)."""

    def as_dict(self) -> dict[str, Any]:
        """The form that the guide's `list_files` returns."""
        return {
            "name": self.key,
            "size": self.size_bytes,
            "modified": self.modified_at,
            "etag": self.etag,
            "id": self.id,
            "checksums": dict(self.checksums),
        }


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a listing. `next_token` is None on the last page; with a delimiter, `prefixes` are the folders, each
    ending in '/'. No order is promised."""

    files: tuple[RemoteFile, ...] = ()
    prefixes: tuple[str, ...] = ()
    next_token: str | None = None
