"""On the product's PYTHONPATH in test_canaries, so that Python loads it at the start of each process.

It notes every file opened for writing, and every started program with its environment. It copies every file just
before it is renamed or removed, so that short-lived files are searched too. All of this goes into a folder of its own
(`CANARY_SPY`), which the product does not know.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import threading
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_MOST_BYTES = 16 * 2**20


class _Spy:
    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._log = os.open(os.path.join(folder, "log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._numbers = itertools.count()
        self._here = threading.local()

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        act = getattr(self, f"_{event.replace('.', '_').lower()}", None)
        if act is None or getattr(self._here, "busy", False):
            return
        self._here.busy = True
        try:
            with contextlib.suppress(OSError):
                act(*args)
        finally:
            self._here.busy = False

    def _open(self, path: Any, mode: str | None, flags: int) -> None:
        if flags & _WRITES and isinstance(path, str | bytes):
            self._note("wrote", os.path.abspath(os.fsdecode(path)))

    def _os_rename(self, source: Any, target: Any, source_folder: int, target_folder: int) -> None:
        self._keep(source, source_folder)

    def _os_remove(self, path: Any, folder: int) -> None:
        self._keep(path, folder)

    def _subprocess_popen(self, program: Any, words: Any, folder: Any, environment: Any) -> None:
        self._note("started", f"{words!r} {dict(os.environ if environment is None else environment)!r}")

    def _os_exec(self, program: Any, words: Any, environment: Any) -> None:
        self._note("started", f"{words!r} {environment!r}")

    def _keep(self, path: Any, folder: int) -> None:
        place = os.fsdecode(path) if folder < 0 else os.path.join(f"/proc/self/fd/{folder}", os.fsdecode(path))
        if not os.path.isfile(place) or os.path.islink(place):
            return
        with open(place, "rb") as source:
            data = source.read(_MOST_BYTES)
        name = f"{os.getpid()}-{next(self._numbers)}"
        with open(os.path.join(self._folder, name), "wb") as copy:
            copy.write(data)
        self._note("kept", f"{name} {place}")

    def _note(self, kind: str, text: str) -> None:
        os.write(self._log, f"{kind} {text}\n".encode(errors="surrogateescape"))


if os.environ.get("CANARY_SPY"):
    sys.addaudithook(_Spy(os.environ["CANARY_SPY"]).hear)
