"""ETags in all the forms in which servers and proxies write them.

RFC 9110, section 8.8.3: a quoted text, `W/` before it when it is weak. Seen besides: without quotes, quoted twice, in
capitals, with blanks around it, and none at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_MD5: Final = re.compile(r"[0-9a-fA-F]{32}(-\d{1,5})?", re.ASCII)
_WEAK: Final = ("W/", "w/")


@dataclass(frozen=True)
class ETag:
    """What an ETag means. Two of equal `text` are the same version."""

    text: str
    """Without quotes; what has the form of an MD5, also of a multipart one, in lower case. '' for none."""
    weak: bool
    """Something in between has changed how the object is sent: not to be used as a condition, and no checksum."""

    @property
    def md5(self) -> str:
        """'' for what has not the form of an MD5."""
        return self.text if _MD5.fullmatch(self.text) and "-" not in self.text and not self.weak else ""

    @property
    def composite(self) -> str:
        """'<md5>-<parts>', or ''."""
        return self.text if _MD5.fullmatch(self.text) and "-" in self.text and not self.weak else ""


def parse(told: str) -> ETag:
    """What a header or an element says."""
    text = told.strip()
    weak = text.startswith(_WEAK)
    if weak:
        text = text[2:].strip()
    while len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1].strip()
    text = text.strip('"')
    return ETag(text.lower() if _MD5.fullmatch(text) else text, weak)


def may_be_same(one: str, other: str) -> bool:
    """Whether two are of the same version, or that cannot be told because one is missing."""
    first, second = parse(one).text, parse(other).text
    return not first or not second or first == second


def condition(text: str) -> str:
    """What If-Match compares with."""
    return f'"{text}"'
