"""What an OSError means, in the terms of `providers.errors`. One table for everything that touches a disk."""

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
    errors.Transient: "Look at the disk's health (dmesg, smartctl), then retry.",
}


def from_os_error(error: OSError, path: str | os.PathLike[str]) -> errors.ProviderError:
    """The ProviderError for an OSError about `path`; an errno of no known meaning is Transient (EIO, EBUSY, ESTALE)."""
    cls = _CLASSES.get(error.errno or 0, errors.Transient)
    code = errno.errorcode.get(error.errno or 0, "")
    reason = error.strerror or type(error).__name__
    return cls(f"{os.fspath(path)}: {reason}", hint=_HINTS.get(cls, ""), code=code)
