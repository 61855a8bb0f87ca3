"""The server end of the message framing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from backup.rpc.framing import (
    CANCEL,
    ConnectionLost,
    Readable,
    RpcRequest,
    RpcResponse,
    Writable,
    convert,
    decode,
    encode,
    error_of,
    read_line,
    write_all,
)
from providers.contract.cancel import CancelToken
from providers.errors import ProviderError, RateLimited, Unsupported

_LOG: Final = logging.getLogger(__name__)


class RpcCall:
    """One request under way, for its handler. `cancel` is set when the client cancels it or disconnects."""

    def __init__(self, request: RpcRequest, send: Callable[[RpcResponse], None]) -> None:
        self.id = request.id
        self.method = request.method
        self.params = request.params
        self.cancel = CancelToken()
        self._send = send

    def arguments(self, kind: type[Any]) -> Any:
        """The parameters as a typed struct. Raises ConnectionLost if they do not fit."""
        return convert(self.params, kind)

    def event(self, value: Any) -> None:
        """Send an event before the reply. Raises ConnectionLost if the client is gone; may block on a slow reader."""
        self._send(RpcResponse(self.id, event=value))


Handler = Callable[[RpcCall], Any]


class Server:
    """Answers requests, each in its own thread. A handler returns plain data or msgspec structs, or raises."""

    def __init__(self, handlers: Mapping[str, Handler], *, max_calls: int = 64) -> None:
        """`max_calls`: limit of concurrent requests of one connection; further ones are refused with RateLimited."""
        self._handlers = handlers
        self._max_calls = max_calls

    def serve(self, reader: Readable, writer: Writable) -> None:
        """Answer one connection until it ends, then cancel what is still under way. Never raises for what the client
        does.

        `writer` is unbuffered or is flushed here; a write that fails or times out ends the connection.
        """
        connection = _Connection(writer, self._handlers, self._max_calls)
        try:
            while line := read_line(reader):
                connection.receive(decode(line, RpcRequest))
        except ConnectionLost as error:
            _LOG.info("connection ended: %s", error)
        finally:
            connection.cancel_all()


class _Connection:
    def __init__(self, writer: Writable, handlers: Mapping[str, Handler], max_calls: int) -> None:
        self._writer = writer
        self._handlers = handlers
        self._max_calls = max_calls
        self._lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._calls: dict[int, RpcCall] = {}
        self._broken = False

    def receive(self, request: RpcRequest) -> None:
        if request.method == CANCEL:
            with self._lock:
                taken_back = self._calls.get(request.params.get("id", -1))
            if taken_back:
                taken_back.cancel.cancel()
            return
        call = RpcCall(request, self._send)
        with self._lock:
            full = len(self._calls) >= self._max_calls or request.id in self._calls
            if not full:
                self._calls[request.id] = call
        if full:
            self._send(RpcResponse(request.id, error=error_of(RateLimited("too many requests at once"))))
            return
        threading.Thread(target=self._answer, args=(call,), name=f"rpc-{request.method}", daemon=True).start()

    def cancel_all(self) -> None:
        with self._lock:
            calls = list(self._calls.values())
        for call in calls:
            call.cancel.cancel()

    def _answer(self, call: RpcCall) -> None:
        response = self._run(call)
        with self._lock:
            del self._calls[call.id]
        try:
            self._send(response)
        except ConnectionLost as error:
            _LOG.debug("no one waits for the answer to %s: %s", call.method, error)

    def _run(self, call: RpcCall) -> RpcResponse:
        try:
            handler = self._handlers.get(call.method)
            if handler is None:
                raise Unsupported(f"no such method: {call.method}")
            return RpcResponse(call.id, result=handler(call))
        except ProviderError as error:
            return RpcResponse(call.id, error=error_of(error))
        except Exception as error:  # a process boundary: the client gets an answer in any case
            _LOG.exception("handler of %s failed", call.method)
            return RpcResponse(call.id, error=error_of(error))

    def _send(self, response: RpcResponse) -> None:
        try:
            line = encode(response)
        except (TypeError, ConnectionLost) as error:
            _LOG.error("answer %d cannot be sent: %s", response.id, error)
            line = encode(RpcResponse(response.id, error=error_of(error)))
        with self._write_lock:
            if self._broken:
                raise ConnectionLost("the other process is gone")
            try:
                write_all(self._writer, line)
            except (OSError, ValueError) as error:
                self._broken = True  # half a line may be sent: nothing can follow it
                raise ConnectionLost("the other process is gone") from error
