"""The recovery kit of this machine: configuration and store combined for `backup.credentials.recovery_kit`."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

from backup.config import file
from backup.config.file import Configuration, InstanceConfig
from backup.credentials import CredentialStore, selection
from backup.credentials.entry import Credentials
from backup.credentials.recovery_kit import KitInstance, recovery_kit
from backup.credentials.vault_file.file import VaultFile, VaultInfo
from backup.credentials.vault_file.unlocked import vault_path
from backup.instances import values
from backup.model.credentials import StoreBackend
from backup.system.paths import Paths
from providers import registry, settings
from providers.errors import InvalidConfiguration
from providers.secret import Secret
from providers.settings import ProviderSettings


def kit(
    paths: Paths, store: CredentialStore, names: Sequence[str] = (), *, columns: int = 80, dark_background: bool = False
) -> Secret:
    """One printable page with everything needed to read the backups on another machine, secrets in clear text."""
    configuration = file.load(paths)
    wanted = names or [name for name in configuration.instances if name != file.EMBEDDED]
    parts = [_part(configuration, store, name) for name in wanted or [file.EMBEDDED]]
    return recovery_kit(
        parts,
        host=socket.gethostname(),
        made_on=time.strftime("%Y-%m-%d"),
        vault=_vault(paths),
        columns=columns,
        dark_background=dark_background,
    )


def _part(configuration: Configuration, store: CredentialStore, name: str) -> KitInstance:
    """An instance whose service is no longer available here is printed as it was stored: the page may be its last
    copy."""
    instance = configuration.instance(name)
    entry = store.get(instance.credentials_key) if instance.credentials_key in configuration.credentials else None
    try:
        spec = registry.spec(instance.type)
        if spec.settings is None:
            raise InvalidConfiguration(f"{name}: its service cannot be used here: {spec.unavailable}", field="type")
        merged = settings.load(spec.settings, values.with_credentials(spec.settings, instance.values, entry))
    except InvalidConfiguration:
        return _as_kept(instance, entry)
    fields = settings.describe(spec.settings)
    of_this_machine = settings.without(spec.settings, "portable")
    return KitInstance(
        name=name,
        service=instance.type,
        title=spec.title,
        settings={
            field.name: value
            for field in fields
            if not field.secret
            and field.name not in of_this_machine
            and ((value := getattr(merged, field.name)) != field.default or not field.advanced)
        },
        secrets={field.name: value for field in fields if field.secret and (value := getattr(merged, field.name))},
    )


def _as_kept(instance: InstanceConfig, entry: Credentials | None) -> KitInstance:
    known = entry or Credentials()
    pair = {"password": known.password} if known.password else {}
    of_this_machine = settings.without(ProviderSettings, "portable")
    values = {key: value for key, value in instance.values.items() if key not in of_this_machine}
    return KitInstance(
        name=instance.name,
        service=instance.type,
        title=f"{instance.type}, as stored",
        settings=values | ({"username": known.username} if known.username else {}),
        secrets={**pair, **known.extra},
    )


def _vault(paths: Paths) -> VaultInfo | None:
    """What opens the vault, if the vault is the store in use."""
    if selection.kind_of(selection.choose(paths)) is not StoreBackend.VAULT:
        return None
    return VaultFile(vault_path(paths)).describe()
