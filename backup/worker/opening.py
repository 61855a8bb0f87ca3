"""The one provider of an instance that all its transfers share: opened when needed, replaced when the configuration
changed, closed when idle."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from backup import places
from backup.instances import open_provider
from backup.journal import jobs
from backup.worker.crew import Crew
from providers.cancel import CancelToken
from providers.context import ProviderContext
from providers.errors import InvalidConfiguration
from providers.throttle import Limiter

if TYPE_CHECKING:
    from providers.base import BaseProvider

_LOG: Final = logging.getLogger(__name__)
_POLL_S: Final = 0.1


class PlaceChanged(InvalidConfiguration):
    """The instance points elsewhere than when the item was queued."""


class _Opened:
    def __init__(self, provider: BaseProvider, signature: object) -> None:
        self.provider = provider
        self.signature = signature
        self.users = 0
        self.retired = False
        self.places_ok: set[int] = set()


class SharedProvider:
    """Safe from any thread."""

    def __init__(self, instance: str, crew: Crew) -> None:
        self.instance = instance
        self._crew = crew
        self._lock = threading.Lock()
        self._open_lock = threading.Lock()
        self._opened: _Opened | None = None
        self._stale = False
        self._limiter = Limiter(clock=crew.chances.clock)
        self._learn_lock = threading.Lock()
        self._learnt: BaseProvider | None = None

    @contextmanager
    def used_for(self, place_id: int) -> Iterator[BaseProvider]:
        """The provider, for as long as it is used.

        Raises PlaceChanged when the instance no longer points where the place says, InvalidConfiguration when it is
        disabled or incomplete, CredentialStoreError, Unsupported.
        """
        opened = self._enter()
        try:
            self._check_place(opened, place_id)
            yield opened.provider
        finally:
            self._leave(opened)

    def learn(self, provider: BaseProvider, cancel: CancelToken) -> None:
        """Before a first upload: find out once what the server enforces, not once in every thread. Raises
        ProviderError."""
        while not self._learn_lock.acquire(timeout=_POLL_S):
            cancel.check()
        try:
            if self._learnt is not provider:
                provider.retry.run(provider.learn, cancel)
                self._learnt = provider
        finally:
            self._learn_lock.release()

    def set_bandwidth(self, bytes_per_s: int | None) -> None:
        """Of all transfers of the instance together, whichever provider they began with."""
        self._limiter.rate_bytes_per_s = bytes_per_s

    def refresh(self) -> None:
        """Credentials or settings changed: the next user gets a new one, whoever uses the old one keeps it."""
        self._stale = True

    def close(self) -> None:
        """Close it; calls under way fail."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened:
            opened.provider.close()

    def close_if_unused(self) -> None:
        with self._lock:
            opened = self._opened
            if opened is None or opened.users:
                return
            self._opened = None
        opened.provider.close()

    def _enter(self) -> _Opened:
        with self._open_lock:
            signature = self._signature()
            with self._lock:
                opened = self._opened
                if opened and not self._stale and opened.signature == signature:
                    opened.users += 1
                    return opened
            self._stale = False
            fresh = _Opened(self._open(), signature)
            with self._lock:
                fresh.users = 1
                old, self._opened = self._opened, fresh
                if old:
                    old.retired = True
                unused = old if old and not old.users else None
        if unused:
            unused.provider.close()
        return fresh

    def _leave(self, opened: _Opened) -> None:
        with self._lock:
            opened.users -= 1
            over = opened.retired and not opened.users
        if over:
            opened.provider.close()

    def _signature(self) -> object:
        try:
            found = os.stat(self._crew.paths.config_file)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _open(self) -> BaseProvider:
        chances = self._crew.chances
        context = ProviderContext(
            clock=chances.clock,
            now=chances.now,
            uniform=chances.uniform,
            limiter=self._limiter,
            facts=self._crew.facts,
            count_call=self._crew.calls.counter(self.instance),
        )
        provider = open_provider(self._crew.paths, self.instance, context=context)
        self.set_bandwidth(provider.settings.max_bandwidth)
        if not provider.settings.enabled:
            provider.close()
            raise InvalidConfiguration(
                f"{self.instance} is disabled", field="enabled", hint="Enable it, then resume what was queued for it."
            )
        _LOG.info("opened %s: %s", self.instance, provider.location)
        return provider

    def _check_place(self, opened: _Opened, place_id: int) -> None:
        if place_id in opened.places_ok:
            return
        with self._crew.journal.look() as db:
            place = jobs.place(db, place_id)
        location = opened.provider.location
        if place.location:
            same = place.location == location
        else:
            now = places.place_of(self._crew.paths, self.instance)
            same = (now.type, now.container, now.settings) == (place.type, place.container, place.settings)
        if not same:
            before = place.location or f"{place.type} {place.container}".strip()
            raise PlaceChanged(
                f"{self.instance} pointed to {before} when this was queued, and now points to {location}",
                hint="Change it back and resume, or cancel and queue again.",
            )
        if not place.location:
            self._crew.ledger.run(lambda tx: jobs.bind_place(tx, place_id, location))
        opened.places_ok.add(place_id)
