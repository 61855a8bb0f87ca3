"""JSON answers that cannot be parsed as a whole, and the readable part of a damaged listing."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from providers.errors import Integrity

_MOST_GAPS: Final = 100
"""Unreadable entries to skip; the search ends after that many."""
_NEXT: Final = re.compile(r"\}\s*,\s*(?=\{)")
_SPACE: Final = re.compile(r"[\s,]*")
_NO_TEXT: Final = re.compile("[\udc80-\udcff]")
"""Bytes that are not UTF-8, as decoded here."""


def failure(body: bytes) -> Integrity | None:
    """The error for a body that begins as an object but cannot be parsed: the service answers, so its address is right.
    None for anything else."""
    if not body.lstrip().startswith(b"{"):
        return None
    return Integrity(
        "the service's answer cannot be read: it is truncated or damaged",
        hint="Retry; if it happens again, check for a proxy in between.",
        code="unparsable",
    )


def readable(body: bytes, name: str) -> dict[str, Any] | None:
    """The object in a body, with the readable entries of its list `name`, and the fields around the list if readable.
    An entry with bytes that are not text is unreadable: nothing has the name it would get. None if the body does not
    begin as such an object."""
    text = body.decode("utf-8", "surrogateescape")
    begin = re.search(rf'"{name}"\s*:\s*\[', text)
    if begin is None or not text.lstrip().startswith("{"):
        return None
    entries, end = _entries(text, begin.end())
    tail = end if text.startswith("]", end) else text.rfind("]", end)
    around = _object(text[: begin.end()] + text[tail:]) if tail >= 0 else None
    if around is None:
        around = _object(text[: begin.end()] + "]}")
    return None if around is None else around | {name: entries}


def _entries(text: str, position: int) -> tuple[list[Any], int]:
    """The entries readable from `position` on, and the position where they end."""
    found: list[Any] = []
    decoder, gaps = json.JSONDecoder(), 0
    while True:
        position = _SPACE.match(text, position).end()  # type: ignore[union-attr]
        if not text.startswith("{", position):
            return found, position
        try:
            entry, end = decoder.raw_decode(text, position)
            if _NO_TEXT.search(text, position, end) is None:
                found.append(entry)
            position = end
        except (ValueError, RecursionError):
            following = _NEXT.search(text, position) if gaps < _MOST_GAPS else None
            if following is None:
                return found, position
            gaps, position = gaps + 1, following.end()


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
