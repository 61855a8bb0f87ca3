"""The times at which credentials were last read for a provider: a file beside the journal, without secrets."""

from __future__ import annotations

import json
import logging
import threading
import time
from pathlib import Path
from typing import Final

from backup.system.paths import Paths
from backup.system.private_files import exclusive_lock, private_folder, write_private
from providers.errors import Conflict

_LOG: Final = logging.getLogger(__name__)
_MIN_INTERVAL_S: Final = 60.0
_LOCK_S: Final = 1.0
_lock: Final = threading.Lock()


def last_used(paths: Paths) -> dict[str, float]:
    """Times (seconds since 1970) by credentials key. Never raises; empty if the file cannot be read."""
    try:
        found = json.loads(_file(paths).read_bytes())
        return {str(key): float(moment) for key, moment in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def note(paths: Paths, key: str, *, now: float | None = None) -> None:
    """Note that `key` was used, at most once a minute. Failures are only logged."""
    moment = time.time() if now is None else now
    if abs(moment - last_used(paths).get(key, 0.0)) < _MIN_INTERVAL_S:
        return
    file = _file(paths)
    try:
        private_folder(file.parent)
        with _lock, exclusive_lock(file.with_suffix(".lock"), "the note of uses", timeout_s=_LOCK_S):
            write_private(file, json.dumps({**last_used(paths), key: moment}).encode())
    except (OSError, Conflict) as error:
        _LOG.info("the use of a credential was not noted: %s", error)


def _file(paths: Paths) -> Path:
    return paths.state_dir / "credential-use.json"
