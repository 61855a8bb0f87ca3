"""Set-up of instances: typed values become settings in the file and secrets in the store, both or neither."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from backup.config import file
from backup.config.file import CheckRecord, Configuration, InstanceConfig, fingerprint
from backup.credentials import Credentials, CredentialStore
from backup.instances.values import settings_class
from backup.system.paths import Paths
from providers import registry, settings
from providers.contract.report import ConnectionReport
from providers.errors import InvalidConfiguration
from providers.remedies import Action, Remedy
from providers.secret import Secret
from providers.settings import ProviderSettings


def write(paths: Paths, name: str, service: str, parsed: Mapping[str, Any]) -> None:
    """Write settings to the file; adds a missing instance."""
    with file.edit(paths) as draft:
        draft.add(name, service)
        for key, value in parsed.items():
            draft.set(name, key, value)


@contextmanager
def put_back_on_failure(store: CredentialStore, configuration: Configuration, key: str) -> Iterator[None]:
    """Restore the entry if the block fails, so that file and store still agree."""
    old: Credentials | None = store.get(key) if key in configuration.credentials else None
    try:
        yield
    except BaseException:
        if old is not None:
            store.set(key, old, expires_at=configuration.credentials[key].expires_at)
        elif store.has(key):
            store.remove(key)
        raise


def as_saved(configuration: Configuration, name: str, service: str, parsed: Mapping[str, Any]) -> InstanceConfig:
    """The instance as the file will have it. Raises InvalidConfiguration if the name belongs to another service."""
    there = configuration.instances.get(name)
    if there is None:
        return InstanceConfig(name=name, type=service, values=dict(parsed))
    if there.type != service:
        raise InvalidConfiguration(
            f"{name} already exists, for {there.type}", field="name", hint="Choose another name."
        )
    return msgspec.structs.replace(there, values={**there.values, **parsed})


def service_of(configuration: Configuration, name: str) -> str:
    """The service of an instance, or `name` itself if it is a service's name. Raises InvalidConfiguration."""
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
            hint=f"Services: {services}.",
            remedies=(Remedy(Action.SET_UP, name),),
        )
    return name


def user_field(cls: type[ProviderSettings]) -> str:
    return (cls.credential_pair or ("username", "password"))[0]


def takes_password(cls: type[ProviderSettings]) -> bool:
    return cls.credential_pair is not None or "password" not in cls.not_applicable


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
    """Add to the stored credentials of an instance.

    `secrets` are by setting, under the service's names or the guide's. An empty Secret removes one; a `username` of
    None leaves it unchanged. `instance`: as it is about to be saved, if the file does not have it yet. `expires_at`:
    the expiry of these secrets; a recorded expiry stays while no secret changes.

    Raises InvalidConfiguration for a secret that the service does not have, and CredentialStoreError. In both cases
    nothing was changed.
    """
    configuration = file.load(paths)
    instance = instance or configuration.instance(name)
    cls = settings_class(registry.spec(instance.type))
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
            raise InvalidConfiguration(f"{key}: is not a secret", field=key)
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
    """Delete the stored credentials of an instance. False if there were none. Raises CredentialStoreError."""
    instance = file.load(paths).instance(name)
    return (store or CredentialStore(paths)).remove(instance.credentials_key)


def record_check(paths: Paths, name: str, report: ConnectionReport) -> None:
    """Record when the saved settings were checked, and the result of each step."""
    with file.edit(paths) as draft:
        configuration = draft.configuration
        settings = fingerprint(configuration, configuration.instance(name))
        draft.record_check(name, CheckRecord(report.checked_at, report.ok, settings, report.steps))
