"""Unix sockets that only this user's processes can use, at paths of any length."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from backup.rpc.framing import ConnectionLost
from providers.errors import InvalidConfiguration, PermissionDenied

_MAX_PATH_BYTES: Final = 107 if sys.platform == "linux" else 103
SEND_LIMIT_S: Final = 10
"""How long a reader may read nothing before a send fails."""


def listen(path: Path, backlog: int = 128) -> socket.socket:
    """A listening socket at `path` that only its owner can use. Replaces a stale one: the caller must hold the lock."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _reachable(path) as address:
            old_mask = os.umask(0o177)
            try:
                sock.bind(address)
            finally:
                os.umask(old_mask)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def connect(path: Path, timeout_s: float) -> socket.socket:
    """A connection to the socket at `path`. Raises ConnectionLost if no process of this user listens there."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        with _reachable(path) as address:
            sock.connect(address)
        sock.settimeout(None)
        check_peer(sock)
    except (OSError, PermissionDenied) as error:
        sock.close()
        raise ConnectionLost("the worker does not answer") from error
    except BaseException:
        sock.close()
        raise
    return sock


def check_peer(sock: socket.socket) -> None:
    """Raises PermissionDenied if the peer process belongs to another user (root excepted)."""
    _, uid = peer(sock)
    if uid not in (os.getuid(), 0):
        raise PermissionDenied(f"a process of user {uid} is at the other end of the socket")


def peer(sock: socket.socket) -> tuple[int, int]:
    """Process and user of the peer; (0, this user) if the system does not report them (macOS): there the socket's mode
    0600 has to suffice."""
    if not hasattr(socket, "SO_PEERCRED"):
        return 0, os.getuid()
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _gid = struct.unpack("3i", credentials)
    return pid, uid


def bound_sends(sock: socket.socket, limit_s: int = SEND_LIMIT_S) -> None:
    """Make a send fail after `limit_s` if the peer does not read; reads may wait for ever."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", limit_s, 0))


class Lines:
    """Lines received over a socket, for `Server.serve`. Raises OSError for a peer that sends nothing, or never ends its
    line."""

    def __init__(self, sock: socket.socket, *, longest_bytes: int, patience_s: float) -> None:
        """`patience_s`: limit for the first line, and for every line from its first byte on. There is no limit between
        lines: a connection may be kept for later."""
        self._sock = sock
        self._longest_bytes = longest_bytes
        self._patience_s = patience_s
        self._pending = bytearray()
        self._answered = False

    def readline(self, limit: int = -1, /) -> bytes:
        deadline = None if self._answered and not self._pending else time.monotonic() + self._patience_s
        while (end := self._pending.find(b"\n")) < 0:
            if len(self._pending) > self._longest_bytes:
                raise OSError(errno.EMSGSIZE, "a request is too long")
            data = self._receive(deadline)
            if not data:
                return b""
            deadline = deadline or time.monotonic() + self._patience_s
            self._pending += data
        line = bytes(self._pending[: end + 1])
        del self._pending[: end + 1]
        self._answered = True
        return line

    def _receive(self, deadline: float | None) -> bytes:
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        left_ms = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        if not poll.poll(left_ms):
            raise TimeoutError("no more data in time")
        return self._sock.recv(64 * 1024)

    def close(self) -> None:
        """The socket belongs to the caller."""


@contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """An address for `path` that fits: through a descriptor of its folder if the path itself is too long."""
    if len(os.fsencode(path)) <= _MAX_PATH_BYTES:
        yield str(path)
        return
    if not Path("/proc/self/fd").is_dir():
        raise InvalidConfiguration(
            f"the path of the worker's socket is too long: {path}", hint="Set XDG_STATE_HOME to a shorter one."
        )
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
