"""Answers in JSON that cannot be parsed whole, and what can be read of a listing all the same."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from providers.errors import Integrity

_MOST_GAPS: Final = 100
"""So many unreadable entries are passed over; behind more of them nothing is looked for."""
_NEXT: Final = re.compile(r"\}\s*,\s*(?=\{)")
_SPACE: Final = re.compile(r"[\s,]*")
_NO_TEXT: Final = re.compile("[\udc80-\udcff]")
"""Bytes that are no UTF-8, as they are decoded here."""


def failure(body: bytes) -> Integrity | None:
    """For a body that begins as an object and cannot be parsed: the service answers, and its address is right. None for
    anything else."""
    if not body.lstrip().startswith(b"{"):
        return None
    return Integrity(
        "the service's answer cannot be read: it breaks off, or something in it is damaged",
        hint="Try again; if it stays so, look for a proxy in between.",
        code="unparsable",
    )


def readable(body: bytes, name: str) -> dict[str, Any] | None:
    """The object in a body, with those entries of its list `name` that can be read, and what stands around the list
    where that can be. An entry that holds bytes that are no text cannot be read: nothing has the name that it would
    get. None where the body does not begin as such an object."""
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
    """What can be read from there on, and where that ends."""
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
