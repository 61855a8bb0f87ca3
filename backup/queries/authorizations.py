"""Authorisations in progress: the flows of `providers.oauth`, each kept under a name until it ends.

They run where services may be loaded: in the command line's own process, or in the console's child. The grant is
returned to the front end, which saves it with `Instances.save`, secrets in the credential store.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from backup.system import redaction
from providers import oauth
from providers.contract.authorization import EXPIRED, Authorization, AuthorizationFlow, Grant
from providers.contract.context import ProviderContext
from providers.errors import Authentication, Conflict

_MAX_FLOWS: Final = 8


class BegunAuthorization(msgspec.Struct, frozen=True, kw_only=True):
    flow: str
    """Its name for `finish`, `poll` and `end`."""
    authorization: Authorization


@dataclass
class _Open:
    flow: AuthorizationFlow
    lock: threading.Lock = field(default_factory=threading.Lock)
    """A flow is used by one thread at a time."""


class Authorizations:
    """Safe from any thread. A flow is closed once it has its grant or has ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, _Open] = {}

    def begin(self, service: str, values: Mapping[str, Any], method: str = "") -> BegunAuthorization:
        """Begin an authorisation with an instance's settings. Raises as `providers.oauth.open_flow` and `begin`."""
        flow = oauth.open_flow(service, values, method, context=ProviderContext())
        try:
            authorization = flow.begin()
        except BaseException:
            flow.close()
            raise
        name = secrets.token_urlsafe(12)
        with self._lock:
            full = len(self._open) >= _MAX_FLOWS
            if not full:
                self._open[name] = _Open(flow)
        if full:
            flow.close()
            raise Conflict("too many authorisations are in progress", hint="End the others first.")
        return BegunAuthorization(flow=name, authorization=authorization)

    def finish(self, name: str, pasted: str) -> Grant:
        """The grant for the pasted text. After an error, the flow decides whether it can be pasted again."""
        opened = self._get(name)
        with opened.lock:
            return self._granted(name, opened.flow.finish(pasted))

    def poll(self, name: str) -> Grant | None:
        """The grant once there is one."""
        opened = self._get(name)
        with opened.lock:
            grant = opened.flow.poll()
        return None if grant is None else self._granted(name, grant)

    def end(self, name: str) -> None:
        """Give up an authorisation. Does nothing for an unknown name."""
        with self._lock:
            opened = self._open.pop(name, None)
        if opened:
            opened.flow.close()

    def close(self) -> None:
        for name in list(self._open):
            self.end(name)

    def _get(self, name: str) -> _Open:
        with self._lock:
            opened = self._open.get(name)
        if opened is None:
            raise Authentication("this authorisation is over", hint="Start again.", code=EXPIRED)
        return opened

    def _granted(self, name: str, grant: Grant) -> Grant:
        redaction.hide(*grant.secrets.values())
        self.end(name)
        return grant
