"""Messages and their encoding, shared by both ends."""

from __future__ import annotations

from typing import Any, Final, Protocol, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from backup.system.packing import pack, unpack
from providers.contract.report import ErrorInfo
from providers.errors import ProviderError, Transient

T = TypeVar("T")

MAX_LINE_BYTES: Final = 16 * 2**20
"""Longest message. A page of 1,000 objects with long names is about 1.5 MB."""
CANCEL: Final = "$cancel"


class ConnectionLost(Transient):
    """The process at the other end is gone, or sends invalid messages."""

    kind = "connection_lost"
    cure = "It restarts when needed; try again."


class TimedOut(Transient):
    """The other end did not answer in time."""

    kind = "timed_out"
    cure = "Try again; if it repeats, check the log."


class Readable(Protocol):
    def readline(self, limit: int = -1, /) -> bytes: ...

    def close(self) -> None: ...


class Writable(Protocol):
    def write(self, data: memoryview, /) -> int | None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class RpcRequest(msgspec.Struct):
    id: int
    method: str
    params: dict[str, Any] = {}


class RpcResponse(msgspec.Struct):
    """Exactly one of the three is set. An event does not end its request; the other two do."""

    id: int
    result: Any | UnsetType = UNSET
    error: ErrorInfo | UnsetType = UNSET
    event: Any | UnsetType = UNSET


def encode(message: RpcRequest | RpcResponse) -> bytes:
    """One line. Raises ConnectionLost if it is too long, TypeError for a value that is not plain data (a Secret)."""
    line = pack(message)
    if len(line) >= MAX_LINE_BYTES:
        raise ConnectionLost(f"a message of {len(line)} bytes is too long to send")
    return line + b"\n"


def decode(line: bytes, kind: type[T]) -> T:
    """Raises ConnectionLost for anything that is not a message of that kind."""
    try:
        return unpack(line, kind)
    except (ValueError, RecursionError) as error:
        raise ConnectionLost("the other process sent an invalid message") from error


def convert(value: Any, kind: Any) -> Any:
    """Convert plain data to the type the caller expects. Raises ConnectionLost if it does not fit."""
    try:
        return msgspec.convert(value, kind, str_keys=True)
    except msgspec.ValidationError as error:
        raise ConnectionLost(f"the other process sent an unexpected answer: {error}") from error


def read_line(stream: Readable) -> bytes:
    """The next line, empty at the end. Raises ConnectionLost if it is too long or the connection broke."""
    try:
        line = stream.readline(MAX_LINE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ConnectionLost("the connection to the other process broke") from error
    if len(line) > MAX_LINE_BYTES:
        raise ConnectionLost("the other process sent a line that is too long")
    return line if line.endswith(b"\n") else b""


def write_all(writer: Writable, line: bytes) -> None:
    """Write a whole line, even if `write` may take only a part (raw sockets and pipes). Raises OSError, ValueError."""
    rest = memoryview(line)
    while rest:
        count = writer.write(rest)
        if not count:
            raise BlockingIOError("the other end does not read")
        rest = rest[count:]
    writer.flush()


def unwrap(response: RpcResponse, kind: Any) -> Any:
    """Return the result of a final response, or raise its error."""
    if response.error is not UNSET:
        raise response.error.error()
    return convert(None if response.result is UNSET else response.result, kind)


def error_of(error: BaseException) -> ErrorInfo:
    """The ErrorInfo sent for an exception of a handler. The text of an unexpected exception may contain anything, so it
    only goes to the log."""
    if isinstance(error, ProviderError):
        return ErrorInfo.of(error)
    return ErrorInfo("provider", f"internal error ({type(error).__name__})", "The log file has the details.")
