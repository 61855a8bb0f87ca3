"""Which services there are, without importing one; loading one when it is needed; going on when one cannot be loaded.

A service is a folder with a module `settings` (its `Settings`, no SDK imported) and a module `provider` (its class). Third parties
add one through the entry-point group `homeserver_backup.providers`: the entry point's name is the service's name, its object the
provider class or a package of the same form as ours.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from importlib import metadata
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from providers.errors import InvalidConfiguration, Unsupported
from providers.settings import ProviderSettings

if TYPE_CHECKING:
    from providers.base import BaseProvider

ENTRY_POINT_GROUP: Final = "homeserver_backup.providers"
EMBEDDED: Final = ("local", "aws_s3")


class ServiceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A service as far as it is known without its SDK."""

    name: str
    title: str
    summary: str
    settings: type[ProviderSettings] | None
    """None when the service could not even be described."""
    container_word: str = "container"
    unavailable: str = ""
    """Why it cannot be used; empty when nothing is known against it."""
