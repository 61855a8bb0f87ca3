"""Errors in words: one headline for each kind of error."""

from __future__ import annotations

from typing import Final

from textual.content import Content

from providers.contract.report import ErrorInfo
from tui.remedies import advice
from tui.text import safe
from tui.theme import STYLES, Tone

HEADLINES: Final[dict[str, str]] = {
    "authentication": "The key was not accepted",
    "permission": "Not allowed",
    "not_found": "Not found",
    "conflict": "Something else is in the way",
    "quota": "No space left",
    "rate_limited": "Asked to slow down",
    "transient": "Not reachable",
    "integrity": "The data does not match",
    "configuration": "A setting is missing or wrong",
    "name": "This name cannot be used",
    "unsupported": "Not supported here",
    "cancelled": "Stopped",
    "credential_store": "The credential store cannot be used",
    "passphrase": "No passphrase",
    "keyring_wrong_password": "Wrong password for the keyring",
    "keyring_not_offered": "This keyring cannot be opened from a terminal",
    "keyring_dismissed": "The keyring was not unlocked",
    "keyring_no_collection": "There is no default keyring yet",
    "keyring_exists": "There already is a default keyring",
    "keyring_no_service": "There is no keyring",
    "keyring_no_answer": "The keyring does not answer",
    "vault": "The vault cannot be used",
    "vault_missing": "There is no vault yet",
    "vault_exists": "There already is a vault",
    "vault_locked": "The vault is locked",
    "vault_wrong_passphrase": "Wrong passphrase for the vault",
    "vault_wrong_key": "Wrong key for the vault",
    "vault_truncated": "The vault file is cut short",
    "vault_damaged": "The vault is damaged",
    "vault_tampered": "The vault was tampered with",
    "vault_rolled_back": "The vault was replaced by an older one",
    "vault_too_new": "The vault is from a newer version",
    "vault_too_costly": "The vault demands too much",
    "vault_not_readable": "The vault cannot be read",
    "vault_not_written": "The vault cannot be written",
    "vault_busy": "Another process is using the vault",
    "vault_slot": "Refused for this slot",
}


_BY_CODE: Final[dict[str, str]] = {
    "RequestTimeTooSkewed": "The clock is wrong",
    "NoSuchBucket": "The bucket does not exist",
    "DNS": "The host name was not found",
    "REFUSED": "The connection was refused",
    "TIMEOUT": "The connection has stalled",
}
"""Headlines for error codes with a fix of their own."""


def headline(error: ErrorInfo) -> str:
    return _BY_CODE.get(error.code) or HEADLINES.get(error.kind, "It failed")


def needs_store(error: ErrorInfo) -> bool:
    """Whether the cause is the credential store: it must be opened, or lacks something."""
    return error.kind == "credential_store" or error.kind.startswith(("vault", "keyring", "passphrase"))


def error_content(error: ErrorInfo, keys: str = "", *, head: str = "") -> Content:
    """What happened, why, how to fix it, and the keys that help. `head` replaces the headline of the kind."""
    head = _BY_CODE.get(error.code) or head or headline(error)
    lines = [Content.styled(f"✖ {head}", f"bold {STYLES[Tone.FAILED]}")]
    message = safe(error.message)
    no_code = error.code in _BY_CODE or not error.code or error.code in error.message or needs_store(error)
    if message.lower() != head.lower():
        lines.append(Content.styled(message + ("" if no_code else f" ({safe(error.code)})"), STYLES[Tone.PLAIN]))
    if fix := advice(error):
        lines.append(Content.styled(f"→ {safe(fix)}", STYLES[Tone.WAITING]))
    if keys:
        lines.append(Content.styled(keys, STYLES[Tone.MUTED]))
    return Content("\n").join(lines)
