"""Dependencies passed to a provider, so that tests and the worker control time, randomness and sharing."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

from providers.contract.cancel import CancelToken
from providers.contract.throttle import Limiter, Sleep, cancellable_sleep
from providers.secret import Secret


class Facts(Protocol):
    """Remembers discoveries about a server, by a key that names endpoint and container. Values are JSON objects."""

    def recall(self, key: str) -> dict[str, Any] | None: ...

    def remember(self, key: str, fact: dict[str, Any]) -> None: ...


class FactsInMemory:
    """Facts that live as long as the process."""

    def __init__(self) -> None:
        self._facts: dict[str, dict[str, Any]] = {}

    def recall(self, key: str) -> dict[str, Any] | None:
        return self._facts.get(key)

    def remember(self, key: str, fact: dict[str, Any]) -> None:
        self._facts[key] = fact


def _ignore_call(kind: str) -> None:
    """Counts nothing."""


def _keep_nothing(old: Secret, new: Secret) -> bool:
    return False


_KEY: ContextVar[str] = ContextVar("the one key of several", default="")


@contextmanager
def acting_on(key: str) -> Iterator[None]:
    """Inside, requests of this thread are for this one key of a batch."""
    reset = _KEY.set(key)
    try:
        yield
    finally:
        _KEY.reset(reset)


def active_key() -> str:
    """The key given to `acting_on`; empty if requests serve a whole batch."""
    return _KEY.get()


@dataclass(frozen=True, kw_only=True)
class ProviderContext:
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    sleep: Sleep = cancellable_sleep
    uniform: Callable[[float, float], float] = random.uniform
    patience_s: float | None = None
    """Longest wait inside a call; if a service asks for more, its error is raised. None: no limit."""
    limiter: Limiter | None = None
    """Shared by all transfers of an instance. Without one, a provider creates its own from `max_bandwidth`."""
    cancel: CancelToken = field(default_factory=CancelToken)
    """Stops the guide's five operations if they are called directly."""
    facts: Facts = field(default_factory=FactsInMemory)
    save_secret: Callable[[Secret, Secret], bool] = _keep_nothing
    """Compare-and-swap of a refreshed token: `save_secret(old, new)` returns False if another process was first."""
    count_call: Callable[[str], None] = _ignore_call
    """Called for every request to the service, with its kind ('PutObject'); requests cost money."""
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    """Proxies, certificates and profiles of the user who asked. A process that works for others ignores its own
    environment."""
