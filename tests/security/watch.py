"""Search for canaries from outside: in command lines and environments of processes, in files and terminal output."""

from __future__ import annotations

import base64
import binascii
import json
import os
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final
from urllib.parse import quote

_LOOKS: Final = 5
"""Looks at a process that is not the product's, because a child has its parent's environment at first."""


def forms(canary: str) -> set[bytes]:
    """Encodings of a secret: plain, for a URL, in JSON, hexadecimal, base64 at each alignment."""
    raw = canary.encode()
    found = {raw, quote(canary, safe="").encode(), json.dumps(canary)[1:-1].encode(), binascii.hexlify(raw)}
    found.add(canary.encode("utf-16-le"))
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + raw)
        found.add(text[(shift * 8 + 5) // 6 + 1 : -4])  # without what depends on the bytes around it
    return found


def occurrences(data: bytes, canaries: Iterable[str]) -> list[str]:
    return [canary for canary in canaries if any(form in data for form in forms(canary))]


def in_files(folder: Path, canaries: Iterable[str]) -> list[tuple[str, str]]:
    """Every file below a folder that contains a canary."""
    wanted = list(canaries)
    return [
        (str(path.relative_to(folder)), canary)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
        for canary in occurrences(path.read_bytes(), wanted)
    ]


class ProcessWatch:
    """Reads /proc/*/cmdline and environ of every process with `mark` in its environment, as fast as possible, while the
    context is open. Its own process is skipped."""

    def __init__(self, mark: str, canaries: Iterable[str]) -> None:
        self._mark = mark.encode()
        self._canaries = list(canaries)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._strangers: Counter[int] = Counter()
        self.found: set[tuple[str, str]] = set()
        self.seen: set[int] = set()
        """Processes seen."""

    def __enter__(self) -> ProcessWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(10)

    def _watch(self) -> None:
        while not self._over.wait(0.04):
            for name in os.listdir("/proc"):
                if name.isdigit() and int(name) != os.getpid() and self._strangers[int(name)] < _LOOKS:
                    self._look(int(name))

    def _look(self, pid: int) -> None:
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            if self._mark not in environment:
                self._strangers[pid] += 1
                return
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return  # it has ended
        self.seen.add(pid)
        for canary in occurrences(environment + b"\0" + command, self._canaries):
            self.found.add((command.replace(b"\0", b" ").decode(errors="replace"), canary))
