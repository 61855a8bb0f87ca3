"""The asking end, for an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from msgspec import UNSET

from backup.rpc import sockets
from backup.rpc.framing import (
    CANCEL,
    MAX_LINE_BYTES,
    ConnectionLost,
    RpcRequest,
    RpcResponse,
    TimedOut,
    convert,
    decode,
    encode,
    unwrap,
)

_CLOSE_GRACE_S: Final = 2.0


class AsyncClient:
    """Asks over one connection, many questions at once. Use it from the loop that made it; end it with `close`."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        process: asyncio.subprocess.Process | None = None,
    ) -> None:
        self.process = process
        self._reader = reader
        self._writer = writer
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Queue[RpcResponse | None]] = {}
        self._lost = False
        self._task = asyncio.get_running_loop().create_task(self._receive(), name="rpc-client")

    @classmethod
    async def spawn(
        cls,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stderr: int | IO[Any] | None = None,
        cwd: Path | None = None,
    ) -> AsyncClient:
        """Start a child that serves its stdin and stdout. `stderr` is the child's, by default nowhere."""
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL if stderr is None else stderr,
            env=None if env is None else dict(env),
            cwd=cwd,
            limit=MAX_LINE_BYTES,
        )
        assert process.stdout is not None
        assert process.stdin is not None
        return cls(process.stdout, process.stdin, process)

    @classmethod
    async def connect(cls, path: Path, *, timeout_s: float = 3.0) -> AsyncClient:
        """Connect to a Unix socket. Raises ConnectionLost when nobody of ours listens there."""
        sock = await asyncio.to_thread(sockets.connect, path, timeout_s)
        sock.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=sock, limit=MAX_LINE_BYTES)
        return cls(reader, writer)

    @property
    def lost(self) -> bool:
        """Whether the connection has ended; no call will succeed any more."""
        return self._lost

    async def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None,
        result_type: Any = Any,
        on_event: Callable[[Any], None] | None = None,
        event_type: Any = Any,
    ) -> Any:
        """Ask and wait for the answer, at most `timeout_s` (None for a subscription).

        Raises what the other side raised, TimedOut, ConnectionLost. A call that is given up or cancelled is taken back
        there.
        """
        request_id = next(self._ids)
        answers: asyncio.Queue[RpcResponse | None] = asyncio.Queue()
        self._waiting[request_id] = answers
        answered = False
        try:
            async with asyncio.timeout(timeout_s):
                await self._send(RpcRequest(request_id, method, dict(params or {})))
                while True:
                    response = await answers.get()
                    if response is None:
                        raise ConnectionLost("the other process is gone")
                    if response.event is UNSET:
                        answered = True
                        return unwrap(response, result_type)
                    if on_event:
                        on_event(convert(response.event, event_type))
        except TimeoutError:
            raise TimedOut(f"no answer to {method} in time") from None
        finally:
            del self._waiting[request_id]
            if not answered and not self._lost:
                self._writer.write(encode(RpcRequest(0, CANCEL, {"id": request_id})))

    async def _send(self, request: RpcRequest) -> None:
        line = encode(request)
        if self._lost:
            raise ConnectionLost("the other process is gone")
        try:
            self._writer.write(line)
            await self._writer.drain()
        except OSError as error:
            self._lost = True
            raise ConnectionLost("the other process is gone") from error

    async def _receive(self) -> None:
        try:
            while True:
                line = await self._reader.readuntil(b"\n")
                response = decode(line, RpcResponse)
                if answers := self._waiting.get(response.id):
                    answers.put_nowait(response)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, ConnectionLost):
            return
        finally:
            self._lost = True
            for answers in self._waiting.values():
                answers.put_nowait(None)

    async def close(self) -> None:
        """End the connection; a child is given 2 s to leave, then killed. May be called twice."""
        self._lost = True
        self._writer.close()
        if self.process and self.process.returncode is None:
            try:
                async with asyncio.timeout(_CLOSE_GRACE_S):
                    await self.process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self.process.kill()
                await self.process.wait()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
