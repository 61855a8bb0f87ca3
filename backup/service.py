"""The one facade that both front ends call.

Every method is synchronous, bounded in time, and may be called from any thread; none loads a storage SDK or Textual. What has to
reach a service is asked through `backup.questions` (in the CLI's own process, or in the UI's child); what changes something at a
service is queued in the journal and carried out by the worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from backup.model import (
    Conflicts,
    InstanceInfo,
    ItemView,
    JobView,
    LocalEntry,
    QueueSnapshot,
    ServiceInfo,
    StoreStatus,
)
from backup.paths import Paths
from providers.report import ConnectionReport
from providers.secret import Secret


class Service:
    def __init__(self, paths: Paths) -> None: ...

    # Services and instances

    def services(self) -> tuple[ServiceInfo, ...]:
        """Every service the program knows, the unavailable ones with their reason."""
        raise NotImplementedError

    def instances(self) -> tuple[InstanceInfo, ...]:
        """Configured instances, and the embedded `local`, which is there from the start. Does not touch the keyring:
        `has_credentials` is what the configuration's index says."""
        raise NotImplementedError

    def instance(self, name: str) -> InstanceInfo:
        """Raises InvalidConfiguration when there is none of that name."""
        raise NotImplementedError

    def save_instance(
        self,
        name: str,
        service: str,
        values: Mapping[str, str],
        secrets: Mapping[str, Secret] | None = None,
        *,
        enable: bool = False,
    ) -> InstanceInfo:
        """Create or change an instance from what was typed into a form (unparsed text per field; fields left out stay as
        they are). Secrets go to the credential store, first; when that fails nothing is saved.

        Raises InvalidConfiguration naming the field, CredentialStoreError.
        """
        raise NotImplementedError

    def set_setting(self, name: str, key: str, text: str) -> InstanceInfo:
        """Set one setting from text; creates the instance when `name` is a service's name. A secret key is refused: those
        come by `set_credentials`. Raises InvalidConfiguration."""
        raise NotImplementedError

    def remove_instance(self, name: str) -> None:
        """Remove its settings and its credentials. What is stored at the service stays. Refuses while items are queued."""
        raise NotImplementedError

    def set_enabled(self, name: str, enabled: bool) -> InstanceInfo:
        """Enabling needs a passed check (`record_check`); raises InvalidConfiguration when there was none."""
        raise NotImplementedError

    def record_check(self, name: str, report: ConnectionReport) -> InstanceInfo:
        """Remember the result of a check of the saved settings; a passed one lets the instance be enabled."""
        raise NotImplementedError

    # Credentials

    def store_status(self) -> StoreStatus:
        """Where secrets are kept and whether they can be read; asked within 3 s, also of a hung keyring."""
        raise NotImplementedError

    def set_credentials(self, name: str, username: str | None, password: Secret | None, extra: Mapping[str, Secret] | None = None) -> None:
        """Keep an instance's credentials in the store (None leaves that half as it is). Raises CredentialStoreError and saves nothing when no store can
        be used."""
        raise NotImplementedError

    def remove_credentials(self, name: str) -> bool:
        """False when there were none."""
        raise NotImplementedError

    # Local files

    def list_local(self, folder: Path) -> tuple[LocalEntry, ...]:
        """The entries of a local folder, unsorted. Raises ProviderError (NotFound, PermissionDenied)."""
        raise NotImplementedError

    # Queue. Each queueing method starts the worker when none runs.

    def queue_upload(
        self, instance: str, paths: Sequence[Path], to: str = "", *, conflicts: Conflicts = Conflicts.REPLACE
    ) -> JobView:
        """Queue files and whole folders below the remote prefix `to`. A folder keeps its own name below `to`.

        Raises InvalidConfiguration (disabled, incomplete, unknown instance; encryption_enabled) and NotFound.
        """
        raise NotImplementedError

    def queue_download(
        self, instance: str, keys: Sequence[str], to: Path, *, conflicts: Conflicts = Conflicts.REPLACE
    ) -> JobView:
        """Queue objects, and (keys ending in '/') everything below a prefix, into the folder `to`; a single key whose `to`
        is not an existing folder goes to that very path."""
        raise NotImplementedError

    def queue_delete(self, instance: str, keys: Sequence[str]) -> JobView:
        """Queue objects, and (keys ending in '/') everything below a prefix, for deletion."""
        raise NotImplementedError

    def snapshot(self, *, offset: int = 0, limit: int = 200, job_id: int | None = None) -> QueueSnapshot:
        """The queue now, live progress of the worker included."""
        raise NotImplementedError

    def job(self, job_id: int) -> JobView:
        raise NotImplementedError

    def follow(self, on_change: Callable[[QueueSnapshot], None], *, stop: Callable[[], bool], interval_s: float = 0.25) -> None:
        """Call `on_change` whenever the queue changed, at most every `interval_s`, until `stop()`; blocks the calling thread.
        Fed by the worker's socket while one runs, by the journal's version otherwise; survives workers coming and going."""
        raise NotImplementedError

    def pause(self, item_ids: Iterable[int]) -> int:
        """Pause what can be paused; how many were. A running item keeps what it has sent. Likewise the three below."""
        raise NotImplementedError

    def resume(self, item_ids: Iterable[int]) -> int:
        raise NotImplementedError

    def cancel(self, item_ids: Iterable[int]) -> int:
        """Takes effect within a second; unfinished upload sessions are removed at the service by the worker."""
        raise NotImplementedError

    def retry(self, item_ids: Iterable[int]) -> int:
        """Queue failed and cancelled items again."""
        raise NotImplementedError

    def item_ids(self, job_id: int) -> list[int]:
        """All items of a job."""
        raise NotImplementedError

    def item(self, item_id: int) -> ItemView:
        raise NotImplementedError

    def set_bandwidth(self, instance: str, bytes_per_s: int | None) -> None:
        """Change an instance's limit: saved, and taken up by the running worker at once."""
        raise NotImplementedError

    def ensure_worker(self) -> bool:
        """Start the worker if there is work and none runs; True when one runs afterwards."""
        raise NotImplementedError

    def status(self) -> dict[str, Any]:
        """Paths, store, worker, queue totals, instances: what `status --json` prints. No secret in it."""
        raise NotImplementedError
