"""The provider that all transfers of an instance share: opened when needed, replaced when the configuration changes,
closed when idle."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary, WeakSet

from backup.instances import destination
from backup.instances.opening import open_provider
from backup.instances.pool import ProviderPool
from backup.journal import jobs
from backup.worker.context import WorkerContext
from backup.worker.items.transfer import PATIENCE_S
from providers.contract.cancel import CancelToken
from providers.contract.context import ProviderContext
from providers.contract.objects import is_text
from providers.contract.throttle import Limiter
from providers.errors import InvalidConfiguration, NotFound, PermissionDenied, Unsupported, shortage

if TYPE_CHECKING:
    from providers.base import BaseProvider

_LOG: Final = logging.getLogger(__name__)
_POLL_S: Final = 0.1


class PlaceChanged(InvalidConfiguration):
    """The instance points elsewhere than when the item was queued."""


class _Binding:
    """A provider's account, and the places already compared with it."""

    def __init__(self) -> None:
        self.places_ok: set[int] = set()
        self._lock = threading.Lock()
        self._account: str | None = None

    def account(self, provider: BaseProvider, cancel: CancelToken) -> str:
        """`Storage.account`, requested once; '' if it is not text or the credentials do not permit it. Raises
        ProviderError."""
        while not self._lock.acquire(timeout=_POLL_S):
            cancel.check()
        try:
            if self._account is None:
                try:
                    reported = provider.retry.run(provider.account, cancel)
                    self._account = reported if is_text(reported) else ""
                except (PermissionDenied, Unsupported, NotFound) as error:
                    _LOG.info("the service does not report whose %s is: %s", provider.place, error)
                    self._account = ""
            return self._account
        finally:
            self._lock.release()


class SharedProvider:
    """Safe from any thread."""

    def __init__(self, instance: str, worker: WorkerContext) -> None:
        self.instance = instance
        self._worker = worker
        self._pool: ProviderPool[int | None] = ProviderPool(worker.paths, self._open)
        """By environment: two commands may have queued work for the same instance from different ones."""
        self._bindings: WeakKeyDictionary[BaseProvider, _Binding] = WeakKeyDictionary()
        self._limiter = Limiter(clock=worker.chances.clock, sleep=worker.clock.sleep)
        self._learn_lock = threading.Lock()
        self._learnt: WeakSet[BaseProvider] = WeakSet()

    @contextmanager
    def used_for(
        self, place_id: int, environment_id: int | None = None, *, cancel: CancelToken | None = None
    ) -> Iterator[BaseProvider]:
        """The provider in the environment of the job, while it is used. The first user also checks the account of the
        place with the service.

        Raises PlaceChanged if the instance no longer points to the place, InvalidConfiguration if it is disabled or
        incomplete, CredentialStoreError, Unsupported.
        """
        with self._pool.use(environment_id) as provider:
            self._check_place(provider, place_id, cancel or CancelToken())
            yield provider

    def learn(self, provider: BaseProvider, cancel: CancelToken) -> None:
        """Before a first upload: find out once, not in every thread, what the server enforces. Raises ProviderError."""
        while not self._learn_lock.acquire(timeout=_POLL_S):
            cancel.check()
        try:
            if provider not in self._learnt:
                provider.retry.run(provider.learn, cancel)
                self._learnt.add(provider)
        finally:
            self._learn_lock.release()

    def set_bandwidth(self, bytes_per_s: int | None) -> None:
        """Set the limit of all transfers of the instance together, those under way included."""
        self._limiter.rate_bytes_per_s = bytes_per_s

    @property
    def refreshed(self) -> int:
        """How often credentials or settings changed. Compared after a failure: they may have changed meanwhile."""
        return self._pool.refreshed

    def refresh(self) -> None:
        """Credentials or settings changed: the next user gets another provider; current users keep theirs."""
        self._pool.refresh()

    def close(self) -> None:
        """Close it; calls under way fail."""
        self._pool.close()

    def close_if_unused(self) -> None:
        self._pool.close_unused()

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

    def _check_place(self, provider: BaseProvider, place_id: int, cancel: CancelToken) -> None:
        binding = self._bindings.setdefault(provider, _Binding())
        if place_id in binding.places_ok:
            return
        with self._worker.journal.look() as db:
            place = jobs.place(db, place_id)
        here = provider.place
        before = place.location or destination.location_of(place)
        if not before and destination.same_settings(self._worker.paths, place):
            before = here
        if before != here:
            raise self._changed(before or f"{place.type} {place.container}".strip(), here)
        account = binding.account(provider, cancel)
        if not provider.same_account(place.account, account):
            raise self._changed(f"{before} of {place.account}", f"that of {account}")
        if not place.location or (account and account != place.account):
            self._worker.writer.run(lambda tx: jobs.bind_place(tx, place_id, here, account))
        binding.places_ok.add(place_id)

    def _changed(self, before: str, now: str) -> PlaceChanged:
        return PlaceChanged(
            f"{self.instance} pointed to {before} when this was queued, and now points to {now}",
            hint="Change it back and resume, or cancel and queue again.",
        )
