"""Capabilities of a service, an instance or one server. Callers check them instead of finding out by failing."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Proof(StrEnum):
    """How strongly a transfer was proved, best first. `providers/engine/proof.py` tries them in this order."""

    ENFORCED = "enforced"
    """The server demonstrably refuses wrong checksums, and it accepted ours."""
    MATCHED = "matched"
    """The checksum reported by the service equals ours over the same bytes."""
    READ_BACK = "read_back"
    """The whole object was read back, and its digest equals ours."""
    READ_TWICE = "read_twice"
    """A download with nothing to compare: the object was read twice with equal results. That proves the line, not the
    object."""


class Deletion(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to deleted objects and their older versions."""

    words: str
    """Shown to the user who confirms the deletion."""
    for_good: bool


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """Flags and limits of one instance. A probe may refine them (`msgspec.structs.replace`)."""

    resumable_uploads: bool = True
    parallel_parts: bool = False
    min_part_bytes: int = 1
    """Minimum length of every part except the last."""
    max_part_bytes: int | None = None
    part_multiple_bytes: int = 1
    """The length of every part except the last is a multiple of this."""
    max_parts: int | None = None
    max_object_bytes: int | None = None
    single_put_bytes: int = 0
    """Objects up to this size are sent in one request, without an upload session."""
    max_key_bytes: int = 1024
    conditional_commit: bool = False
    """The server itself enforces 'only if absent'."""
    enforced_checksums: frozenset[str] = frozenset()
    """Digest algorithms ('md5', 'sha256') that this server was seen to enforce."""
    repeated_checksums: frozenset[str] = frozenset()
    """Digest algorithms whose value is sent along and may merely be repeated by the service: the reported value proves
    no upload."""
    part_digests: tuple[str, ...] = ()
    """Digests that the adapter needs of each part before it is sent."""
    whole_digests: tuple[str, ...] = ()
    """Digests of the whole object, beyond SHA-256, to compare with the service's own checksum."""
    digests_first: bool = False
    """The adapter needs these and the SHA-256 before it begins a multipart object, to store them with it. The file is
    then read once before it is sent."""
    ranged_reads: bool = True
    """Part of an object can be read by itself. Without this, a download is one read of the whole."""
    empty_directories: bool = False
    real_folders: bool = False
    """Folders remain when their last object is gone: `scan_tree` lists them, and `remove` deletes an empty one."""
    modes: bool = False
    """Mode, owner and group are stored with a file."""
    folder_modes: bool = False
    """The same for folders, each stored as an object of its own."""
    create_container: bool = False
    list_containers: bool = False
    server_prefix_search: bool = True
    case_sensitive: bool = True
    keeps_old_versions: bool = False
    """Deleting or overwriting keeps, or may keep, an older version."""

    def part_size_bytes(self, object_size_bytes: int, wanted_bytes: int) -> int:
        """The part size for an object: as near to `wanted_bytes` as limits allow, large enough for `max_parts`."""
        size = max(wanted_bytes, self.min_part_bytes, 1)
        if self.max_part_bytes is not None:
            size = min(size, self.max_part_bytes)
        if self.max_parts is not None:
            size = max(size, -(-object_size_bytes // self.max_parts))
        multiple = self.part_multiple_bytes
        if size < object_size_bytes and size % multiple:
            size += multiple - size % multiple
            if self.max_part_bytes is not None and size > self.max_part_bytes:
                size = max(multiple, self.max_part_bytes // multiple * multiple)
        return size
