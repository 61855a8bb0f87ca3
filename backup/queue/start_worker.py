"""Detection and start of the worker by other processes. Imports no provider, since screens use it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from backup.handshake import presence, takeover
from backup.handshake.presence import WorkerSilent
from backup.journal import Journal, work
from backup.queue import logind
from backup.queue.environment import without_passwords
from backup.system.paths import Paths
from backup.system.private_files import private_folder
from backup.system.terminal import UTF8_OPTIONS
from providers.errors import from_os_error

_START_S: Final = 15.0
_POLL_S: Final = 0.02


def ensure(paths: Paths, arguments: Sequence[str] = (), *, timeout_s: float = _START_S) -> None:
    """Make sure that a worker runs and has seen everything that is now in the journal.

    If the current one is about to leave, or has to make way, a new one waits for its lock. The same holds if it is
    stopped: if it leaves once it continues, the queue does not depend on another command. Raises WorkerSilent if the
    current one does not answer, or none can be started.
    """
    deadline = time.monotonic() + timeout_s
    process: subprocess.Popen[bytes] | None = None
    while not takeover.is_serving(paths):
        silent = presence.trouble(paths)
        if silent is not None:
            if process is None and presence.is_stopped(paths) and not presence.is_awaited(paths):
                launch(paths, arguments)
            raise silent
        if process is None:
            process = launch(paths, arguments)
        elif process.poll() == 0:
            if not left_behind(paths):
                return  # it has already finished
            process = None
        elif process.returncode is not None:
            raise WorkerSilent(
                f"the worker ended at once (exit code {process.returncode})",
                hint=f"{paths.logs_dir / 'worker.log'} says why.",
            )
        if time.monotonic() > deadline:
            raise WorkerSilent("the worker does not answer", hint=f"{paths.logs_dir / 'worker.log'} may say why.")
        time.sleep(_POLL_S)


def left_behind(paths: Paths) -> bool:
    """Whether there is work for a worker."""
    with Journal(paths.journal_file) as journal, journal.look() as db:
        return work.is_busy(db)


def launch(paths: Paths, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a worker that waits for the lock. Raises WorkerSilent."""
    try:
        process = _begin(paths, arguments)
    except OSError as error:
        why = from_os_error(error, error.filename or sys.executable)
        raise WorkerSilent(
            f"the worker cannot be started: {why.message}", hint=why.hint, remedies=why.remedies, code=why.code
        ) from error
    threading.Thread(target=process.wait, name="worker-reaper", daemon=True).start()
    return process


def _begin(paths: Paths, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, *UTF8_OPTIONS, "-P", "-m", "backup.worker", *arguments]
    if logind.kills_after_logout():
        command = [*logind.ESCAPE, *command]
    private_folder(paths.state_dir)
    private_folder(paths.logs_dir)
    log = os.open(paths.logs_dir / "worker.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            env=_environment(paths),
        )
    finally:
        os.close(log)


def _environment(paths: Paths) -> dict[str, str]:
    """This process's environment without passwords, plus this package's folder: the worker starts in another one."""
    environment = without_passwords(paths.environment())
    here = str(Path(__file__).parents[2])
    known = environment.get("PYTHONPATH", "").split(os.pathsep)
    environment["PYTHONPATH"] = os.pathsep.join([here, *(path for path in known if path and path != here)])
    return environment
