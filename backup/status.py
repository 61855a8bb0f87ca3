"""What `status --json` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from backup import __version__, config, instances
from backup.credentials import CredentialStore
from backup.model import InstanceInfo
from backup.paths import Paths
from providers import registry
from providers.errors import InvalidConfiguration

if TYPE_CHECKING:
    from backup.queue import Queue


def status(paths: Paths, store: CredentialStore, queue: Queue) -> dict[str, Any]:
    """`Service.status`: JSON data, no secret in it."""
    totals = queue.snapshot(limit=0).totals
    problem = config.load(paths).problem
    calls, infos = queue.all_calls(), instances.describe_all(paths)
    return {
        "version": __version__,
        "paths": {
            "config_file": str(paths.config_file),
            "state_dir": str(paths.state_dir),
            "logs_dir": str(paths.logs_dir),
            "local_storage": str(paths.local_storage),
        },
        "store": msgspec.to_builtins(store.status()),
        "worker": {"alive": totals.worker_alive},
        "queue": msgspec.to_builtins(totals),
        "calls": calls,
        "call_classes": {info.name: found for info in infos if (found := _classes(info, calls.get(info.name, {})))},
        "instances": [_instance(info) for info in infos],
        "problem": msgspec.to_builtins(problem),
    }


def _classes(info: InstanceInfo, calls: Mapping[str, int]) -> dict[str, int]:
    """Requests by the classes of the service's price list, where it has some."""
    try:
        cls = registry.spec(info.type).settings
    except InvalidConfiguration:  # its plug-in is gone, its requests are not
        cls = None
    found: Counter[str] = Counter()
    for kind, count in calls.items():
        if cls and kind in cls.price_classes:
            found[cls.price_classes[kind]] += count
    return dict(sorted(found.items()))


def _instance(info: InstanceInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "type": info.type,
        "state": info.state.value,
        "enabled": info.enabled,
        "container": info.container,
        "has_credentials": info.has_credentials,
        "checked_at": info.checked_at,
        "check_ok": info.check_ok,
        "problem": msgspec.to_builtins(info.problem),
    }
