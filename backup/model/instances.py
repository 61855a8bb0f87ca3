"""Services and instances as front ends show them and processes exchange them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from providers.contract.report import CheckStep, ConnectionReport, ErrorInfo
from providers.settings import SettingField


class ServiceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of storage the program knows: one that can be used, or one with a reason why not."""

    name: str
    title: str
    summary: str
    fields: tuple[SettingField, ...] = ()
    credential_pair: tuple[str, str] | None = None
    container_word: str = "container"
    unavailable: str = ""
    """Why it cannot be used (an import error); empty if it can."""
    authorized: bool = False
    """Credentials come from a browser (`authorize`), not from a form alone."""


class InstanceState(StrEnum):
    READY = "ready"
    FAILING = "failing"
    """Enabled, but its service refused the last request. Transfers may be queued, as that may be fixed by now."""
    DISABLED = "disabled"
    INCOMPLETE = "incomplete"
    """A required setting or the credentials are missing."""
    UNAVAILABLE = "unavailable"
    """Its service cannot be loaded."""
    INVALID = "invalid"
    """Its part of the configuration is wrong."""


class InstanceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A configured instance of a service. `settings` holds no secret: those read as MASK when set."""

    name: str
    type: str
    title: str
    state: InstanceState
    enabled: bool
    settings: dict[str, Any]
    container: str
    location: str = ""
    problem: ErrorInfo | None = None
    has_credentials: bool | None = None
    """None if the service takes none, or the store could not be read."""
    checked_at: float | None = None
    check_ok: bool | None = None
    check_steps: tuple[CheckStep, ...] = ()
    """Of the last check with these settings; empty if they were not recorded."""
    is_default: bool = False
    """Whether it is used when no provider is named."""
    refusal: ErrorInfo | None = None
    """Why the service refused the last request with these settings; None if it did not, or there was none."""

    @property
    def usable(self) -> bool:
        """Whether it may be used now: its settings are complete, and it is enabled."""
        return self.state in (InstanceState.READY, InstanceState.FAILING)

    @property
    def last_report(self) -> ConnectionReport | None:
        """The last check with these settings, step by step, if known."""
        if not self.check_steps or self.checked_at is None:
            return None
        return ConnectionReport(steps=self.check_steps, checked_at=self.checked_at)
