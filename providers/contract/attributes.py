"""Mode, owner and group of a file, stored with its object in rclone's metadata format: `mode` in octal with the file
type, `uid` and `gid` in decimal. Values from a service are hostile until parsed.

Source: https://rclone.org/local/#metadata, and the output of `rclone copy -M`.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from providers.errors import PermissionDenied
from providers.remedies import Action, Remedy

_MODE: Final = re.compile(r"0?1?[0-7]{3,5}", re.ASCII)
_ID: Final = re.compile(r"[0-9]{1,10}", re.ASCII)
_NO_ID: Final = 2**32 - 1
"""chown takes it as "do not change"."""
PERMISSIONS: Final = 0o777
_SPECIAL: Final = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
_NOT_KEPT_HERE: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
_UMASK: Final = re.compile(rb"^Umask:\s*([0-7]+)", re.MULTILINE)
_UMASK_LOCK: Final = threading.Lock()


class Attributes(msgspec.Struct, frozen=True, kw_only=True):
    """The known mode, owner and group of a file; None if unknown."""

    mode: int | None = None
    """Includes the file type, like `st_mode`."""
    uid: int | None = None
    gid: int | None = None
    ignored: int = 0
    """Number of invalid values found."""

    @classmethod
    def of(cls, found: os.stat_result) -> Attributes:
        return cls(mode=found.st_mode, uid=found.st_uid, gid=found.st_gid)

    @classmethod
    def parse(cls, metadata: Mapping[str, Any], *, folder: bool = False) -> Attributes:
        """From an object's metadata, written by any program. An invalid mode or id, or a mode with another file type
        than expected, is ignored and counted."""
        given = {name: metadata[name] for name in ("mode", "uid", "gid") if metadata.get(name) is not None}
        mode = _mode(given.get("mode"), stat.S_IFDIR if folder else stat.S_IFREG)
        uid, gid = _id(given.get("uid")), _id(given.get("gid"))
        known = sum(value is not None for value in (mode, uid, gid))
        return cls(mode=mode, uid=uid, gid=gid, ignored=len(given) - known)

    def as_metadata(self) -> dict[str, str]:
        """The metadata to store with the object."""
        found: dict[str, str] = {}
        if self.mode is not None:
            found["mode"] = f"{self.mode:o}"
        if self.uid is not None:
            found["uid"] = str(self.uid)
        if self.gid is not None:
            found["gid"] = str(self.gid)
        return found

    @property
    def special(self) -> bool:
        """Setuid, setgid or sticky: restored only together with the owner."""
        return bool((self.mode or 0) & _SPECIAL)

    @property
    def owned(self) -> bool:
        """Whether only a restore with the owner restores everything."""
        ids = ((self.uid, os.geteuid()), (self.gid, os.getegid()))
        return self.special or any(kept is not None and kept != own for kept, own in ids)

    @property
    def usual(self) -> bool:
        """Whether a restore by this user gives the same result without any stored attributes."""
        if self.mode is None:
            return True
        wanted = 0o755 if stat.S_ISDIR(self.mode) else 0o644
        return stat.S_IMODE(self.mode) == wanted and (self.uid, self.gid) == (os.geteuid(), os.getegid())

    def same(self, other: Attributes) -> bool:
        return (self.mode, self.uid, self.gid) == (other.mode, other.uid, other.gid)


UNKNOWN: Final = Attributes()


def _mode(text: object, kind: int) -> int | None:
    """rclone also accepts permissions without a file type. A decimal number never has the required type."""
    if not isinstance(text, str) or not _MODE.fullmatch(text):
        return None
    mode = int(text, 8)
    if stat.S_IFMT(mode) == 0:
        return kind | mode if mode <= PERMISSIONS | _SPECIAL else None
    return mode if stat.S_IFMT(mode) == kind else None


def _id(text: object) -> int | None:
    if not isinstance(text, str) or not _ID.fullmatch(text):
        return None
    return int(text) if int(text) < _NO_ID else None


class Restoring(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes that a restored file gets."""

    owner: bool = False
    """Also restore owner, group, setuid, setgid and sticky; else only the nine permission bits."""
    umask: int | None = None
    """Umask of the user who asked for the file, for files without a known mode. None: that of this process."""

    def mode_of(self, found: Attributes, *, folder: bool = False) -> int:
        """Setuid and setgid are kept only together with the owner and group they belong to."""
        if found.mode is None:
            return (0o777 if folder else 0o666) & ~(current_umask() if self.umask is None else self.umask)
        mode = stat.S_IMODE(found.mode)
        if not self.owner:
            return mode & PERMISSIONS
        if found.uid is None:
            mode &= ~stat.S_ISUID
        if found.gid is None and not folder:
            mode &= ~stat.S_ISGID
        return mode

    def apply(
        self, fd: int, found: Attributes, *, replaced: os.stat_result | None = None, folder: bool = False
    ) -> None:
        """Set the owner and then the mode of an open file or folder, in this order because chown clears setuid.

        A file without a known mode never becomes readable for more users than the file it replaces. Raises OSError, and
        PermissionDenied if this user may not change the owner.
        """
        mode = self.mode_of(found, folder=folder)
        if found.mode is None and replaced is not None:
            mode &= stat.S_IMODE(replaced.st_mode)
        if folder and not self.owner:
            mode |= os.fstat(fd).st_mode & stat.S_ISGID  # inherited from the parent folder
        if self.owner:
            _give_away(fd, found)
        try:
            os.fchmod(fd, mode)
        except OSError as error:
            if error.errno not in _NOT_KEPT_HERE:  # FAT, exFAT and some network shares have no modes
                raise


def _give_away(fd: int, found: Attributes) -> None:
    now = os.fstat(fd)
    uid = now.st_uid if found.uid is None else found.uid
    gid = now.st_gid if found.gid is None else found.gid
    if (uid, gid) == (now.st_uid, now.st_gid):
        return
    try:
        os.fchown(fd, uid, gid)
    except OSError as error:
        if error.errno not in _NOT_KEPT_HERE:
            raise
        raise PermissionDenied(
            f"this user may not give files to user {uid} and group {gid}",
            hint="Restore it as root, or without its owner.",
            remedies=(Remedy(Action.RESTORE_WITHOUT_OWNER),),
            code=errno.errorcode[error.errno],
        ) from None


def keep(fd: int, found: Attributes) -> None:
    """Give a stored copy its attributes as far as this user and the disk allow: special bits only with their owner, and
    always readable for its owner."""
    now = os.fstat(fd)
    uid = now.st_uid if found.uid is None else found.uid
    gid = now.st_gid if found.gid is None else found.gid
    ours = (uid, gid) == (now.st_uid, now.st_gid)
    if not ours:
        try:
            os.fchown(fd, uid, gid)
            ours = True
        except OSError as error:
            if error.errno not in _NOT_KEPT_HERE:
                raise
    if found.mode is None:
        return
    mode = stat.S_IMODE(found.mode) if ours else stat.S_IMODE(found.mode) & PERMISSIONS | stat.S_IRUSR
    try:
        os.fchmod(fd, mode)
    except OSError as error:
        if error.errno not in _NOT_KEPT_HERE:
            raise


def current_umask() -> int:
    """Umask of this process, read without changing it if the system allows."""
    try:
        found = _UMASK.search(Path("/proc/self/status").read_bytes())
    except OSError:
        found = None
    if found:
        return int(found[1], 8)
    with _UMASK_LOCK:
        umask = os.umask(0o077)
        os.umask(umask)
    return umask
