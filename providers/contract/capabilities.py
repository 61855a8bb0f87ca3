"""What a service, an instance of it, or one server can do. Callers ask here; nobody finds out by failing."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Proof(StrEnum):
    """How far up the ladder a transfer was proved, best first. `providers/engine/proof.py` climbs it."""

    ENFORCED = "enforced"
    """The server was seen to refuse a wrong checksum, and accepted ours."""
    MATCHED = "matched"
    """The checksum that the service reports equals ours over the same bytes."""
    READ_BACK = "read_back"
    """The object was read back whole and its digest equals ours."""
    READ_TWICE = "read_twice"
    """A download with nothing to compare with: the object was read twice, and both readings were equal. That proves the
    line, not the object."""


class Deletion(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of objects that are deleted, and of their older versions."""

    words: str
    """For whoever is asked whether to delete them."""
    for_good: bool


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """Flags and limits of one instance. A probe may refine them (`msgspec.structs.replace`)."""

    resumable_uploads: bool = True
    parallel_parts: bool = False
    min_part_bytes: int = 1
    """Every part but the last is at least this long."""
    max_part_bytes: int | None = None
    part_multiple_bytes: int = 1
    """Every part but the last is a multiple of this."""
    max_parts: int | None = None
    max_object_bytes: int | None = None
    single_put_bytes: int = 0
    """Objects up to this size go in one request, without an upload session."""
    max_key_bytes: int = 1024
    conditional_commit: bool = False
    """'Only if nothing is there' is honoured by the server itself."""
    enforced_checksums: frozenset[str] = frozenset()
    """Digest algorithms ('md5', 'sha256') which this server was seen to enforce."""
    repeated_checksums: frozenset[str] = frozenset()
    """Digest algorithms that are sent along, and of which the service may only repeat what it was sent: what it reports
    of them proves no upload."""
    part_digests: tuple[str, ...] = ()
    """Digests the adapter wants over each part before it is sent."""
    whole_digests: tuple[str, ...] = ()
    """Digests over the whole object, beside SHA-256, with which the service's own checksum can be compared."""
    digests_first: bool = False
    """The adapter wants these and the SHA-256 before an object of several parts is begun, to keep them with it: the
    file is then read once before it is sent."""
    ranged_reads: bool = True
    """A part of an object can be read for itself; without that, a download is one read of the whole."""
    empty_directories: bool = False
    real_folders: bool = False
    """Folders stay when their last object goes: `scan_tree` names them, and `remove` takes an empty one."""
    modes: bool = False
    """Mode, owner and group are kept with a file."""
    folder_modes: bool = False
    """The same with a folder, which is an object of its own then."""
    create_container: bool = False
    list_containers: bool = False
    server_prefix_search: bool = True
    case_sensitive: bool = True
    keeps_old_versions: bool = False
    """Deleting or overwriting leaves, or may leave, an older version."""

    def part_size_bytes(self, object_size_bytes: int, wanted_bytes: int) -> int:
        """The part size for an object: as near to `wanted_bytes` as limits allow, grown so that `max_parts` suffice."""
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
