"""Setting values read from typed text, by kind of field. Loads no service."""

from __future__ import annotations

import os
import re
from enum import StrEnum
from typing import Any, Final

import msgspec

from providers.errors import InvalidConfiguration
from providers.remedies import Action, Remedy
from providers.secret import Secret

_SIZE: Final = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?(?:/s)?\s*$", re.IGNORECASE)
_NOTHING: Final = {"", "null", "none", "-"}


class FieldKind(StrEnum):
    TEXT = "text"
    SECRET = "secret"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    BYTES = "bytes"
    """A size; input may carry a unit (`100MiB`)."""


class SettingField(msgspec.Struct, frozen=True, kw_only=True):
    """One setting, ready to be shown as a form field, a CLI key or a table row."""

    name: str
    kind: FieldKind
    label: str
    help: str
    placeholder: str
    unit: str
    required: bool
    advanced: bool
    optional: bool
    """May be null."""
    default: Any
    path: bool = False
    """Names a file or folder on this machine."""
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    @property
    def secret(self) -> bool:
        return self.kind is FieldKind.SECRET


def parse_text(spec: SettingField, text: str) -> Any:
    """Convert typed text to a value, checked against the kind and limits of the field.

    For forms, on each key press: needs no settings class, so loads no service. Raises InvalidConfiguration naming the
    field and the problem; never repeats the text of a secret.
    """
    name, cleaned = spec.name, text.strip()
    if spec.optional and cleaned.lower() in _NOTHING and spec.kind is not FieldKind.SECRET:
        return None
    match spec.kind:
        case FieldKind.SECRET:
            return Secret(text) if text else None
        case FieldKind.BOOLEAN:
            return _boolean(name, cleaned)
        case FieldKind.BYTES:
            return _within(spec, _size(name, cleaned))
        case FieldKind.INTEGER | FieldKind.NUMBER:
            try:
                return _within(spec, int(cleaned) if spec.kind is FieldKind.INTEGER else float(cleaned))
            except ValueError:
                what = "a whole number" if spec.kind is FieldKind.INTEGER else "a number"
                raise InvalidConfiguration(f"{name}: {cleaned!r} is not {what}", field=name) from None
        case FieldKind.CHOICE if cleaned not in spec.choices:
            raise InvalidConfiguration(f"{name}: {cleaned!r} is not one of {', '.join(spec.choices)}", field=name)
        case _:
            if spec.required and not cleaned:
                raise InvalidConfiguration(f"{name}: must not be empty", field=name)
            without_password(name, cleaned)
            return os.path.abspath(os.path.expanduser(cleaned)) if spec.path and cleaned else cleaned


def _within(spec: SettingField, value: float) -> float:
    if spec.minimum is not None and not value >= spec.minimum:
        raise InvalidConfiguration(f"{spec.name}: must be at least {spec.minimum:.12g}", field=spec.name)
    if spec.maximum is not None and not value <= spec.maximum:
        raise InvalidConfiguration(f"{spec.name}: must be at most {spec.maximum:.12g}", field=spec.name)
    return value


def _boolean(name: str, text: str) -> bool:
    if text.lower() in {"true", "yes", "on", "1"}:
        return True
    if text.lower() in {"false", "no", "off", "0"}:
        return False
    raise InvalidConfiguration(f"{name}: {text!r} is neither true nor false", field=name)


def _size(name: str, text: str) -> int:
    found = _SIZE.match(text)
    if not found:
        raise InvalidConfiguration(f"{name}: {text!r} is not a size", field=name, hint="Write 1048576, 1MiB or 1MB.")
    number, prefix, binary = found.groups()
    return int(float(number) * (1024 if binary else 1000) ** "_kmgt".index(prefix.lower() or "_"))


def holds_password(address: str) -> bool:
    """Whether a proxy address contains a password; also works for malformed addresses."""
    before = address.rpartition("@")[0]
    return ":" in before.partition("//")[2] if "//" in before else ":" in before


def without_password(name: str, value: Any) -> Any:
    """The value, unless it is a proxy address with a password in it: then InvalidConfiguration."""
    text = value.reveal() if isinstance(value, Secret) else value
    if name != "proxy" or not isinstance(text, str):
        return value
    if holds_password(text):
        raise InvalidConfiguration(
            "proxy: must not contain a password",
            field=name,
            hint="Write http://user@host:port.",
            remedies=(Remedy(Action.SET_CREDENTIALS, setting="proxy_password"),),
        )
    return text
