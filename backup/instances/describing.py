"""Descriptions of instances, combined from the configuration, the credentials and the services.

Functions that begin with `describe` load no SDK and access no keyring.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backup.config import file
from backup.config.file import CheckRecord, Configuration, InstanceConfig, fingerprint
from backup.credentials import Credentials
from backup.instances import answers
from backup.instances.answers import LastAnswer
from backup.instances.values import with_credentials
from backup.model.instances import InstanceInfo, InstanceState, ServiceInfo
from backup.system.paths import Paths
from providers import oauth, registry, settings
from providers.contract.report import ErrorInfo
from providers.errors import InvalidConfiguration, ProviderError
from providers.registry import ServiceSpec
from providers.secret import MASK, Secret
from providers.settings import ProviderSettings, SettingField


def current_check(configuration: Configuration, name: str) -> CheckRecord | None:
    """The last check, or None if there was none since settings or credentials changed."""
    record = configuration.checks.get(name)
    instance = configuration.instances.get(name)
    if record is None or instance is None or record.fingerprint != fingerprint(configuration, instance):
        return None
    return record


def describe_services() -> tuple[ServiceInfo, ...]:
    """Every service the program knows; unavailable ones have the reason."""
    return tuple(_describe_service(spec) for spec in registry.specs())


def _describe_service(spec: ServiceSpec) -> ServiceInfo:
    cls = spec.settings
    return ServiceInfo(
        name=spec.name,
        title=spec.title,
        summary=spec.summary,
        fields=settings.describe(cls) if cls else (),
        credential_pair=cls.credential_pair if cls else None,
        container_word=spec.container_word,
        authorized=oauth.is_offered(spec.name),
        unavailable=spec.unavailable,
    )


def describe_all(paths: Paths) -> tuple[InstanceInfo, ...]:
    """Every instance, the embedded `local` first. Never raises for the file's content: each reports its own problem."""
    configuration = file.load(paths)
    specs = {spec.name: spec for spec in registry.specs()}
    latest = answers.latest(paths)
    return tuple(
        _describe(configuration, instance, specs, latest.get(instance.name))
        for instance in configuration.instances.values()
    )


def describe(paths: Paths, name: str) -> InstanceInfo:
    """One instance. Raises InvalidConfiguration if there is none of that name."""
    found = next((info for info in describe_all(paths) if info.name == name), None)
    if found is None:
        file.load(paths).instance(name)
        raise InvalidConfiguration(f"there is no instance {name!r}", field="name")
    return found


def _describe(
    configuration: Configuration, instance: InstanceConfig, specs: Mapping[str, ServiceSpec], answer: LastAnswer | None
) -> InstanceInfo:
    spec = specs.get(instance.type)
    state, problem, values = _state(configuration, instance, spec)
    check = current_check(configuration, instance.name)
    refusal = answers.refusal(answer, check, fingerprint(configuration, instance))
    if refusal and state is InstanceState.READY:
        state, problem = InstanceState.FAILING, refusal
    enabled = values.get("enabled", False)
    return InstanceInfo(
        name=instance.name,
        type=instance.type,
        title=spec.title if spec else instance.type,
        state=state,
        enabled=enabled is True,
        settings=values,
        container=str(values.get("container") or ""),
        problem=problem,
        has_credentials=_has_credentials(configuration, instance, spec),
        checked_at=check.at if check else None,
        check_ok=check.ok if check else None,
        check_steps=check.steps if check else (),
        refusal=refusal,
    )


def _state(
    configuration: Configuration, instance: InstanceConfig, spec: ServiceSpec | None
) -> tuple[InstanceState, ErrorInfo | None, dict[str, Any]]:
    """State, its reason, and the settings in force."""
    raw = {key: MASK if isinstance(value, Secret) else value for key, value in instance.values.items()}
    if configuration.problem and not configuration.usable:
        return InstanceState.INVALID, configuration.problem, raw
    if spec is None:
        hint = f"Services: {', '.join(registry.PROVIDERS)}."
        problem = ErrorInfo("configuration", f"there is no service {instance.type!r}", hint, "type")
        return InstanceState.INVALID, problem, raw
    if spec.settings is None or spec.unavailable:
        problem = ErrorInfo("unsupported", f"{spec.title} cannot be used here: {spec.unavailable}")
        return InstanceState.UNAVAILABLE, problem, raw
    try:
        loaded = settings.load(spec.settings, _with_noted(configuration, instance, spec.settings))
    except ProviderError as error:
        return InstanceState.INVALID, ErrorInfo.of(error), raw
    shown = {field.name: _shown(field, getattr(loaded, field.name)) for field in settings.describe(spec.settings)}
    missing = settings.missing(spec.settings, loaded)
    if missing:
        problem = ErrorInfo.of(InvalidConfiguration(f"{', '.join(missing)}: not set", field=missing[0]))
        return InstanceState.INCOMPLETE, problem, shown
    return (InstanceState.READY if loaded.enabled else InstanceState.DISABLED), None, shown


def _with_noted(configuration: Configuration, instance: InstanceConfig, cls: type[ProviderSettings]) -> dict[str, Any]:
    """The settings with MASK in place of each secret that the keyring holds according to the configuration."""
    record = configuration.credentials.get(instance.credentials_key)
    if record is None:
        return dict(instance.values)
    noted = {field: Secret(MASK) for field in record.fields if field != "password"}
    password = Secret(MASK) if "password" in record.fields else None
    return with_credentials(cls, instance.values, Credentials(username=record.username, password=password, extra=noted))


def _shown(field: SettingField, value: Any) -> Any:
    if field.secret:
        return MASK if value else None
    return value


def _has_credentials(configuration: Configuration, instance: InstanceConfig, spec: ServiceSpec | None) -> bool | None:
    if spec is None or spec.settings is None:
        return None
    fields = [field.name for field in settings.describe(spec.settings) if field.secret and not _encrypts(field)]
    if not fields:
        return None
    return instance.credentials_key in configuration.credentials or any(instance.values.get(name) for name in fields)


def _encrypts(field: SettingField) -> bool:
    return field.name.startswith("encryption_")
