"""Questions and answers as plain data, for the private pipe between the console and its child. The only place where
their secrets are revealed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from backup.rpc import ConnectionLost
from backup.system import redaction
from providers.secret import Secret


def to_data(value: Any) -> Any:
    """Plain data of a question or an answer."""
    return msgspec.to_builtins(value, enc_hook=_plain, str_keys=True)


def from_data(value: Any, kind: Any) -> Any:
    """The question or answer as `kind`; its secrets are redacted in logs from now on. Raises ConnectionLost if it is
    not a `kind`."""
    try:
        return msgspec.convert(value, kind, dec_hook=_typed, str_keys=True)
    except msgspec.ValidationError as error:
        raise ConnectionLost(f"the other process answered in an unexpected form: {error}") from error


def _plain(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be encoded")


def _typed(kind: type[Any], text: Any) -> Any:
    if kind is Secret:
        secret = Secret(text)
        redaction.hide(secret)
        return secret
    return kind(text)
