"""Running transfers in tests, through these functions and the methods of BaseProvider only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from providers.base import BaseProvider
from providers.contract.cancel import CancelToken
from providers.contract.download import DownloadResult
from providers.contract.upload import UploadResult
from providers.engine.download import run_download
from providers.engine.upload import run_upload
from providers.testing.harness import Harness, Operation, Root
from providers.testing.support import content, source

T = TypeVar("T")


def upload(
    provider: BaseProvider, path: Path, key: str, *, cancel: CancelToken | None = None, **more: Any
) -> UploadResult:
    return run_upload(provider, path, key, cancel=cancel or CancelToken(), **more)


def download(
    provider: BaseProvider, key: str, target: Path, *, cancel: CancelToken | None = None, **more: Any
) -> DownloadResult:
    return run_download(provider, key, target, cancel=cancel or CancelToken(), **more)


def read(provider: BaseProvider, key: str, offset: int, size_bytes: int, **more: Any) -> bytes:
    reader = provider.read_range(key, offset, size_bytes, **more)
    try:
        return b"".join(reader)
    finally:
        reader.close()


def keys(provider: BaseProvider, prefix: str = "") -> set[str]:
    return {file.key for file in provider.walk(prefix)}


class Running(threading.Thread):
    """A call in its own thread."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__(name="running", daemon=True)
        self._call = call
        self._outcome: Future[object] = Future()
        self.start()

    def run(self) -> None:
        try:
            self._outcome.set_result(self._call())
        except BaseException as error:
            self._outcome.set_exception(error)

    def error(self, timeout_s: float = 20.0) -> BaseException | None:
        """The exception it raised, or None if it returned. TimeoutError if it does neither in time."""
        return self._outcome.exception(timeout_s)

    def result(self, timeout_s: float = 20.0) -> object:
        return self._outcome.result(timeout_s)

    def cancelled_within(self, cancel: CancelToken, seconds: float) -> BaseException | None:
        """Trigger `cancel`; returns the exception raised, which must occur within `seconds`."""
        started = time.monotonic()
        cancel.cancel()
        error = self.error(seconds + 10)
        elapsed_s = time.monotonic() - started
        assert elapsed_s <= seconds, f"took {elapsed_s:.2f} s to stop"
        return error


def run(operation: Operation, harness: Harness, root: Root, provider: BaseProvider) -> None:
    match operation:
        case Operation.UPLOAD:
            upload(provider, source(root.tmp, content(30_000)), "new")
        case Operation.UPLOAD_PARTS:
            upload(provider, source(root.tmp, content(2 * harness.limits.part_bytes)), "new")
        case Operation.DOWNLOAD:
            download(provider, "there", root.tmp / "target")
        case Operation.LIST:
            keys(provider)
        case Operation.DELETE:
            provider.delete("there")
