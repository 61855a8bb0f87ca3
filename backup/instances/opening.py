"""Opening of instances: settings and credentials become a provider."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backup.config import file
from backup.config.file import Configuration, InstanceConfig
from backup.credentials import Credentials, CredentialStore, CredentialStoreError, last_used
from backup.instances.values import parse_values, settings_class, with_credentials
from backup.system import redaction
from backup.system.paths import Paths
from backup.system.private_files import private_folder
from providers import registry, settings
from providers.remedies import Action, Remedy
from providers.secret import Secret
from providers.settings import ProviderSettings

if TYPE_CHECKING:
    from providers.base import BaseProvider
    from providers.contract.context import ProviderContext


def open_provider(paths: Paths, name: str, *, context: ProviderContext | None = None) -> BaseProvider:
    """The provider of a saved instance, with settings and credentials merged. Loads the service's SDK; uses no network.

    The keyring is accessed only if the configuration lists credentials for it. A new secret from the service (a
    refreshed token) is kept in the same entry. Raises InvalidConfiguration, CredentialStoreError (also if required
    credentials are missing), Unsupported.
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
    """Make the folder of the embedded storage private: file names reveal much. The provider reports failures."""
    with contextlib.suppress(OSError):
        private_folder(folder)


def _refuse_without_credentials(
    cls: type[ProviderSettings], instance: InstanceConfig, values: Mapping[str, Any]
) -> None:
    """A missing credential is waited for, like one that cannot be read; a missing setting is a mistake."""
    secret = {field.name for field in settings.describe(cls) if field.secret}
    pair = set(cls.credential_pair or ())
    missing = [name for name in settings.missing(cls, settings.load(cls, values)) if name in secret | pair]
    if missing:
        raise CredentialStoreError(
            f"the credentials of {instance.name} are not set ({', '.join(missing)})",
            remedies=(Remedy(Action.SET_CREDENTIALS, instance.name),),
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
    """A provider with the values of a form. What the form leaves out, secrets too, comes from the saved `instance`.

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
    """The values of a form merged over the saved `instance`, secrets included. Raises as `open_provider` does."""
    configuration = file.load(paths)
    cls = settings_class(registry.spec(service))
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
