"""Copies of files with a wrong size: /proc and some FUSE file systems report 0, /sys reports 4096. Only reading to the
end shows their content."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from providers.contract.cancel import CancelToken
from providers.errors import Integrity, from_os_error

MOST_BYTES: Final = 256 * 2**20
"""Upper limit of a copy, whatever the service accepts in one request."""
_READ_BYTES: Final = 1 << 20
_POLL_S: Final = 0.05


def is_true(fd: int, size_bytes: int) -> bool:
    """Whether an open file ends where its size says, by two reads of one byte. Raises OSError."""
    try:
        if os.pread(fd, 1, size_bytes):
            return os.fstat(fd).st_size != size_bytes  # it grows; like every change, this is detected at the end
        return not size_bytes or bool(os.pread(fd, 1, size_bytes - 1)) or os.fstat(fd).st_size != size_bytes
    except BlockingIOError:  # it waits for more data
        return False


class Spool:
    """Copies an open file to its end, into an unnamed file. Limited in bytes and time."""

    def __init__(self, fd: int, path: Path, *, limit_bytes: int, timeout_s: float, cancel: CancelToken) -> None:
        self._source = os.dup(fd)
        self._path = path
        self._limit = min(limit_bytes, MOST_BYTES)
        self._timeout_s = timeout_s
        self._cancel = cancel
        self._given_up = threading.Event()
        self._error: Exception | None = None

    def copy(self) -> int:
        """The descriptor of the copy; the caller closes it. Raises ProviderError: Integrity if the file does not end
        within the limits."""
        with tempfile.TemporaryFile(buffering=0) as target:
            thread = threading.Thread(target=self._run, args=(os.dup(target.fileno()),), name="spool", daemon=True)
            thread.start()
            try:
                self._wait(thread)
            finally:
                self._given_up.set()
            if isinstance(self._error, OSError):
                raise from_os_error(self._error, self._path) from None
            if self._error:
                raise self._error
            return os.dup(target.fileno())

    def _wait(self, thread: threading.Thread) -> None:
        """A read may hang for ever; its thread is then abandoned."""
        until = time.monotonic() + self._timeout_s
        while thread.is_alive():
            self._cancel.check()
            if time.monotonic() >= until:
                raise self._endless(f"it did not end within {self._timeout_s:g} s")
            thread.join(min(0.2, self._timeout_s))

    def _run(self, target: int) -> None:
        try:
            with suppress(OSError):
                os.lseek(self._source, 0, os.SEEK_SET)
            copied = 0
            while not self._given_up.is_set():
                try:
                    data = os.read(self._source, min(_READ_BYTES, self._limit + 1 - copied))
                except BlockingIOError:
                    self._given_up.wait(_POLL_S)
                    continue
                if not data:
                    return
                copied += len(data)
                if copied > self._limit:
                    raise self._endless(f"more than {self._limit} bytes were read")
                view = memoryview(data)
                while view:
                    view = view[os.write(target, view) :]
        except (OSError, Integrity) as error:
            self._error = error
        finally:
            os.close(self._source)
            os.close(target)

    def _endless(self, why: str) -> Integrity:
        return Integrity(
            f"{self._path}: changes while it is read: {why}, and its reported size is wrong",
            hint="Leave it out, or copy it to an ordinary file and upload that.",
        )
