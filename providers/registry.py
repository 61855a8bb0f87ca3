"""Registry of services: listed without importing them, loaded on demand. A broken one disables no other.

A service is a package with a module `settings` (its `Settings`, imports no SDK) and a module `provider` (its class).
A plug-in registers under the entry-point group `homeserver_backup.providers`. The entry point's name is the service
name. Its object is a package of the same form (`acme_storage`; only `settings` is imported until it is used) or the
provider class itself (`acme_storage:AcmeProvider`, imported to be described). A class without `Settings` gets the
standard ones.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import logging
import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

import msgspec

from providers.errors import InvalidConfiguration, Unsupported
from providers.settings import ProviderSettings

if TYPE_CHECKING:
    from providers.base import BaseProvider

ENTRY_POINT_GROUP: Final = "homeserver_backup.providers"
EMBEDDED: Final = ("local", "aws_s3", "backblaze", "dropbox", "google_drive")

_LOG: Final = logging.getLogger(__name__)
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


class ServiceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Description of a service, available without its SDK."""

    name: str
    title: str
    summary: str
    settings: type[ProviderSettings] | None
    """None if the service could not be described."""
    container_word: str = "container"
    unavailable: str = ""
    """Why it cannot be used; empty if no reason is known."""


_failures: dict[str, str] = {}
"""Load errors by service name; `specs` reports them from then on."""


def specs() -> tuple[ServiceSpec, ...]:
    """All services: the built-in ones, then plug-ins by name. Imports no built-in SDK and never raises."""
    names = [*EMBEDDED, *sorted(_plug_ins())]
    return tuple(_describe(name) for name in names)


def spec(name: str) -> ServiceSpec:
    """One service by name. Raises InvalidConfiguration if there is none."""
    if name not in EMBEDDED and name not in _plug_ins():
        known = ", ".join([*EMBEDDED, *sorted(_plug_ins())])
        raise InvalidConfiguration(f"type: there is no service {name!r}", field="type", hint=f"Services: {known}.")
    return _describe(name)


def load(name: str) -> type[BaseProvider]:
    """The provider class of a service; imports its SDK. Raises Unsupported with the reason if that fails, and
    InvalidConfiguration if there is no such service."""
    found = spec(name)
    if found.unavailable and name not in _failures:
        raise _unavailable(name, found.unavailable)
    try:
        cls = _checked(_provider_class(name), name)
    except Exception as error:  # third-party code: a failure must not affect other services
        _failures[name] = _reason(error)
        _LOG.warning("service %s cannot be loaded: %s", name, _failures[name], exc_info=error)
        raise _unavailable(name, _failures[name]) from error
    _failures.pop(name, None)
    return cls


class _Providers(Mapping[str, "type[BaseProvider]"]):
    """Service names without importing anything. A look-up loads the class, or raises Unsupported with the reason."""

    def __getitem__(self, name: str) -> type[BaseProvider]:
        if name not in self:
            raise KeyError(name)
        return load(name)

    def __contains__(self, name: object) -> bool:
        return name in EMBEDDED or name in _plug_ins()

    def __iter__(self) -> Iterator[str]:
        return iter([*EMBEDDED, *sorted(_plug_ins())])

    def __len__(self) -> int:
        return len(EMBEDDED) + len(_plug_ins())


PROVIDERS: Final[Mapping[str, type[BaseProvider]]] = _Providers()


@functools.cache
def _plug_ins() -> dict[str, metadata.EntryPoint]:
    found: dict[str, metadata.EntryPoint] = {}
    for entry in metadata.entry_points(group=ENTRY_POINT_GROUP):
        if entry.name in EMBEDDED or not _NAME.fullmatch(entry.name):
            _LOG.warning("plug-in %r (%s) is ignored: its name is taken or invalid", entry.name, entry.value)
            continue
        found[entry.name] = entry
    return found


def _describe(name: str) -> ServiceSpec:
    try:
        settings = _settings_class(name)
    except Exception as error:  # as in `load`
        _LOG.warning("service %s cannot be described: %s", name, error, exc_info=error)
        return ServiceSpec(name=name, title=name, summary="", settings=None, unavailable=_reason(error))
    return ServiceSpec(
        name=name,
        title=settings.title or name,
        summary=(inspect.getdoc(settings) or "").partition("\n")[0] if settings is not ProviderSettings else "",
        settings=settings,
        container_word=settings.container_word,
        unavailable=_failures.get(name, "") or _missing_module(settings),
    )


def _settings_class(name: str) -> type[ProviderSettings]:
    package = _package(name)
    if package is None:
        found: Any = _settings_of(_plug_ins()[name].load())
    else:
        found = importlib.import_module(f"{package}.settings").Settings
    if not (isinstance(found, type) and issubclass(found, ProviderSettings)):
        raise TypeError(f"Settings of {name} is not a ProviderSettings")
    return found


def _settings_of(provider: Any) -> Any:
    from providers.guide import adapter
    from providers.guide.settings import settings_of

    if adapter.is_guide_style(provider):
        return settings_of(provider)
    return getattr(provider, "Settings", ProviderSettings)


def _provider_class(name: str) -> Any:
    """The BaseProvider with that name in the service's `provider` module, or the object of the entry point."""
    package = _package(name)
    if package is None:
        return _plug_ins()[name].load()
    module = importlib.import_module(f"{package}.provider")
    found = [item for item in vars(module).values() if isinstance(item, type) and item.__module__ == module.__name__]
    named = [item for item in found if getattr(item, "name", None) == name]
    if len(named) != 1:
        raise TypeError(f"{module.__name__} has {len(named)} classes named {name!r} instead of one")
    return named[0]


def _checked(found: Any, name: str) -> type[BaseProvider]:
    from providers.base import BaseProvider, adapted
    from providers.guide import adapter

    if adapter.is_guide_style(found):
        return adapted(found, name)
    if not (isinstance(found, type) and issubclass(found, BaseProvider)):
        raise TypeError(f"{found!r} is not a BaseProvider")
    return found


def package_of(name: str) -> str | None:
    """The package of a service. None if the service is a single class, unknown or not found."""
    package = _package(name) if name in PROVIDERS else None
    return package if package and _is_there(package) else None


def _package(name: str) -> str | None:
    """The package of a service, or None if its entry point names a class."""
    if name in EMBEDDED:
        return f"{__package__}.{name}"
    entry = _plug_ins()[name]
    return None if entry.attr else entry.module


def _missing_module(settings: type[ProviderSettings]) -> str:
    """Looks without importing; a module that exists but is broken is only noticed by `load`."""
    gone = [module for module in settings.requires if not _is_there(module)]
    return f"not installed: {', '.join(gone)}" if gone else ""


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent package is missing
        return False


def _reason(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"not installed: {error.name}"
    return f"{type(error).__name__}: {error}"


def _unavailable(name: str, reason: str) -> Unsupported:
    return Unsupported(
        f"{name} cannot be used here: {reason}",
        hint="Repair the installation of this service; the others work.",
        code="unavailable",
    )
