"""Every way a storage operation can fail.

    ProviderError                 base; carries message, hint, code
    ├── Authentication            who you are was not accepted: wrong key, expired token, skewed clock
    ├── PermissionDenied          you are known, but may not do this
    ├── NotFound                  the object, the container or the upload session is not there
    ├── Conflict                  something else is there, or changed meanwhile (409, 412)
    ├── QuotaExceeded             no room left (ENOSPC, storage cap)
    ├── RateLimited               asked to slow down; `retry_after_s` when the service said for how long   (retryable)
    ├── Transient                 may well work next time: reset, time-out, 5xx                            (retryable)
    ├── Integrity                 bytes or checksums do not agree, or an answer is damaged
    │   └── IncompleteListing     a part of a listing cannot be read; `page` is the other
    ├── InvalidConfiguration      a setting is missing or wrong; `field` names it
    ├── InvalidName               a name that this service cannot hold, or that would leave its folder
    ├── Unsupported               this service, or this server, cannot do that
    └── Cancelled                 somebody asked to stop; nothing failed

No exception of an SDK leaves a provider, and no secret is ever part of a message.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Final

NO_RANGE: Final = "no_range"
"""`code` of the Unsupported that means: a part of an object cannot be read for itself."""
LONGEST_WAIT_S: Final = 3600.0
"""No service is believed to need a longer pause than that at once; one that does asks again."""


class ProviderError(Exception):
    """A storage operation failed.

    `message` says what happened and why, `hint` what the user can do, `code` is the service's own word for it
    (`AccessDenied`, `ENOSPC`), empty where there is none. `kind` is a stable identifier for logs, JSON and exit codes.
    """

    kind: ClassVar[str] = "provider"
    retryable: ClassVar[bool] = False
    cure: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "", code: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.cure
        self.code = code
        self.retry_after_s = believable_wait_s(retry_after_s)
        """At most an hour, whoever said it; None where nothing sensible was said."""

    def __repr__(self) -> str:
        code = f", code={self.code!r}" if self.code else ""
        return f"{type(self).__name__}({self.message!r}{code})"

    def __reduce__(self) -> tuple[object, ...]:
        return (_without_constructor, (type(self), self.message), dict(vars(self)))


def believable_wait_s(told_s: float | None) -> float | None:
    """What a service says about how long to wait, as far as it is believed."""
    if told_s is None or math.isnan(told_s) or told_s < 0:
        return None
    return float(min(told_s, LONGEST_WAIT_S))


class Authentication(ProviderError):
    kind = "authentication"
    cure = "Check the credentials, and set them anew with set-credentials."


class PermissionDenied(ProviderError):
    kind = "permission"
    cure = "Give this key the right to list, read, write and delete in its container."


class NotFound(ProviderError):
    kind = "not_found"
    cure = "Check the name, and that the container exists."


class Conflict(ProviderError):
    kind = "conflict"
    cure = "Look at what is there now, then decide again."


class QuotaExceeded(ProviderError):
    kind = "quota"
    cure = "Make room at the destination, then retry."


class RateLimited(ProviderError):
    kind = "rate_limited"
    retryable = True
    cure = "The service asked to slow down; the transfer goes on by itself."


class Transient(ProviderError):
    kind = "transient"
    retryable = True
    server_failed: bool = False
    """The service itself answered that it failed (500). Others may well be served at that moment."""
    cut_short: bool = False
    """An answer had begun to arrive."""
    cure = "Check the network, then retry: what was sent is kept."


class Integrity(ProviderError):
    kind = "integrity"
    cure = "Send it again; if that repeats, distrust the disk, the memory or the service."


class IncompleteListing(Integrity):
    """Something in an answer that lists cannot be read. It is raised and not returned, so that nobody acts on a part as
    if it were all; whoever only shows it takes `page`."""

    page: Any
    """The `Page` of what can be read (whose module imports this one), compared with what was asked for as every page
    is; its `unread` says what is missing."""


class InvalidConfiguration(ProviderError):
    kind = "configuration"
    cure = "Correct the setting with set-config."

    def __init__(self, message: str, *, field: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.field = field


class InvalidName(ProviderError):
    kind = "name"
    cure = "Choose another name."


class Unsupported(ProviderError):
    kind = "unsupported"


class Cancelled(ProviderError):
    kind = "cancelled"


def _classes() -> dict[str, type[ProviderError]]:
    """By kind. Of several with the same one, that nearest to ProviderError: a subclass that has its parent's kind, or
    borrows another's, is no class of its own to other processes."""
    found: dict[str, type[ProviderError]] = {}
    level: list[type[ProviderError]] = [ProviderError]
    while level:
        found = {cls.kind: cls for cls in reversed(level)} | found
        level = [child for cls in level for child in cls.__subclasses__()]
    return found


def _without_constructor(cls: type[ProviderError], message: str) -> ProviderError:
    """The constructor of a subclass may take something else than a message."""
    error = cls.__new__(cls, message)
    ProviderError.__init__(error, message)
    return error


def from_wire(kind: str, message: str, *, hint: str = "", code: str = "") -> ProviderError:
    """Rebuild an error that crossed a process boundary as `kind`, `message`, `hint`, `code`. It has exactly these, also
    where nobody has imported the module of its class: it is a plain ProviderError then."""
    error = _without_constructor(_classes().get(kind, ProviderError), message)
    error.hint = hint
    if isinstance(error, InvalidConfiguration):
        error.field = code
    else:
        error.code = code
    if error.kind != kind:
        error.__dict__["kind"] = kind
    return error
