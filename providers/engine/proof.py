"""Verification of transfers by checksum.

From strongest to weakest: the server was seen to enforce the checksum we sent (ENFORCED); the checksum it reports over
the stored bytes equals ours (MATCHED); the object was read back and its digest equals ours (READ_BACK). A download
without anything to compare is read twice (READ_TWICE). A transfer that reaches none of these is not verified, and
raises.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from typing import Final

from providers.contract.cancel import CancelToken
from providers.contract.capabilities import Capabilities, Proof
from providers.contract.digests import DROPBOX_HASH, LocalDigests
from providers.contract.objects import RemoteFile
from providers.contract.storage import Storage
from providers.engine import reading
from providers.errors import Integrity

COMPOSITE: Final = "-composite"
STRONG_FIRST: Final[tuple[str, ...]] = (
    "sha256",
    DROPBOX_HASH,
    "sha256-composite",
    "sha1",
    "sha1-composite",
    "md5",
    "md5-composite",
)


def compare(remote: RemoteFile, local: LocalDigests, *, unproving: Collection[str] = ()) -> str:
    """The strongest checksum kind on which service and file agree; '' if no reported kind can be compared. Agreement on
    `unproving` kinds does not count.

    Raises Integrity if the size or any comparable checksum differs.
    """
    if remote.size_bytes != local.size_bytes:
        raise Integrity(f"{remote.key}: the service holds {remote.size_bytes} bytes, the file has {local.size_bytes}")
    agreed = ""
    for kind in STRONG_FIRST:
        theirs = remote.checksums.get(kind)
        ours = local.value(kind) if theirs else None
        if theirs is None or ours is None or _parts(theirs) != _parts(ours):
            continue
        if theirs.lower() != ours:
            raise Integrity(f"{remote.key}: {kind} is {theirs} at the service, {ours} for the file")
        if kind.removesuffix(COMPOSITE) not in unproving:
            agreed = agreed or kind
    return agreed


def _parts(checksum: str) -> str:
    """Number of parts of a composite checksum, '' for others. One over another split says nothing about our bytes."""
    return checksum.rpartition("-")[2] if "-" in checksum else ""


def prove_upload(provider: Storage, remote: RemoteFile, local: LocalDigests, cancel: CancelToken) -> Proof:
    """Prove a stored object; returns the proof reached. Raises Integrity, or the errors of reading back."""
    agreed = compare_stored(provider, remote, local)
    if agreed:
        return _reached(provider.capabilities, agreed)
    if read_digest(provider, remote, cancel) != local.sha256:
        raise Integrity(f"{remote.key}: the object read back is not what was sent")
    return Proof.READ_BACK


def compare_stored(provider: Storage, remote: RemoteFile, local: LocalDigests) -> str:
    """As `compare`, for an upload: a checksum that the service may merely repeat proves nothing."""
    return compare(remote, local, unproving=provider.capabilities.repeated_checksums)


def _reached(capabilities: Capabilities, agreed: str) -> Proof:
    return Proof.ENFORCED if agreed.partition("-")[0] in capabilities.enforced_checksums else Proof.MATCHED


def read_digest(
    provider: Storage, remote: RemoteFile, cancel: CancelToken, on_position: Callable[[int], None] | None = None
) -> str:
    """The SHA-256 of an object read whole, even an empty one. Resumes where a connection breaks. Raises
    ProviderError."""
    digest = hashlib.sha256()
    position = 0

    def take(chunk: bytes) -> None:
        nonlocal position
        digest.update(chunk)
        position += len(chunk)
        if on_position:
            on_position(position)

    def read_on() -> None:
        if position < remote.size_bytes or not remote.size_bytes:
            reading.read(provider, remote, position, remote.size_bytes - position, cancel, take, takes_whole=True)

    provider.retry.run(read_on, cancel)
    return digest.hexdigest()
