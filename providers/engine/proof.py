"""The ladder of checksums: what counts as verified.

Best rung first: the server was seen to enforce the checksum that we sent (ENFORCED); the checksum that it reports
over the stored bytes equals ours (MATCHED); the object was read back and its digest equals ours (READ_BACK). A download
of which nothing else is known can only be read twice (READ_TWICE). There is no rung below: what reaches none is not
verified, and raises.
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
    """The strongest kind of checksum on which service and file agree; '' when the service tells none that we can
    compare. Agreement on those that are `unproving` is none.

    Raises Integrity when the size or any comparable checksum differs.
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
            raise Integrity(f"{remote.key}: {kind} at the service is {theirs}, of the file {ours}")
        if kind.removesuffix(COMPOSITE) not in unproving:
            agreed = agreed or kind
    return agreed


def _parts(checksum: str) -> str:
    """How many parts a composite is of, '' for others: over other parts, it says nothing about ours."""
    return checksum.rpartition("-")[2] if "-" in checksum else ""


def prove_upload(provider: Storage, remote: RemoteFile, local: LocalDigests, cancel: CancelToken) -> Proof:
    """Climb the ladder for a stored object; returns the rung reached. Raises Integrity, or what reading back raises."""
    agreed = compare_stored(provider, remote, local)
    if agreed:
        return _rung(provider.capabilities, agreed)
    if read_digest(provider, remote, cancel) != local.sha256:
        raise Integrity(f"{remote.key}: what the service gives back is not what was sent")
    return Proof.READ_BACK


def compare_stored(provider: Storage, remote: RemoteFile, local: LocalDigests) -> str:
    """As `compare`, for what we have sent: a checksum that the service may only repeat proves nothing."""
    return compare(remote, local, unproving=provider.capabilities.repeated_checksums)


def _rung(capabilities: Capabilities, agreed: str) -> Proof:
    return Proof.ENFORCED if agreed.partition("-")[0] in capabilities.enforced_checksums else Proof.MATCHED


def read_digest(
    provider: Storage, remote: RemoteFile, cancel: CancelToken, on_position: Callable[[int], None] | None = None
) -> str:
    """The SHA-256 of an object, read whole, an empty one too; a broken connection is taken up where it broke. Raises
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
