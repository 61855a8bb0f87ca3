"""Text from outside made safe for a terminal, and numbers made readable."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Final

_JOINER: Final = "\u200d"
_FILLERS: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u3164\uffa0\u2800")
"""They are drawn as nothing, but Unicode does not class them as control or format characters."""
_VISIBLE_FORMATS: Final = frozenset(
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)
"""They are drawn (they enclose a number), though Unicode classes them with the invisible ones."""
_ESCAPED: Final = frozenset({"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"})
_SHORT: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_MAYBE_UNSAFE: Final = re.compile(r"[^\x20-\x7e]")

_encoding = "utf-8"

_DAY_S: Final = 86_400
_BYTE_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def safe(text: str) -> str:
    """`text` with everything escaped that controls a terminal, reorders or hides: C0, C1, DEL, bidirectional and
    zero-width characters (except a joiner between emoji), line and paragraph separators, surrogates (bytes that are not
    UTF-8: `\\xff`).

    For display only; operations keep the raw text. The result is printable, one line, and encodes as UTF-8. What the
    terminal of this process cannot show (`limit_to`) is escaped too.
    """
    if not _MAYBE_UNSAFE.search(text):
        return text
    return "".join(character if _is_safe(text, index) else escaped(character) for index, character in enumerate(text))


def limit_to(encoding: str) -> None:
    """Make `safe` escape every character that `encoding` lacks; 'utf-8' has all."""
    global _encoding
    _encoding = encoding


def _can_be_shown(character: str) -> bool:
    try:
        character.encode(_encoding)
    except UnicodeEncodeError:
        return False
    return True


def _is_safe(text: str, index: int) -> bool:
    character = text[index]
    if " " <= character <= "~":
        return True
    if _encoding != "utf-8" and not _can_be_shown(character):
        return False
    if character == _JOINER:
        return _is_emoji(text, index - 1) and _is_emoji(text, index + 1)
    if character in _FILLERS:
        return False
    return character in _VISIBLE_FORMATS or unicodedata.category(character) not in _ESCAPED


def _is_emoji(text: str, index: int) -> bool:
    """Whether it is an emoji, or a variation selector or skin tone between an emoji and a joiner."""
    if not 0 <= index < len(text):
        return False
    character = text[index]
    return character == "\ufe0f" or (ord(character) >= 0x2190 and unicodedata.category(character) in {"So", "Sk", "Sm"})


def escaped(character: str) -> str:
    """A character as `safe` writes one that cannot be shown."""
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shell_quoted(argument: str) -> str:
    """An argument that a shell passes on unchanged; what controls a terminal is written as $'...' (bash, zsh)."""
    if safe(argument) == argument:
        return shlex.quote(argument)
    data = argument.encode("utf-8", "surrogateescape")
    return "$'" + "".join(chr(b) if 32 <= b < 127 and b not in b"'\\" else f"\\x{b:02x}" for b in data) + "'"


def size(count_bytes: float) -> str:
    """Three significant digits, IEC units: '1.21 GiB'."""
    value = float(count_bytes)
    for unit in _BYTE_UNITS:
        if value < 999.5 or unit == _BYTE_UNITS[-1]:
            break
        value /= 1024
    if unit == "B":
        return f"{int(value)} B"
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {unit}"


def sizes_apart(one_bytes: int, other_bytes: int) -> tuple[str, str]:
    """Two different sizes as different texts: in bytes if `size` would round them to the same."""
    if size(one_bytes) != size(other_bytes):
        return size(one_bytes), size(other_bytes)
    return f"{one_bytes:,} B", f"{other_bytes:,} B"


def rate(bytes_per_s: float) -> str:
    return f"{size(bytes_per_s)}/s"


def duration(seconds: float) -> str:
    """'350 ms', '4.2 s', '2:10', '1:02:03'."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    return clock(seconds)


def clock(seconds: float) -> str:
    """Time left, never with a fraction: '0:07', '2:10', '1:02:03'."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def age(seconds: float | None) -> str:
    """'9 d', '36:00:00'; '-' if unknown."""
    if seconds is None:
        return "-"
    return f"{seconds / _DAY_S:.0f} d" if seconds >= 2 * _DAY_S else clock(seconds)


def done_of(done_bytes: float, size_bytes: float) -> str:
    """'120 MiB of 1.21 GiB'."""
    return f"{size(done_bytes)} of {size(size_bytes)}"


def when(timestamp_s: float | None) -> str:
    """Local time to the minute, '-' for None and for times outside the calendar (a service may claim any)."""
    if timestamp_s is None:
        return "-"
    try:
        return datetime.fromtimestamp(timestamp_s).astimezone().strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):
        return "-"


def until(timestamp_s: float) -> str:
    """'until 14:32': no wait is longer than an hour."""
    return f"until {when(timestamp_s)[-5:]}"


def count(number: int, one: str = "", many: str = "") -> str:
    """'1,000', '1 file', '1,000 files'."""
    return f"{number:,} {one if number == 1 else many or one + 's'}" if one else f"{number:,}"


def listed(names: Sequence[str], *, limit: int = 3, of: int = 0) -> str:
    """The first few names, escaped, and the number of others; `of` is the total if `names` is itself cut."""
    shown, number = ", ".join(safe(name) for name in names[:limit]), max(of, len(names))
    more = number - min(limit, len(names))
    return f"{shown} and {more:,} more" if shown and more else shown
