"""What both front ends call: `Core`.

Every method is synchronous, bounded in time, and may be called from any thread; none loads a storage SDK or Textual.
Questions to a service go through `backup.queries`: answered in the command line's own process, or in the console's
child. What changes something at a service is queued in the journal and carried out by the worker.
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
    """Construction is cheap: what a method needs is loaded when it is first called."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self._opened = Opened(paths)

    @property
    def queue(self) -> Queue:
        """Transfers: queued, looked at, paused and cancelled."""
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
        """How long finished transfers stay in the journal."""
        return file.load(self.paths).history_days

    def set_history_days(self, text: str) -> int:
        """The setting `history_days`; '' for the default. Raises InvalidConfiguration for what is no number of days."""
        with file.edit(self.paths) as draft:
            draft.set_history_days(text)
            return draft.configuration.history_days

    def list_local(self, folder: Path) -> tuple[LocalEntry, ...]:
        """The entries of a local folder, unsorted. Raises ProviderError (NotFound, PermissionDenied)."""
        return local.entries(folder)

    def status(self) -> dict[str, Any]:
        """Paths, store, worker, queue totals, instances: what `status --json` prints. No secret in it."""
        return status.status(self.paths, self._opened.store, self.queue)

    def doctor(self) -> tuple[HealthFinding, ...]:
        """What holds on this machine for credentials, and for transfers when nobody is there. Never raises."""
        from backup.core import doctor

        return doctor.findings(self.paths, self.queue)

    def close(self) -> None:
        """Let go of the journal and the worker's socket; the worker goes on. May be called twice."""
        self._opened.close()
