"""The handshake between a process and the worker about their builds, and the replacement of one worker by another.

A worker is taken over (parked, then replaced) only if its own files were replaced, or if the process that starts one
has a newer version of the journal. Otherwise two builds work together: two checkouts may share a state folder.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import suppress
from typing import Any, Final

from backup.credentials import unlocking
from backup.handshake import presence
from backup.handshake.presence import WorkerSilent
from backup.journal import Journal, schema
from backup.rpc import Client, ConnectionLost, TimedOut
from backup.system.paths import Paths
from backup.system.private_files import private_folder
from providers.errors import ProviderError
from providers.secret import Secret

_LOG: Final = logging.getLogger(__name__)
_ANSWER_S: Final = 2.0
_PARK_S: Final = 10.0


def is_serving(paths: Paths) -> bool:
    """Whether a worker answers that is not about to leave; this also makes it read the journal. A worker that cannot
    work together with this build is asked to leave."""
    if presence.is_stopped(paths):
        return False
    try:
        with Client.connect(paths.worker_socket, timeout_s=_ANSWER_S) as client:
            answer = _wake(client)
            if isinstance(answer, dict) and answer.get("leaving"):
                return False
            if not _makes_way(answer):
                return True
            _stop(paths, client)
    except (ConnectionLost, TimedOut):
        pass
    return False


def _wake(client: Client) -> Any:
    try:
        return client.call("wake", timeout_s=_ANSWER_S)
    except (ConnectionLost, TimedOut):
        raise
    except ProviderError as error:
        _LOG.warning("the running worker is broken: %s", error)
        return None


def _makes_way(answer: Any) -> bool:
    """A worker of a version without this handshake reports nothing about itself."""
    if not isinstance(answer, dict) or not answer.get("build"):
        return True
    return bool(answer.get("replaced")) or int(answer.get("journal_version", 0)) < len(schema.MIGRATIONS)


def _stop(paths: Paths, client: Client) -> None:
    """Make it park what is under way and leave. The vault's key is taken over for the next one."""
    _LOG.info("the running worker is of another build, and makes way")
    try:
        handed = client.call("handover", timeout_s=_ANSWER_S)
        if isinstance(handed, dict) and handed.get("key"):
            unlocking.accept(paths, Secret(str(handed["key"])))
    except ProviderError as error:
        if presence.is_stopped(paths):
            raise  # if it left now, the vault's key would be lost with it
        _LOG.warning("the vault's key cannot be taken over: %s", error)
    try:
        client.call("stop", timeout_s=_ANSWER_S)
    except ProviderError:
        pid = presence.look(paths).pid  # it does not respond at all
        if pid:
            with suppress(OSError):
                os.kill(pid, signal.SIGTERM)


def park(paths: Paths, *, timeout_s: float = _PARK_S) -> bool:
    """Make the running worker park and leave; returns whether one ran. Raises ProviderError if it does not leave."""
    with presence.lock_if_free(paths) as free:
        if free:
            return False
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:  # repeated: it may just have started
        with suppress(ConnectionLost, TimedOut), Client.connect(paths.worker_socket, timeout_s=_ANSWER_S) as client:
            _stop(paths, client)
        if presence.wait_until_gone(paths, 1.0):
            return True
    raise presence.trouble(paths) or WorkerSilent(
        "the running worker does not stop", hint=f"{paths.logs_dir / 'worker.log'} may say why."
    )


def open_journal(paths: Paths) -> tuple[Journal, bool]:
    """The journal, migrated to this version, and whether a worker of an older version was parked for that: it would
    continue with tables that it does not know. Raises ProviderError."""
    private_folder(paths.state_dir)
    parked = schema.is_older(paths.journal_file) and park(paths)
    return Journal(paths.journal_file), parked
