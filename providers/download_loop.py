"""The one loop that drives every download: to a temporary file beside the target, verified, then renamed."""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from providers import proof
from providers.attributes import Restoring
from providers.cancel import CancelToken
from providers.capabilities import Proof
from providers.digests import AT_ONCE_BYTES, DROPBOX_HASH, AheadHasher, Hasher, HasherAtOnce, LocalDigests
from providers.download import DownloadCheckpoint, DownloadResult, SavedDownload
from providers.errors import Conflict, Integrity, InvalidName, ProviderError, QuotaExceeded
from providers.objects import RemoteFile
from providers.os_errors import from_os_error
from providers.parallel import run_parts
from providers.progress import Progress
from providers.source import Source, opened

if TYPE_CHECKING:
    from providers.base import BaseProvider

_LOG: Final = logging.getLogger(__name__)
_MAX_PART_BYTES: Final = 32 * 2**20
"""Ranges are smaller than upload parts: a range costs nothing to end, and what a kill can lose is one a connection."""
TEMP_MARK: Final = ".hsb-part-"


def run_download(
    provider: BaseProvider,
    key: str,
    target: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    cancel: CancelToken,
    checkpoint: DownloadCheckpoint | None = None,
    expected_sha256: str = "",
    recall: Callable[[RemoteFile], str] | None = None,
    replace: bool = True,
    restoring: Restoring | None = None,
    connections: int | None = None,
    on_wait: Callable[[float, ProviderError], None] | None = None,
    on_verify: Callable[[], None] | None = None,
) -> DownloadResult:
    """Fetch `key` to the file `target`, resuming what `checkpoint` remembers; returns once the verified file stands
    there.

    Until then `target` is untouched. Without `replace`, a file of that name is a Conflict. `expected_sha256` is what
    the object must have; `recall` tells what our own history knows of it, '' for nothing. The file's mtime is the one
    the service kept, its mode what `restoring` makes of the one that was kept; until it stands there, nobody else can
    read it. Without a checkpoint a failure leaves nothing behind.

    Raises ProviderError; Cancelled when `cancel` was pulled.
    """
    fetch = _Download(provider, key, target, cancel, checkpoint, on_wait)
    fetch.replace = replace
    fetch.expected_sha256 = expected_sha256
    fetch.recall = recall
    fetch.restoring = restoring or Restoring()
    fetch.connections = connections or provider.settings.connection_pool_size
    return fetch.run(progress, on_verify)


def discard(target: Path, checkpoint: DownloadCheckpoint) -> None:
    """Remove what a download that will not go on has left beside `target`, and forget it. Raises ProviderError,
    remembering."""
    saved = checkpoint.load()
    if saved is None:
        return
    temp = target.parent / saved.temp_name
    try:
        temp.unlink(missing_ok=True)
    except OSError as error:
        raise from_os_error(error, temp) from None
    checkpoint.clear()


class _Download:
    replace: bool
    expected_sha256: str
    recall: Callable[[RemoteFile], str] | None
    restoring: Restoring
    connections: int

    def __init__(
        self,
        provider: BaseProvider,
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
        if self.recall and not self.expected_sha256:
            self.expected_sha256 = self.recall(remote)
        report = Progress(progress, remote.size_bytes)
        report.begin()
        earlier = self._put_in_place_earlier(remote)
        if earlier is not None:
            report.finish()
            return earlier
        self._refuse_what_stands_there()
        saved = self._saved(remote)
        temp = self._target.parent / saved.temp_name
        fd = self._open_temp(temp, saved)
        try:
            local = self._fetch(fd, remote, saved, report)
            if on_verify:
                on_verify()
            rung = self._prove(remote, local)
            replaced = self._put_in_place(fd, temp, remote)
        except BaseException as error:
            self._leave(temp, error)
            raise
        finally:
            os.close(fd)
        if self._checkpoint:
            self._checkpoint.clear()
        report.finish()
        resumed = sum(self._size(saved, index) for index in saved.done)
        return DownloadResult(remote=remote, sha256=local.sha256, proof=rung, replaced=replaced, resumed_bytes=resumed)

    # Before the first byte

    def _put_in_place_earlier(self, remote: RemoteFile) -> DownloadResult | None:
        """A process may have been killed right after it had put the verified file in place: then it is not fetched
        again."""
        saved = self._checkpoint.load() if self._checkpoint else None
        if saved is None or self._checkpoint is None or not self._is_of(saved, remote):
            return None
        if self._target.is_symlink() or not self._target.is_file() or (self._target.parent / saved.temp_name).exists():
            return None
        try:
            with opened(self._target) as file:
                local = self._hashed(file, remote)
        except ProviderError as error:
            _LOG.info("%s cannot be compared (%s); it is fetched", self._target, error)
            return None
        try:
            rung = self._compared(remote, local)
        except Integrity:
            return None
        if rung is None:
            return None
        self._checkpoint.clear()
        return DownloadResult(
            remote=remote, sha256=local.sha256, proof=rung, replaced=saved.replaces, resumed_bytes=remote.size_bytes
        )

    def _hashed(self, file: Source, remote: RemoteFile) -> LocalDigests:
        """The digests with which this object can be compared."""
        size = file.identity.size_bytes
        step = remote.part_size_bytes or max(1, size)
        sizes = [min(step, size - offset) for offset in range(0, size, step)] or [0]
        whole = [name for name in ("md5", "sha1") if name in remote.checksums]
        with AheadHasher(
            file.fd, sizes, ("md5", "sha256"), self._cancel, lead_parts=len(sizes), whole_algorithms=whole
        ) as hasher:
            return hasher.finish()

    def _refuse_what_stands_there(self) -> None:
        if self._target.is_symlink() or self._target.is_dir():
            raise InvalidName(f"{self._target}: is a folder or a link, not a place for a file")
        if not self.replace and self._target.exists():
            raise Conflict(f"{self._target}: a file of that name is already there")

    def _saved(self, remote: RemoteFile) -> SavedDownload:
        saved = self._checkpoint.load() if self._checkpoint else None
        if saved and self._checkpoint:
            if self._is_of(saved, remote) and (self._target.parent / saved.temp_name).is_file():
                return saved
            _LOG.info("%s is not the object that was begun; starting anew", self._key)
            discard(self._target, self._checkpoint)
        wanted = min(self._provider.settings.upload_chunk_size, _MAX_PART_BYTES)
        fresh = SavedDownload(
            key=self._key,
            etag=remote.etag,
            size_bytes=remote.size_bytes,
            part_size_bytes=self._aligned(remote, wanted),
            temp_name=f".{self._short_name()}{TEMP_MARK}{secrets.token_hex(4)}",
            replaces=self._target.exists(),
        )
        if self._checkpoint:
            self._checkpoint.save(fresh)
        return fresh

    def _is_of(self, saved: SavedDownload, remote: RemoteFile) -> bool:
        return (saved.key, saved.etag, saved.size_bytes) == (self._key, remote.etag, remote.size_bytes)

    def _aligned(self, remote: RemoteFile, wanted: int) -> int:
        """The service's own parts where a composite checksum is all there is to compare with."""
        if not self._provider.capabilities.ranged_reads:
            return max(1, remote.size_bytes)
        composite_only = not (self._expected(remote) or "md5" in remote.checksums)
        if composite_only and remote.part_size_bytes:
            return remote.part_size_bytes
        return wanted

    def _short_name(self) -> str:
        """So short that the temporary name fits wherever the target's fits (255 bytes)."""
        return os.fsdecode(os.fsencode(self._target.name)[:200]).encode("utf-8", "replace").decode("utf-8")

    def _open_temp(self, temp: Path, saved: SavedDownload) -> int:
        fresh = not saved.done and not temp.exists()
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT | os.O_EXCL if fresh else 0)
        try:
            room = os.statvfs(self._target.parent)
            if fresh and room.f_bavail * room.f_frsize < saved.size_bytes:
                raise QuotaExceeded(
                    f"{self._target.parent}: {saved.size_bytes} bytes do not fit on that disk",
                    hint="Make room there, or choose another folder.",
                )
            fd = os.open(temp, flags, 0o600)
            if not fresh:
                os.fchmod(fd, 0o600)
            return fd
        except OSError as error:
            raise from_os_error(error, temp) from None

    # The bytes

    @staticmethod
    def _count(saved: SavedDownload) -> int:
        return max(1, -(-saved.size_bytes // saved.part_size_bytes))

    @staticmethod
    def _size(saved: SavedDownload, index: int) -> int:
        return min(saved.part_size_bytes, saved.size_bytes - index * saved.part_size_bytes)

    def _expected(self, remote: RemoteFile) -> str:
        return self.expected_sha256 or remote.recorded_sha256 or remote.checksums.get("sha256", "")

    @staticmethod
    def _comparable(remote: RemoteFile) -> list[str]:
        told = remote.checksums.keys() | ({"sha1"} if remote.recorded_sha1 else set())
        return [name for name in ("md5", "sha1", DROPBOX_HASH) if name in told]

    def _fetch(self, fd: int, remote: RemoteFile, saved: SavedDownload, report: Progress) -> LocalDigests:
        """All parts into the file, hashed in order right behind their arrival."""
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
        """With just the digests that prove this object."""
        count = self._count(saved)
        expected = self._expected(remote)
        whole = [] if expected else self._comparable(remote)
        parts = ("md5", "sha256") if not expected and remote.part_size_bytes else ()
        if count == 1 and saved.size_bytes <= AT_ONCE_BYTES:
            return HasherAtOnce(fd, saved.size_bytes, parts, stop, whole_algorithms=whole)
        return AheadHasher(
            fd,
            [self._size(saved, index) for index in range(count)],
            parts,
            stop,
            lead_parts=count,
            whole_algorithms=whole,
            wait_for_part=lambda index: self._await_part(index, stop),
        )

    def _await_part(self, index: int, stop: CancelToken) -> None:
        while not self._done[index].wait(0.2):
            stop.check()

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
        """One range; a connection that breaks is taken up at the byte where it broke."""
        start, size = index * saved.part_size_bytes, self._size(saved, index)
        position = 0

        def read_on() -> None:
            nonlocal position
            if position >= size:
                return
            reader = self._provider.read_range(self._key, start + position, size - position, etag=remote.etag)
            try:
                with stop.calling(reader.interrupt):
                    for chunk in reader:
                        stop.check()
                        self._provider.limiter.take(len(chunk), stop)
                        _write_all(fd, chunk, start + position, self._target)
                        position += len(chunk)
                        report.part_at(index, position)
            finally:
                reader.close()

        self._provider.retry.run(read_on, stop, on_wait=self._on_wait)
        if position != size:
            raise Integrity(f"{self._key}: {position} bytes came where {size} were due")
        if self._checkpoint and self._count(saved) > 1:
            os.fdatasync(fd)
            self._checkpoint.part_done(index)

    # After the last byte

    def _compared(self, remote: RemoteFile, local: LocalDigests) -> Proof | None:
        """None where there is nothing to compare with. Raises Integrity."""
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
        return None

    def _prove(self, remote: RemoteFile, local: LocalDigests) -> Proof:
        rung = self._compared(remote, local)
        if rung is not None:
            return rung
        if proof.read_digest(self._provider, remote, self._cancel) != local.sha256:
            raise Integrity(f"{self._key}: two readings of the object differ")
        return Proof.READ_BACK

    def _put_in_place(self, fd: int, temp: Path, remote: RemoteFile) -> bool:
        target = self._target
        try:
            if remote.mtime_ns is not None:
                os.utime(fd, ns=(remote.mtime_ns, remote.mtime_ns))
            older = os.lstat(target) if os.path.lexists(target) else None
            self.restoring.apply(fd, remote.attributes, replaced=older)
            os.fsync(fd)
            replaced = older is not None
            if self.replace:
                os.replace(temp, target)
            else:
                os.link(temp, target, follow_symlinks=False)
                temp.unlink()
            _sync_folder(target.parent)
        except OSError as error:
            raise from_os_error(error, target) from None
        return replaced

    def _leave(self, temp: Path, error: BaseException) -> None:
        """After a failure: kept where a later call can go on with it, removed otherwise."""
        if self._checkpoint and not isinstance(error, Integrity):
            return
        with suppress(OSError):
            temp.unlink(missing_ok=True)
        if self._checkpoint:
            self._checkpoint.clear()


def _write_all(fd: int, data: bytes, offset: int, target: Path) -> None:
    view = memoryview(data)
    try:
        while view:
            written = os.pwrite(fd, view, offset)
            view = view[written:]
            offset += written
    except OSError as error:
        raise from_os_error(error, target) from None


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
