"""The child process `python -m backup.queries`, seen from its parent."""

from __future__ import annotations

import contextlib
import logging
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from backup.rpc import Client, ConnectionLost, TimedOut
from providers.secret import Secret

_LOG: Final = logging.getLogger(__name__)

PING_EVERY_S: Final = 3.0
PING_LIMIT_S: Final = 5.0
_START_LIMIT_S: Final = 30
_LEAVE_LIMIT_S: Final = 2.0


class Child:
    """Started at once; `client` may be used before it runs. End it with `close`.

    One thread starts it and waits for its end, because Linux kills it when the thread that started it ends. While
    questions are `under_way` it must answer pings; if not, it is killed, and its questions raise ConnectionLost. A slow
    service does not delay pings.
    """

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str], *, ping_every_s: float, ping_limit_s: float
    ) -> None:
        ours, theirs = socket.socketpair()
        self.client = Client.over(ours, send_limit_s=_START_LIMIT_S)
        self._ping_every_s = ping_every_s
        self._ping_limit_s = ping_limit_s
        self._lock = threading.Lock()
        self._under_way = 0
        self._has_answered = False
        """Until then, pings have the longer limit for starting on a slow machine."""
        self._handing_over = threading.Lock()
        self._handed: Secret | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(theirs, argv, dict(environment)), name="queries-child", daemon=True
        )
        self._thread.start()

    @contextlib.contextmanager
    def under_way(self) -> Iterator[None]:
        """Marks one question as running."""
        with self._lock:
            self._under_way += 1
        try:
            yield
            self._has_answered = True
        finally:
            with self._lock:
                self._under_way -= 1

    def hand_over(self, key: Secret | None) -> None:
        """Give the child the vault's key, or make it forget the key (None). The key is revealed only here, for a
        private socket."""
        with self._handing_over:
            if key == self._handed:
                return
            self._handed = key
            if key is None:
                self.client.call("lock", timeout_s=PING_LIMIT_S)
            else:
                self.client.call("unlock", {"key": key.reveal()}, timeout_s=_START_LIMIT_S)

    def close(self) -> None:
        """End the child: it has 2 s to exit, then it is killed. Its questions raise ConnectionLost. May be called
        twice. Returns within twice that: a child that waits for a hung disk ends only when the disk responds."""
        self._over.set()
        self.client.close()
        self._thread.join(2 * _LEAVE_LIMIT_S)

    def _run(self, theirs: socket.socket, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        try:
            with theirs:
                process = subprocess.Popen(
                    argv,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.DEVNULL,
                    env=environment,
                    cwd=_package_parent(),
                )
        except OSError:  # closing the socket has ended the questions
            _LOG.exception("the queries process could not be started")
            return
        try:
            self._ping(process)
        finally:
            self.client.close()
            try:
                process.wait(_LEAVE_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _ping(self, process: subprocess.Popen[bytes]) -> None:
        """Ping until `close`, or until the child is lost."""
        while not self._over.wait(self._ping_every_s) and not self.client.lost:
            if not self._under_way:
                continue
            try:
                self.client.call("ping", timeout_s=self._ping_limit_s if self._has_answered else _START_LIMIT_S)
                self._has_answered = True
            except TimedOut:
                _LOG.warning("the queries process does not answer; ending it")
                process.kill()
                return
            except ConnectionLost:
                return


def _package_parent() -> Path:
    """The folder to start the child in: `python -m` looks there first, and a user's folder may contain a `backup`."""
    return Path(__file__).resolve().parents[2]
