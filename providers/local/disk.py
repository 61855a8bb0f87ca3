"""Detection of whether the disk of a folder stores modes and owners."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final, NamedTuple

from providers.local.folder_attributes import NAME

_MOUNTS: Final = Path("/proc/self/mountinfo")
_WITHOUT_MODES: Final = frozenset({"vfat", "msdos", "exfat", "fuseblk", "ntfs", "cifs", "smb3"})
_NO_ATTRIBUTES: Final = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


class Keeps(NamedTuple):
    modes: bool
    """Modes of files."""
    folder_modes: bool
    """Modes of folders, in an extended attribute."""


def keeps(root: str) -> Keeps:
    """For the disk that holds `root`, or will. Support that cannot be determined is assumed."""
    path = Path(root)
    for place in (path, *path.parents):
        try:
            device = os.stat(place).st_dev
        except OSError:
            continue
        modes = _type_of(device) not in _WITHOUT_MODES
        return Keeps(modes=modes, folder_modes=modes and _has_attributes(place))
    return Keeps(modes=True, folder_modes=True)


def _has_attributes(place: Path) -> bool:
    if not hasattr(os, "getxattr"):
        return False
    try:
        os.getxattr(place, NAME)
    except OSError as error:
        return error.errno not in _NO_ATTRIBUTES
    return True


def _type_of(device: int) -> str:
    """The file system type of a device; '' if unknown. Source: proc_pid_mountinfo(5)."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = _MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) > 2 and fields[2] == wanted:
            return after.partition(" ")[0]
    return ""
