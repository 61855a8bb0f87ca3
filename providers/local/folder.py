"""Keys inside a folder. Every path is walked from the root, one directory descriptor at a time, so that no name and no
symlink, even one planted meanwhile, leads out of it."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

from providers.errors import Conflict, InvalidName, NotFound, ProviderError, from_os_error
from providers.filesystem.beneath import DIRECTORY

_OURS: Final = re.compile(
    rb"\.homeserver-backup-([0-9a-f]{16})-([0-9a-f]{8,16})-([0-9a-f]{8,16})(?:-([0-9a-f]{1,4}))?\.(?:partial|ledger)"
)
_ATTEMPTS: Final = 8
"""Attempts to recreate a folder that vanishes during an upload because its last other file was deleted."""


def encoded(segment: str) -> bytes:
    """A segment of a key as a file name: UTF-8, with surrogates turned back into their bytes, in every locale."""
    return segment.encode("utf-8", "surrogateescape")


def is_ours(name: bytes) -> bool:
    """Whether a file is one of our unfinished uploads, which listings hide."""
    return _OURS.fullmatch(name) is not None


def _mark(key: str) -> str:
    return hashlib.sha256(encoded(key)).hexdigest()[:16]


def temporary_name(key: str, now_s: float, session_id: str, made: int) -> str:
    """A new name for an unfinished upload of `key`. It encodes the key, the time, the session and the number of folders
    made for it."""
    session_id = session_id or secrets.token_hex(8)
    return f".homeserver-backup-{_mark(key)}-{int(now_s * 1000):08x}-{session_id}-{made:x}.partial"


class BegunFile(NamedTuple):
    """Content of an unfinished upload's name."""

    at_s: float
    """Since the epoch."""
    session_id: str
    made: int
    """Number of folders above it, from the innermost up, that were made for it."""


def begun(name: bytes, key: str) -> BegunFile | None:
    """None if it is not an unfinished upload of `key`."""
    found = _OURS.fullmatch(name)
    if not found or not name.endswith(b".partial") or found[1].decode() != _mark(key):
        return None
    return BegunFile(int(found[2], 16) / 1000, found[3].decode(), int(found[4] or b"0", 16))


def begun_at(name: bytes) -> float | None:
    """Start time of an unfinished upload of any key, in seconds since the epoch; None for any other file."""
    found = _OURS.fullmatch(name)
    return int(found[2], 16) / 1000 if found and name.endswith(b".partial") else None


class Folder:
    """The root of a local instance. Holds no descriptor between calls; usable from several threads.

    All methods raise ProviderError: NotFound if the root is missing (unless `create`), InvalidName for invalid keys and
    for keys that would lead through a symlink.
    """

    def __init__(self, root: str, *, create: bool) -> None:
        self.root = root
        self._create = create
        self._made: set[tuple[bytes, ...]] = set()
        """Folders made for an upload, removed with it."""

    def segments(self, key: str) -> list[bytes]:
        """The path of `key` below the root; raises InvalidName. A trailing '/' (a directory marker) is dropped."""
        try:
            names = [encoded(part) for part in key.removesuffix("/").split("/")]
        except UnicodeEncodeError:
            raise InvalidName(f"'{key}': not a valid file name") from None
        for name in names:
            if name in (b"", b".", b".."):
                raise InvalidName(f"'{key}': a name must be relative, without empty parts, '.' and '..'")
            if b"\0" in name:
                raise InvalidName(f"'{key}': a name cannot contain a NUL")
            if is_ours(name):
                raise InvalidName(f"'{key}': such names are reserved for unfinished uploads")
        return names

    @property
    def is_yet_to_be_made(self) -> bool:
        """Whether the first upload will make the root. Until then it counts as empty; reading does not make it."""
        return self._create and not os.path.lexists(self.root)

    def check_name(self, key: str) -> None:
        """Raises InvalidName for a name that this disk cannot store. A missing root is not checked."""
        names = self.segments(key)
        with suppress(OSError):
            self._check_lengths(os.pathconf(self.root, "PC_NAME_MAX"), key, names)

    @contextmanager
    def opened(self) -> Iterator[int]:
        """The root's descriptor. The root may be a symlink (the user chose it); names below may not."""
        fd = self._open_root()
        try:
            yield fd
        finally:
            os.close(fd)

    def _open_root(self) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            try:
                return os.open(self.root, flags)
            except FileNotFoundError:
                if not self._create:
                    raise
                os.makedirs(self.root, mode=0o700, exist_ok=True)
                return os.open(self.root, flags)
        except FileNotFoundError:
            raise NotFound(
                f"the folder {self.root} does not exist",
                hint="Check that the disk is mounted, create the folder, or set create_folder.",
                code="ENOENT",
            ) from None
        except OSError as error:
            raise from_os_error(error, self.root) from None

    @contextmanager
    def parent(self, key: str, *, create: bool = False) -> Iterator[tuple[int, bytes]]:
        """Descriptor of the directory that holds `key`, and its last name. With `create`, missing directories are made
        durably.

        An OSError inside the block becomes a ProviderError about `key`.
        """
        *parents, name = self.segments(key)
        with self.opened() as root:
            with self.translated(key):
                limit = os.fpathconf(root, "PC_NAME_MAX")
            self._check_lengths(limit, key, [*parents, name])
            with self.translated(key):
                at = os.dup(root)
            try:
                for segment in parents:
                    below = self._step(at, segment, key, create)
                    os.close(at)
                    at = below
                with self.translated(key):
                    yield at, name
            finally:
                os.close(at)

    @contextmanager
    def translated(self, key: str) -> Iterator[None]:
        """Turns OSErrors into ProviderErrors that name the file."""
        try:
            yield
        except OSError as error:
            raise from_os_error(error, os.path.join(self.root, key)) from error

    def _check_lengths(self, limit: int, key: str, names: list[bytes]) -> None:
        if max(map(len, names)) > limit:
            raise InvalidName(f"'{key}': this disk allows names of at most {limit} bytes", code="ENAMETOOLONG")

    def _step(self, at: int, segment: bytes, key: str, create: bool) -> int:
        for _ in range(_ATTEMPTS):
            try:
                return os.open(segment, DIRECTORY, dir_fd=at)
            except FileNotFoundError as error:
                if not create:
                    raise from_os_error(error, os.path.join(self.root, key)) from None
            except OSError as error:
                raise self._not_a_directory(error, at, segment, key, create) from None
            with self.translated(key), suppress(FileExistsError):
                os.mkdir(segment, 0o700, dir_fd=at)
                os.fsync(at)
        raise Conflict(f"'{key}': another program keeps deleting its folder")

    def _not_a_directory(self, error: OSError, at: int, segment: bytes, key: str, create: bool) -> ProviderError:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            with self.translated(key):
                mode = os.stat(segment, dir_fd=at, follow_symlinks=False).st_mode
            shown = segment.decode("utf-8", "surrogateescape")
            if stat.S_ISLNK(mode):
                return InvalidName(f"'{key}': '{shown}' is a symlink, and could lead out of {self.root}", code="ELOOP")
            if create:
                return Conflict(f"'{key}': '{shown}' is a file, so nothing can be stored below it", code="ENOTDIR")
        return from_os_error(error, os.path.join(self.root, key))

    def make_parents(self, key: str) -> int:
        """Make the missing folders above `key`, durably; returns how many, from the innermost up."""
        parents = self.segments(key)[:-1]
        there = len(parents)
        while there and not self._is_there(parents[:there]):
            there -= 1
        with self.parent(key, create=True):
            self.claim(key, len(parents) - there)
        return len(parents) - there

    def _is_there(self, path: list[bytes]) -> bool:
        try:
            with self.parent(_key(path)) as (at, name):
                os.stat(name, dir_fd=at, follow_symlinks=False)
        except NotFound:
            return False
        return True

    def claim(self, key: str, made: int) -> None:
        """Note that the `made` innermost folders above `key` were made for an upload."""
        parents = self.segments(key)[:-1]
        self._made.update(tuple(parents[: len(parents) - above]) for above in range(made))

    def keep(self, key: str) -> None:
        """Note that `key` is stored: its folders now belong to an object. The key may be a folder itself."""
        path = self.segments(key)
        self._made.difference_update(tuple(path[:depth]) for depth in range(1, len(path) + 1))

    def prune_made(self, key: str) -> None:
        """As `prune`, but only for folders made for an upload."""
        self._prune(key, lambda path: tuple(path) in self._made)

    def prune(self, key: str) -> None:
        """Remove the directories above `key` that have become empty, from the innermost up; the root stays.

        A folder made for an object is removed with the last object in it.
        """
        self._prune(key, lambda path: True)

    def _prune(self, key: str, may_go: Callable[[list[bytes]], bool]) -> None:
        parents = self.segments(key)[:-1]
        while parents and may_go(parents):
            try:
                with self.parent(_key(parents)) as (at, name):
                    os.rmdir(name, dir_fd=at)
            except ProviderError:
                return  # not empty, or already gone: stop either way
            self._made.discard(tuple(parents))
            parents.pop()


def _key(path: list[bytes]) -> str:
    return b"/".join(path).decode("utf-8", "surrogateescape")


def open_file(at: int, name: bytes, flags: int = os.O_RDONLY) -> int:
    """Open a regular file. FileNotFoundError for a symlink, directory, pipe or device. Never blocks."""
    try:
        fd = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise FileNotFoundError(errno.ENOENT, "no such object") from None
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileNotFoundError(errno.ENOENT, "no such object")
    return fd
