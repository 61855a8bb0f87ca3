"""Starting and ending real servers for tests."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_START_S = 30.0
_LOOK_S = 0.02


def program(name: str) -> str:
    """Path of a program installed next to this Python."""
    found = Path(sys.executable).parent / name
    assert found.exists(), f"{name} is not installed in the test environment"
    return str(found)


@contextlib.contextmanager
def server(argv: Sequence[str], *, says: str, log: Path, environment: Mapping[str, str] | None = None) -> Iterator[int]:
    """Run a server that picks and prints a free port. Yields the port once it accepts connections.

    `says` is a pattern whose group 1 is the port. AssertionError with the server's last output if it does not start.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    try:
        port = _await_port(process, re.compile(says), log)
        with socket.create_connection(("127.0.0.1", port), 5):
            pass
        yield port
    finally:
        end(process)


def _await_port(process: subprocess.Popen[bytes], says: re.Pattern[str], log: Path) -> int:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        found = says.search(log.read_text(errors="replace"))
        if found:
            return int(found.group(1))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_S)
            break
    raise AssertionError(f"{process.args!r} did not start: {log.read_text(errors='replace')[-2000:]}")


def end(process: subprocess.Popen[bytes]) -> None:
    """Terminate it, by force if necessary."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
