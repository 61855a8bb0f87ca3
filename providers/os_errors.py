"""OSErrors as errors of `providers.errors`: one table for all code that touches a disk."""

from __future__ import annotations

import errno
import os
from typing import Final

from providers import errors

_CLASSES: Final[dict[int, type[errors.ProviderError]]] = {
    errno.ENOENT: errors.NotFound,
    errno.ENOTDIR: errors.NotFound,
    errno.EACCES: errors.PermissionDenied,
    errno.EPERM: errors.PermissionDenied,
    errno.EROFS: errors.PermissionDenied,
    errno.ENOSPC: errors.QuotaExceeded,
    errno.EDQUOT: errors.QuotaExceeded,
    errno.EFBIG: errors.QuotaExceeded,
    errno.EEXIST: errors.Conflict,
    errno.EISDIR: errors.Conflict,
    errno.ENOTEMPTY: errors.Conflict,
    errno.ELOOP: errors.InvalidName,
    errno.ENAMETOOLONG: errors.InvalidName,
    errno.EILSEQ: errors.InvalidName,
    errno.EINVAL: errors.InvalidName,
}
_HINTS: Final[dict[type[errors.ProviderError], str]] = {
    errors.NotFound: "Check the path, and that the disk is mounted.",
    errors.PermissionDenied: "Give this user access to it, or choose another place.",
    errors.QuotaExceeded: "Make room on that disk, then retry.",
    errors.Transient: "Check the health of the disk (dmesg, smartctl), then retry.",
}


NO_DESCRIPTORS: Final = {
    errno.EMFILE: (
        "this process has reached its limit of open files and connections",
        "It continues once some are closed. Raise the limit (ulimit -n; LimitNOFILE= of a unit), or lower "
        "connection_pool_size.",
    ),
    errno.ENFILE: (
        "this machine has reached its limit of open files",
        "It continues once some are closed. Raise fs.file-max (sysctl), or stop what holds them open (lsof).",
    ),
}
"""Running out of descriptors is no fault of the disk, the file or the service, and it passes."""


def lacks_descriptors(error: errors.ProviderError) -> bool:
    """Whether the operation failed because no more files can be opened."""
    return error.code in {errno.errorcode[number] for number in NO_DESCRIPTORS}


def shortage(error: BaseException) -> errors.Transient | None:
    """A lack of descriptors among the causes of an error, however deep; None if there is none."""
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:  # causes may form a cycle
        if isinstance(found, OSError) and found.errno in NO_DESCRIPTORS:
            return _no_descriptors(found.errno, "")
        seen.add(id(found))
        found = found.__cause__ or found.__context__
    return None


def descriptors_exhausted() -> errors.Transient | None:
    """The error if no file can be opened right now, else None. Libraries hide this cause."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        if error.errno in NO_DESCRIPTORS:
            return _no_descriptors(error.errno, "")
    return None


def _no_descriptors(number: int, about: str) -> errors.Transient:
    message, hint = NO_DESCRIPTORS[number]
    return errors.Transient(f"{about}{message}", hint=hint, code=errno.errorcode[number])


def from_os_error(error: OSError, path: str | os.PathLike[str]) -> errors.ProviderError:
    """The ProviderError for an OSError about `path`. An unlisted errno is Transient (EIO, EBUSY, ESTALE)."""
    if error.errno in NO_DESCRIPTORS:
        return _no_descriptors(error.errno, f"{os.fspath(path)}: ")
    cls = _CLASSES.get(error.errno or 0, errors.Transient)
    code = errno.errorcode.get(error.errno or 0, "")
    reason = error.strerror or type(error).__name__
    return cls(f"{os.fspath(path)}: {reason}", hint=_HINTS.get(cls, ""), code=code)
