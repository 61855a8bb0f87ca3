"""Resources shared by the parts of the core, opened on first use."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from backup.credentials import CredentialStore
from backup.system.paths import Paths

if TYPE_CHECKING:
    from backup.queue.client import Queue


class Opened:
    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.store = CredentialStore(paths)

    @cached_property
    def queue(self) -> Queue:
        from backup.queue.client import Queue

        return Queue(self.paths)

    def changed(self, instance: str | None = None) -> None:
        """Let transfers continue that wait for settings or credentials of an instance (None: of any). Without a journal
        none can wait."""
        if self.paths.journal_file.exists():
            self.queue.credentials_changed(instance)

    def close(self) -> None:
        """Close the journal and the worker's socket. May be called twice."""
        if "queue" in self.__dict__:
            self.queue.close()
