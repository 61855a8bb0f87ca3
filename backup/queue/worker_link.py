"""One persistent connection to whichever worker runs."""

from __future__ import annotations

import threading
from typing import Any, Final

from backup.handshake import presence
from backup.rpc import Client, ConnectionLost, TimedOut
from backup.system.paths import Paths

_ASK_S: Final = 1.0


class WorkerLink:
    """Any thread may use it."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._lock = threading.Lock()
        self._client: Client | None = None

    def ask(self, method: str, params: dict[str, Any] | None = None) -> Any:
        """The worker's answer; None if there is none. A stopped worker is not asked."""
        for _ in range(2):  # only use shows that the worker of a connection has left
            client = None if presence.is_stopped(self._paths) else self._connected()
            if client is None:
                return None
            try:
                return client.call(method, params, timeout_s=_ASK_S)
            except TimedOut:
                return None
            except ConnectionLost:
                with self._lock:
                    self._client = None
                client.close()
        return None

    def close(self) -> None:
        """Close the connection; the worker keeps running."""
        with self._lock:
            client, self._client = self._client, None
        if client:
            client.close()

    def _connected(self) -> Client | None:
        with self._lock:
            if self._client is not None and self._client.lost:
                self._client.close()
                self._client = None
            if self._client is None:
                try:
                    self._client = Client.connect(self._paths.worker_socket, timeout_s=_ASK_S)
                except ConnectionLost:
                    return None
            return self._client
