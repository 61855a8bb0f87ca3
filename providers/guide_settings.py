"""Settings of a class in the style of the guide that brings none: the standard structure, without what it cannot use.

Such a class reads what it wants from the mapping it is given, and nothing declares what. Its source does: a setting
that is named nowhere in it can have no effect, so it is hidden and refused. Where that cannot be told (no source at
hand, or the whole mapping handed on by `**config`), every setting is offered.
"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

import msgspec

from providers.settings import STANDARD_FIELDS, ProviderSettings

OURS: Final = frozenset(
    {"enabled", "credentials_key", "container", "max_retries", "retry_delay", "connection_pool_size"}
    | {"encryption_enabled", "encryption_key", "encryption_salt"}
)
"""Standard settings that take effect whatever the class does: in the adapter, the loops or the queue."""


@functools.cache
def settings_of(found: type) -> type[ProviderSettings]:
    """The class's own `Settings`; else the standard structure without what its source does not name."""
    own = getattr(found, "Settings", None)
    if own is not None:
        return own  # type: ignore[no-any-return]
    named = _named(found) | OURS
    pair = None if {"username", "password"} & named else ("api_key", "secret_key")
    namespace = {
        "__doc__": found.__doc__,
        "not_applicable": frozenset(STANDARD_FIELDS) - named,
        "credential_pair": pair if pair and named.issuperset(pair) else None,
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


def _named(found: type) -> frozenset[str]:
    """Every text and attribute in the modules of the class and its package; all settings where that is not known."""
    everything = frozenset(STANDARD_FIELDS)
    names: set[str] = set()
    for module in _modules(found):
        source = _source(module)
        if source is None:
            return everything
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.keyword) and node.arg is None and _last_name(node.value) == "config":
                return everything
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.add(node.value)
            elif isinstance(node, ast.Attribute):
                names.add(node.attr)
    return everything & names


def _modules(found: type) -> Iterator[ModuleType]:
    """The class's module and those of its own package that are loaded."""
    own = sys.modules[found.__module__]
    package = own.__package__
    for name, module in list(sys.modules.items()):
        if module is own or (package and (name == package or name.startswith(f"{package}."))):
            yield module


def _source(module: ModuleType) -> str | None:
    read: Any = getattr(getattr(module, "__loader__", None), "get_source", None)
    try:
        return read(module.__name__) if read else None
    except (OSError, ImportError):  # what a loader raises that has no source of a module
        return None


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
