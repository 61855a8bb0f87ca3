"""The result of a connection check: each step with its time, the first failure with cause and fix."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from providers.errors import ProviderError, from_wire
from providers.remedies import Remedy

PROBE_PREFIX: Final = ".homeserver-backup-probe-"
"""Prefix of the objects that a check creates and removes. A leftover is ours and can be deleted."""


class StepName(StrEnum):
    REACH = "reach"
    AUTHENTICATE = "authenticate"
    CONTAINER = "container"
    LIST = "list"
    WRITE_READ_DELETE = "write, read, delete"


class StepState(StrEnum):
    OK = "ok"
    FAILED = "failed"
    NOT_RUN = "not_run"
    """An earlier step failed."""


class ErrorInfo(msgspec.Struct, frozen=True):
    """A ProviderError as data, for other processes and for screens."""

    kind: str
    message: str
    hint: str = ""
    code: str = ""
    remedies: tuple[Remedy, ...] = ()

    @classmethod
    def of(cls, error: ProviderError) -> ErrorInfo:
        code = getattr(error, "field", "") or error.code
        return cls(error.kind, error.message, error.hint, code, error.remedies)

    def error(self) -> ProviderError:
        return from_wire(self.kind, self.message, hint=self.hint, code=self.code, remedies=self.remedies)


class CheckStep(msgspec.Struct, frozen=True, kw_only=True):
    name: StepName
    state: StepState
    detail: str = ""
    elapsed_s: float = 0.0
    error: ErrorInfo | None = None


class ConnectionReport(msgspec.Struct, frozen=True, kw_only=True):
    """Result of all five steps, in order."""

    steps: tuple[CheckStep, ...]
    checked_at: float

    @property
    def ok(self) -> bool:
        return all(step.state is StepState.OK for step in self.steps)

    @property
    def failure(self) -> ErrorInfo | None:
        """The first failure, or None."""
        return next((step.error for step in self.steps if step.error), None)
