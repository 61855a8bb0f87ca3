"""The file to upload, checked for changes: a file that changes while it is read never counts as success."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from providers.contract.attributes import UNKNOWN, Attributes
from providers.contract.cancel import CancelToken
from providers.contract.digests import sha256_of
from providers.contract.objects import storable_ns
from providers.contract.upload import SourceIdentity
from providers.errors import Integrity, InvalidName, ProviderError, from_os_error
from providers.filesystem import beneath as walk
from providers.filesystem.spool import Spool, is_true

_OPEN: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
"""Never blocks, even if a pipe has taken the file's place."""


class Source:
    """An open file, and its state when it was opened."""

    def __init__(self, fd: int, path: Path, beneath: Path | None) -> None:
        self.fd = fd
        """The descriptor to read: the file itself, or a copy if its reported size is wrong."""
        self.path = path
        self._beneath = beneath
        self._file = fd
        self._then = os.fstat(fd)
        self.identity = self._identity(self._then.st_size)
        self.attributes = Attributes.of(self._then)

    @property
    def ctime_ns(self) -> int:
        """Last change of the file or of its metadata."""
        return self._then.st_ctime_ns

    @property
    def mtime_ns(self) -> int | None:
        """None if nothing can keep it (`storable_ns`)."""
        return storable_ns(self._then.st_mtime_ns)

    def _identity(self, size_bytes: int) -> SourceIdentity:
        return SourceIdentity(size_bytes=size_bytes, mtime_ns=self.mtime_ns or 0, inode=self._then.st_ino)

    def measure(self, *, limit_bytes: int, timeout_s: float, cancel: CancelToken) -> None:
        """Check that the file ends where its size says. If not, read a copy up to its real end.

        Raises ProviderError: Integrity if that end is not reached within `limit_bytes` and `timeout_s`.
        """
        try:
            if is_true(self._file, self._then.st_size):
                return
        except OSError as error:
            raise from_os_error(error, self.path) from None
        copy = Spool(self._file, self.path, limit_bytes=limit_bytes, timeout_s=timeout_s, cancel=cancel).copy()
        self.fd = copy
        self.identity = self._identity(os.fstat(copy).st_size)

    @property
    def readable_path(self) -> Path:
        """A path for code that needs one; it leads to exactly this file if the system supports that."""
        if self._beneath is None and self.fd == self._file:
            return self.path
        descriptor = Path(f"/proc/self/fd/{self.fd}")
        return descriptor if descriptor.exists() else self.path

    @property
    def unchanged(self) -> bool:
        now = os.fstat(self._file)
        return _facts(now) == _facts(self._then) and now.st_ctime_ns == self._then.st_ctime_ns

    def refuse_a_change(self, sha256: str, cancel: CancelToken) -> None:
        """Raises Integrity if the path no longer names the opened file, or `sha256` does not match its content.

        An mtime can be reset; a ctime cannot, but it also changes with modes and links. If only the ctime has changed,
        a second read of the file decides.
        """
        if self._is_another() or (not self.unchanged and (self._reads_otherwise(sha256, cancel) or self._is_another())):
            raise Integrity(
                f"{self.path}: the file changed while it was read", hint="Upload it again when nothing writes to it."
            )

    def _is_another(self) -> bool:
        """Whether size or times show other content, or another file has taken the name."""
        then = self._then
        if _facts(os.fstat(self._file)) != _facts(then):
            return True
        try:
            found = look(self.path, self._beneath)
        except ProviderError:
            return True
        return (found.st_dev, found.st_ino) != (then.st_dev, then.st_ino)

    def _reads_otherwise(self, sha256: str, cancel: CancelToken) -> bool:
        if self.fd != self._file:
            return True  # the file cannot be compared with its copy
        return sha256_of(self._file, self._then.st_size, cancel) != sha256

    def close(self) -> None:
        if self.fd != self._file:
            os.close(self.fd)
        os.close(self._file)


class LinkText(Source):
    """The target of a symlink, as the content of a file."""

    def __init__(self, fd: int, path: Path, beneath: Path | None, then: os.stat_result) -> None:
        self.fd = self._file = fd
        self.path = path
        self._beneath = beneath
        self._then = then
        self.attributes = UNKNOWN
        self.identity = self._identity(os.fstat(fd).st_size)

    def measure(self, *, limit_bytes: int, timeout_s: float, cancel: CancelToken) -> None:
        """Nothing to do: it is a copy already."""

    @property
    def unchanged(self) -> bool:
        return not self._is_another()

    def _is_another(self) -> bool:
        """A link cannot be rewritten, only replaced."""
        try:
            return _facts(look(self.path, self._beneath)) != _facts(self._then)
        except ProviderError:
            return True


def _facts(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def look(path: Path, beneath: Path | None) -> os.stat_result:
    """The stat of the current file of that name; with `beneath`, symlinks are not followed. Raises ProviderError."""
    try:
        if beneath is None:
            return os.stat(path)
        with walk.folder(path.parent, beneath) as at:
            return os.stat(path.name or ".", dir_fd=at, follow_symlinks=False)  # "/" has no name
    except OSError as error:
        raise from_os_error(error, path) from None


@contextmanager
def opened(path: Path, *, beneath: Path | None = None) -> Iterator[Source]:
    """Open a regular file. Raises InvalidName if it is none, and ProviderError if it cannot be read.

    With `beneath`, neither the file nor a folder between the two may be a symlink. Without it, links in `path` are
    followed. Never blocks, whatever has taken the file's place.
    """
    _refuse_other_kinds(look(path, beneath), path)  # before opening: opening a device can have effects
    fd = _open(path, beneath)
    try:
        _refuse_other_kinds(os.fstat(fd), path)
        source = Source(fd, path, beneath)
    except BaseException:
        os.close(fd)
        raise
    try:
        yield source
    finally:
        source.close()


@contextmanager
def opened_link(path: Path, beneath: Path) -> Iterator[Source]:
    """The text of the symlink `path`, which is not followed. Raises ProviderError; InvalidName if it is not a link."""
    try:
        with walk.folder(path.parent, beneath) as at:
            then = os.stat(path.name, dir_fd=at, follow_symlinks=False)
            if not stat.S_ISLNK(then.st_mode):
                raise InvalidName(f"{path}: is no longer a symbolic link")
            text = os.fsencode(os.readlink(path.name, dir_fd=at))
    except OSError as error:
        raise from_os_error(error, path) from None
    with tempfile.TemporaryFile(buffering=0) as copy:
        copy.write(text)
        source = LinkText(os.dup(copy.fileno()), path, beneath, then)
    try:
        yield source
    finally:
        source.close()


def _open(path: Path, beneath: Path | None) -> int:
    try:
        if beneath is None:
            return os.open(path, _OPEN)
        with walk.folder(path.parent, beneath) as at:
            return os.open(path.name, _OPEN | os.O_NOFOLLOW, dir_fd=at)
    except OSError as error:
        if beneath is not None and error.errno == errno.ELOOP:
            raise walk.a_link(path) from None
        raise from_os_error(error, path) from None


def _refuse_other_kinds(found: os.stat_result, path: Path) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise walk.a_link(path)
    if not stat.S_ISREG(found.st_mode):
        raise InvalidName(f"{path}: not a regular file", hint="Only regular files are uploaded.")
