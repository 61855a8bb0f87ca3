"""The worker's socket: mode 0600, and only processes of the same user get answers."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from typing import Any, Final

import msgspec

from backup.credentials import unlocking
from backup.journal.migrations import MIGRATIONS
from backup.model.credentials import StoreBackend
from backup.model.transfers import LiveState
from backup.rpc import Handler, RpcCall, Server, sockets
from backup.system import build
from backup.system.paths import Paths
from backup.worker.progress import ProgressBoard
from backup.worker.scheduler import Scheduler
from backup.worker.wakeup import Wakeup
from providers.errors import PermissionDenied, RateLimited, from_os_error
from providers.secret import Secret

_LOG: Final = logging.getLogger(__name__)
_AGAIN_S: Final = 0.1
"""Delay before the next try after accepting a connection failed."""
_MOST_CONNECTIONS: Final = 64
_MOST_OF_A_PROCESS: Final = 16
_LONGEST_QUESTION_BYTES: Final = 64 * 1024
_PATIENCE_S: Final = 10.0
_PACE_S: Final = 0.25
"""At most four events a second for each subscriber."""


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    pid: int
    started_at: float
    leaving: bool
    """It takes no more work: a process that queued something has to start another worker."""
    busy: tuple[str, ...] = ()
    """Instances with transfers under way."""
    unlocked: bool = False
    """Whether it has the vault's key."""
    build: str = ""
    journal_version: int = 0
    replaced: bool = False
    """Its files were replaced, so it makes way for another worker. Checked by `wake`."""


class _Bandwidth(msgspec.Struct):
    instance: str
    bytes_per_s: int | None


class _Instance(msgspec.Struct):
    instance: str | None = None


class _Key(msgspec.Struct):
    key: str

    def __repr__(self) -> str:
        return "_Key()"


class Listener:
    """Answers in its own threads until `close`.

    wake                 look into the journal now; answers WorkerStatus
    status               WorkerStatus
    live                 LiveState
    subscribe            LiveState as events on each change, at most four a second, until cancelled
    set_bandwidth        change the limit of an instance that is under way
    credentials_changed  open an instance (or all) again, and resume what waited
    unlock               hand the vault's key over (`unlocking.handover`); what waited for credentials resumes
    lock                 forget the key; transfers under way continue, later ones wait
    handover             the vault's key, for another process of the same user; nothing while it is locked
    stop                 park everything and end
    """

    def __init__(self, paths: Paths, scheduler: Scheduler, board: ProgressBoard, wake: Wakeup) -> None:
        self.got_key = threading.Event()
        """Set once a process has handed over the vault's key."""
        self._paths = paths
        self._path = paths.worker_socket
        self._scheduler = scheduler
        self._board = board
        self._wake = wake
        self._started_at = time.time()
        self._socket = sockets.listen(paths.worker_socket)
        self._connections: dict[socket.socket, int] = {}
        """With the process id of the peer."""
        self._closed = threading.Event()
        self._lock = threading.Lock()
        handlers: dict[str, Handler] = {
            "wake": self._on_wake,
            "status": self._status,
            "live": lambda call: self._board.state(),
            "subscribe": self._subscribe,
            "set_bandwidth": self._set_bandwidth,
            "credentials_changed": self._credentials_changed,
            "unlock": self._unlock,
            "lock": self._lock_store,
            "handover": self._hand_over,
            "stop": self._stop,
        }
        self._server = Server(handlers)
        threading.Thread(target=self._accept, name="listener", daemon=True).start()

    def close(self) -> None:
        """Accept no new connections, and end those that are open."""
        self._closed.set()
        self._path.unlink(missing_ok=True)
        with self._lock:
            connections = list(self._connections)
        for sock in (self._socket, *connections):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError as error:
                _LOG.debug("already closed: %s", error)
        self._socket.close()

    def _accept(self) -> None:
        """Accept connections until `close`, whatever fails meanwhile: the worker could not be reached without this."""
        troubled = False
        while not self._closed.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError as error:
                if not (self._closed.is_set() or troubled):
                    _LOG.warning("cannot accept connections: %s", from_os_error(error, self._path))
                troubled = True
                self._closed.wait(_AGAIN_S)
                continue
            troubled = False
            try:
                threading.Thread(target=self._serve, args=(connection,), name="connection", daemon=True).start()
            except RuntimeError as error:  # no room for another thread
                _LOG.warning("a connection was dropped: %s", error)
                connection.close()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                sockets.check_peer(connection)
                pid, _ = sockets.peer(connection)
                self._admit(connection, pid)
            except (OSError, PermissionDenied, RateLimited) as error:
                _LOG.warning("refused: %s", error)
                return
            try:
                sockets.bound_sends(connection)
                reader = sockets.Lines(connection, longest_bytes=_LONGEST_QUESTION_BYTES, patience_s=_PATIENCE_S)
                with connection.makefile("wb", buffering=0) as writer:
                    self._server.serve(reader, writer)
            finally:
                with self._lock:
                    self._connections.pop(connection, None)

    def _admit(self, connection: socket.socket, pid: int) -> None:
        """Raises RateLimited if there are too many connections."""
        with self._lock:
            of_process = sum(other == pid for other in self._connections.values())
            if len(self._connections) >= _MOST_CONNECTIONS or (pid and of_process >= _MOST_OF_A_PROCESS):
                raise RateLimited(f"process {pid} has {of_process} connections, of {len(self._connections)} in all")
            self._connections[connection] = pid

    # Handlers

    def _on_wake(self, call: RpcCall) -> WorkerStatus:
        replaced = self._scheduler.outdated or build.replaced()
        if not replaced:  # else it makes way: with modules of another build, new work would fail
            self._wake.set()
        return msgspec.structs.replace(self._status(call), replaced=replaced)

    def _status(self, call: RpcCall) -> WorkerStatus:
        return WorkerStatus(
            pid=os.getpid(),
            started_at=self._started_at,
            leaving=self._scheduler.leaving,
            busy=tuple(self._scheduler.lanes_busy()),
            unlocked=unlocking.is_open(self._paths),
            build=build.current().id,
            journal_version=len(MIGRATIONS),
        )

    def _subscribe(self, call: RpcCall) -> None:
        """A slow reader blocks only this thread."""
        sent: LiveState | None = None
        while True:
            state = self._board.state()
            if state != sent:
                call.event(state)
                sent = state
            call.cancel.wait(_PACE_S)

    def _set_bandwidth(self, call: RpcCall) -> None:
        wanted: _Bandwidth = call.arguments(_Bandwidth)
        self._scheduler.set_bandwidth(wanted.instance, wanted.bytes_per_s)

    def _credentials_changed(self, call: RpcCall) -> None:
        wanted: _Instance = call.arguments(_Instance)
        self._scheduler.refresh(wanted.instance)

    def _unlock(self, call: RpcCall) -> None:
        """Raises VaultError if the key does not fit this vault."""
        handed: _Key = call.arguments(_Key)
        try:
            was_locked = unlocking.accept(self._paths, Secret(handed.key))
        finally:
            self.got_key.set()
        if was_locked:
            _LOG.info("the vault was unlocked")
            self._scheduler.refresh(None)

    def _lock_store(self, call: RpcCall) -> None:
        unlocking.lock(self._paths, StoreBackend.VAULT)
        self._scheduler.forget_credentials()
        _LOG.info("the vault was locked")

    def _hand_over(self, call: RpcCall) -> _Key | None:
        """The only place that reveals the key, to a socket that only this user's processes can reach."""
        key = unlocking.handover(self._paths)
        return _Key(key.reveal()) if key else None

    def _stop(self, call: RpcCall) -> Any:
        self._scheduler.stop()
        return None
