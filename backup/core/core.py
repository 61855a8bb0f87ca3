"""The interface of both front ends: `Core`.

Every method is synchronous, bounded in time, and may be called from any thread; none loads a storage SDK or Textual.
Questions to a service go through `backup.queries`, and are answered in the command line's own process or in the
console's child. Changes at a service are queued in the journal and made by the worker.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backup.config import file
from backup.core import status
from backup.core.credential_stores import CredentialStores
from backup.core.instances import Instances
from backup.core.opened import Opened
from backup.files import local
from backup.model.transfers import LocalEntry
from backup.system.paths import Paths

if TYPE_CHECKING:
    from backup.core.doctor import HealthFinding
    from backup.queue.client import Queue


class Core:
    """Cheap to construct: what a method needs is loaded on its first call."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self._opened = Opened(paths)

    @property
    def queue(self) -> Queue:
        """Transfers: queue, list, pause, resume, cancel."""
        return self._opened.queue

    @cached_property
    def instances(self) -> Instances:
        """Services, and the providers that are set up."""
        return Instances(self._opened)

    @cached_property
    def credentials(self) -> CredentialStores:
        """Credentials, and where they are kept."""
        return CredentialStores(self._opened)

    def history_days(self) -> int:
        """Days that finished transfers stay in the journal."""
        return file.load(self.paths).history_days

    def set_history_days(self, text: str) -> int:
        """Set `history_days`; '' for the default. Raises InvalidConfiguration if `text` is not a number of days."""
        with file.edit(self.paths) as draft:
            draft.set_history_days(text)
            return draft.configuration.history_days

    def list_local(self, folder: Path) -> tuple[LocalEntry, ...]:
        """The entries of a local folder, unsorted. Raises ProviderError (NotFound, PermissionDenied)."""
        return local.entries(folder)

    def status(self) -> dict[str, Any]:
        """Paths, store, worker, queue totals, instances, as `status --json` prints them. Contains no secret."""
        return status.status(self.paths, self._opened.store, self.queue)

    def doctor(self) -> tuple[HealthFinding, ...]:
        """Check this machine: credentials and unattended transfers. Never raises."""
        from backup.core import doctor

        return doctor.findings(self.paths, self.queue)

    def close(self) -> None:
        """Close the journal and the worker's socket; the worker continues. May be called twice."""
        self._opened.close()
