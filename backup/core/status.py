"""The data of `status --json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from backup import __version__
from backup.config import file
from backup.credentials import CredentialStore
from backup.handshake import presence
from backup.instances import describing
from backup.model.instances import InstanceInfo
from backup.model.transfers import QueueTotals
from backup.system.paths import Paths
from providers import registry
from providers.contract.report import ErrorInfo
from providers.errors import InvalidConfiguration, ProviderError

if TYPE_CHECKING:
    from backup.queue.client import Queue


def status(paths: Paths, store: CredentialStore, queue: Queue) -> dict[str, Any]:
    """JSON data without secrets."""
    problem = file.load(paths).problem
    infos = describing.describe_all(paths)
    totals, calls, trouble = _queue(queue)
    alive = totals.worker_alive if totals else queue.worker_status() is not None
    return {
        "version": __version__,
        "paths": {
            "config_file": str(paths.config_file),
            "state_dir": str(paths.state_dir),
            "logs_dir": str(paths.logs_dir),
            "local_storage": str(paths.local_storage),
        },
        "store": msgspec.to_builtins(store.status()),
        "worker": _worker(paths, alive=alive),
        "queue": msgspec.to_builtins(totals),
        "calls": calls,
        "call_classes": {info.name: found for info in infos if (found := _classes(info, calls.get(info.name, {})))},
        "instances": [_instance(info) for info in infos],
        "problem": msgspec.to_builtins(problem),
        "journal_problem": msgspec.to_builtins(trouble),
    }


def _queue(queue: Queue) -> tuple[QueueTotals | None, dict[str, dict[str, int]], ErrorInfo | None]:
    """Totals and counted requests, or the error of the journal."""
    try:
        return queue.snapshot(limit=0).totals, queue.all_calls(), None
    except ProviderError as error:
        return None, {}, ErrorInfo.of(error)


def _worker(paths: Paths, *, alive: bool) -> dict[str, Any]:
    """`state` comes from the worker's lock and the system, so it is known even if the worker does not answer."""
    found, silent = presence.look(paths), presence.trouble(paths)
    return {
        "alive": alive,
        "state": found.state.value,
        "pid": found.pid,
        "problem": msgspec.to_builtins(ErrorInfo.of(silent)) if silent else None,
    }


def _classes(info: InstanceInfo, calls: Mapping[str, int]) -> dict[str, int]:
    """Requests by the classes of the service's price list, if it has any."""
    try:
        cls = registry.spec(info.type).settings
    except InvalidConfiguration:  # the plug-in is gone, its counted requests are not
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
