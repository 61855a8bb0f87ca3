"""The destination of an instance as far as the configuration determines it, fixed when a job is queued."""

from __future__ import annotations

import json
import logging
from typing import Final

from backup.config import file
from backup.journal.records import Destination
from backup.system.paths import Paths
from providers import registry, settings
from providers.contract.capabilities import Capabilities
from providers.secret import Secret
from providers.settings import ProviderSettings

_LOG: Final = logging.getLogger(__name__)


def location_of(place: Destination) -> str:
    """`Storage.place` for settings recorded when a job was queued; '' if their service cannot be loaded, or needs more
    than these."""
    try:
        return registry.load(place.type)(json.loads(place.settings)).place
    except Exception as error:  # a plug-in may do anything there
        _LOG.info("the former destination of %s is unknown: %s", place.instance, type(error).__name__)
        return ""


def capabilities_of(place: Destination) -> Capabilities | None:
    """The capabilities that a service declares before any connection; None if it cannot be loaded."""
    try:
        return registry.load(place.type)(json.loads(place.settings)).capabilities
    except Exception as error:  # a plug-in may do anything there
        _LOG.info("the capabilities of %s are unknown: %s", place.instance, type(error).__name__)
        return None


def same_settings(paths: Paths, place: Destination) -> bool:
    """Whether the instance is configured as it was when the job was queued."""
    now = place_of(paths, place.instance)
    return (now.type, now.container, now.settings) == (place.type, place.container, place.settings)


def place_of(paths: Paths, instance: str) -> Destination:
    """Loads no SDK. Raises InvalidConfiguration if there is no such instance."""
    found = file.load(paths).instance(instance)
    cls = registry.spec(found.type).settings or ProviderSettings
    elsewhere = settings.without(cls, "place") | set((cls.credential_pair or ())[:1])
    deciding = {
        name: value
        for name, value in found.values.items()
        if value and name not in elsewhere and not isinstance(value, Secret) and not file.looks_secret(name)
    }
    return Destination(
        instance=instance,
        type=found.type,
        container=str(found.values.get("container") or ""),
        settings=json.dumps(deciding, sort_keys=True, default=str),
    )
