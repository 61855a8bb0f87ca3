"""Typed data as JSON bytes and back. Keeps lone surrogates, which represent bytes of names that are not UTF-8."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def pack(value: Any) -> bytes:
    """JSON. Text with lone surrogates, which msgspec refuses, takes a slower path, escaped. Raises TypeError for a
    value that is not plain data (a Secret)."""
    try:
        return msgspec.json.encode(value, enc_hook=_plain)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value, enc_hook=_plain, str_keys=True)).encode("ascii")


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not plain data")


def unpack(data: bytes, kind: type[T]) -> T:
    """Raises ValueError (msgspec's errors derive from it) for anything that is not a `kind`."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return msgspec.convert(json.loads(data), kind, str_keys=True)


def to_bytes(name: str) -> bytes:
    """A name as the bytes it has on disk."""
    return name.encode("utf-8", "surrogateescape")


def to_name(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
