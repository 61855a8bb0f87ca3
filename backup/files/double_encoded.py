"""Double-encoded names, stored by a program whose shell's locale was not UTF-8 (ours too, before it used UTF-8 mode).
'Grüße' is then stored as 'GrÃ¼Ã\\x9fe'."""

from __future__ import annotations

import time
from typing import Final

import msgspec

from backup.files.scan import walk_prefix
from providers.base import BaseProvider
from providers.contract.cancel import CancelToken

LIMIT_S: Final = 5.0
LIMIT_ENTRIES: Final = 100_000
_NAMES_KEPT: Final = 20
_ENCODINGS: Final = (
    "latin-1", "iso8859-15", "iso8859-2", "iso8859-5", "iso8859-7", "iso8859-9", "koi8-r", "koi8-u", "cp1251",
)  # fmt: skip
"""Single-byte encodings of locales. Multi-byte ones do not accept every name."""


class Misnamed(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a look through one instance. `names`: the first keys, each with its correct form."""

    names: tuple[tuple[str, str], ...] = ()
    count: int = 0
    complete: bool = True
    """False if the look ended early."""


def repaired(key: str) -> str | None:
    """The correct form of a key of which some part is double-encoded; None if the key is correct.

    Each part is judged by itself: a folder may have its name from a command in UTF-8, and its files from a worker
    that was not.
    """
    once = "/".join(map(_repaired_part, key.split("/")))
    return once if once != key else None


def _repaired_part(name: str) -> str:
    """A name is double-encoded if its characters, as bytes of some locale, are valid UTF-8: text is never so by
    chance."""
    for encoding in () if name.isascii() else _ENCODINGS:
        try:
            once = _as_bytes(name, encoding).decode("utf-8")
        except UnicodeError:
            continue
        if once != name:
            return once
    return name


def _as_bytes(key: str, encoding: str) -> bytes:
    """Bytes without a character in the encoding appear as control characters, or as surrogates."""
    return b"".join(_byte(character, encoding) for character in key)


def _byte(character: str, encoding: str) -> bytes:
    if "\udc80" <= character <= "\udcff" or "\x80" <= character <= "\x9f":
        return bytes([ord(character) & 0xFF])
    return character.encode(encoding)


def look(provider: BaseProvider, cancel: CancelToken) -> Misnamed:
    """Look through all names of an instance, for at most LIMIT_S and LIMIT_ENTRIES. Raises what a listing raises."""
    until_s = time.monotonic() + LIMIT_S
    names: list[tuple[str, str]] = []
    count = 0
    for number, file in enumerate(walk_prefix(provider, "", cancel)):
        if number >= LIMIT_ENTRIES or time.monotonic() > until_s:
            return Misnamed(names=tuple(names), count=count, complete=False)
        once = repaired(file.key)
        if once is not None:
            count += 1
            if len(names) < _NAMES_KEPT:
                names.append((file.key, once))
    return Misnamed(names=tuple(names), count=count)
