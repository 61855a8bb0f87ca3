"""The client end of the message framing."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import UNSET

from backup.rpc import sockets
from backup.rpc.framing import (
    CANCEL,
    ConnectionLost,
    Readable,
    RpcRequest,
    RpcResponse,
    TimedOut,
    Writable,
    convert,
    decode,
    encode,
    read_line,
    unwrap,
    write_all,
)
from providers.contract.cancel import CancelToken

_LOST: Final = RpcResponse(-1)


class Client:
    """Sends requests over one connection; may be used from several threads at once."""

    def __init__(self, reader: Readable, writer: Writable, *, close: Callable[[], None] | None = None) -> None:
        self._reader = reader
        self._writer = writer
        self._close = close
        self._lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._waiting: dict[int, queue.SimpleQueue[RpcResponse]] = {}
        self._next_id = 0
        self._lost = False
        self._thread = threading.Thread(target=self._receive, name="rpc-client", daemon=True)
        self._thread.start()

    @classmethod
    def connect(cls, path: Path, *, timeout_s: float = 3.0) -> Client:
        """Connect to a Unix socket. Raises ConnectionLost if no process of this user listens there."""
        return cls.over(sockets.connect(path, timeout_s))

    @classmethod
    def over(cls, sock: socket.socket, *, send_limit_s: int = sockets.SEND_LIMIT_S) -> Client:
        """Use a connected socket, which the client then owns. A send that makes no progress for `send_limit_s` ends the
        connection."""
        sockets.bound_sends(sock, send_limit_s)
        reader = sock.makefile("rb")

        def close() -> None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # the other end closed it first
            finally:
                sock.close()

        return cls(reader, sock.makefile("wb", buffering=0), close=close)

    @property
    def lost(self) -> bool:
        """Whether the connection has ended; no further call will succeed."""
        return self._lost

    def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout_s: float,
        result_type: Any = Any,
        on_event: Callable[[Any], None] | None = None,
        event_type: Any = Any,
        cancel: CancelToken | None = None,
    ) -> Any:
        """Send a request and wait for the reply, at most `timeout_s` in all (`math.inf` for a subscription).

        `on_event` gets each event in the calling thread. Raises the error of the other side, TimedOut, ConnectionLost,
        or Cancelled as soon as `cancel` is set. A request that is given up is cancelled on the other side.
        """
        answers: queue.SimpleQueue[RpcResponse] = queue.SimpleQueue()
        with self._lock:
            self._next_id += 1
            request_id = self._next_id
            self._waiting[request_id] = answers
        deadline = time.monotonic() + timeout_s
        answered = False
        try:
            self._send(RpcRequest(request_id, method, dict(params or {})))
            with (cancel or CancelToken()).calling(lambda: answers.put(_LOST)):
                while True:
                    response = self._next(answers, method, deadline, cancel)
                    if response.event is UNSET:
                        answered = True
                        return unwrap(response, result_type)
                    if on_event:
                        on_event(convert(response.event, event_type))
        finally:
            with self._lock:
                del self._waiting[request_id]
            if not answered:
                self._take_back(request_id)

    def _next(
        self, answers: queue.SimpleQueue[RpcResponse], method: str, deadline: float, cancel: CancelToken | None
    ) -> RpcResponse:
        try:
            left_s = min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)
            response = answers.get(timeout=left_s)
        except queue.Empty:
            raise TimedOut(f"no answer to {method} in time") from None
        if response is _LOST:
            if cancel:
                cancel.check()
            raise ConnectionLost("the other process is gone")
        return response

    def _take_back(self, request_id: int) -> None:
        try:
            self._send(RpcRequest(0, CANCEL, {"id": request_id}))
        except ConnectionLost:
            return  # its end cancels the request there too

    def _send(self, request: RpcRequest) -> None:
        line = encode(request)
        with self._write_lock:
            if self._lost:
                raise ConnectionLost("the other process is gone")
            try:
                write_all(self._writer, line)
            except (OSError, ValueError) as error:
                self._lost = True
                raise ConnectionLost("the other process is gone") from error

    def _receive(self) -> None:
        try:
            while line := read_line(self._reader):
                response = decode(line, RpcResponse)
                with self._lock:
                    answers = self._waiting.get(response.id)
                if answers is not None:
                    answers.put(response)
        except ConnectionLost:
            return
        finally:
            self._reader.close()
            with self._lock:
                self._lost = True
                waiting = list(self._waiting.values())
            for answers in waiting:
                answers.put(_LOST)

    def close(self) -> None:
        """End the connection; calls under way raise ConnectionLost. May be called twice."""
        self._lost = True
        if self._close:
            self._close()
        self._writer.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
