"""Cures in the console's own words: the core names verbs of the command line, the console has keys for most."""

from __future__ import annotations

import re
from typing import Final

_PROVIDERS: Final = "in Providers (1)"
_KEYS: Final = (
    (r"Run test-providers(?: \S+)? first", f"Check it first: t {_PROVIDERS}"),
    (r"set-credentials(?: [\w-]+)?", f"c {_PROVIDERS}"),
    (r"set-config(?: \S+ type SERVICE| [\w-]+)?", f"↵ {_PROVIDERS}"),
    (r"enable-provider(?: [\w-]+)?", f"e {_PROVIDERS}"),
    (r"Run authorize( again)?", rf"Authorise\1 with ↵ {_PROVIDERS}"),
    (r"run authorize( again)?", rf"authorise\1 with ↵ {_PROVIDERS}"),
    (r"authorize(?=\))", f"↵ {_PROVIDERS}"),
    (r"`?credentials (?:unlock|create-vault|create-keyring)`?", "the key U"),
    (r"credentials (?:move --to \w+|unattended)", "Settings (5), credentials"),
)
_VERBS: Final = tuple((re.compile(rf"(?<![^\s(]){pattern}(?=[\s.,;:)]|$)"), key) for pattern, key in _KEYS)


def in_console(hint: str) -> str:
    """`hint` with the keys that do what its verbs do."""
    for verb, key in _VERBS:
        hint = verb.sub(key, hint)
    return hint
