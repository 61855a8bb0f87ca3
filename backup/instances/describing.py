"""Instances: the configuration, the credentials and the services put together.

What begins with `describe` loads no SDK and asks no keyring.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backup.config import file
from backup.config.file import CheckRecord, Configuration, InstanceConfig, fingerprint
from backup.credentials import Credentials, CredentialStore, CredentialStoreError, last_used
from backup.instances import answers
from backup.instances.answers import Answer
from backup.model.instances import InstanceInfo, InstanceState, ServiceInfo
from backup.system import redaction
from backup.system.paths import Paths
from backup.system.private_files import private_folder
from providers import oauth, registry, settings
from providers.contract.report import ConnectionReport, ErrorInfo
from providers.errors import InvalidConfiguration, ProviderError
from providers.registry import ServiceSpec
from providers.secret import MASK, Secret
from providers.settings import FieldKind, ProviderSettings, SettingField

if TYPE_CHECKING:
    from providers.base import BaseProvider
    from providers.contract.context import ProviderContext


# Using one


def open_provider(paths: Paths, name: str, *, context: ProviderContext | None = None) -> BaseProvider:
    """The provider of a saved instance, settings and credentials merged. Loads the service's SDK; reaches no network.

    The keyring is asked only when the configuration notes credentials for it. What the service gives in exchange for a
    secret (a refreshed token) is kept in the same entry. Raises InvalidConfiguration, CredentialStoreError (also when
    the service needs credentials and there are none), Unsupported.
    """
    configuration = file.load(paths)
    instance = configuration.instance(name)
    cls = registry.load(instance.type)
    credentials = _credentials(paths, configuration, instance)
    values = with_credentials(cls.Settings, instance.values, credentials)
    if credentials is None:
        _refuse_without_credentials(cls.Settings, instance, values)
    if values.get("container") == str(paths.local_storage):
        _close_to_others(paths.data_dir)
    return cls(values, context=_keeping_secrets(paths, instance, context))


def _close_to_others(folder: Path) -> None:
    """What the embedded storage stands in: names of files say enough. Where that fails the provider says why."""
    with contextlib.suppress(OSError):
        private_folder(folder)


def _refuse_without_credentials(
    cls: type[ProviderSettings], instance: InstanceConfig, values: Mapping[str, Any]
) -> None:
    """A missing credential is waited for, as one that cannot be read is; a missing setting is a mistake."""
    secret = {field.name for field in settings.describe(cls) if field.secret}
    pair = set(cls.credential_pair or ())
    missing = [name for name in settings.missing(cls, settings.load(cls, values)) if name in secret | pair]
    if missing:
        raise CredentialStoreError(
            f"the credentials of {instance.name} are not set ({', '.join(missing)})",
            hint=f"Set them: set-credentials {instance.name}.",
            code="missing",
        )


def _keeping_secrets(paths: Paths, instance: InstanceConfig, context: ProviderContext | None) -> ProviderContext:
    from providers.contract.context import ProviderContext

    def save_secret(old: Secret, new: Secret) -> bool:
        return CredentialStore(paths).swap(instance.credentials_key, old, new)

    return replace(context or ProviderContext(), save_secret=save_secret)


def open_draft(
    paths: Paths,
    service: str,
    values: Mapping[str, str],
    secrets: Mapping[str, Secret],
    *,
    instance: str = "",
    context: ProviderContext | None = None,
) -> BaseProvider:
    """A provider from what a form holds. What it leaves out, secrets too, comes from the saved `instance`.

    Raises as `open_provider` does.
    """
    cls = registry.load(service)
    saved = file.load(paths).instances.get(instance)
    if saved is not None and saved.type == service:
        context = _keeping_secrets(paths, saved, context)
    return cls(draft_settings(paths, service, values, secrets, instance=instance), context=context)


def draft_settings(
    paths: Paths, service: str, values: Mapping[str, str], secrets: Mapping[str, Secret], *, instance: str = ""
) -> dict[str, Any]:
    """What a form holds over what the saved `instance` has, secrets included. Raises as `open_provider` does."""
    configuration = file.load(paths)
    cls = _settings_class(registry.spec(service))
    saved = configuration.instances.get(instance)
    merged: dict[str, Any] = {}
    redaction.hide(*secrets.values())
    if saved is not None and saved.type == service:
        merged = with_credentials(cls, saved.values, _credentials(paths, configuration, saved))
    merged |= parse_values(cls, values)
    merged |= {key: secret for key, secret in secrets.items() if secret}
    return merged


def _credentials(paths: Paths, configuration: Configuration, instance: InstanceConfig) -> Credentials | None:
    key = instance.credentials_key
    if key not in configuration.credentials:
        return None
    found = CredentialStore(paths).get(key)
    if found is None:
        raise CredentialStoreError(f"the credentials of {instance.name} are no longer in the keyring", code="missing")
    last_used.note(paths, key)
    return found


def with_credentials(
    cls: type[ProviderSettings], values: Mapping[str, Any], credentials: Credentials | None
) -> dict[str, Any]:
    """Settings as a provider takes them: the pair under the service's own names; the keyring wins over the file."""
    merged = dict(values)
    if credentials is None:
        return merged
    user_field, password_field = cls.credential_pair or ("username", "password")
    merged |= credentials.extra
    if credentials.username:
        merged[user_field] = credentials.username
    if credentials.password:
        merged[password_field] = credentials.password
    return merged


# Changing one


def parse_values(cls: type[ProviderSettings], texts: Mapping[str, str]) -> dict[str, Any]:
    """What was typed, as checked values. An empty text means the default, except where text itself is wanted.

    Raises InvalidConfiguration naming the field; a secret among them is refused: those come as Secrets.
    """
    values: dict[str, Any] = {}
    for name, text in texts.items():
        field = settings.field(cls, name)
        if field.secret:
            raise InvalidConfiguration(f"{name}: is a secret", field=name, hint="Set it with set-credentials.")
        if not text.strip() and not field.optional and field.kind is not FieldKind.TEXT:
            values[name] = field.default
        else:
            values[name] = settings.parse(cls, name, text)
    return values


def store_credentials(
    paths: Paths,
    name: str,
    username: str | None,
    secrets: Mapping[str, Secret],
    *,
    store: CredentialStore | None = None,
    instance: InstanceConfig | None = None,
    expires_at: float | None = None,
) -> None:
    """Add to what the keyring holds for an instance. `secrets` are by setting, under the service's own names or the
    guide's; an empty Secret removes that one, a `username` of None leaves it as it is. `instance`:
    as it is about to be saved, where the file does not have it yet. `expires_at`: of these secrets; a note of an end
    stays while no secret is changed.

    Raises InvalidConfiguration for a secret that the service does not have, and CredentialStoreError; then nothing was
    changed.
    """
    configuration = file.load(paths)
    instance = instance or configuration.instance(name)
    cls = _settings_class(registry.spec(instance.type))
    password_field = (cls.credential_pair or ("username", "password"))[1]
    store = store or CredentialStore(paths)
    noted = configuration.credentials.get(instance.credentials_key)
    old = (store.get(instance.credentials_key) if noted else None) or Credentials()
    password, extra = old.password, dict(old.extra)
    for key, secret in secrets.items():
        if key in {"password", password_field}:
            password = secret or None
        elif settings.field(cls, key).secret:
            extra[key] = secret
        else:
            raise InvalidConfiguration(f"{key}: is no secret", field=key, hint="Set it with set-config.")
    new = Credentials(
        username=old.username if username is None else username,
        password=password,
        extra={key: secret for key, secret in extra.items() if secret},
    )
    if new:
        ends_at = expires_at if secrets or noted is None else noted.expires_at
        store.set(instance.credentials_key, new, expires_at=ends_at)
    elif old:
        store.remove(instance.credentials_key)


def remove_credentials(paths: Paths, name: str, *, store: CredentialStore | None = None) -> bool:
    """Delete what the keyring holds for an instance. False when there was nothing. Raises CredentialStoreError."""
    instance = file.load(paths).instance(name)
    return (store or CredentialStore(paths)).remove(instance.credentials_key)


def record_check(paths: Paths, name: str, report: ConnectionReport) -> None:
    """Remember when the saved settings were checked, and with which result, step by step."""
    with file.edit(paths) as draft:
        configuration = draft.configuration
        settings = fingerprint(configuration, configuration.instance(name))
        draft.record_check(name, CheckRecord(report.checked_at, report.ok, settings, report.steps))


def current_check(configuration: Configuration, name: str) -> CheckRecord | None:
    """The last check, or None when there was none since settings or credentials changed."""
    record = configuration.checks.get(name)
    instance = configuration.instances.get(name)
    if record is None or instance is None or record.fingerprint != fingerprint(configuration, instance):
        return None
    return record


# Describing them


def describe_services() -> tuple[ServiceInfo, ...]:
    """Every service the program knows, the unavailable ones with their reason."""
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
    """Every instance, the embedded `local` first. Never raises for what the file says: each tells its own problem."""
    configuration = file.load(paths)
    specs = {spec.name: spec for spec in registry.specs()}
    said = answers.latest(paths)
    return tuple(
        _describe(configuration, instance, specs, said.get(instance.name))
        for instance in configuration.instances.values()
    )


def describe(paths: Paths, name: str) -> InstanceInfo:
    """One instance. Raises InvalidConfiguration when there is none of that name."""
    found = next((info for info in describe_all(paths) if info.name == name), None)
    if found is None:
        file.load(paths).instance(name)
        raise InvalidConfiguration(f"there is no instance {name!r}", field="name")
    return found


def _describe(
    configuration: Configuration, instance: InstanceConfig, specs: Mapping[str, ServiceSpec], answer: Answer | None
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
    """State, why it is so, and the settings in force."""
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
        problem = ErrorInfo("configuration", f"{', '.join(missing)}: not set", "Set it with set-config.", missing[0])
        return InstanceState.INCOMPLETE, problem, shown
    return (InstanceState.READY if loaded.enabled else InstanceState.DISABLED), None, shown


def _with_noted(configuration: Configuration, instance: InstanceConfig, cls: type[ProviderSettings]) -> dict[str, Any]:
    """The settings with MASK in place of each secret that the keyring is noted to hold."""
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


def _settings_class(spec: ServiceSpec) -> type[ProviderSettings]:
    if spec.settings is None:
        raise InvalidConfiguration(f"{spec.name} cannot be used here: {spec.unavailable}", field="type")
    return spec.settings
