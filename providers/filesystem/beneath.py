"""Paths below a chosen folder, walked one directory descriptor at a time, so that a symlink planted later cannot lead
out of it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from providers.contract.attributes import current_umask
from providers.errors import Conflict, InvalidName, ProviderError, from_os_error

_FOLLOW: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
"""O_PATH needs no permission to read the directory, only to pass through it."""
STEP: Final = _FOLLOW | os.O_NOFOLLOW
DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""For a directory to be read."""
_KEPT_OPEN: Final = 32


@contextmanager
def folder(path: Path, beneath: Path | None, *, make: bool = False, mode: int | None = None) -> Iterator[int]:
    """A descriptor of the directory `path`, for use as `dir_fd`.

    Links in `beneath` itself are followed, but no name below it may be a symlink. Without it, links in all of `path`
    are followed. With `make`, missing directories are made: below `beneath` with exactly this `mode`, regardless of the
    umask of this process; otherwise, or if it is None, with 0777 less that umask. Raises ProviderError: InvalidName for
    a symlink in the path.
    """
    base, names = _split(path, beneath)
    at = _open_base(base, make=make)
    try:
        for number, name in enumerate(names, 1):
            below = _step(at, name, base.joinpath(*names[:number]), make, mode)
            os.close(at)
            at = below
        yield at
    finally:
        os.close(at)


def _split(path: Path, beneath: Path | None) -> tuple[Path, tuple[str, ...]]:
    if beneath is None:
        return path, ()
    try:
        names = path.relative_to(beneath).parts
    except ValueError:
        raise InvalidName(f"{path}: is not in {beneath}") from None
    if ".." in names:
        raise InvalidName(f"{path}: '..' leads out of {beneath}")
    return beneath, names


def _open_base(base: Path, *, make: bool) -> int:
    try:
        if make:
            base.mkdir(parents=True, exist_ok=True)
        return os.open(base, _FOLLOW)
    except OSError as error:
        raise from_os_error(error, base) from None
    except ValueError:  # a NUL
        raise InvalidName(f"{str(base)!r}: not a valid folder name") from None


def _step(at: int, name: str, path: Path, make: bool, mode: int | None) -> int:
    try:
        try:
            return os.open(name, STEP, dir_fd=at)
        except FileNotFoundError:
            if not make:
                raise
            try:
                os.mkdir(name, 0o777 if mode is None else mode, dir_fd=at)
            except FileExistsError:  # another process made it meanwhile
                mode = None
            below = os.open(name, STEP, dir_fd=at)
            if mode is not None:
                _give_mode(below, mode)
            return below
    except OSError as error:
        raise _obstacle(error, at, name, path) from None


def _give_mode(fd: int, mode: int) -> None:
    """Add the mode bits that the umask removed. Keeps an inherited setgid."""
    now = stat.S_IMODE(os.fstat(fd).st_mode)
    taken = mode & current_umask() & ~now
    if taken:
        with suppress(OSError):  # a disk without modes
            os.chmod(f"/proc/self/fd/{fd}", now | taken)


def _obstacle(error: OSError, at: int, name: str, path: Path) -> ProviderError:
    if error.errno in (errno.ENOTDIR, errno.ELOOP):
        with suppress(OSError):
            mode = os.stat(name, dir_fd=at, follow_symlinks=False).st_mode
            return a_link(path) if stat.S_ISLNK(mode) else a_file(path)
    return from_os_error(error, path)


def a_file(path: Path) -> Conflict:
    """The error for a file where a folder is needed."""
    return Conflict(f"{path}: a file is where a folder is needed")


def a_link(path: Path) -> InvalidName:
    """The error for a symlink where none may be followed."""
    return InvalidName(
        f"{path}: is a symbolic link, which could lead out of the chosen folder",
        hint="Links inside a chosen folder are never followed. Remove the link, or choose what it points to.",
        code="ELOOP",
    )


class Way:
    """The open directories along a walk. On a deep path only the first and last stay open, to save descriptors; others
    are reopened by name, never through a symlink."""

    def __init__(self, fd: int) -> None:
        self._steps: list[tuple[bytes, int | None]] = [(b"", fd)]

    def here(self) -> int:
        """The descriptor of the current directory."""
        name, fd = self._steps[-1]
        if fd is None:
            fd = self._opened_again()
            self._steps[-1] = (name, fd)
        return fd

    def _opened_again(self) -> int:
        start, fd = max((at, fd) for at, (_, fd) in enumerate(self._steps) if fd is not None)
        at = os.dup(fd)
        for name, _ in self._steps[start + 1 :]:
            try:
                below = os.open(name, DIRECTORY, dir_fd=at)
            finally:
                os.close(at)
            at = below
        return at

    def enter(self, name: bytes) -> None:
        fd = os.open(name, DIRECTORY, dir_fd=self.here())
        above, open_above = self._steps[-1]
        if open_above is not None and len(self._steps) > _KEPT_OPEN:
            os.close(open_above)
            self._steps[-1] = (above, None)
        self._steps.append((name, fd))

    def go(self, names: Sequence[bytes]) -> None:
        """Go to the directory `names` below the first one, reusing the common part of both paths. After an OSError the
        position is somewhere on the path."""
        here = [name for name, _ in self._steps[1:]]
        common = next((at for at, pair in enumerate(zip(here, names, strict=False)) if pair[0] != pair[1]), len(names))
        while len(self._steps) - 1 > min(common, len(names)):
            self.leave()
        for name in names[len(self._steps) - 1 :]:
            self.enter(name)

    def leave(self) -> None:
        _, fd = self._steps.pop()
        if fd is not None:
            os.close(fd)

    def close(self) -> None:
        while self._steps:
            self.leave()
