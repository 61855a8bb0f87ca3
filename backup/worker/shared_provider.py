"""The one provider of an instance that all its transfers share: opened when needed, replaced when the configuration
changed, closed when idle."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from backup.instances import destination
from backup.instances.opening import open_provider
from backup.journal import jobs
from backup.worker.context import WorkerContext
from backup.worker.items.transfer import PATIENCE_S
from providers.contract.cancel import CancelToken
from providers.contract.context import ProviderContext
from providers.contract.throttle import Limiter
from providers.errors import InvalidConfiguration, NotFound, PermissionDenied, Unsupported
from providers.os_errors import shortage

if TYPE_CHECKING:
    from providers.base import BaseProvider

_LOG: Final = logging.getLogger(__name__)
_POLL_S: Final = 0.1


class PlaceChanged(InvalidConfiguration):
    """The instance points elsewhere than when the item was queued."""


class _SharedOpened:
    """A provider, for one environment: two commands may have asked for the same instance from different ones."""

    def __init__(self, provider: BaseProvider, signature: object) -> None:
        self.provider = provider
        self.signature = signature
        self.users = 0
        self.retired = False
        self.places_ok: set[int] = set()
        self._lock = threading.Lock()
        self._account: str | None = None

    def account(self, cancel: CancelToken) -> str:
        """`Storage.account`, asked once; '' where these credentials may not ask. Raises ProviderError."""
        while not self._lock.acquire(timeout=_POLL_S):
            cancel.check()
        try:
            if self._account is None:
                try:
                    self._account = self.provider.retry.run(self.provider.account, cancel)
                except (PermissionDenied, Unsupported, NotFound) as error:
                    _LOG.info("the service does not tell whose %s is: %s", self.provider.place, error)
                    self._account = ""
            return self._account
        finally:
            self._lock.release()


class SharedProvider:
    """Safe from any thread."""

    def __init__(self, instance: str, worker: WorkerContext) -> None:
        self.instance = instance
        self._worker = worker
        self._lock = threading.Lock()
        self._open_lock = threading.Lock()
        self._opened: dict[int | None, _SharedOpened] = {}
        self.refreshed = 0
        """How often credentials or settings changed. Who failed for want of them compares: they may have come since."""
        self._limiter = Limiter(clock=worker.chances.clock, sleep=worker.clock.sleep)
        self._learn_lock = threading.Lock()
        self._learnt: WeakSet[BaseProvider] = WeakSet()

    @contextmanager
    def used_for(
        self, place_id: int, environment_id: int | None = None, *, cancel: CancelToken | None = None
    ) -> Iterator[BaseProvider]:
        """The provider, for as long as it is used, as the environment of the job wants it. The first user asks the
        service whose the place is.

        Raises PlaceChanged when the instance no longer points where the place says, InvalidConfiguration when it is
        disabled or incomplete, CredentialStoreError, Unsupported.
        """
        opened = self._enter(environment_id)
        try:
            self._check_place(opened, place_id, cancel or CancelToken())
            yield opened.provider
        finally:
            self._leave(opened)

    def learn(self, provider: BaseProvider, cancel: CancelToken) -> None:
        """Before a first upload: find out once what the server enforces, not once in every thread. Raises
        ProviderError."""
        while not self._learn_lock.acquire(timeout=_POLL_S):
            cancel.check()
        try:
            if provider not in self._learnt:
                provider.retry.run(provider.learn, cancel)
                self._learnt.add(provider)
        finally:
            self._learn_lock.release()

    def set_bandwidth(self, bytes_per_s: int | None) -> None:
        """Of all transfers of the instance together, whichever provider they began with."""
        self._limiter.rate_bytes_per_s = bytes_per_s

    def refresh(self) -> None:
        """Credentials or settings changed: the next user gets a new one, whoever uses the old one keeps it."""
        self.refreshed += 1

    def close(self) -> None:
        """Close it; calls under way fail."""
        with self._lock:
            all_opened, self._opened = list(self._opened.values()), {}
        for opened in all_opened:
            opened.provider.close()

    def close_if_unused(self) -> None:
        with self._lock:
            unused = [key for key, opened in self._opened.items() if not opened.users]
            closing = [self._opened.pop(key) for key in unused]
        for opened in closing:
            opened.provider.close()

    def _enter(self, environment_id: int | None) -> _SharedOpened:
        with self._open_lock:
            signature = self._signature()
            with self._lock:
                opened = self._opened.get(environment_id)
                if opened and opened.signature == signature:
                    opened.users += 1
                    return opened
            fresh = _SharedOpened(self._open(environment_id), signature)
            with self._lock:
                fresh.users = 1
                old, self._opened[environment_id] = self._opened.get(environment_id), fresh
                if old:
                    old.retired = True
                unused = old if old and not old.users else None
        if unused:
            unused.provider.close()
        return fresh

    def _leave(self, opened: _SharedOpened) -> None:
        with self._lock:
            opened.users -= 1
            over = opened.retired and not opened.users
        if over:
            opened.provider.close()

    def _signature(self) -> object:
        try:
            found = os.stat(self._worker.paths.config_file)
        except OSError:
            return self.refreshed
        return self.refreshed, found.st_ino, found.st_mtime_ns, found.st_size

    def _environment(self, environment_id: int | None) -> Mapping[str, str]:
        if environment_id is None:
            return os.environ
        with self._worker.journal.look() as db:
            return jobs.variables(db, environment_id)

    def _open(self, environment_id: int | None) -> BaseProvider:
        chances = self._worker.chances
        context = ProviderContext(
            clock=chances.clock,
            now=chances.now,
            sleep=self._worker.clock.sleep,
            uniform=chances.uniform,
            patience_s=PATIENCE_S,
            limiter=self._limiter,
            facts=self._worker.facts,
            count_call=self._worker.calls.counter(self.instance),
            environment=self._environment(environment_id),
        )
        try:
            provider = open_provider(self._worker.paths, self.instance, context=context)
        except Exception as error:  # no descriptor for a file of the settings, of the store or of a module
            raise shortage(error) or error from None
        self.set_bandwidth(provider.settings.max_bandwidth)
        if not provider.settings.enabled:
            provider.close()
            raise InvalidConfiguration(
                f"{self.instance} is disabled", field="enabled", hint="Enable it, then resume what was queued for it."
            )
        _LOG.info("opened %s: %s", self.instance, provider.location)
        return provider

    def _check_place(self, opened: _SharedOpened, place_id: int, cancel: CancelToken) -> None:
        if place_id in opened.places_ok:
            return
        with self._worker.journal.look() as db:
            place = jobs.place(db, place_id)
        provider, here = opened.provider, opened.provider.place
        before = place.location or destination.location_of(place)
        if not before and destination.same_settings(self._worker.paths, place):
            before = here
        if before != here:
            raise self._changed(before or f"{place.type} {place.container}".strip(), here)
        account = opened.account(cancel)
        if not provider.same_account(place.account, account):
            raise self._changed(f"{before} of {place.account}", f"that of {account}")
        if not place.location or (account and account != place.account):
            self._worker.writer.run(lambda tx: jobs.bind_place(tx, place_id, here, account))
        opened.places_ok.add(place_id)

    def _changed(self, before: str, now: str) -> PlaceChanged:
        return PlaceChanged(
            f"{self.instance} pointed to {before} when this was queued, and now points to {now}",
            hint="Change it back and resume, or cancel and queue again.",
        )
