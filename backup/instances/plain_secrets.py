"""Plain secrets: moves secrets from the configuration file to the credential store."""

from __future__ import annotations

import msgspec

from backup.config import file
from backup.credentials import CredentialStore
from backup.instances import editing
from backup.system.paths import Paths
from providers import registry, settings
from providers.contract.report import ErrorInfo
from providers.errors import ProviderError
from providers.secret import Secret
from providers.settings import ProviderSettings


class Adoption(msgspec.Struct, frozen=True, kw_only=True):
    """Secrets found in the config file, as `<instance>.<setting>`: those moved to the store, and those left behind."""

    moved: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    """Still in the file, in plain text; `problem` is the reason."""
    problem: ErrorInfo | None = None


def adopt_secrets(paths: Paths, store: CredentialStore | None = None) -> Adoption:
    """Move every secret in the file to the credential store, then remove it from the file. Called at program start.

    Never raises a ProviderError. A secret is removed from the file only after the store returned it on reading back,
    and only if the file still has the same value; what cannot be moved stays. Without secrets in the file no keyring is
    used.
    """
    moved: list[str] = []
    left: list[str] = []
    problem: ErrorInfo | None = None
    for name, found in _secrets_in_file(paths).items():
        for key, secret in found.items():
            try:
                editing.store_credentials(paths, name, None, {key: secret}, store=store)
                _take_out(paths, name, key, secret)
                moved.append(f"{name}.{key}")
            except ProviderError as error:
                left.append(f"{name}.{key}")
                problem = problem or ErrorInfo.of(error)
    return Adoption(moved=tuple(moved), left=tuple(left), problem=problem)


def secrets_in_file(paths: Paths) -> tuple[str, ...]:
    """Secrets in plain text in the configuration file, as `<instance>.<setting>`."""
    return tuple(f"{name}.{key}" for name, found in _secrets_in_file(paths).items() for key in found)


def _secrets_in_file(paths: Paths) -> dict[str, dict[str, Secret]]:
    configuration = file.load(paths)
    if not configuration.usable:
        return {}
    classes = {spec.name: spec.settings for spec in registry.specs()}
    found: dict[str, dict[str, Secret]] = {}
    for name, instance in configuration.instances.items():
        secret = {
            key: value if isinstance(value, Secret) else Secret(value)
            for key, value in instance.values.items()
            if value and isinstance(value, str | Secret) and _is_secret(classes.get(instance.type), key)
        }
        if secret:
            found[name] = secret
    return found


def _is_secret(cls: type[ProviderSettings] | None, key: str) -> bool:
    """By the service's description of the setting, or by its name if the service has no such setting."""
    known = {field.name: field.secret for field in settings.describe(cls)} if cls else {}
    return known.get(key, file.looks_secret(key))


def _take_out(paths: Paths, name: str, key: str, secret: Secret) -> None:
    with file.edit(paths) as draft:
        if draft.plain_values(name).get(key) == secret.reveal():
            draft.unset(name, key)
