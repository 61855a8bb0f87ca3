"""Setting an instance up: what was typed becomes settings in the file and secrets in the store, both or neither."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from backup.config import file
from backup.config.file import Configuration, InstanceConfig
from backup.credentials import Credentials, CredentialStore
from backup.instances import describing
from backup.model.instances import InstanceInfo, InstanceState
from backup.system.paths import Paths
from providers import registry, settings
from providers.errors import InvalidConfiguration
from providers.secret import Secret
from providers.settings import ProviderSettings


def save_instance(
    paths: Paths,
    store: CredentialStore,
    name: str,
    service: str,
    values: Mapping[str, str],
    secrets: Mapping[str, Secret],
    *,
    enable: bool = False,
    expires_at: float | None = None,
) -> InstanceInfo:
    """`Service.save_instance`. Everything is checked before anything is kept; what was kept is put back when the file
    fails."""
    cls = _settings_class(service)
    parsed = describing.parse_values(cls, values)
    if enable:
        parsed["enabled"] = True
    configuration = file.load(paths)
    instance = _as_saved(configuration, name, service, parsed)
    user_field = _user_field(cls)
    in_store = bool(secrets) or instance.credentials_key in configuration.credentials
    username = str(parsed[user_field]) if in_store and user_field in parsed else None
    if not secrets and username is None:
        _write(paths, name, service, parsed)
        return describing.describe(paths, name)
    with _put_back_on_failure(store, configuration, instance.credentials_key):
        describing.store_credentials(
            paths, name, username, secrets, store=store, instance=instance, expires_at=expires_at
        )
        if username is not None:
            parsed[user_field] = ""  # the entry in the store is its one home
        _write(paths, name, service, parsed)
    return describing.describe(paths, name)


def set_setting(paths: Paths, store: CredentialStore, name: str, key: str, text: str) -> InstanceInfo:
    """`Service.set_setting`."""
    configuration = file.load(paths)
    if key == "type":
        _settings_class(text)
        with file.edit(paths) as draft:
            draft.add(name, text)
        return describing.describe(paths, name)
    service = _service_of(configuration, name)
    if key == "enabled":
        enabled = bool(settings.parse(_settings_class(service), key, text))
        return set_enabled(paths, name, enabled)
    return save_instance(paths, store, name, service, {key: text}, {})


def set_enabled(paths: Paths, name: str, enabled: bool) -> InstanceInfo:
    """`Service.set_enabled`."""
    info = describing.describe(paths, name)
    if enabled:
        if info.problem and not info.usable and info.state is not InstanceState.DISABLED:
            raise info.problem.error()
        if not info.check_ok:
            raise InvalidConfiguration(
                f"{name} has not passed a check since its settings were changed",
                hint=f"Run test-providers {name} first.",
            )
    with file.edit(paths) as draft:
        draft.set(name, "enabled", enabled)
    return describing.describe(paths, name)


def set_credentials(
    paths: Paths,
    store: CredentialStore,
    name: str,
    username: str | None,
    password: Secret | None,
    extra: Mapping[str, Secret],
    *,
    expires_at: float | None = None,
) -> None:
    """`Service.set_credentials`. An instance that a service's name stands for is made by this."""
    configuration = file.load(paths)
    service = _service_of(configuration, name)
    cls = _settings_class(service)
    if password is not None and not _takes_password(cls):
        raise InvalidConfiguration(
            f"{name}: {cls.title or service} takes no credentials", hint="There is nothing to set."
        )
    secrets = dict(extra) | ({"password": password} if password is not None else {})
    instance = _as_saved(configuration, name, service, {})
    with _put_back_on_failure(store, configuration, instance.credentials_key):
        describing.store_credentials(
            paths, name, username, secrets, store=store, instance=instance, expires_at=expires_at
        )
        if name not in configuration.instances:
            _write(paths, name, service, {})


def service_of(paths: Paths, name: str) -> str:
    """`Service.service_of`."""
    return _service_of(file.load(paths), name)


def remove_instance(paths: Paths, store: CredentialStore, name: str) -> None:
    """The rest of `Service.remove_instance`, once nothing is queued. Credentials that another instance uses stay."""
    configuration = file.load(paths)
    key = configuration.instance(name).credentials_key
    shared = any(other.credentials_key == key for other in configuration.instances.values() if other.name != name)
    if key in configuration.credentials and not shared:
        store.remove(key)
    with file.edit(paths) as draft:
        draft.remove(name)


def _write(paths: Paths, name: str, service: str, parsed: Mapping[str, Any]) -> None:
    with file.edit(paths) as draft:
        draft.add(name, service)
        for key, value in parsed.items():
            draft.set(name, key, value)


@contextmanager
def _put_back_on_failure(store: CredentialStore, configuration: Configuration, key: str) -> Iterator[None]:
    """Leave the entry as it was found when the block fails, so that file and store go on agreeing."""
    old: Credentials | None = store.get(key) if key in configuration.credentials else None
    try:
        yield
    except BaseException:
        if old is not None:
            store.set(key, old, expires_at=configuration.credentials[key].expires_at)
        elif store.has(key):
            store.remove(key)
        raise


def _as_saved(configuration: Configuration, name: str, service: str, parsed: Mapping[str, Any]) -> InstanceConfig:
    """The instance as the file will have it. Raises InvalidConfiguration when the name stands for another service."""
    there = configuration.instances.get(name)
    if there is None:
        return InstanceConfig(name=name, type=service, values=dict(parsed))
    if there.type != service:
        raise InvalidConfiguration(
            f"{name} is already there, for {there.type}", field="name", hint="Choose another name."
        )
    return msgspec.structs.replace(there, values={**there.values, **parsed})


def _service_of(configuration: Configuration, name: str) -> str:
    """The service of an instance; its own name where it is to be made. Raises InvalidConfiguration."""
    if configuration.problem and not configuration.usable:
        raise configuration.problem.error()
    there = configuration.instances.get(name)
    if there is not None:
        return there.type
    if name not in registry.PROVIDERS:
        services = ", ".join(registry.PROVIDERS)
        raise InvalidConfiguration(
            f"there is no provider {name!r}",
            field="name",
            hint=f"Set it up first: set-config {name} type SERVICE, where SERVICE is one of {services}.",
        )
    return name


def _settings_class(service: str) -> type[ProviderSettings]:
    spec = registry.spec(service)
    if spec.settings is None:
        raise InvalidConfiguration(f"{service} cannot be used here: {spec.unavailable}", field="type")
    return spec.settings


def _user_field(cls: type[ProviderSettings]) -> str:
    return (cls.credential_pair or ("username", "password"))[0]


def _takes_password(cls: type[ProviderSettings]) -> bool:
    return cls.credential_pair is not None or "password" not in cls.not_applicable
