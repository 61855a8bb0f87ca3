"""A real terminal for a real process: a pty, an emulator that keeps the screen, and every byte sent to it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Final

import pyte

KEYS: Final = {
    "enter": "\r",
    "tab": "\t",
    "shift+tab": "\x1b[Z",
    "escape": "\x1b",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "home": "\x1b[H",
    "end": "\x1b[F",
    "pagedown": "\x1b[6~",
    "pageup": "\x1b[5~",
    "backspace": "\x7f",
    "delete": "\x1b[3~",
    "space": " ",
    "ctrl+c": "\x03",
    "ctrl+q": "\x11",
}


class Terminal:
    """Runs a command in a pty and session of its own. A context manager, whose exit ends the process."""

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str], columns: int = 80, rows: int = 24
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self.output = bytearray()
        self._stream = pyte.ByteStream(self.screen)
        self._changed = threading.Condition()
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**environment, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
            start_new_session=True,
            close_fds=True,
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._reader.start()

    @classmethod
    def console(cls, *arguments: str, environment: Mapping[str, str], columns: int = 80, rows: int = 24) -> Terminal:
        """The console itself, as a user starts it."""
        return cls([sys.executable, "-m", "backup", *arguments], environment=environment, columns=columns, rows=rows)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(self.text())  # noqa: T201 - the screen explains the failure
        self.kill()

    def _read(self) -> None:
        while self._master >= 0:
            try:
                ready, _, _ = select.select([self._master], [], [], 0.2)
                data = os.read(self._master, 65536) if ready else None
            except (OSError, ValueError):
                break
            if data == b"":
                break
            if data:
                with self._changed:
                    self.output += data
                    self._stream.feed(data)
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def text(self) -> str:
        with self._changed:
            return "\n".join(line.rstrip() for line in self.screen.display)

    def press(self, *keys: str) -> None:
        """Send keys, by name or as text."""
        for key in keys:
            os.write(self._master, KEYS.get(key, key).encode())

    def press_bytes(self, data: bytes) -> None:
        """Send bytes as a terminal with another encoding would."""
        os.write(self._master, data)

    def wait_until(self, condition: Callable[[str], bool], timeout_s: float = 20.0, what: str = "") -> str:
        """The screen once `condition(text)` is true. Fails with the screen if that takes too long."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                text = "\n".join(line.rstrip() for line in self.screen.display)
                if condition(text):
                    return text
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"not on the screen within {timeout_s} s: {what}\n{text}")
                self._changed.wait(min(left, 0.5))

    def wait_for(self, *texts: str, timeout_s: float = 20.0) -> str:
        """The screen once it shows all of `texts`."""
        return self.wait_until(lambda screen: all(text in screen for text in texts), timeout_s, " + ".join(texts))

    def wait_gone(self, text: str, timeout_s: float = 20.0) -> str:
        return self.wait_until(lambda screen: text not in screen, timeout_s, f"no {text}")

    def resize(self, columns: int, rows: int) -> None:
        with self._changed:
            self.screen.resize(rows, columns)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(self.process.pid, signal.SIGWINCH)

    def hang_up(self) -> None:
        """Close the terminal, as a broken connection does."""
        master, self._master = self._master, -1
        self._reader.join(5)
        os.close(master)

    def wait_exit(self, timeout_s: float = 10.0) -> int:
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """Kill the process in any state."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self._reader.join(5)
        if self._master >= 0:
            os.close(self._master)
