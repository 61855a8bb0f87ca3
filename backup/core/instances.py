"""Services and the providers that are set up: described, saved, enabled, removed, imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from backup.config import file
from backup.core.opened import Opened
from backup.instances import answers, default, describing, editing
from backup.model.instances import InstanceInfo, ServiceInfo
from providers.contract.report import ConnectionReport
from providers.errors import Conflict
from providers.secret import Secret

if TYPE_CHECKING:
    from backup.credentials.importing.json_file import ImportFindings
    from backup.instances.importing import Applied, ImportSource


class Instances:
    """As all of `Core`: synchronous, bounded in time, callable from any thread."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._paths = opened.paths
        self._store = opened.store

    def services(self) -> tuple[ServiceInfo, ...]:
        """Every service the program knows, the unavailable ones with their reason."""
        return describing.describe_services()

    def all(self) -> tuple[InstanceInfo, ...]:
        """Configured instances, and the embedded `local`, which is there from the start. Does not touch the keyring:
        `has_credentials` is what the configuration's index says."""
        return default.mark_default(self._paths, describing.describe_all(self._paths))

    def default(self) -> str:
        """The instance that is meant where none is named. Raises InvalidConfiguration where that leaves a choice."""
        return default.default_provider(self._paths)

    def set_default(self, name: str) -> None:
        """The setting `default_provider`; '' for none. Raises InvalidConfiguration when there is none of that name."""
        with file.edit(self._paths) as draft:
            draft.set_default_provider(name)

    def get(self, name: str) -> InstanceInfo:
        """Raises InvalidConfiguration when there is none of that name."""
        return describing.describe(self._paths, name)

    def save(
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
        secrets, as in `CredentialStores.set`.

        Raises InvalidConfiguration naming the field, CredentialStoreError.
        """
        info = editing.save_instance(
            self._paths,
            self._store,
            name,
            service,
            values,
            secrets or {},
            enable=enable,
            expires_at=expires_at,
        )
        self._opened.changed(name)
        return info

    def set_setting(self, name: str, key: str, text: str) -> InstanceInfo:
        """Set one setting from text; creates the instance when `name` is a service's name. A secret key is refused:
        those come by `CredentialStores.set`. Raises InvalidConfiguration."""
        info = editing.set_setting(self._paths, self._store, name, key, text)
        self._opened.changed(name)
        return info

    def set_bandwidth(self, instance: str, bytes_per_s: int | None) -> None:
        """Change an instance's limit: saved, and taken up by the running worker at once."""
        self.set_setting(instance, "max_bandwidth", "" if bytes_per_s is None else str(bytes_per_s))
        self._opened.queue.set_bandwidth(instance, bytes_per_s)

    def remove(self, name: str) -> None:
        """Remove its settings and its credentials. What is stored at the service stays. Refuses while items are
        queued."""
        if self._opened.queue.open_jobs(name):
            raise Conflict(
                f"{name} has unfinished transfers",
                hint="Cancel them first, or wait until they are done.",
                code="transfers",
            )
        editing.remove_instance(self._paths, self._store, name)

    def set_enabled(self, name: str, enabled: bool) -> InstanceInfo:
        """Enabling needs a passed check (`record_check`); raises InvalidConfiguration when there was none."""
        info = editing.set_enabled(self._paths, name, enabled)
        self._opened.changed(name)
        return info

    def record_check(self, name: str, report: ConnectionReport) -> InstanceInfo:
        """Remember the result of a check of the saved settings; a passed one lets the instance be enabled."""
        editing.record_check(self._paths, name, report)
        return self.get(name)

    def answers_version(self) -> int:
        """Another number whenever a service has accepted or refused something: `instances` may say so. Cheap."""
        return answers.version(self._paths)

    def service_of(self, name: str) -> str:
        """The service of an instance, or of one that is yet to be made under a service's name. Raises
        InvalidConfiguration."""
        return editing.service_of(self._paths, name)

    # Import

    def import_findings(self, source: ImportSource, text: str, config_text: str = "") -> ImportFindings:
        """What could be taken over from `text` (the earlier JSON configuration, ~/.aws/credentials with ~/.aws/config
        as `config_text`, what `rclone config dump` prints). Nothing is changed. Raises InvalidConfiguration."""
        from backup.instances import importing

        return importing.findings(source, text, config_text)

    def import_findings_in(self, source: ImportSource, path: Path) -> ImportFindings:
        """The same of a file (for AWS with `config` beside it). Raises NotFound, PermissionDenied too."""
        from backup.instances import importing

        return importing.findings_in(source, path)

    def apply_import(
        self,
        findings: ImportFindings,
        sources: Iterable[str] | None = None,
        *,
        names: Mapping[str, str] | None = None,
        blank_in: Path | None = None,
    ) -> Applied:
        """Save what was found (only `sources`, where given) as instances, disabled until checked, secrets in the store.
        An instance that is there already is never changed: the found one gets a free name (or what `names` says).

        `blank_in`: the earlier JSON file, in which the secrets that were saved are then made empty; ask before. Raises
        CredentialStoreError, InvalidConfiguration; what was saved before it stays and is told in the error's notes.
        """
        from backup.instances import importing

        return importing.apply(self._paths, self._store, findings, sources, names=names or {}, blank_in=blank_in)
