"""Values of settings: typed ones, and those from the credential store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backup.credentials import Credentials
from providers import settings
from providers.errors import InvalidConfiguration
from providers.registry import ServiceSpec
from providers.remedies import Action, Remedy
from providers.settings import FieldKind, ProviderSettings


def with_credentials(
    cls: type[ProviderSettings], values: Mapping[str, Any], credentials: Credentials | None
) -> dict[str, Any]:
    """Settings for a provider: the credential pair under the service's names; the keyring wins over the file."""
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


def parse_values(cls: type[ProviderSettings], texts: Mapping[str, str]) -> dict[str, Any]:
    """Typed texts as checked values. An empty text means the default, except for settings that are text.

    Raises InvalidConfiguration naming the field, also for a secret: secrets are passed as Secret.
    """
    values: dict[str, Any] = {}
    for name, text in texts.items():
        field = settings.field(cls, name)
        if field.secret:
            raise InvalidConfiguration(
                f"{name}: is a secret", field=name, remedies=(Remedy(Action.SET_CREDENTIALS, setting=name),)
            )
        if not text.strip() and not field.optional and field.kind is not FieldKind.TEXT:
            values[name] = field.default
        else:
            values[name] = settings.parse(cls, name, text)
    return values


def settings_class(spec: ServiceSpec) -> type[ProviderSettings]:
    if spec.settings is None:
        raise InvalidConfiguration(f"{spec.name} cannot be used here: {spec.unavailable}", field="type")
    return spec.settings
