"""Open providers that are shared by the queries to an instance, and by the transfers of a worker."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import msgspec

from backup.instances import opening
from backup.instances.request_counts import CallsOnDisk
from backup.instances.server_facts import FactsOnDisk
from backup.system.paths import Paths
from providers.contract.cancel import CancelToken
from providers.contract.context import ProviderContext
from providers.secret import Secret

if TYPE_CHECKING:
    from providers.base import BaseProvider

PATIENCE_S: Final = 20.0
"""Longest `timeout` while a user waits for an answer; transfers keep the instance's own."""

K = TypeVar("K", bound=Hashable)


@dataclass
class _Pooled:
    signature: object
    lock: threading.Lock = field(default_factory=threading.Lock)
    provider: BaseProvider | None = None
    users: int = 0
    retired: bool = False
    """Replaced: its last user closes it."""

    def close(self) -> None:
        if self.provider:
            self.provider.close()


class ProviderPool(Generic[K]):
    """Open providers, each shared by all users of the same key. Safe from any thread.

    The first use opens a provider. After a change of the configuration file or `refresh`, the next use opens another,
    and the last user of the old one closes it.
    """

    def __init__(self, paths: Paths, open_provider: Callable[[K], BaseProvider]) -> None:
        self._config_file = paths.config_file
        self._open_provider = open_provider
        self._lock = threading.Lock()
        self._pooled: dict[K, _Pooled] = {}
        self.refreshed = 0
        """How often `refresh` was called."""

    @contextmanager
    def use(self, key: K) -> Iterator[BaseProvider]:
        """The provider, for the duration of its use. Raises what opening it raises."""
        pooled = self._enter(key)
        try:
            with pooled.lock:
                if pooled.provider is None:
                    pooled.provider = self._open_provider(key)
            yield pooled.provider
        finally:
            with self._lock:
                pooled.users -= 1
                over = pooled.retired and not pooled.users
            if over:
                pooled.close()

    def refresh(self) -> None:
        """Credentials or settings changed: the next use opens another provider."""
        self.refreshed += 1

    def close_unused(self) -> None:
        """Close what is not in use."""
        with self._lock:
            keys = [key for key, pooled in self._pooled.items() if not pooled.users]
            unused = [self._pooled.pop(key) for key in keys]
        for pooled in unused:
            pooled.close()

    def close(self) -> None:
        """Close all, also those in use: their calls fail."""
        with self._lock:
            everything, self._pooled = list(self._pooled.values()), {}
            for pooled in everything:
                pooled.retired = True
        for pooled in everything:
            pooled.close()

    def _signature(self) -> object:
        """Setting credentials also writes the configuration file, so its version covers both."""
        try:
            found = os.stat(self._config_file)
        except OSError:
            return self.refreshed
        return self.refreshed, found.st_ino, found.st_mtime_ns, found.st_size

    def _enter(self, key: K) -> _Pooled:
        signature = self._signature()
        unused: _Pooled | None = None
        with self._lock:
            pooled = self._pooled.get(key)
            if pooled is None or pooled.signature != signature:
                if pooled:
                    pooled.retired = True
                    unused = None if pooled.users else pooled
                pooled = self._pooled[key] = _Pooled(signature)
            pooled.users += 1
        if unused:
            unused.close()
        return pooled


class OpenProviders:
    """Providers for queries that a user waits for: their `timeout` is PATIENCE_S at most. Safe from any thread."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._pool: ProviderPool[str] = ProviderPool(paths, lambda instance: self.fresh(instance, CancelToken()))
        self._calls = CallsOnDisk(paths)

    def of(self, instance: str) -> AbstractContextManager[BaseProvider]:
        """The instance's shared provider. Raises InvalidConfiguration, Unsupported, CredentialStoreError."""
        return self._pool.use(instance)

    def fresh(self, instance: str, cancel: CancelToken) -> BaseProvider:
        """A separate provider, stopped by `cancel`; the caller closes it."""
        return _impatient(opening.open_provider(self._paths, instance, context=self._context(instance, cancel)))

    def draft(
        self,
        service: str,
        values: Mapping[str, str],
        secrets: Mapping[str, Secret],
        cancel: CancelToken,
        instance: str,
    ) -> BaseProvider:
        """A provider for unsaved settings; the caller closes it."""
        context = self._context(instance or service, cancel)
        return _impatient(opening.open_draft(self._paths, service, values, secrets, instance=instance, context=context))

    def retire_all(self) -> None:
        """Make the next query open each provider again; those in use are closed once their queries are answered."""
        self._pool.refresh()
        self._pool.close_unused()

    def close(self) -> None:
        """Close all, also those in use: their calls fail. Counted requests are written to the journal."""
        self._pool.close()
        self._calls.write()

    @cached_property
    def _facts(self) -> FactsOnDisk:
        return FactsOnDisk(self._paths)

    def _context(self, name: str, cancel: CancelToken) -> ProviderContext:
        return ProviderContext(cancel=cancel, facts=self._facts, count_call=self._calls.counter(name))


def _impatient(provider: BaseProvider) -> BaseProvider:
    """The same provider with a `timeout` short enough for a waiting user. Constructing one uses no network."""
    if provider.settings.timeout <= PATIENCE_S:
        return provider
    settings = msgspec.structs.replace(provider.settings, timeout=PATIENCE_S)
    impatient = type(provider)(settings, context=provider.context)
    provider.close()
    return impatient
