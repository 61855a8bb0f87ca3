"""How servers write keys in listings."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from urllib.parse import unquote, unquote_plus


class KeySpelling(StrEnum):
    """How a server writes keys in a listing that was asked for with encoding-type=url."""

    UNKNOWN = "unknown"
    """As each listing says of itself."""
    AS_THEY_ARE = "as they are"
    FORM = "form"
    """As in forms: '+' for a blank."""
    PERCENT = "percent"
    """'+' for itself."""

    @classmethod
    def seen(cls, key: str, listed: Collection[str]) -> KeySpelling | None:
        """How `key`, which holds a blank and a '+', stands among the keys of a listing; None when it does not."""
        return next((each for each in cls if each is not cls.UNKNOWN and key in map(each.read, listed)), None)

    def read(self, text: str) -> str:
        if self is KeySpelling.FORM:
            return unquote_plus(text)
        return unquote(text) if self is KeySpelling.PERCENT else text
