"""The one facade that both front ends call.

Every method is synchronous, bounded in time, and may be called from any thread; none loads a storage SDK or Textual.
What has to reach a service is asked through `backup.queries.answers` (in the CLI's own process, or in the UI's
child); what
changes something at a service is queued in the journal and carried out by the worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from backup.config import file
from backup.core import status
from backup.core.credentials import StoreService
from backup.files import local
from backup.instances import answers, default, describing, editing, plain_secrets
from backup.instances.plain_secrets import Adoption
from backup.model.instances import InstanceInfo, ServiceInfo
from backup.model.transfers import (
    EVERYTHING,
    Conflicts,
    FailedSince,
    ItemView,
    JobView,
    LocalEntry,
    QueueSnapshot,
    Selection,
    TransferPlan,
)
from backup.system.paths import Paths
from providers.contract.report import ConnectionReport, ErrorInfo
from providers.contract.upload import SavedUpload
from providers.errors import Conflict
from providers.secret import Secret


class Service(StoreService):
    """Construction is cheap: what a method needs is loaded when it is first called."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths

    # Services and instances

    def services(self) -> tuple[ServiceInfo, ...]:
        """Every service the program knows, the unavailable ones with their reason."""
        return describing.describe_services()

    def instances(self) -> tuple[InstanceInfo, ...]:
        """Configured instances, and the embedded `local`, which is there from the start. Does not touch the keyring:
        `has_credentials` is what the configuration's index says."""
        return default.mark_default(self.paths, describing.describe_all(self.paths))

    def default_provider(self) -> str:
        """The instance that is meant where none is named. Raises InvalidConfiguration where that leaves a choice."""
        return default.default_provider(self.paths)

    def set_default_provider(self, name: str) -> None:
        """The setting `default_provider`; '' for none. Raises InvalidConfiguration when there is none of that name."""
        with file.edit(self.paths) as draft:
            draft.set_default_provider(name)

    def history_days(self) -> int:
        """How long finished transfers stay in the journal."""
        return file.load(self.paths).history_days

    def set_history_days(self, text: str) -> int:
        """The setting `history_days`; '' for the default. Raises InvalidConfiguration for what is no number of days."""
        with file.edit(self.paths) as draft:
            draft.set_history_days(text)
            return draft.configuration.history_days

    def instance(self, name: str) -> InstanceInfo:
        """Raises InvalidConfiguration when there is none of that name."""
        return describing.describe(self.paths, name)

    def save_instance(
        self,
        name: str,
        service: str,
        values: Mapping[str, str],
        secrets: Mapping[str, Secret] | None = None,
        *,
        enable: bool = False,
        expires_at: float | None = None,
    ) -> InstanceInfo:
        """Create or change an instance from what was typed into a form (unparsed text per field; fields left out stay
        as they are). Secrets go to the credential store, first; when that fails nothing is saved. `expires_at`: of the
        secrets, as in `set_credentials`.

        Raises InvalidConfiguration naming the field, CredentialStoreError.
        """
        info = editing.save_instance(
            self.paths, self._store, name, service, values, secrets or {}, enable=enable, expires_at=expires_at
        )
        self._tell_worker(name)
        return info

    def set_setting(self, name: str, key: str, text: str) -> InstanceInfo:
        """Set one setting from text; creates the instance when `name` is a service's name. A secret key is refused:
        those come by `set_credentials`. Raises InvalidConfiguration."""
        info = editing.set_setting(self.paths, self._store, name, key, text)
        self._tell_worker(name)
        return info

    def remove_instance(self, name: str) -> None:
        """Remove its settings and its credentials. What is stored at the service stays. Refuses while items are
        queued."""
        if self._queue.open_jobs(name):
            raise Conflict(
                f"{name} has unfinished transfers",
                hint="Cancel them first, or wait until they are done.",
                code="transfers",
            )
        editing.remove_instance(self.paths, self._store, name)

    def set_enabled(self, name: str, enabled: bool) -> InstanceInfo:
        """Enabling needs a passed check (`record_check`); raises InvalidConfiguration when there was none."""
        info = editing.set_enabled(self.paths, name, enabled)
        self._tell_worker(name)
        return info

    def record_check(self, name: str, report: ConnectionReport) -> InstanceInfo:
        """Remember the result of a check of the saved settings; a passed one lets the instance be enabled."""
        editing.record_check(self.paths, name, report)
        return self.instance(name)

    def answers_version(self) -> int:
        """Another number whenever a service has accepted or refused something: `instances` may say so. Cheap."""
        return answers.version(self.paths)

    # Credentials

    def service_of(self, name: str) -> str:
        """The service of an instance, or of one that is yet to be made under a service's name. Raises
        InvalidConfiguration."""
        return editing.service_of(self.paths, name)

    def set_credentials(
        self,
        name: str,
        username: str | None,
        password: Secret | None,
        extra: Mapping[str, Secret] | None = None,
        *,
        expires_at: float | None = None,
    ) -> None:
        """Keep an instance's credentials in the store (None leaves that half as it is). Raises CredentialStoreError
        and saves nothing when no store can be used. `expires_at` (seconds since 1970): when the service takes them no
        more, where that is known."""
        editing.set_credentials(self.paths, self._store, name, username, password, extra or {}, expires_at=expires_at)
        self._tell_worker(name)

    def remove_credentials(self, name: str) -> bool:
        """False when there were none."""
        return editing.remove_credentials(self.paths, name, store=self._store)

    def adopt_secrets(self) -> Adoption:
        """Move secrets that stand in the configuration file to the store; called as a front end starts, which tells the
        user what became of them. Never raises a ProviderError; without such secrets no keyring is asked."""
        return plain_secrets.adopt_secrets(self.paths, self._store)

    # Local files

    def list_local(self, folder: Path) -> tuple[LocalEntry, ...]:
        """The entries of a local folder, unsorted. Raises ProviderError (NotFound, PermissionDenied)."""
        return local.entries(folder)

    # Queue. Each queueing method starts the worker when none runs.

    def queue_upload(
        self,
        instance: str,
        paths: Sequence[Path],
        to: str = "",
        *,
        conflicts: Conflicts = Conflicts.REPLACE,
        selection: Selection = EVERYTHING,
        plan: TransferPlan | None = None,
    ) -> JobView:
        """Queue files and whole folders below the remote prefix `to`. A folder keeps its own name below `to`. What
        the `plan` of just this has found is not looked for again; likewise below.

        Raises InvalidConfiguration (disabled, incomplete, unknown instance; encryption_enabled), NotFound, and
        InvalidName for a `to` with '..' in it.
        """
        return self._queue.queue_upload(instance, paths, to, conflicts=conflicts, selection=selection, plan=plan)

    def queue_download(
        self,
        instance: str,
        keys: Sequence[str],
        to: Path | str,
        *,
        conflicts: Conflicts = Conflicts.REPLACE,
        owner: bool = False,
        links: bool = False,
        plan: TransferPlan | None = None,
    ) -> JobView:
        """Queue objects, and (keys ending in '/') everything below a prefix, into the folder `to`; a single key goes to
        that very path, unless `to` is a folder or says so (text with a final '/'). Raises Conflict where a file stands
        in the way.

        Files get the permission bits that were kept with them; with `owner` also owner, group, setuid, setgid and
        sticky. With `links`, what is stored as a symlink (`Links.STORE`) becomes one again."""
        return self._queue.queue_download(instance, keys, to, conflicts=conflicts, owner=owner, links=links, plan=plan)

    def queue_delete(self, instance: str, keys: Sequence[str], *, plan: TransferPlan | None = None) -> JobView:
        """Queue objects, and (keys ending in '/') everything below a prefix, for deletion."""
        return self._queue.queue_delete(instance, keys, plan=plan)

    def snapshot(self, *, offset: int = 0, limit: int = 200, job_id: int | None = None) -> QueueSnapshot:
        """The queue now, live progress of the worker included."""
        return self._queue.snapshot(offset=offset, limit=limit, job_id=job_id)

    def failed_since(self, since: float) -> FailedSince:
        """What has failed since a moment (seconds since 1970), whichever command queued it."""
        return self._queue.failed_since(since)

    def job(self, job_id: int) -> JobView:
        return self._queue.job(job_id)

    def follow(
        self, on_change: Callable[[QueueSnapshot], None], *, stop: Callable[[], bool], interval_s: float = 0.25
    ) -> None:
        """Call `on_change` whenever the queue changed, at most every `interval_s`, until `stop()`; blocks the calling
        thread. Fed by the worker's socket while one runs, by the journal's version otherwise; survives workers coming
        and going."""
        self._queue.follow(on_change, stop=stop, interval_s=interval_s)

    def pause(self, item_ids: Iterable[int], jobs: Iterable[int] = ()) -> int:
        """Pause items, and jobs with all that they stand for, found or not; how many items that were (where a job has
        none yet: how many jobs). A running item keeps what it has sent. Likewise the three below."""
        return self._queue.pause(item_ids, jobs)

    def resume(self, item_ids: Iterable[int], jobs: Iterable[int] = ()) -> int:
        return self._queue.resume(item_ids, jobs)

    def cancel(self, item_ids: Iterable[int], jobs: Iterable[int] = ()) -> int:
        """Takes effect within a second; unfinished upload sessions are removed at the service by the worker."""
        return self._queue.cancel(item_ids, jobs)

    def retry(self, item_ids: Iterable[int], jobs: Iterable[int] = ()) -> int:
        """Queue failed and cancelled items again."""
        return self._queue.retry(item_ids, jobs)

    def item_ids(self, job_id: int) -> list[int]:
        """All items of a job."""
        return self._queue.item_ids(job_id)

    def item(self, item_id: int) -> ItemView:
        return self._queue.item(item_id)

    def set_bandwidth(self, instance: str, bytes_per_s: int | None) -> None:
        """Change an instance's limit: saved, and taken up by the running worker at once."""
        self.set_setting(instance, "max_bandwidth", "" if bytes_per_s is None else str(bytes_per_s))
        self._queue.set_bandwidth(instance, bytes_per_s)

    @property
    def worker_trouble(self) -> ErrorInfo | None:
        """Why nobody carries out what was recorded last: a worker that was stopped, or waits for room, or does not
        answer. It does so once it can."""
        return self._queue.trouble

    def begun_uploads(self) -> list[tuple[int, str, SavedUpload]]:
        """What uploads of ours have begun at their services and still need: item, instance, and what was saved."""
        return self._queue.begun_uploads() if self.paths.journal_file.exists() else []

    def ensure_worker(self) -> bool:
        """Start the worker if there is work and none runs; True when one runs afterwards. Raises WorkerSilent."""
        return self._queue.ensure_worker()

    def status(self) -> dict[str, Any]:
        """Paths, store, worker, queue totals, instances: what `status --json` prints. No secret in it."""
        return status.status(self.paths, self._store, self._queue)

    def close(self) -> None:
        """Let go of the journal and the worker's socket; the worker goes on. May be called twice."""
        if "_queue" in self.__dict__:
            self._queue.close()

    def _tell_worker(self, instance: str) -> None:
        """What waits for better settings or credentials goes on. Without a journal nothing can be waiting."""
        if self.paths.journal_file.exists():
            self._queue.credentials_changed(instance)
