"""One open provider per instance, shared by all questions, reopened when the configuration changed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

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
"""Longest `timeout` while somebody waits for an answer; transfers keep the instance's own."""

Signature = tuple[int, int, int] | None
"""Which version of the configuration file: setting credentials writes it too, so that it stands for both."""


@dataclass
class _Opened:
    signature: Signature
    lock: threading.Lock = field(default_factory=threading.Lock)
    provider: BaseProvider | None = None
    users: int = 0
    retired: bool = False


class OpenProviders:
    """Opens on first use; safe from any thread. A provider that is replaced is closed once its last user is done."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._lock = threading.Lock()
        self._opened: dict[str, _Opened] = {}
        self._calls = CallsOnDisk(paths)

    @contextmanager
    def of(self, instance: str) -> Iterator[BaseProvider]:
        """The instance's provider, with patience cut to PATIENCE_S. Raises InvalidConfiguration, Unsupported,
        CredentialStoreError."""
        opened = self._enter(instance)
        try:
            with opened.lock:
                if opened.provider is None:
                    opened.provider = self.fresh(instance, CancelToken())
            yield opened.provider
        finally:
            self._leave(opened)

    def fresh(self, instance: str, cancel: CancelToken) -> BaseProvider:
        """A provider of one's own, stopped by `cancel`; the caller closes it."""
        return _impatient(opening.open_provider(self._paths, instance, context=self._context(instance, cancel)))

    def draft(
        self,
        service: str,
        values: Mapping[str, str],
        secrets: Mapping[str, Secret],
        cancel: CancelToken,
        instance: str,
    ) -> BaseProvider:
        """A provider of settings that are not saved; the caller closes it."""
        context = self._context(instance or service, cancel)
        return _impatient(opening.open_draft(self._paths, service, values, secrets, instance=instance, context=context))

    def retire_all(self) -> None:
        """Open each anew at the next question; those in use are closed once that is answered."""
        with self._lock:
            everything = list(self._opened.values())
            self._opened.clear()
        for opened in everything:
            self._retire(opened)

    def close(self) -> None:
        """Close all, also those in use: their calls fail. Requests that were counted are written down."""
        with self._lock:
            everything = list(self._opened.values())
            self._opened.clear()
        for opened in everything:
            if opened.provider:
                opened.provider.close()
        self._calls.write()

    @cached_property
    def _facts(self) -> FactsOnDisk:
        return FactsOnDisk(self._paths)

    def _context(self, name: str, cancel: CancelToken) -> ProviderContext:
        return ProviderContext(cancel=cancel, facts=self._facts, count_call=self._calls.counter(name))

    def _signature(self) -> Signature:
        try:
            found = os.stat(self._paths.config_file)
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _enter(self, instance: str) -> _Opened:
        signature = self._signature()
        old: _Opened | None = None
        with self._lock:
            opened = self._opened.get(instance)
            if opened is None or opened.signature != signature:
                old, opened = opened, _Opened(signature)
                self._opened[instance] = opened
            opened.users += 1
        if old:
            self._retire(old)
        return opened

    def _retire(self, opened: _Opened) -> None:
        with self._lock:
            opened.retired = True
            unused = opened.users == 0
        if unused and opened.provider:
            opened.provider.close()

    def _leave(self, opened: _Opened) -> None:
        with self._lock:
            opened.users -= 1
            over = opened.retired and opened.users == 0
        if over and opened.provider:
            opened.provider.close()


def _impatient(provider: BaseProvider) -> BaseProvider:
    """The same provider, with a `timeout` that fits somebody who is waiting. Constructing one reaches no network."""
    if provider.settings.timeout <= PATIENCE_S:
        return provider
    settings = msgspec.structs.replace(provider.settings, timeout=PATIENCE_S)
    impatient = type(provider)(settings, context=provider.context)
    provider.close()
    return impatient
