"""Settings of a guide-style class without its own `Settings`: the standard ones, less those it declares unused.

Such a class reads its settings from a mapping. Two optional class attributes describe them: `not_applicable` names
standard settings to hide and refuse, and `credential_pair` the two names under which it reads what `set-credentials`
asks for.
"""

from __future__ import annotations

import functools
from typing import Any, Final

import msgspec

from providers.errors import InvalidConfiguration
from providers.settings import STANDARD_FIELDS, ProviderSettings

_KEYS: Final = ("api_key", "secret_key")
"""Credential pair of a class that uses neither username nor password."""


@functools.cache
def settings_of(found: type) -> type[ProviderSettings]:
    """The class's own `Settings`, else the standard ones without those it declares unused.

    Raises InvalidConfiguration for a wrong declaration: it may only name standard settings.
    """
    own = getattr(found, "Settings", None)
    if own is not None:
        return own  # type: ignore[no-any-return]
    unused = frozenset(_declared(found, "not_applicable"))
    if "enabled" in unused:
        raise InvalidConfiguration(f"{found.__name__}.not_applicable must not name enabled: every service has it")
    pair = _declared(found, "credential_pair")
    if pair and (len(pair) != 2 or len(set(pair)) != 2):
        raise InvalidConfiguration(f"{found.__name__}.credential_pair must be two names, not {len(set(pair))}")
    if not pair and {"username", "password"} <= unused and unused.isdisjoint(_KEYS):
        pair = _KEYS
    namespace = {
        "__doc__": found.__doc__,
        "not_applicable": unused - {"username", "password", *pair} if pair else unused,
        "credential_pair": pair or None,
    }
    made: Any = msgspec.defstruct(
        f"{found.__name__}Settings",
        [],
        bases=(ProviderSettings,),
        namespace=namespace,
        module=found.__module__,
        kw_only=True,
        frozen=True,
    )
    return made  # type: ignore[no-any-return]


def _declared(found: type, attribute: str) -> tuple[str, ...]:
    names: Any = getattr(found, attribute, None)
    if names is None:
        return ()
    if not isinstance(names, (tuple, list, set, frozenset)) or not all(isinstance(name, str) for name in names):
        raise InvalidConfiguration(
            f"{found.__name__}.{attribute} must be a collection of names",
            hint=f'For example: {attribute} = ("username", "password")',
        )
    unknown = set(names) - set(STANDARD_FIELDS)
    if unknown:
        raise InvalidConfiguration(
            f"{found.__name__}.{attribute} must name standard settings; {', '.join(sorted(unknown))} is none",
            hint=f"The standard settings are {', '.join(sorted(STANDARD_FIELDS))}.",
        )
    return tuple(names)
