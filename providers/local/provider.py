"""The local service: a folder as storage, readable with any file manager."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final, cast

from providers.base import BaseProvider, RangeReader
from providers.contract.attributes import UNKNOWN, Attributes
from providers.contract.capabilities import Capabilities
from providers.contract.context import ProviderContext
from providers.contract.objects import Page, RemoteFile
from providers.contract.upload import PendingUpload, UploadRequest, UploadSession
from providers.errors import (
    Conflict,
    Integrity,
    InvalidConfiguration,
    InvalidName,
    NotFound,
    PermissionDenied,
    ProviderError,
    Transient,
    from_os_error,
)
from providers.filesystem.beneath import DIRECTORY
from providers.local import disk, folder_attributes
from providers.local.folder import Folder, open_file
from providers.local.listing import FolderListing, remote_file
from providers.local.settings import Settings
from providers.local.unfinished import all_unfinished, discard
from providers.local.uploads import CHUNK_BYTES, LocalDirectory, LocalUpload, unfinished
from providers.settings import ProviderSettings

_MAX_PATH_BYTES: Final = 4095


class LocalProvider(BaseProvider):
    """Keeps objects as plain files in a folder.

    A file appears under its name only once it is complete and on disk, with the mtime of its original. Unfinished
    uploads are hidden files named `.homeserver-backup-…` in the same folder, and are not listed. A folder made for an
    object is removed with the last object in it. An empty directory stored as an object (key ending in '/') stays until
    it is removed, or was filled and emptied. Symlinks and special files that others put there are not objects: they are
    never listed, read, followed or deleted.

    The service computes no checksums, so an upload is proved by reading it back. The read comes from the disk: after
    the fsync the pages are dropped from the cache (if the kernel complies; this is only advice).
    """

    name: ClassVar[str] = "local"
    Settings: ClassVar[type[ProviderSettings]] = Settings
    tells_sessions: ClassVar[bool] = True

    def __init__(self, config: Mapping[str, Any] | ProviderSettings, *, context: ProviderContext | None = None) -> None:
        super().__init__(config, context=context)
        self._folder = Folder(_absolute(self.settings.container), create=cast(Settings, self.settings).create_folder)
        self._listing = FolderListing(self._folder)

    @cached_property
    def _keeps(self) -> disk.Keeps:
        return disk.keeps(self._folder.root)

    @property
    def capabilities(self) -> Capabilities:
        kept = self._keeps
        return Capabilities(
            parallel_parts=True,
            max_key_bytes=max(1, _MAX_PATH_BYTES - 1 - len(os.fsencode(self._folder.root))),
            conditional_commit=True,
            part_digests=("sha256",),
            empty_directories=True,
            modes=kept.modes,
            folder_modes=kept.folder_modes,
            create_container=True,
        )

    @property
    def location(self) -> str:
        return f"local {self._folder.root}"

    def scan(self, prefix: str = "", *, delimiter: str = "", token: str | None = None, limit: int = 1000) -> Page:
        if delimiter not in ("", "/"):
            raise InvalidName(f"{delimiter!r}: folders are separated by '/'")
        return self._listing.page(prefix, delimiter, token, limit)

    def stat(self, key: str) -> RemoteFile:
        if self._folder.segments(key) and self._folder.is_yet_to_be_made:
            raise NotFound(f"{key}: there is no such object", code="ENOENT")
        with self._folder.parent(key) as (at, name):
            found = os.stat(name, dir_fd=at, follow_symlinks=False)
            wanted = stat.S_ISDIR if key.endswith("/") else stat.S_ISREG
            if not wanted(found.st_mode):
                raise NotFound(f"{key}: there is no such object", code="ENOENT")
            return remote_file(key, found, self._attributes(at, name) if key.endswith("/") else UNKNOWN)

    @staticmethod
    def _attributes(at: int, name: bytes) -> Attributes:
        fd = os.open(name, DIRECTORY, dir_fd=at)
        try:
            return folder_attributes.read(fd)
        finally:
            os.close(fd)

    def check_name(self, key: str) -> None:
        self._folder.check_name(key)
        if len(key.encode("utf-8", "surrogatepass")) > self.capabilities.max_key_bytes:
            raise InvalidName(f"'{key}': the path would be longer than {_MAX_PATH_BYTES} bytes")

    def open_upload(self, request: UploadRequest, *, token: dict[str, Any] | None = None) -> UploadSession:
        self.check_name(request.key)
        if request.key.endswith("/"):
            return LocalDirectory(self._folder, request)
        return LocalUpload(self._folder, request, self.context.now(), token)

    def read_range(self, key: str, offset: int, size_bytes: int, *, etag: str = "") -> RangeReader:
        if key.endswith("/"):
            self.stat(key)
            return _FileRange(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), key, 0, 0)
        with self._folder.parent(key) as (at, name):
            fd = open_file(at, name)
        found = remote_file(key, os.fstat(fd))
        if etag and found.etag != etag:
            os.close(fd)
            raise Conflict(f"{key}: changed since it was looked at")
        return _FileRange(fd, key, offset, size_bytes)

    def remove(self, key: str) -> None:
        self.stat(key)
        with self._folder.parent(key) as (at, name):
            if key.endswith("/"):
                os.rmdir(name, dir_fd=at)
            else:
                os.unlink(name, dir_fd=at)
        self._folder.prune(key)

    def pending_uploads(self, key: str) -> list[PendingUpload]:
        return unfinished(self._folder, key)

    def unfinished_uploads(self) -> list[PendingUpload]:
        return all_unfinished(self._folder)

    def discard_unfinished(self, upload: PendingUpload) -> None:
        discard(self._folder, upload)

    def create_container(self, name: str) -> None:
        path = _absolute(name)
        try:
            os.makedirs(path, mode=0o700, exist_ok=True)
        except OSError as error:
            raise from_os_error(error, path) from None

    def check_reach(self) -> str:
        with self._folder.opened():
            return f"folder {self._folder.root}"

    def check_authentication(self) -> str:
        with self._folder.opened():
            if not os.access(self._folder.root, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionDenied(
                    f"{self._folder.root}: user {os.geteuid()} may not write there",
                    hint="Give this user access to the folder (chown, chmod, mount options).",
                    code="EACCES",
                )
        return f"user {os.geteuid()} may write there"

    def unusable(self) -> ProviderError | None:
        if self._folder.is_yet_to_be_made:
            return None
        try:
            self.check_authentication()
        except ProviderError as error:
            return error
        return None

    def check_container(self) -> str:
        with self._folder.opened() as root, self._folder.translated(""):
            space = os.fstatvfs(root)
            device = os.fstat(root).st_dev
            free = (
                f"{_gigabytes(space.f_bavail * space.f_frsize)} of {_gigabytes(space.f_blocks * space.f_frsize)} free"
            )
            if device == _home_device():
                return f"{free}; WARNING: on the same disk as your home folder, so this is no backup if that disk fails"
            return free

    def close(self) -> None:
        self._listing.close()


def _home_device() -> int | None:
    """None for a user without a home folder, such as a system account."""
    try:
        return os.stat(Path.home()).st_dev
    except (OSError, RuntimeError):
        return None


def _absolute(container: str) -> str:
    path = os.path.expanduser(container)
    if not os.path.isabs(path) or "\0" in path:
        problem = "must not be empty" if not container else f"{container!r} is not an absolute path"
        raise InvalidConfiguration(f"container: {problem}", field="container", hint="Write it as /mnt/backup.")
    return os.path.normpath(path)


def _gigabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:,.1f} GB"


class _FileRange(RangeReader):
    def __init__(self, fd: int, key: str, offset: int, size_bytes: int) -> None:
        self._file = os.fdopen(fd, "rb", buffering=0)
        self._key = key
        self._offset = offset
        self._size = size_bytes
        self._interrupted = False

    def __iter__(self) -> Iterator[bytes]:
        self.total_bytes = os.fstat(self._file.fileno()).st_size
        position, end = self._offset, self._offset + self._size
        while position < end:
            if self._interrupted:
                raise Transient(f"{self._key}: interrupted")
            try:
                data = os.pread(self._file.fileno(), min(CHUNK_BYTES, end - position), position)
            except OSError as error:
                raise from_os_error(error, self._key) from error
            if not data:
                raise Integrity(f"{self._key}: the object ends at byte {position}, earlier than it should")
            position += len(data)
            yield data

    def interrupt(self) -> None:
        self._interrupted = True

    def close(self) -> None:
        self._file.close()
