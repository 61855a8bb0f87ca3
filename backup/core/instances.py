"""Services and the providers that are set up: described, saved, enabled, removed, imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from backup.config import file
from backup.core.opened import Opened
from backup.instances import answers, default, describing, editing
from backup.instances.values import parse_values, settings_class
from backup.model.instances import InstanceInfo, InstanceState, ServiceInfo
from providers import registry, settings
from providers.contract.report import ConnectionReport
from providers.errors import Conflict, InvalidConfiguration
from providers.remedies import Action, Remedy
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
        """Configured instances, and the embedded `local`, which always exists. Does not touch the keyring:
        `has_credentials` comes from the configuration's index."""
        return default.mark_default(self._paths, describing.describe_all(self._paths))

    def default(self) -> str:
        """The instance used if none is named. Raises InvalidConfiguration if that is ambiguous."""
        return default.default_provider(self._paths)

    def set_default(self, name: str) -> None:
        """Set `default_provider`; '' for none. Raises InvalidConfiguration if there is no such instance."""
        with file.edit(self._paths) as draft:
            draft.set_default_provider(name)

    def get(self, name: str) -> InstanceInfo:
        """Raises InvalidConfiguration if there is no such instance."""
        return describing.describe(self._paths, name)

    def save(
        self,
        name: str,
        service: str,
        values: Mapping[str, str],
        secrets: Mapping[str, Secret] = MappingProxyType({}),
        *,
        enable: bool = False,
        expires_at: float | None = None,
    ) -> InstanceInfo:
        """Create or change an instance from the unparsed text of form fields; omitted fields stay unchanged. Everything
        is checked before anything is kept. Secrets are stored first, in the credential store; if the file cannot be
        written, the former ones are restored. `expires_at`: of the secrets, as in `CredentialStores.set`.

        Raises InvalidConfiguration naming the field, CredentialStoreError.
        """
        cls = settings_class(registry.spec(service))
        parsed = parse_values(cls, values)
        if enable:
            parsed["enabled"] = True
        configuration = file.load(self._paths)
        instance = editing.as_saved(configuration, name, service, parsed)
        user_field = editing.user_field(cls)
        in_store = bool(secrets) or instance.credentials_key in configuration.credentials
        username = str(parsed[user_field]) if in_store and user_field in parsed else None
        if not secrets and username is None:
            editing.write(self._paths, name, service, parsed)
        else:
            with editing.put_back_on_failure(self._store, configuration, instance.credentials_key):
                editing.store_credentials(
                    self._paths, name, username, secrets, store=self._store, instance=instance, expires_at=expires_at
                )
                if username is not None:
                    parsed[user_field] = ""  # the entry in the store is its one home
                editing.write(self._paths, name, service, parsed)
        self._opened.changed(name)
        return self.get(name)

    def set_setting(self, name: str, key: str, text: str) -> InstanceInfo:
        """Set one setting from text; creates the instance if `name` is a service's name. Raises InvalidConfiguration,
        also for a secret setting: use `CredentialStores.set`."""
        configuration = file.load(self._paths)
        if key == "type":
            settings_class(registry.spec(text))
            with file.edit(self._paths) as draft:
                draft.add(name, text)
            self._opened.changed(name)
            return self.get(name)
        service = editing.service_of(configuration, name)
        if key == "enabled":
            enabled = bool(settings.parse(settings_class(registry.spec(service)), key, text))
            return self.set_enabled(name, enabled)
        return self.save(name, service, {key: text})

    def set_bandwidth(self, instance: str, bytes_per_s: int | None) -> None:
        """Save an instance's limit; the running worker applies it at once."""
        self.set_setting(instance, "max_bandwidth", "" if bytes_per_s is None else str(bytes_per_s))
        self._opened.queue.set_bandwidth(instance, bytes_per_s)

    def remove(self, name: str) -> None:
        """Remove the settings and credentials of an instance; its objects at the service stay. Raises Conflict while it
        has unfinished transfers."""
        if self._opened.queue.open_jobs(name):
            raise Conflict(
                f"{name} has unfinished transfers",
                hint="Cancel them first, or wait until they are done.",
                code="transfers",
            )
        configuration = file.load(self._paths)
        key = configuration.instance(name).credentials_key
        shared = any(other.credentials_key == key for other in configuration.instances.values() if other.name != name)
        if key in configuration.credentials and not shared:
            self._store.remove(key)
        with file.edit(self._paths) as draft:
            draft.remove(name)

    def set_enabled(self, name: str, enabled: bool) -> InstanceInfo:
        """Enable or disable an instance. Raises InvalidConfiguration when enabling without a passed check."""
        info = self.get(name)
        if enabled:
            if info.problem and not info.usable and info.state is not InstanceState.DISABLED:
                raise info.problem.error()
            if not info.check_ok:
                raise InvalidConfiguration(
                    f"{name} has not passed a check since its settings were changed",
                    remedies=(Remedy(Action.CHECK, name),),
                )
        with file.edit(self._paths) as draft:
            draft.set(name, "enabled", enabled)
        self._opened.changed(name)
        return self.get(name)

    def record_check(self, name: str, report: ConnectionReport) -> InstanceInfo:
        """Save the result of a check of the saved settings; once passed, the instance can be enabled."""
        editing.record_check(self._paths, name, report)
        return self.get(name)

    def answers_version(self) -> int:
        """A number that changes when a service accepts or refuses something, which may change `all`. Cheap."""
        return answers.version(self._paths)

    def service_of(self, name: str) -> str:
        """The service of an instance, or of one still to be created under a service's name. Raises
        InvalidConfiguration."""
        return editing.service_of(file.load(self._paths), name)

    # Import

    def import_findings(self, source: ImportSource, text: str, config_text: str = "") -> ImportFindings:
        """The instances that can be imported from `text` (the earlier JSON configuration, ~/.aws/credentials with
        ~/.aws/config as `config_text`, or the output of `rclone config dump`). Changes nothing. Raises
        InvalidConfiguration."""
        from backup.instances import importing

        return importing.findings(source, text, config_text)

    def import_findings_in(self, source: ImportSource, path: Path) -> ImportFindings:
        """The same for a file (for AWS, with `config` beside it). Also raises NotFound, PermissionDenied."""
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
        """Save the findings (only `sources`, if given) as instances, disabled until checked, secrets in the store.
        Existing instances are never changed: an imported one gets a free name, or the one in `names`.

        `blank_in`: the earlier JSON file, in which the saved secrets are then blanked; ask first. Raises
        CredentialStoreError, InvalidConfiguration; instances saved before the error stay, and its notes name them.
        """
        from backup.instances import importing

        return importing.apply(self._paths, self.save, findings, sources, names=names or {}, blank_in=blank_in)
