"""All errors of a storage operation.

    ProviderError                 base; carries message, hint, remedies, code
    ├── Authentication            credentials not accepted: wrong key, expired token, skewed clock
    ├── PermissionDenied          credentials accepted, but this action is not allowed
    ├── NotFound                  the object, the container or the upload session does not exist
    ├── Conflict                  something else is in the way, or it changed meanwhile (409, 412)
    ├── QuotaExceeded             no space left (ENOSPC, storage cap)
    ├── RateLimited               asked to slow down; `retry_after_s` if the service named a time          (retryable)
    ├── Transient                 may succeed on a retry: reset, time-out, 5xx                             (retryable)
    ├── Integrity                 bytes or checksums disagree, or an answer is damaged
    │   └── IncompleteListing     part of a listing cannot be read; `page` holds the rest
    ├── InvalidConfiguration      a setting is missing or wrong; `field` names it
    ├── InvalidName               a name this service cannot store, or one that would leave its folder
    ├── Unsupported               this service or server cannot do it
    └── Cancelled                 stopped on request; nothing failed

No SDK exception leaves a provider, and no message ever holds a secret.
"""

from __future__ import annotations

import errno
import math
import os
from typing import Any, ClassVar, Final

from providers.remedies import Action, Remedy

NO_RANGE: Final = "no_range"
"""`code` of the Unsupported error for "part of an object cannot be read by itself"."""
LONGEST_WAIT_S: Final = 3600.0
"""Longer waits that a service asks for are cut to this; the service can ask again."""


_LONGEST_MESSAGE: Final = 8000
"""Characters. No path is as long; only text of a service is."""


class ProviderError(Exception):
    """A storage operation failed.

    `message` says what happened and why, `hint` how to fix it. `remedies` are the fixes this program offers; each front
    end words them itself. `code` is the service's own code (`AccessDenied`, `ENOSPC`) or empty. `kind` is a stable
    identifier for logs, JSON and exit codes.

    Without a hint or remedies of its own, an error has the `cure` and the remedies of its class. A class with a `cure`
    of its own inherits no remedies: they belong to another error.
    """

    kind: ClassVar[str] = "provider"
    retryable: ClassVar[bool] = False
    cure: ClassVar[str] = ""
    remedies: tuple[Remedy, ...] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "cure" in vars(cls) and "remedies" not in vars(cls):
            cls.remedies = ()

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        remedies: tuple[Remedy, ...] = (),
        code: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        message = message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]} ..."
        super().__init__(message)
        self.message = message
        own = hint or remedies
        self.hint = hint if own else self.cure
        self.remedies = remedies if own else type(self).remedies
        self.code = code
        self.retry_after_s = believable_wait_s(retry_after_s)
        """At most an hour. None if the service named no usable time."""

    def __repr__(self) -> str:
        code = f", code={self.code!r}" if self.code else ""
        return f"{type(self).__name__}({self.message!r}{code})"

    def __reduce__(self) -> tuple[object, ...]:
        return (_without_constructor, (type(self), self.message), dict(vars(self)))


def believable_wait_s(asked_s: float | None) -> float | None:
    """The wait that a service asked for, at most `LONGEST_WAIT_S`; None if it is no usable number."""
    if asked_s is None or math.isnan(asked_s) or asked_s < 0:
        return None
    return float(min(asked_s, LONGEST_WAIT_S))


class Authentication(ProviderError):
    kind = "authentication"
    cure = "Check the credentials."
    remedies: tuple[Remedy, ...] = (Remedy(Action.SET_CREDENTIALS),)


class PermissionDenied(ProviderError):
    kind = "permission"
    cure = "Give this key permission to list, read, write and delete in its container."


class NotFound(ProviderError):
    kind = "not_found"
    cure = "Check the name, and that the container exists."


class Conflict(ProviderError):
    kind = "conflict"
    cure = "Check what is there now, then decide again."


class QuotaExceeded(ProviderError):
    kind = "quota"
    cure = "Make room at the destination, then retry."


class RateLimited(ProviderError):
    kind = "rate_limited"
    retryable = True
    cure = "The service asked to slow down; the transfer continues by itself."


class Transient(ProviderError):
    kind = "transient"
    retryable = True
    server_failed: bool = False
    """The service reported a failure of its own (500). It may still serve other requests."""
    cut_short: bool = False
    """The answer had begun to arrive."""
    cure = "Check the network, then retry: what was sent is kept."


class Integrity(ProviderError):
    kind = "integrity"
    cure = "Retry; if it happens again, suspect the disk, the memory or the service."


class IncompleteListing(Integrity):
    """Part of a listing answer cannot be read. Raised, not returned, so that no caller takes a part for the whole; a
    caller that only displays it uses `page`."""

    page: Any
    """The readable part as a `Page` (untyped: its module imports this one), checked against the request like every
    page. Its `unread` says what is missing."""


class InvalidConfiguration(ProviderError):
    kind = "configuration"
    remedies: tuple[Remedy, ...] = (Remedy(Action.SET_SETTING),)

    def __init__(self, message: str, *, field: str = "", hint: str = "", remedies: tuple[Remedy, ...] = ()) -> None:
        super().__init__(message, hint=hint, remedies=remedies)
        self.field = field


class InvalidName(ProviderError):
    kind = "name"
    cure = "Choose another name."


class Unsupported(ProviderError):
    kind = "unsupported"


class Cancelled(ProviderError):
    kind = "cancelled"


def _classes() -> dict[str, type[ProviderError]]:
    """Error classes by kind. If several share a kind, the one nearest to ProviderError: a subclass that reuses a kind
    is not a class of its own to other processes."""
    found: dict[str, type[ProviderError]] = {}
    level: list[type[ProviderError]] = [ProviderError]
    while level:
        found = {cls.kind: cls for cls in reversed(level)} | found
        level = [child for cls in level for child in cls.__subclasses__()]
    return found


def _without_constructor(cls: type[ProviderError], message: str) -> ProviderError:
    """Skips `__init__`: a subclass may take other arguments than a message."""
    error = cls.__new__(cls, message)
    ProviderError.__init__(error, message)
    return error


def from_wire(
    kind: str, message: str, *, hint: str = "", code: str = "", remedies: tuple[Remedy, ...] = ()
) -> ProviderError:
    """Rebuild an error from the fields that crossed a process boundary. If the module of its class is not imported, it
    is a plain ProviderError with this `kind`."""
    error = _without_constructor(_classes().get(kind, ProviderError), message)
    error.hint = hint
    error.remedies = remedies
    if isinstance(error, InvalidConfiguration):
        error.field = code
    else:
        error.code = code
    if error.kind != kind:
        error.__dict__["kind"] = kind
    return error


_CLASSES: Final[dict[int, type[ProviderError]]] = {
    errno.ENOENT: NotFound,
    errno.ENOTDIR: NotFound,
    errno.EACCES: PermissionDenied,
    errno.EPERM: PermissionDenied,
    errno.EROFS: PermissionDenied,
    errno.ENOSPC: QuotaExceeded,
    errno.EDQUOT: QuotaExceeded,
    errno.EFBIG: QuotaExceeded,
    errno.EEXIST: Conflict,
    errno.EISDIR: Conflict,
    errno.ENOTEMPTY: Conflict,
    errno.ELOOP: InvalidName,
    errno.ENAMETOOLONG: InvalidName,
    errno.EILSEQ: InvalidName,
    errno.EINVAL: InvalidName,
}


_HINTS: Final[dict[type[ProviderError], str]] = {
    NotFound: "Check the path, and that the disk is mounted.",
    PermissionDenied: "Give this user access to it, or choose another place.",
    QuotaExceeded: "Make room on that disk, then retry.",
    Transient: "Check the health of the disk (dmesg, smartctl), then retry.",
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


def lacks_descriptors(error: ProviderError) -> bool:
    """Whether the operation failed because no more files can be opened."""
    return error.code in {errno.errorcode[number] for number in NO_DESCRIPTORS}


def shortage(error: BaseException) -> Transient | None:
    """A lack of descriptors among the causes of an error, however deep; None if there is none."""
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:  # causes may form a cycle
        if isinstance(found, OSError) and found.errno in NO_DESCRIPTORS:
            return _no_descriptors(found.errno, "")
        seen.add(id(found))
        found = found.__cause__ or found.__context__
    return None


def descriptors_exhausted() -> Transient | None:
    """The error if no file can be opened right now, else None. Libraries hide this cause."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        if error.errno in NO_DESCRIPTORS:
            return _no_descriptors(error.errno, "")
    return None


def _no_descriptors(number: int, about: str) -> Transient:
    message, hint = NO_DESCRIPTORS[number]
    return Transient(f"{about}{message}", hint=hint, code=errno.errorcode[number])


def from_os_error(error: OSError, path: str | os.PathLike[str]) -> ProviderError:
    """The ProviderError for an OSError about `path`. An unlisted errno is Transient (EIO, EBUSY, ESTALE)."""
    if error.errno in NO_DESCRIPTORS:
        return _no_descriptors(error.errno, f"{os.fspath(path)}: ")
    cls = _CLASSES.get(error.errno or 0, Transient)
    code = errno.errorcode.get(error.errno or 0, "")
    reason = error.strerror or type(error).__name__
    return cls(f"{os.fspath(path)}: {reason}", hint=_HINTS.get(cls, ""), code=code)
