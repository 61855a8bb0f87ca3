"""One entry of the credential store."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from backup.credentials.errors import CredentialStoreError
from providers.secret import Secret


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """The credentials of an instance: the guide's pair, and other secret settings by name."""

    username: str = ""
    password: Secret | None = None
    extra: dict[str, Secret] = {}

    def __bool__(self) -> bool:
        return bool(self.username or self.password or self.extra)

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the secrets that are set."""
        return (*(["password"] if self.password else []), *self.extra)

    def secrets(self) -> tuple[Secret, ...]:
        return (*([self.password] if self.password else []), *self.extra.values())


def to_text(credentials: Credentials) -> str:
    """The text kept in the keyring; secret."""
    return json.dumps(
        {
            "username": credentials.username,
            "password": credentials.password.reveal() if credentials.password else None,
            "extra": {name: secret.reveal() for name, secret in credentials.extra.items() if secret},
        }
    )


def from_text(key: str, text: str) -> Credentials:
    """Raises CredentialStoreError if another program wrote the entry; its text is never repeated."""
    try:
        return _entry(json.loads(text))
    except (ValueError, TypeError, AttributeError):
        message = f"the entry {key!r} in the keyring was not written by this program"
        raise CredentialStoreError(message, code="malformed") from None


def _entry(found: Any) -> Credentials:
    password, extra = found.get("password"), found.get("extra") or {}
    username = found.get("username") or ""
    if not all(isinstance(text, str) for text in (username, password or "", *extra.values())):
        raise TypeError
    return Credentials(
        username=username,
        password=Secret(password) if password else None,
        extra={str(name): Secret(text) for name, text in extra.items() if text},
    )
