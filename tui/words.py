"""Errors in words: a headline for each kind, so that a wrong key and a dead server never look alike."""

from __future__ import annotations

from typing import Final

from textual.content import Content

from providers.report import ErrorInfo
from tui.text import safe
from tui.theme import STYLES, Tone

HEADLINES: Final[dict[str, str]] = {
    "authentication": "The key was not accepted",
    "permission": "Not allowed",
    "not_found": "Not there",
    "conflict": "Something else is there",
    "quota": "No room left",
    "rate_limited": "Asked to slow down",
    "transient": "Not reachable",
    "integrity": "Bytes do not agree",
    "configuration": "A setting is missing or wrong",
    "name": "This name cannot be used",
    "unsupported": "Not possible here",
    "cancelled": "Stopped",
    "credential_store": "The keyring cannot be used",
}


def headline(error: ErrorInfo) -> str:
    return HEADLINES.get(error.kind, "It failed")


def error_content(error: ErrorInfo, keys: str = "", *, head: str = "") -> Content:
    """What happened, why, what to do, and the keys that help. `head`: more than the kind alone says."""
    lines = [Content.styled(f"✖ {head or headline(error)}", f"bold {STYLES[Tone.FAILED]}")]
    message = safe(error.message)
    code = f" ({safe(error.code)})" if error.code and error.code not in error.message else ""
    lines.append(Content.styled(message + code, STYLES[Tone.PLAIN]))
    if error.hint:
        lines.append(Content.styled(f"→ {safe(error.hint)}", STYLES[Tone.WAITING]))
    if keys:
        lines.append(Content.styled(keys, STYLES[Tone.MUTED]))
    return Content("\n").join(lines)
