"""Keys and Dropbox paths, with rclone's encoding, so that either program finds what the other one wrote.

Dropbox takes no backslash, no DEL and no blank at the end of a name, and no bytes that are not UTF-8. They become
look-alikes (＼ ␡ ␠, ‛ with two hex digits); a name that has such a character itself gets a ‛ before it.
Source: https://rclone.org/overview/#encoding, the default of its dropbox backend.
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
_STAND_IN: Final = {"\\": "\uff3c", "\x7f": "\u2421"}
_STANDS_FOR: Final = {**{sign: char for char, sign in _STAND_IN.items()}, "\uff0f": "/", "\u2400": "\0"}
_DOT: Final = "\uff0e"
_RESERVED: Final = frozenset({"desktop.ini", "thumbs.db", ".ds_store", "icon\r", ".dropbox", ".dropbox.attr"})
"""Source: https://help.dropbox.com/organize/file-names, files that are never synced."""
_SURROGATE: Final = re.compile("[\udc80-\udcff]")
_TAKEN: Final = re.compile(f"[{_QUOTE}{''.join(_STANDS_FOR)}]")
_ENCODED: Final = re.compile(f"{_QUOTE}([0-9A-F]{{2}}|.)|([{''.join(_STANDS_FOR)}])", re.DOTALL)


def encode_name(name: str) -> str:
    """One part of a key as Dropbox keeps it."""
    if name in (_DOT, _DOT * 2):
        return "".join(_QUOTE + char for char in name)
    encoded = _TAKEN.sub(lambda found: _QUOTE + found[0], name)
    for char, sign in _STAND_IN.items():
        encoded = encoded.replace(char, sign)
    encoded = _SURROGATE.sub(lambda found: f"{_QUOTE}{ord(found[0]) & 0xFF:02X}", encoded)
    if name.endswith(" "):
        return encoded[:-1] + _BLANK
    return encoded[:-1] + _QUOTE + _BLANK if name.endswith(_BLANK) else encoded


def decode_name(name: str) -> str:
    """What `encode_name` made of it; any other name as it is."""
    if name.replace(_QUOTE + _DOT, _DOT) in (_DOT, _DOT * 2):
        return name.replace(_QUOTE, "")
    ending = ""
    if name.endswith(_QUOTE + _BLANK):
        name, ending = name[:-2], _BLANK
    elif name.endswith(_BLANK):
        name, ending = name[:-1], " "

    def decoded(found: re.Match[str]) -> str:
        quoted, sign = found.groups()
        if sign:
            return _STANDS_FOR[sign] if sign in _STAND_IN.values() else sign
        return chr(0xDC00 | int(quoted, 16)) if len(quoted) == 2 else quoted

    return _ENCODED.sub(decoded, name) + ending


def checked_key(key: str) -> list[str]:
    """The parts of a key, encoded. Raises InvalidName for what Dropbox cannot hold, or no disk could take back."""
    parts = key.split("/")
    if not key or len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        raise InvalidName(f"{_shown(key)}: a name has 1 to {MAX_KEY_BYTES} bytes")
    if "\0" in key or any(part in ("", ".", "..") for part in parts):
        raise InvalidName(f"{_shown(key)}: a name holds no NUL, and no part of it is empty, '.' or '..'")
    encoded = [encode_name(part) for part in parts]
    if any(len(part) > MAX_NAME_CHARS for part in encoded):
        raise InvalidName(f"{_shown(key)}: no part of a name may be longer than {MAX_NAME_CHARS} characters")
    return encoded


def checked_new_key(key: str) -> list[str]:
    """As `checked_key`; also refuses what Dropbox would store under another name than the one it was given."""
    encoded = checked_key(key)
    leaf = encoded[-1].lower()
    if leaf in _RESERVED or leaf.startswith(("~$", ".~")) or (leaf.startswith("~") and leaf.endswith(".tmp")):
        raise InvalidName(
            f"{_shown(key)}: Dropbox keeps no file of that name",
            hint="Leave it out, or rename it; desktop.ini, Thumbs.db, .DS_Store and Office's temporary files are such.",
        )
    if not unicodedata.is_normalized("NFC", key):
        raise InvalidName(
            f"{_shown(key)}: has letters with separate accents (NFD), which Dropbox stores as one (NFC)",
            hint="Rename the file (convmv -f utf8 -t utf8 --nfc), or keep it in another service.",
        )
    return encoded


def _shown(key: str) -> str:
    return f"'{key}'" if len(key) <= 200 else f"'{key[:200]}…'"


def folded(name: str) -> str:
    """Equal for names between which Dropbox makes no difference."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).lower())


def same(one: str, other: str) -> bool:
    """Whether two encoded names are the same name, spelt alike."""
    return one == other or unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)
