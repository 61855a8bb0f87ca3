"""Where an instance's objects go, as far as the configuration tells: fixed when something is queued."""

from __future__ import annotations

import json
from typing import Final

from backup import config
from backup.journal.records import Place
from backup.paths import Paths
from providers import registry
from providers.secret import Secret

_BEHAVIOUR: Final = frozenset(
    {
        "type", "enabled", "credentials_key", "container_type", "username", "region", "max_retries", "retry_delay",
        "timeout", "max_bandwidth", "upload_chunk_size", "encryption_enabled", "connection_pool_size",
        "ca_bundle", "proxy", "profile",
    }
)  # fmt: skip
"""Settings that say how, or as whom, but not where. Keys are rotated, and a wrong region corrected, while items
wait."""


def place_of(paths: Paths, instance: str) -> Place:
    """Loads no SDK. Raises InvalidConfiguration when there is no such instance."""
    found = config.load(paths).instance(instance)
    described = registry.spec(found.type).settings
    user = described.credential_pair[0] if described and described.credential_pair else "username"
    deciding = {
        name: value
        for name, value in found.values.items()
        if value
        and name not in _BEHAVIOUR
        and name != user
        and not isinstance(value, Secret)
        and not config.looks_secret(name)
    }
    return Place(
        instance=instance,
        type=found.type,
        container=str(found.values.get("container") or ""),
        settings=json.dumps(deciding, sort_keys=True, default=str),
    )
