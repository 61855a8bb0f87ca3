"""Keys and Dropbox paths, in rclone's encoding, so that either program finds the other's files.

Dropbox accepts no backslash, no DEL, no blank at the end of a name, and only UTF-8. Such characters become look-alikes
(＼ ␡ ␠, ‛ with two hex digits). A name that already contains a look-alike gets a ‛ in front of it. A ‛ is doubled only
where it would otherwise be read as such an escape. So every name that Dropbox can hold belongs to exactly one key, and
every listed file can be downloaded.
Source: https://rclone.org/overview/#encoding, the default of its dropbox backend, and rclone's behaviour on each name.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from providers.errors import InvalidName

MAX_KEY_BYTES: Final = 4096
MAX_NAME_CHARS: Final = 255
_QUOTE: Final = "\u201b"
_BLANK: Final = "\u2420"
_LOOK_ALIKES: Final = {"\\": "\uff3c", "\x7f": "\u2421", " ": _BLANK}
_ORIGINALS: Final = {sign: char for char, sign in _LOOK_ALIKES.items()}
_RESERVED: Final = frozenset({"desktop.ini", "thumbs.db", ".ds_store", "icon\r", ".dropbox", ".dropbox.attr"})
"""Source: https://help.dropbox.com/organize/file-names, files that are never synced."""
_SIGNS: Final = "[\uff3c\u2421]|\u2420\\Z"
_HEX: Final = "[89A-F][0-9A-F]"
_ENCODES: Final = re.compile(rf"({_QUOTE}*)(?:([\\\x7f\udc80-\udcff]| \Z)|({_SIGNS})|(?={_HEX}))")
_ENCODED: Final = re.compile(rf"({_QUOTE}*)(?:({_SIGNS})|({_HEX}))")


def encode_name(name: str) -> str:
    """One part of a key as stored by Dropbox."""

    def encoded(found: re.Match[str]) -> str:
        quotes, char, sign = found.groups()
        if char:
            return quotes * 2 + (_LOOK_ALIKES.get(char) or f"{_QUOTE}{ord(char) & 0xFF:02X}")
        return f"{quotes * 2}{_QUOTE}{sign}" if sign else quotes * 2

    return _ENCODES.sub(encoded, name)


def decode_name(name: str) -> str:
    """Reverses `encode_name`; returns other names unchanged."""

    def decoded(found: re.Match[str]) -> str:
        quotes, sign, pair = found.groups()
        half, quoted = divmod(len(quotes), 2)
        if sign:
            return _QUOTE * half + (sign if quoted else _ORIGINALS[sign])
        return _QUOTE * half + (chr(0xDC00 | int(pair, 16)) if quoted else pair)

    return _ENCODED.sub(decoded, name)


def checked_key(key: str) -> list[str]:
    """The parts of a key, encoded. Raises InvalidName for keys that Dropbox or a disk cannot hold."""
    parts = key.split("/")
    if not key or len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        raise InvalidName(f"{_shown(key)}: a name may have 1 to {MAX_KEY_BYTES} bytes")
    if "\0" in key or any(part in ("", ".", "..") for part in parts):
        raise InvalidName(f"{_shown(key)}: a name must not contain NUL, and no part of it may be empty, '.' or '..'")
    encoded = [encode_name(part) for part in parts]
    if any(len(part) > MAX_NAME_CHARS for part in encoded):
        raise InvalidName(f"{_shown(key)}: no part of a name may be longer than {MAX_NAME_CHARS} characters")
    return encoded


def checked_new_key(key: str) -> list[str]:
    """As `checked_key`; also refuses keys that Dropbox would store under another name."""
    encoded = checked_key(key)
    leaf = encoded[-1].lower()
    if leaf in _RESERVED or leaf.startswith(("~$", ".~")) or (leaf.startswith("~") and leaf.endswith(".tmp")):
        raise InvalidName(
            f"{_shown(key)}: Dropbox does not store files of that name",
            hint="Leave it out or rename it; so with desktop.ini, Thumbs.db, .DS_Store and Office's temporary files.",
        )
    if not unicodedata.is_normalized("NFC", key):
        raise InvalidName(
            f"{_shown(key)}: has letters with separate accents (NFD), which Dropbox would change to NFC",
            hint="Rename the file (convmv -f utf8 -t utf8 --nfc), or store it in another service.",
        )
    return encoded


def _shown(key: str) -> str:
    return f"'{key}'" if len(key) <= 200 else f"'{key[:200]}…'"


def folded(name: str) -> str:
    """Equal for names that Dropbox treats as the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).lower())


def same(one: str, other: str) -> bool:
    """True if two encoded names are the same name in the same spelling."""
    return one == other or unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)
