"""Target of a download: a name in a folder that is kept open, so that nothing is written elsewhere, even if folders are
moved or linked meanwhile."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from providers.errors import Conflict, InvalidName, NotFound, ProviderError, QuotaExceeded, from_os_error
from providers.filesystem import beneath
from providers.filesystem.rename import is_same_file, rename_new
from providers.filesystem.writable import make_writable

TEMP_MARK: Final = ".hsb-part-"
NAME_MAX_BYTES: Final = 255
"""Used if the disk reports no limit."""


def name_too_long(target: Path, longest_bytes: int) -> InvalidName:
    return InvalidName(
        f"{target}: this disk allows names of at most {longest_bytes} bytes",
        hint="Download it alone, to a shorter name.",
        code="ENAMETOOLONG",
    )


def no_place_for_a_file(target: Path) -> InvalidName:
    """The error for a name held by anything but a file, which no file may replace."""
    return InvalidName(f"{target}: is a folder, a link or a device, which a file cannot replace")


def no_place_for_a_link(target: Path) -> Conflict:
    """The error for a name held by anything but a link."""
    return Conflict(
        f"{target}: something of that name is already there",
        hint="A link replaces only a link. Move it away, or choose another folder.",
    )


class Landing:
    """The target of one file; create it with `opened`. All methods raise ProviderError."""

    def __init__(self, target: Path, below: Path | None, at: int) -> None:
        self.target = target
        self._below = below
        self._at = at
        self._refuse_a_long_name()

    @classmethod
    @contextmanager
    def opened(cls, target: Path, below: Path | None) -> Iterator[Landing]:
        """The folder of `target` must exist; no symlink below `below` may lead to it."""
        with beneath.folder(target.parent, below) as way:
            try:
                at = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=way)
            except OSError as error:
                raise from_os_error(error, target.parent) from None
        try:
            yield cls(target, below, at)
        finally:
            os.close(at)

    # Existing files

    def _refuse_a_long_name(self) -> None:
        longest = self._name_max_bytes
        if len(os.fsencode(self.target.name)) > longest:
            raise name_too_long(self.target, longest)

    @property
    def _name_max_bytes(self) -> int:
        try:
            return os.fpathconf(self._at, "PC_NAME_MAX")
        except (OSError, ValueError):
            return NAME_MAX_BYTES

    def existing(self) -> os.stat_result | None:
        """The existing file of the target's name."""
        return self._found(self.target.name)

    def has(self, temp_name: str) -> bool:
        """Whether the temporary file exists."""
        found = self._found(temp_name)
        return found is not None and stat.S_ISREG(found.st_mode)

    def _found(self, name: str) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=self._at, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_os_error(error, self.target) from None

    def refuse_existing(self, *, replace: bool) -> None:
        """InvalidName for anything a file may not replace; without `replace`, Conflict for a file."""
        found = self.existing()
        if found is None:
            return
        if not stat.S_ISREG(found.st_mode):
            raise no_place_for_a_file(self.target)
        if not replace:
            raise Conflict(f"{self.target}: a file of that name is already there")

    # The temporary file

    def temporary_name(self) -> str:
        """A new name, no longer than the disk allows."""
        end = f"{TEMP_MARK}{secrets.token_hex(4)}"
        room = max(0, self._name_max_bytes - len(end) - 1)
        start = os.fsencode(self.target.name)[: min(room, 200)].decode("utf-8", "ignore")
        return f".{start}{end}"

    def open_temporary(self, name: str, size_bytes: int, *, fresh: bool) -> int:
        """Its descriptor, which the caller closes; only the owner can read it. QuotaExceeded if it does not fit."""
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT | os.O_EXCL if fresh else 0)
        try:
            room = os.fstatvfs(self._at)
            if fresh and room.f_blocks and room.f_bavail * room.f_frsize < size_bytes:
                raise QuotaExceeded(
                    f"{self.target.parent}: {size_bytes} bytes do not fit on that disk",
                    hint="Make room there, or choose another folder.",
                )
            if not fresh:
                make_writable(name, at=self._at)
            return os.open(name, flags, 0o600, dir_fd=self._at)
        except OSError as error:
            raise from_os_error(error, self.target.parent / name) from None

    def remove(self, name: str) -> None:
        """Remove the temporary file if it exists."""
        try:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._at)
        except OSError as error:
            raise from_os_error(error, self.target.parent / name) from None

    # Finishing

    def put_in_place(self, fd: int, temp: str, *, replace: bool, reserving: Callable[[], None]) -> None:
        """Give the finished file its name; it is on disk when this returns.

        Without `replace`, Conflict if the name is taken. `reserving` as in `rename_new`.
        """
        self._refuse_a_moved_folder()
        name = self.target.name
        try:
            os.fsync(fd)
            if replace:
                os.replace(temp, name, src_dir_fd=self._at, dst_dir_fd=self._at)
            else:
                rename_new(temp, name, at=self._at, reserving=reserving)
            os.fsync(self._at)
        except FileExistsError:
            raise Conflict(f"{self.target}: a file of that name is already there", code="EEXIST") from None
        except OSError as error:
            raise from_os_error(error, self.target) from None

    def remove_reservation(self) -> None:
        """Remove the empty file with which an earlier, killed attempt reserved the name."""
        found = self.existing()
        if found is not None and stat.S_ISREG(found.st_mode) and found.st_size == 0:
            self.remove(self.target.name)

    def link_text(self) -> bytes | None:
        """Target of the symlink of that name, or None."""
        try:
            return os.readlink(os.fsencode(self.target.name), dir_fd=self._at)
        except OSError:
            return None

    def put_link(self, text: bytes, *, replace: bool, mtime_ns: int | None = None) -> bool:
        """Create a symlink to `text`, with its own mtime; returns whether it replaced another link. Raises Conflict for
        any other file or folder of that name."""
        self._refuse_a_moved_folder()
        older = self.existing()
        if older is not None and not (replace and stat.S_ISLNK(older.st_mode)):
            raise no_place_for_a_link(self.target)
        temp, name = os.fsencode(self.temporary_name()), os.fsencode(self.target.name)
        try:
            os.symlink(text, temp, dir_fd=self._at)
            try:
                if mtime_ns is not None:
                    os.utime(temp, ns=(mtime_ns, mtime_ns), dir_fd=self._at, follow_symlinks=False)
                if older is None:
                    rename_new(temp, name, at=self._at)
                else:
                    os.replace(temp, name, src_dir_fd=self._at, dst_dir_fd=self._at)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(temp, dir_fd=self._at)
            os.fsync(self._at)
        except FileExistsError:
            raise Conflict(f"{self.target}: something of that name is already there", code="EEXIST") from None
        except OSError as error:
            raise from_os_error(error, self.target) from None
        return older is not None

    def linked(self, temp: str) -> bool:
        """Whether a process was killed between naming the file and removing the temporary name."""
        try:
            return is_same_file(temp, self.target.name, at=self._at)
        except OSError:
            return False

    def _refuse_a_moved_folder(self) -> None:
        """The file must end up at the reported path."""
        here = os.fstat(self._at)
        try:
            with beneath.folder(self.target.parent, self._below) as way:
                there = os.fstat(way)
        except NotFound as error:
            raise self._moved() from error
        if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
            raise self._moved()

    def _moved(self) -> ProviderError:
        return Conflict(
            f"{self.target.parent}: the folder was moved or replaced during the download",
            hint="Download it again once the folder stays where it is.",
        )


def remove_leftover(target: Path, temp_name: str) -> None:
    """Remove the temporary file of `target`; no error if the folder is gone. Raises ProviderError."""
    try:
        with Landing.opened(target, None) as landing:
            landing.remove(temp_name)
    except (NotFound, InvalidName):
        return
