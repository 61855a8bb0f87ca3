"""Redaction of secrets in text that is about to be logged."""

from __future__ import annotations

import json
import re
import threading
from typing import Final
from urllib.parse import quote

from providers.secret import MASK, Secret

_SHORTEST: Final = 4
"""Shorter texts are hardly secrets, and redacting them would redact half the log."""

_PATTERNS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?P<keep>\b(?:proxy-)?authorization['\"]?\s*[:=]\s*b?['\"]?)(?:[^'\"\r\n]+)",
        r"(?P<keep>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{16,}",
        r"(?P<keep>x-amz-(?:signature|security-token|credential)['\"]?\s*[:=]\s*b?['\"]?)[^\s&'\",]+",
        r"(?P<keep>(?:password|passphrase|secret|token|signature|api[_-]?key|application[_-]?key|access[_-]?key"
        r"|encryption[_-]?(?:key|salt))['\"]?\s*[:=]\s*b?['\"]?)(?:(?<=['\"])[^'\"\r\n]+|[^\s&'\",)}]+)",
        r"(?P<keep>://[^\s/:@]*:)[^\s/@]+(?=@)",
        r"(?P<keep>)\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b",
    )
)
"""Secrets recognised by the words around them. Access key ids of AWS are redacted too: half of a pair."""

_lock = threading.Lock()
_hidden: frozenset[str] = frozenset()


def hide(*secrets: Secret) -> None:
    """Make `redact` hide these secrets from now on, also in their URL and JSON forms."""
    global _hidden
    forms = {form for secret in secrets for form in _forms(secret.reveal())}
    with _lock:
        _hidden = _hidden | forms


def _forms(text: str) -> set[str]:
    if len(text) < _SHORTEST:
        return set()
    return {text, quote(text, safe=""), quote(text), json.dumps(text)[1:-1], repr(text)[1:-1]}


def redact(text: str) -> str:
    """`text` without the secrets that this process has handled, and without anything that looks like one."""
    for form in sorted(_hidden, key=len, reverse=True):
        text = text.replace(form, MASK)
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<keep>{MASK}", text)
    return text
