"""Upload of one file or empty directory into a folder."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from providers.contract import attributes
from providers.contract.objects import RemoteFile
from providers.contract.upload import Part, PartBody, PartReceipt, PendingUpload, UploadRequest, UploadSession
from providers.errors import Conflict, Integrity, InvalidName, NotFound, QuotaExceeded, Transient
from providers.filesystem import beneath
from providers.filesystem.rename import rename_new
from providers.filesystem.writable import make_writable
from providers.local import folder_attributes
from providers.local.folder import Folder, begun, encoded, open_file, temporary_name
from providers.local.listing import remote_file

CHUNK_BYTES: Final = 1 << 20
_ATTEMPTS: Final = 8
_RESERVING: Final = "reserving"
"""Ledger line: an empty file under the final name may be ours."""


class LocalUpload(UploadSession):
    """Writes parts with pwrite to a hidden file in the target directory; the commit renames it.

    A part counts as held once it is on disk (fsync) and recorded with its SHA-256 in the ledger, a second hidden file.
    A file of one part has no ledger: it is on disk with its mode and mtime when `send` returns, and is sent again if
    the process ends before the commit.
    """

    def __init__(self, folder: Folder, request: UploadRequest, now_s: float, token: dict[str, Any] | None) -> None:
        self.request = request
        self._folder = folder
        self._interrupted = False
        folder.segments(request.key)
        if token is None:
            self._temp = self._create(now_s)
            self._see_that_it_fits()
        else:
            self._temp = encoded(str(token.get("temp", "")))
            earlier = begun(self._temp, request.key)
            if earlier is None:
                raise InvalidName(f"'{request.key}': the saved upload belongs to another file")
            folder.claim(request.key, earlier.made)

    @property
    def token(self) -> dict[str, Any] | None:
        return {"temp": self._temp.decode("ascii")}

    @property
    def _ledger(self) -> bytes:
        return self._temp.removesuffix(b".partial") + b".ledger"

    def _create(self, now_s: float) -> bytes:
        """Create the hidden file and the folders above it; returns its name."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        request, made = self.request, 0
        for _ in range(_ATTEMPTS):
            made = max(made, self._folder.make_parents(request.key))
            temp = encoded(temporary_name(request.key, now_s, request.session_id, made))
            try:
                with self._folder.parent(request.key) as (at, name):
                    with suppress(FileNotFoundError):
                        if stat.S_ISDIR(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
                            raise Conflict(f"{request.key}: a folder of that name exists")
                    os.close(os.open(temp, flags, 0o600, dir_fd=at))
                    if request.part_count > 1:
                        os.fsync(at)
                return temp
            except NotFound:  # another transfer ended and removed the empty folder
                continue
        raise Conflict(f"'{request.key}': another program keeps deleting its folder")

    def _see_that_it_fits(self) -> None:
        with self._folder.parent(self.request.key) as (at, _):
            room = os.fstatvfs(at)
        free_bytes = room.f_bavail * room.f_frsize
        if self.request.size_bytes > free_bytes:
            self.abort()
            raise QuotaExceeded(
                f"{self.request.key}: no space for its {self.request.size_bytes} bytes, {free_bytes} are free",
                hint="Make room on that disk, then retry: nothing was written.",
                code="ENOSPC",
            )

    @contextmanager
    def _opened(self, flags: int) -> Iterator[tuple[int, bytes, int]]:
        """Directory, final name and the hidden file."""
        with self._folder.parent(self.request.key) as (at, name):
            if flags == os.O_WRONLY:
                make_writable(self._temp, at=at)
            try:
                fd = open_file(at, self._temp, flags)
            except FileNotFoundError:
                raise NotFound(f"{self.request.key}: the unfinished upload is gone") from None
            try:
                yield at, name, fd
            finally:
                os.close(fd)

    def confirmed(self) -> Sequence[PartReceipt]:
        with self._opened(os.O_RDONLY) as (at, _, fd):
            entries = self._read_ledger(at)
            return [
                PartReceipt(index=index, size_bytes=self.request.part(index).size_bytes, digests={"sha256": digest})
                for index, digest in sorted(entries.items())
                if self._digest(fd, self.request.part(index)) == digest
            ]

    def _ledger_lines(self, at: int) -> list[list[str]]:
        try:
            with os.fdopen(open_file(at, self._ledger), encoding="ascii", errors="replace") as file:
                return [line.split() for line in file if line.endswith("\n")]
        except FileNotFoundError:
            return []

    def _read_ledger(self, at: int) -> dict[int, str]:
        return {
            int(line[0]): line[1]
            for line in self._ledger_lines(at)
            if len(line) == 2 and line[0].isdecimal() and int(line[0]) < self.request.part_count
        }

    def _digest(self, fd: int, part: Part) -> str:
        digest = hashlib.sha256()
        position, end = part.offset, part.offset + part.size_bytes
        while position < end:
            self._check_interrupted()
            data = os.pread(fd, min(CHUNK_BYTES, end - position), position)
            if not data:
                break
            digest.update(data)
            position += len(data)
        return digest.hexdigest()

    def send(self, part: Part, body: PartBody, digests: Mapping[str, str]) -> PartReceipt:
        with self._opened(os.O_WRONLY) as (at, _, fd):
            self._write(fd, part, body)
            if self.request.part_count == 1:
                self._keep_attributes(fd)
            os.fsync(fd)
            if self.request.part_count > 1 and "sha256" in digests:
                self._write_down(at, f"{part.index} {digests['sha256']}")
        return PartReceipt(index=part.index, size_bytes=part.size_bytes, digests=dict(digests))

    def _write(self, fd: int, part: Part, body: PartBody) -> None:
        position, end = part.offset, part.offset + part.size_bytes
        while position < end:
            self._check_interrupted()
            data = memoryview(body.read(min(CHUNK_BYTES, end - position)))
            if not data:
                raise Integrity(f"{self.request.key}: the source ended early")
            while data:
                written = os.pwrite(fd, data, position)
                position += written
                data = data[written:]

    def _write_down(self, at: int, line: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self._ledger, flags, 0o600, dir_fd=at)
        try:
            os.write(fd, f"{line}\n".encode("ascii"))
            os.fsync(fd)
        finally:
            os.close(fd)

    def _keep_attributes(self, fd: int) -> None:
        attributes.keep(fd, self.request.attributes)
        if self.request.mtime_ns is not None:
            os.utime(fd, ns=(self.request.mtime_ns, self.request.mtime_ns))

    def commit(self, receipts: Sequence[PartReceipt]) -> RemoteFile:
        with self._opened(os.O_RDONLY) as (at, name, fd):
            self._check_whole(fd, receipts)
            if self.request.part_count > 1:
                self._keep_attributes(fd)
                os.fsync(fd)
            _forget_cached(fd)
            self._give_name(at, name)
            with suppress(FileNotFoundError):
                os.unlink(self._ledger, dir_fd=at)
            os.fsync(at)
            self._folder.keep(self.request.key)
            return remote_file(self.request.key, os.fstat(fd))

    def _check_whole(self, fd: int, receipts: Sequence[PartReceipt]) -> None:
        sent = {receipt.index for receipt in receipts}
        if sent != set(range(self.request.part_count)) or os.fstat(fd).st_size != self.request.size_bytes:
            raise Integrity(f"{self.request.key}: parts of it are missing")

    def _give_name(self, at: int, name: bytes) -> None:
        if not self.request.only_if_absent:
            os.replace(self._temp, name, src_dir_fd=at, dst_dir_fd=at)
            return
        if self._reserved(at):
            with suppress(FileNotFoundError):
                if os.stat(name, dir_fd=at, follow_symlinks=False).st_size == 0:
                    os.unlink(name, dir_fd=at)
        try:
            rename_new(self._temp, name, at=at, reserving=lambda: self._write_down(at, _RESERVING))
        except FileExistsError:
            raise Conflict(f"{self.request.key}: something of that name is already there", code="EEXIST") from None

    def _reserved(self, at: int) -> bool:
        """Whether an earlier process may have been killed while our empty file reserved the name."""
        return any(line == [_RESERVING] for line in self._ledger_lines(at))

    def abort(self) -> None:
        try:
            with self._folder.parent(self.request.key) as (at, _):
                for name in (self._temp, self._ledger):
                    with suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=at)
        except NotFound:
            return
        self._folder.prune_made(self.request.key)

    def interrupt(self) -> None:
        self._interrupted = True

    def _check_interrupted(self) -> None:
        if self._interrupted:
            raise Transient(f"{self.request.key}: interrupted")


def _forget_cached(fd: int) -> None:
    """Make the following proof read the disk, not the page cache."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


class LocalDirectory(UploadSession):
    """An empty directory; there is nothing to send."""

    def __init__(self, folder: Folder, request: UploadRequest) -> None:
        if request.size_bytes:
            raise InvalidName(f"'{request.key}': only an empty directory may end in '/'")
        folder.segments(request.key)
        self.request = request
        self._folder = folder

    @property
    def token(self) -> dict[str, Any] | None:
        return None

    def confirmed(self) -> Sequence[PartReceipt]:
        return ()

    def send(self, part: Part, body: PartBody, digests: Mapping[str, str]) -> PartReceipt:
        return PartReceipt(index=part.index, size_bytes=0, digests=dict(digests))

    def commit(self, receipts: Sequence[PartReceipt]) -> RemoteFile:
        with self._folder.parent(self.request.key, create=True) as (at, name):
            try:
                os.mkdir(name, 0o700, dir_fd=at)
            except FileExistsError:
                found = os.stat(name, dir_fd=at, follow_symlinks=False)
                if self.request.only_if_absent or not stat.S_ISDIR(found.st_mode):
                    raise Conflict(f"{self.request.key}: something of that name is already there") from None
            if self.request.mtime_ns is not None:
                times = (self.request.mtime_ns, self.request.mtime_ns)
                os.utime(name, ns=times, dir_fd=at, follow_symlinks=False)
            fd = os.open(name, beneath.DIRECTORY, dir_fd=at)
            try:
                folder_attributes.write(fd, self.request.attributes)
                os.fsync(fd)
                os.fsync(at)
                self._folder.keep(self.request.key)
                return remote_file(self.request.key, os.fstat(fd), folder_attributes.read(fd))
            finally:
                os.close(fd)

    def abort(self) -> None:
        """Nothing to do: nothing exists before the commit."""

    def interrupt(self) -> None:
        """Nothing to do: no call waits."""


def unfinished(folder: Folder, key: str) -> list[PendingUpload]:
    """The unfinished uploads of exactly this key."""
    try:
        with folder.parent(key) as (at, _), os.scandir(at) as entries:
            names = [os.fsencode(entry.name) for entry in entries]
    except NotFound:
        return []
    return [
        PendingUpload(key=key, token={"temp": name.decode("ascii")}, started_at=found.at_s, session_id=found.session_id)
        for name in names
        if (found := begun(name, key))
    ]
