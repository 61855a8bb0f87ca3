"""ETags, in every form that servers and proxies write.

RFC 9110, section 8.8.3: a quoted string, preceded by `W/` if weak. Seen in practice too: unquoted, quoted twice,
upper-case, surrounded by blanks, and missing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_MD5: Final = re.compile(r"[0-9a-fA-F]{32}(-\d{1,5})?", re.ASCII)
_WEAK: Final = ("W/", "w/")


@dataclass(frozen=True)
class ETag:
    """A parsed ETag. Two with equal `text` mean the same version."""

    text: str
    """Without quotes; lower-case if it has the form of an MD5 or a multipart MD5. '' if missing."""
    weak: bool
    """A proxy changed the encoding of the body: the ETag is neither a valid condition nor a checksum."""

    @property
    def md5(self) -> str:
        """The MD5, or '' if the ETag does not have the form of one."""
        return self.text if _MD5.fullmatch(self.text) and "-" not in self.text and not self.weak else ""

    @property
    def composite(self) -> str:
        """'<md5>-<parts>', or ''."""
        return self.text if _MD5.fullmatch(self.text) and "-" in self.text and not self.weak else ""


def parse(value: str) -> ETag:
    """Parses the value of a header or XML element."""
    text = value.strip()
    weak = text.startswith(_WEAK)
    if weak:
        text = text[2:].strip()
    while len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1].strip()
    text = text.strip('"')
    return ETag(text.lower() if _MD5.fullmatch(text) else text, weak)


def may_be_same(one: str, other: str) -> bool:
    """False only if both ETags are known and differ."""
    first, second = parse(one).text, parse(other).text
    return not first or not second or first == second


def condition(text: str) -> str:
    """The value for If-Match."""
    return f'"{text}"'
