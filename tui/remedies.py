"""The console's own ways. The core's hints name verbs of the command line; who reads them here has keys and screens."""

from __future__ import annotations

import re
from typing import Final

_CREDENTIALS: Final = "in Credentials (5, c)"
_PROVIDERS: Final = "in Providers (1)"
_UNLOCK: Final = "u (U in Browse)"
_AUTHORISE: Final = f"r {_CREDENTIALS}"

_WAYS: Final = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"`?credentials (?:unlock|create-keyring)`?", _UNLOCK),
        (r"`?credentials (?:create-vault|move --to \w+)`?", f"s {_CREDENTIALS}"),
        (r"`?credentials unattended(?: key-file --resume --units FOLDER)?`?", f"j {_CREDENTIALS}"),
        (r"at the prompt, by --passphrase-fd, or with password_command", f"{_UNLOCK}, or j {_CREDENTIALS}"),
        (r"set-credentials(?: (?!and |or )[\w.-]*[\w-])?", f"r {_CREDENTIALS}"),
        (r"remove-credentials(?: [\w.-]*[\w-])?", f"del {_CREDENTIALS}"),
        (r"set-config \S+ type SERVICE, where SERVICE is one of [\w, ]+", f"s {_PROVIDERS}"),
        (r"set-config\b(?: [\w.-]*[\w-])?", f"↵ {_PROVIDERS}"),
        (r"Run test-providers \S+ first", f"Check it first: t {_PROVIDERS}"),
        (r"enable-provider(?: [\w.-]*[\w-])?", f"e {_PROVIDERS}"),
        (r"`authorize`", "authorising it"),
        (r"\(authorize\)", f"({_AUTHORISE})"),
        (r"([Rr])un authorize again", rf"\1epeat the authorisation ({_AUTHORISE})"),
        (r"\bRun authorize\b", f"Authorise it ({_AUTHORISE})"),
    )
)


def in_console(text: str) -> str:
    """A text of the core with each verb replaced by the keys that do the same here."""
    for pattern, words in _WAYS:
        text = pattern.sub(words, text)
    return text
