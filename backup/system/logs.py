"""Logs: a rotating file for each kind of process, without secrets, readable by its owner only."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from backup.system.paths import Paths
from backup.system.private_files import private_folder
from backup.system.redaction import redact
from backup.system.text import safe

MAX_BYTES: Final = 2 * 2**20
OLD_FILES: Final = 3
_TALKATIVE: Final = (
    *("asyncio", "b2sdk", "boto3", "botocore", "google", "jeepney", "keyring", "obstore", "s3transfer", "urllib3"),
)
"""These would log requests with their headers, or flood the log; WARNING and above are kept."""

_current: logging.Handler | None = None


def set_up(paths: Paths, process: str, *, verbose: bool = False) -> Path:
    """Log to `logs_dir/<process>.log`: INFO and above, with `verbose` DEBUG too. Returns the file.

    Calling it again replaces the earlier set-up. Nothing goes to stderr. Raises OSError if the file cannot be opened.
    """
    global _current
    close()
    private_folder(paths.state_dir)
    private_folder(paths.logs_dir)
    file = paths.logs_dir / f"{process}.log"
    handler = _PrivateRotatingFile(file, maxBytes=MAX_BYTES, backupCount=OLD_FILES, encoding="utf-8")
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    _current = handler
    return file


def close() -> None:
    """Stop logging to a file and close it. May be called twice."""
    global _current
    if _current is not None:
        logging.getLogger().removeHandler(_current)
        _current.close()
        _current = None


class _Formatter(logging.Formatter):
    """Redacts the finished text, traceback included; outside text cannot forge lines or control a terminal."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        text = redact(super().format(record))
        return "\n".join(safe(line) for line in text.split("\n"))

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = record.message.replace("\n", "\\n")
        return super().formatMessage(record)


class _PrivateRotatingFile(RotatingFileHandler):
    """Mode 0600; several processes may write to one file, and only one of them rotates it."""

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return os.fdopen(descriptor, "a", encoding=self.encoding)

    def shouldRollover(self, record: logging.LogRecord) -> bool:
        self._follow()
        return bool(super().shouldRollover(record))

    def doRollover(self) -> None:
        descriptor = os.open(f"{self.baseFilename}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not self._follow():
                super().doRollover()
        finally:
            os.close(descriptor)

    def _follow(self) -> bool:
        """Continue in the new file if another process rotated the open one. True if it did."""
        if self.stream is None:
            return False
        try:
            there = os.stat(self.baseFilename)
        except FileNotFoundError:
            there = None
        mine = os.fstat(self.stream.fileno())
        if there is not None and (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino):
            return False
        self.stream.close()
        self.stream = self._open()
        return True

    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk must not print tracebacks over the console: the line is lost, the program continues."""
