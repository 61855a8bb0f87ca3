"""The process `python -m backup.worker`: one at a time, in its own session, immune to SIGHUP."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import gc
import logging
import os
import resource
import signal
import sys
import time
from typing import Final

from backup.credentials import unlocking
from backup.handshake import presence, takeover
from backup.handshake.presence import WorkerState
from backup.instances.request_counts import CallCounts
from backup.instances.server_facts import FactsOnDisk
from backup.journal import Journal, JournalFull, items, jobs, work
from backup.queries.findings import Findings
from backup.queue import start_worker
from backup.system import build, logs
from backup.system.hardening import harden_process
from backup.system.paths import Paths
from backup.system.private_files import private_folder
from backup.worker.batch_writer import BatchWriter
from backup.worker.clock import WorkerClock
from backup.worker.context import WorkerContext
from backup.worker.items.transfer import Chances
from backup.worker.listener import Listener
from backup.worker.progress import ProgressBoard
from backup.worker.scheduler import Scheduler
from backup.worker.wakeup import Wakeup
from providers.errors import ProviderError

_LOG: Final = logging.getLogger(__name__)
_NICE: Final = 10
_FILES: Final = 16_384
_LOCK_PATIENCE_S: Final = 20.0
_STOPPED_PATIENCE_S: Final = 7 * 24 * 3600.0
_KEY_PATIENCE_S: Final = 3.0
"""How long the process that started it may take to hand over the vault's key. Without the key all transfers wait."""
_SUCCESSOR_PATIENCE_S: Final = 10.0
"""How long the next worker may take to start and request the vault's key."""
_SUCCESSOR_POLL_S: Final = 0.05
_PARK_S: Final = 3.5
_FLUSH_S: Final = 1.0
"""Parking and flushing together stay below 5 s."""
_ROOM_EVERY_S: Final = 2.0
_ROOM_PATIENCE_S: Final = 7 * 24 * 3600.0


def main(arguments: list[str] | None = None) -> int:
    about = "Run what is queued, then exit."
    parser = argparse.ArgumentParser(prog="python -m backup.worker", description=about)
    parser.add_argument("--linger", type=float, default=5.0, metavar="SECONDS", help="how long to stay when idle")
    parser.add_argument("--await-key", action="store_true", help="wait briefly for the vault's key")
    parser.add_argument("--verbose", action="store_true", help="log more")
    options = parser.parse_args(arguments)
    paths = Paths.of_process()
    private_folder(paths.state_dir)
    harden_process()
    logs.set_up(paths, "worker", verbose=options.verbose)
    build.current()
    _detach()
    lock = os.open(paths.worker_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not _take(lock, paths):
        return 0
    presence.announce(lock)
    _allow_many_files()
    _collect_garbage_seldom()
    key_within_s = _KEY_PATIENCE_S if options.await_key else 0.0
    try:
        while True:
            try:
                return work_off(paths, linger_s=options.linger, key_within_s=key_within_s)
            except JournalFull as error:
                _LOG.error("all work waits for free disk space: %s", error)
            presence.announce(lock, WorkerState.WAITS_FOR_ROOM)
            _wait_for_room(paths)
            presence.announce(lock)
            key_within_s = 0.0  # this process still has the key
    except ProviderError as error:
        _LOG.error("the worker cannot continue: %s %s", error, error.hint)
        return 1


def _wait_for_room(paths: Paths) -> None:
    """Wait while nothing is under way: signals may end the process at once. Raises JournalFull in the end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    deadline = time.monotonic() + _ROOM_PATIENCE_S
    while True:
        time.sleep(_ROOM_EVERY_S)
        try:
            with Journal(paths.journal_file) as journal, journal.transaction() as tx:
                items.requeue_running(tx, now=time.time())
            return
        except JournalFull:
            if time.monotonic() > deadline:
                raise


def _detach() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if os.getsid(0) != os.getpid():
        try:
            os.setsid()
        except PermissionError:
            _LOG.debug("already leads a process group")
    os.chdir("/")
    try:
        os.nice(_NICE - os.nice(0))
    except OSError as error:
        _LOG.info("stays at its priority: %s", error)


def _take(lock: int, paths: Paths) -> bool:
    """Wait for the lock. False if another worker holds it and is not about to leave: that worker continues to serve.
    While the holder is stopped (SIGSTOP), only one process waits for it."""
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if presence.is_stopped(paths):
                if not presence.outlast_stop(paths, _STOPPED_PATIENCE_S):
                    return False
                deadline = time.monotonic() + _LOCK_PATIENCE_S
                continue
            if takeover.is_serving(paths):
                return False
            if time.monotonic() > deadline:
                _LOG.error("another worker holds the lock, and does not answer")
                return False
            time.sleep(0.02)


def work_off(paths: Paths, *, linger_s: float, key_within_s: float = 0.0) -> int:
    """Everything between taking the lock and leaving, from the first read of the journal on."""
    journal = Journal(paths.journal_file)
    clock = WorkerClock()
    now = clock.now()
    with journal.transaction() as tx:
        work.arrive(tx)
        died = items.requeue_running(tx, now=now)
        work.clamp_waits(tx, now=now)
        work.release(tx, now=now)
        planned = {job.order.found for job in jobs.unscanned(tx)}
    Findings(paths).drop_others(planned)
    if died:
        _LOG.info("%d items were under way when the last worker ended", died)
    woken = Wakeup()
    broken: list[Exception] = []

    def on_failure(error: Exception) -> None:
        broken.append(error)
        scheduler.stop()

    calls = CallCounts()
    writer = BatchWriter(journal, on_failure=on_failure, along=lambda tx: calls.write(tx, time.time()))
    board = ProgressBoard()
    worker = WorkerContext(
        paths=paths,
        journal=journal,
        writer=writer,
        board=board,
        facts=FactsOnDisk(paths, journal),
        calls=calls,
        wake=woken.set,
        clock=clock,
        chances=Chances(now=clock.now, clock=clock.elapsed_s),
    )
    scheduler = Scheduler(worker, woken, linger_s=linger_s)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: scheduler.stop())
    listener = Listener(paths, scheduler, board, woken)
    _LOG.info("at work")
    try:
        if key_within_s and not listener.got_key.wait(key_within_s):
            _LOG.warning("the vault's key was not handed over")
        scheduler.run()
        if scheduler.outdated:
            _have_successor(paths, scheduler, linger_s)
    finally:
        _farewell(scheduler, listener, writer, journal)
    full = next((error for error in broken if isinstance(error, JournalFull)), None)
    if full is not None:
        raise full
    return 1 if broken else 0


def _have_successor(paths: Paths, scheduler: Scheduler, linger_s: float) -> None:
    """Start another worker, which waits for the lock until this process is gone. If the vault is open here, the new one
    first takes the key over, and then makes this process leave."""
    try:
        start_worker.launch(paths, ("--linger", str(linger_s)))
    except ProviderError as error:
        _LOG.error("no worker runs until the next command: %s", error)
        return
    deadline = time.monotonic() + _SUCCESSOR_PATIENCE_S
    while unlocking.is_open(paths) and not scheduler.leaving:
        if time.monotonic() > deadline:
            _LOG.warning("the next worker did not ask for the vault's key")
            return
        time.sleep(_SUCCESSOR_POLL_S)


def _allow_many_files() -> None:
    """Raise the limit on open files and connections as far as the system allows: the usual 1,024 are for `select`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _collect_garbage_seldom() -> None:
    """Few reference cycles arise here. Measured over 1,000 files of 1 kB to S3: searching for them took 1 to 3 % of the
    worker's CPU time, and 0.4 % with this setting. For local files neither is measurable.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _farewell(scheduler: Scheduler, listener: Listener, writer: BatchWriter, journal: Journal) -> None:
    """Park what is under way. A process that queues something from now on sees `leaving`, and starts another worker."""
    scheduler.leaving = True
    scheduler.park(_PARK_S)
    listener.close()
    if not writer.close(_FLUSH_S):
        _LOG.error("the journal did not take everything in time")
    scheduler.close()
    with contextlib.suppress(JournalFull), journal.transaction() as tx:  # else the next one does it
        items.requeue_running(tx, now=time.time())
    _LOG.info("left")


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    sys.stdout.flush()
    # A transfer may hang in a call that cannot be interrupted, and Python would wait for its thread for ever.
    os._exit(status)
