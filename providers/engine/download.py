"""The download loop for all services: into a temporary file in the target's folder, verified, then renamed."""

from __future__ import annotations

import logging
import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from providers.contract.attributes import Restoring
from providers.contract.cancel import CancelToken
from providers.contract.capabilities import Proof
from providers.contract.digests import AT_ONCE_BYTES, AheadHasher, Hasher, HasherAtOnce, LocalDigests
from providers.contract.download import DownloadCheckpoint, DownloadResult, SavedDownload
from providers.contract.objects import RemoteFile
from providers.contract.storage import Storage
from providers.engine import proof, reading
from providers.engine.encryption import refuse_encryption
from providers.engine.parallel import run_parts
from providers.engine.progress import Progress
from providers.engine.source import Source, opened
from providers.errors import NO_RANGE, Integrity, ProviderError, Unsupported, from_os_error
from providers.filesystem.landing import Landing, remove_leftover

_LOG: Final = logging.getLogger(__name__)
_MAX_PART_BYTES: Final = 32 * 2**20
"""Ranges are smaller than upload parts: they cost nothing to complete, and a kill loses one per connection."""


def run_download(
    provider: Storage,
    key: str,
    target: Path,
    *,
    beneath: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancel: CancelToken,
    checkpoint: DownloadCheckpoint | None = None,
    expected_sha256: str = "",
    recall: Callable[[RemoteFile], str] | None = None,
    known: Callable[[str], bool] | None = None,
    listed_bytes: int | None = None,
    replace: bool = True,
    restoring: Restoring | None = None,
    connections: int | None = None,
    on_wait: Callable[[float, ProviderError], None] | None = None,
    on_verify: Callable[[], None] | None = None,
) -> DownloadResult:
    """Fetch `key` to the file `target`, resuming from `checkpoint`. Returns once the verified file is in place.

    Until then `target` is untouched. Below `beneath`, no symlink on the way is followed. Without `replace`, an existing
    file is a Conflict. `expected_sha256` must match. `recall` returns the SHA-256 of the object in our history, or '';
    `listed_bytes` is its size in the listing it was chosen from; `known` says whether we have ever stored content with
    this SHA-256 under this key. The file gets the stored mtime, and its mode from `restoring`; until it is in place,
    only this user can read it. Without a checkpoint, a failure leaves nothing behind; an Integrity error never does.

    Raises ProviderError; Cancelled if `cancel` was triggered.
    """
    refuse_encryption(provider.settings.encryption_enabled)
    fetch = _Download(provider, key, target, cancel, checkpoint, on_wait)
    fetch.beneath = beneath
    fetch.replace = replace
    fetch.expected_sha256 = expected_sha256
    fetch.recall = recall
    fetch.known = known
    fetch.restoring = restoring or Restoring()
    fetch.listed_bytes = listed_bytes
    fetch.connections = connections or provider.settings.connection_pool_size
    try:
        return fetch.run(progress, on_verify)
    except Integrity:
        if checkpoint:
            with suppress(ProviderError):
                discard(target, checkpoint)
        raise


def discard(target: Path, checkpoint: DownloadCheckpoint) -> None:
    """Remove the temporary file of an abandoned download and clear its checkpoint. On a ProviderError the checkpoint is
    kept."""
    saved = checkpoint.load()
    if saved is None:
        return
    remove_leftover(target, saved.temp_name)
    checkpoint.clear()


class _Download:
    beneath: Path | None
    replace: bool
    expected_sha256: str
    recall: Callable[[RemoteFile], str] | None
    known: Callable[[str], bool] | None
    restoring: Restoring
    listed_bytes: int | None
    connections: int

    def __init__(
        self,
        provider: Storage,
        key: str,
        target: Path,
        cancel: CancelToken,
        checkpoint: DownloadCheckpoint | None,
        on_wait: Callable[[float, ProviderError], None] | None,
    ) -> None:
        self._provider = provider
        self._key = key
        self._target = target
        self._cancel = cancel
        self._checkpoint = checkpoint
        self._on_wait = on_wait
        self._done: list[threading.Event] = []

    def run(self, progress: Callable[[int, int], None] | None, on_verify: Callable[[], None] | None) -> DownloadResult:
        remote = self._provider.retry.run(lambda: self._provider.stat(self._key), self._cancel, on_wait=self._on_wait)
        reading.refuse_contradiction(self._provider, remote, self.listed_bytes, self._cancel)
        if self.recall and not self.expected_sha256:
            self.expected_sha256 = self.recall(remote)
        report = Progress(progress, remote.size_bytes)
        report.begin()
        with Landing.opened(self._target, self.beneath) as landing:
            result = self._put_in_place_earlier(landing, remote) or self._transfer(landing, remote, report, on_verify)
        if self._checkpoint:
            self._checkpoint.clear()
        report.finish()
        return result

    def _transfer(
        self, landing: Landing, remote: RemoteFile, report: Progress, on_verify: Callable[[], None] | None
    ) -> DownloadResult:
        saved = self._saved(landing, remote)
        temp = saved.temp_name
        fd = landing.open_temporary(temp, saved.size_bytes, fresh=not saved.done and not landing.has(temp))
        try:
            try:
                local = self._fetch(fd, remote, saved, report)
            except Unsupported as error:
                if error.code != NO_RANGE or self._count(saved) == 1:
                    raise
                saved = self._in_one_stream(saved)
                local = self._fetch(fd, remote, saved, report)
            if on_verify:
                on_verify()
            reached = self._prove(remote, saved, local)
            older = landing.existing()
            self._apply_metadata(fd, remote, older)
            landing.put_in_place(fd, temp, replace=self.replace, reserving=lambda: self._note(saved, reserves=True))
        except BaseException:
            if not self._checkpoint:
                with suppress(ProviderError):
                    landing.remove(temp)
            raise
        finally:
            os.close(fd)
        resumed = sum(self._size(saved, index) for index in saved.done)
        return DownloadResult(
            remote=remote, sha256=local.sha256, proof=reached, replaced=older is not None, resumed_bytes=resumed
        )

    # Before the first byte

    def _put_in_place_earlier(self, landing: Landing, remote: RemoteFile) -> DownloadResult | None:
        """The result if an earlier process was killed right after putting the verified file in place: no fetch
        needed."""
        saved = self._checkpoint.load() if self._checkpoint else None
        if saved is None or not self._is_of(saved, remote):
            return None
        linked = landing.linked(saved.temp_name)
        existing = landing.existing()
        if existing is None or not stat.S_ISREG(existing.st_mode) or (landing.has(saved.temp_name) and not linked):
            return None
        try:
            with opened(self._target, beneath=self.beneath) as file:
                local = self._hashed(file, remote)
        except ProviderError as error:
            _LOG.info("%s cannot be compared (%s); it is fetched", self._target, error)
            return None
        try:
            reached = self._compared(remote, local)
        except Integrity:
            return None
        if reached is None and saved.proved_sha256 == local.sha256:
            reached = Proof.READ_TWICE
        if reached is None:
            return None
        if linked:
            landing.remove(saved.temp_name)
        return DownloadResult(
            remote=remote, sha256=local.sha256, proof=reached, replaced=saved.replaces, resumed_bytes=remote.size_bytes
        )

    def _hashed(self, file: Source, remote: RemoteFile) -> LocalDigests:
        """The digests needed to compare the file with this object."""
        size = file.identity.size_bytes
        step = remote.part_size_bytes or max(1, size)
        sizes = [min(step, size - offset) for offset in range(0, size, step)] or [0]
        parts, whole = self._digests(remote)
        with AheadHasher(file.fd, sizes, parts, self._cancel, lead_parts=len(sizes), whole_algorithms=whole) as hasher:
            return hasher.finish()

    def _saved(self, landing: Landing, remote: RemoteFile) -> SavedDownload:
        saved = self._checkpoint.load() if self._checkpoint else None
        usable = saved is not None and self._is_of(saved, remote) and landing.has(saved.temp_name)
        if saved and usable and saved.reserves:
            landing.remove_reservation()
        landing.refuse_existing(replace=self.replace)
        if saved and self._checkpoint:
            if usable:
                return saved
            _LOG.info("%s is not the object that was begun; starting again", self._key)
            landing.remove(saved.temp_name)
            self._checkpoint.clear()
        wanted = min(self._provider.settings.upload_chunk_size, _MAX_PART_BYTES)
        fresh = SavedDownload(
            key=self._key,
            etag=remote.etag,
            size_bytes=remote.size_bytes,
            part_size_bytes=self._aligned(remote, wanted),
            temp_name=landing.temporary_name(),
            replaces=landing.existing() is not None,
        )
        self._note(fresh)
        return fresh

    def _note(self, saved: SavedDownload, **changes: Any) -> None:
        if self._checkpoint:
            saved = self._checkpoint.load() or saved if changes else saved
            self._checkpoint.save(msgspec.structs.replace(saved, **changes))

    def _is_of(self, saved: SavedDownload, remote: RemoteFile) -> bool:
        return (saved.key, saved.etag, saved.size_bytes) == (self._key, remote.etag, remote.size_bytes)

    def _aligned(self, remote: RemoteFile, wanted: int) -> int:
        """Part size; the service's own if a composite checksum is all there is to compare."""
        if not self._provider.capabilities.ranged_reads:
            return max(1, remote.size_bytes)
        parts, whole = self._digests(remote)
        if parts and not whole and remote.part_size_bytes:
            return remote.part_size_bytes
        return wanted

    def _in_one_stream(self, saved: SavedDownload) -> SavedDownload:
        """For a server that ignores ranges: fetch the whole object as one part."""
        _LOG.info("%s is fetched in one stream: the server ignores ranges", self._key)
        whole = msgspec.structs.replace(saved, part_size_bytes=saved.size_bytes, done=())
        if self._checkpoint:
            self._checkpoint.save(whole)
        return whole

    # The bytes

    @staticmethod
    def _count(saved: SavedDownload) -> int:
        return max(1, -(-saved.size_bytes // saved.part_size_bytes))

    @staticmethod
    def _size(saved: SavedDownload, index: int) -> int:
        return min(saved.part_size_bytes, saved.size_bytes - index * saved.part_size_bytes)

    def _expected(self, remote: RemoteFile) -> str:
        return self.expected_sha256 or remote.recorded_sha256 or remote.checksums.get("sha256", "")

    def _digests(self, remote: RemoteFile) -> tuple[list[str], list[str]]:
        """Algorithms beyond SHA-256 that this object can be compared by: over its parts, and over the whole."""
        if self._expected(remote):
            return [], []
        reported = remote.checksums.keys() | ({"sha1"} if remote.recorded_sha1 else set())
        kinds = [kind for kind in proof.STRONG_FIRST if kind in reported]
        whole = [kind for kind in kinds if not kind.endswith(proof.COMPOSITE)]
        parts = [kind.removesuffix(proof.COMPOSITE) for kind in kinds if kind.endswith(proof.COMPOSITE)]
        return (parts if remote.part_size_bytes else []), whole

    def _fetch(self, fd: int, remote: RemoteFile, saved: SavedDownload, report: Progress) -> LocalDigests:
        """Write all parts to the file, hashing them in order as they arrive."""
        count = self._count(saved)
        stop = CancelToken()
        self._done = [threading.Event() for _ in range(count)]
        for index in saved.done:
            self._done[index].set()
            report.part_at(index, self._size(saved, index))
        missing = [index for index in range(count) if not self._done[index].is_set()]
        with self._cancel.calling(stop.cancel), self._hasher(fd, remote, saved, stop) as hasher:
            try:
                self._fetch_parts(fd, remote, saved, missing, report, stop)
                return hasher.finish()
            except BaseException:
                stop.cancel()
                self._cancel.check()
                raise

    def _hasher(self, fd: int, remote: RemoteFile, saved: SavedDownload, stop: CancelToken) -> Hasher:
        """A hasher for the digests that prove this object, over the service's own parts if it is fetched whole."""
        count, size = self._count(saved), saved.size_bytes
        parts, whole = self._digests(remote)
        step = (parts and count == 1 and remote.part_size_bytes) or saved.part_size_bytes
        sizes = [min(step, size - offset) for offset in range(0, size, step)] or [0]
        if len(sizes) == 1 and size <= AT_ONCE_BYTES:
            return HasherAtOnce(fd, size, parts, stop, whole_algorithms=whole)

        def wait(index: int) -> None:
            while not self._done[min(index, count - 1)].wait(0.2):
                stop.check()

        lead = len(sizes)
        return AheadHasher(fd, sizes, parts, stop, lead_parts=lead, whole_algorithms=whole, wait_for_part=wait)

    def _fetch_parts(
        self, fd: int, remote: RemoteFile, saved: SavedDownload, missing: list[int], report: Progress, stop: CancelToken
    ) -> None:
        def fetch(index: int) -> None:
            self._fetch_part(fd, remote, saved, index, report, stop)
            self._done[index].set()

        run_parts(missing, fetch, min(self.connections, len(missing)), stop)

    def _fetch_part(
        self, fd: int, remote: RemoteFile, saved: SavedDownload, index: int, report: Progress, stop: CancelToken
    ) -> None:
        """Fetch one range; after a broken connection, continue at the byte where it broke."""
        start, size = index * saved.part_size_bytes, self._size(saved, index)
        position, alone = 0, self._count(saved) == 1

        def take(chunk: bytes) -> None:
            nonlocal position
            _write_all(fd, chunk, start + position, self._target)
            position += len(chunk)
            report.part_at(index, position)

        def read_on() -> None:
            if position < size or not size:
                at = start + position
                reading.read(self._provider, remote, at, size - position, stop, take, takes_whole=alone)

        self._provider.retry.run(read_on, stop, on_wait=self._on_wait)
        if position != size:
            raise Integrity(f"{self._key}: {position} bytes arrived instead of {size}")
        if self._checkpoint and self._count(saved) > 1:
            os.fdatasync(fd)
            self._checkpoint.part_done(index)

    # After the last byte

    def _compared(self, remote: RemoteFile, local: LocalDigests) -> Proof | None:
        """None if there is nothing to compare. Raises Integrity."""
        expected = self._expected(remote)
        if expected:
            if expected != local.sha256:
                raise Integrity(f"{self._key}: sha-256 is {local.sha256}, expected {expected}")
            return Proof.MATCHED
        if proof.compare(remote, local):
            return Proof.MATCHED
        if remote.recorded_sha1:
            if local.value("sha1") != remote.recorded_sha1:
                raise Integrity(f"{self._key}: sha-1 is {local.value('sha1')}, expected {remote.recorded_sha1}")
            return Proof.MATCHED
        return Proof.MATCHED if self.known and self.known(local.sha256) else None

    def _prove(self, remote: RemoteFile, saved: SavedDownload, local: LocalDigests) -> Proof:
        reached = self._compared(remote, local)
        if reached is None:
            if proof.read_digest(self._provider, remote, self._cancel) != local.sha256:
                raise Integrity(f"{self._key}: two readings of the object differ")
            reached = Proof.READ_TWICE
            self._note(saved, proved_sha256=local.sha256)  # after a kill, nothing else would show it
        return reached

    def _apply_metadata(self, fd: int, remote: RemoteFile, older: os.stat_result | None) -> None:
        """Set size, times, owner and mode of the finished file before it gets its name."""
        try:
            if os.fstat(fd).st_size != remote.size_bytes:  # bytes past the end were never compared
                os.ftruncate(fd, remote.size_bytes)
            if remote.mtime_ns is not None:
                os.utime(fd, ns=(remote.mtime_ns, remote.mtime_ns))
            self.restoring.apply(fd, remote.attributes, replaced=older)
        except OSError as error:
            raise from_os_error(error, self._target) from None


def _write_all(fd: int, data: bytes, offset: int, target: Path) -> None:
    view = memoryview(data)
    try:
        while view:
            written = os.pwrite(fd, view, offset)
            view = view[written:]
            offset += written
    except OSError as error:
        raise from_os_error(error, target) from None
