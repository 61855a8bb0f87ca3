"""Unix sockets that only this user's processes can talk over, at paths of any length."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from backup.rpc.framing import ConnectionLost
from providers.errors import InvalidConfiguration, PermissionDenied

_MAX_PATH_BYTES: Final = 107 if sys.platform == "linux" else 103
_SEND_TIMEOUT_S: Final = 10


def listen(path: Path, backlog: int = 16) -> socket.socket:
    """A listening socket at `path`, readable by its owner only; a stale one is replaced (whoever calls holds the
    lock)."""
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
    """A connection to the socket at `path`. Raises ConnectionLost when nobody of ours listens there."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        with _reachable(path) as address:
            sock.connect(address)
        sock.settimeout(None)
        check_peer(sock)
        bound_sends(sock)
    except (OSError, PermissionDenied) as error:
        sock.close()
        raise ConnectionLost("the worker does not answer") from error
    except BaseException:
        sock.close()
        raise
    return sock


def check_peer(sock: socket.socket) -> None:
    """Raises PermissionDenied when the process at the other end belongs to another user (root excepted)."""
    if not hasattr(socket, "SO_PEERCRED"):
        return  # macOS: the socket's mode 0600 has to do
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, uid, _gid = struct.unpack("3i", credentials)
    if uid not in (os.getuid(), 0):
        raise PermissionDenied(f"a process of user {uid} is at the other end of the socket")


def bound_sends(sock: socket.socket) -> None:
    """A reader that reads nothing makes a send fail after 10 s, while reads may wait for ever."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_TIMEOUT_S, 0))


@contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """An address for `path` that fits: through a descriptor of its folder where the path itself is too long."""
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
