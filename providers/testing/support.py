"""Sources, checkpoints in memory and fake clocks for the contract suite."""

from __future__ import annotations

import functools
import json
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from providers.contract.cancel import CancelToken
from providers.contract.download import SavedDownload
from providers.contract.upload import PartReceipt, SavedUpload


@functools.lru_cache(maxsize=32)
def content(size_bytes: int, seed: int = 1) -> bytes:
    """Bytes without repetition, reproducible by seed."""
    return random.Random(seed).randbytes(size_bytes)


def source(folder: Path, data: bytes, name: str = "source.bin") -> Path:
    """A file whose mtime is neither now nor a whole second."""
    path = folder / name
    path.write_bytes(data)
    os.utime(path, ns=(1_700_000_000_123_456_000, 1_700_000_000_123_456_000))
    return path


class FakeTime:
    """A clock that moves only during sleep; sleeping takes no time and is recorded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        with self._lock:
            return self._now

    def sleep(self, seconds: float, cancel: CancelToken) -> None:
        cancel.check()
        with self._lock:
            self.slept.append(seconds)
            self._now += seconds


class Progress:
    """Records each call, and calls `then` with the bytes done once they reach `at`."""

    def __init__(self, at: int | None = None, then: Callable[[int], None] | None = None) -> None:
        self.calls: list[tuple[int, int]] = []
        self._at = at
        self._then = then
        self._inside = threading.Lock()

    def __call__(self, done: int, total: int) -> None:
        assert self._inside.acquire(blocking=False), "two calls at once"
        try:
            self.calls.append((done, total))
            if self._then and self._at is not None and self._at <= done < total:
                then, self._then = self._then, None
                then(done)
        finally:
            self._inside.release()


class Memory:
    """An upload checkpoint that stores the JSON another process would read."""

    def __init__(self, on_save: Callable[[SavedUpload], None] | None = None) -> None:
        self._lock = threading.Lock()
        self._on_save = on_save
        self._saved: bytes | None = None
        self.receipts: list[PartReceipt] = []
        self.history: list[str] = []
        self.part_sizes: list[int] = []
        """Of all parts ever completed, in order of completion."""

    def load(self) -> SavedUpload | None:
        with self._lock:
            if self._saved is None:
                return None
            saved = msgspec.json.decode(self._saved, type=SavedUpload)
            return msgspec.structs.replace(saved, receipts=tuple(self.receipts))

    def save(self, saved: SavedUpload) -> None:
        if self._on_save:
            self._on_save(saved)
        with self._lock:
            self.history.append("intent" if saved.token is None else "token")
            self._saved = msgspec.json.encode(saved)

    def part_done(self, receipt: PartReceipt) -> None:
        with self._lock:
            self.history.append(f"part {receipt.index}")
            self.part_sizes.append(receipt.size_bytes)
            self.receipts.append(msgspec.json.decode(msgspec.json.encode(receipt), type=PartReceipt))

    def clear(self) -> None:
        with self._lock:
            self.history.append("clear")
            self._saved = None
            self.receipts.clear()

    @property
    def token(self) -> dict[str, Any]:
        """The saved token, as another process would read it."""
        saved = self.load()
        assert saved is not None, "nothing is saved"
        assert saved.token is not None, "no token is saved"
        return json.loads(json.dumps(saved.token))  # type: ignore[no-any-return]


class DownloadMemory:
    """The same for downloads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._saved: SavedDownload | None = None

    def load(self) -> SavedDownload | None:
        with self._lock:
            return self._saved

    def save(self, saved: SavedDownload) -> None:
        with self._lock:
            self._saved = saved

    def part_done(self, index: int) -> None:
        with self._lock:
            assert self._saved is not None
            self._saved = msgspec.structs.replace(self._saved, done=(*self._saved.done, index))

    def clear(self) -> None:
        with self._lock:
            self._saved = None


def gone(folder: Path, but: tuple[str, ...] = ()) -> list[str]:
    """Names in a folder, including hidden ones, except those allowed."""
    return sorted(set(os.listdir(folder)) - set(but))
