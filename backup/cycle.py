"""The test that a provider works: a random file is uploaded, listed, downloaded, compared and deleted."""

from __future__ import annotations

import contextlib
import filecmp
import logging
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from backup.system.text import rate, size
from providers.base import BaseProvider
from providers.contract.cancel import CancelToken
from providers.contract.report import ErrorInfo, StepState
from providers.contract.upload import UploadRequest
from providers.errors import Integrity, NotFound, ProviderError

_LOG: Final = logging.getLogger(__name__)
_BLOCK_BYTES: Final = 2**20
_STOP_LIMIT_S: Final = 10.0
_CLEAN_LIMIT_S: Final = 5.0

Opening = Callable[[CancelToken], BaseProvider]


class CycleStepName(StrEnum):
    CREATE = "create"
    UPLOAD = "upload"
    LIST = "list"
    DOWNLOAD = "download"
    COMPARE = "compare"
    DELETE = "delete"


class CycleStep(msgspec.Struct, frozen=True, kw_only=True):
    name: CycleStepName
    state: StepState
    detail: str = ""
    elapsed_s: float = 0.0
    error: ErrorInfo | None = None


class CycleReport(msgspec.Struct, frozen=True, kw_only=True):
    """All steps in order. `key` is the name of the random file; `left_behind` is set if it could not be removed."""

    key: str
    size_bytes: int
    steps: tuple[CycleStep, ...]
    left_behind: ErrorInfo | None = None

    @property
    def ok(self) -> bool:
        return self.left_behind is None and all(step.state is StepState.OK for step in self.steps)

    @property
    def failure(self) -> ErrorInfo | None:
        return next((step.error for step in self.steps if step.error), self.left_behind)


class CycleWatcher:
    """Receives the progress of a cycle. Methods are called one at a time, from any thread."""

    def step_ended(self, step: CycleStep) -> None: ...

    def progressed(self, name: CycleStepName, bytes_done: int, bytes_total: int) -> None: ...

    def left_behind(self, key: str, error: ErrorInfo) -> None:
        """Called after an interrupt if the file may still be at the service."""


def run_cycle(opening: Opening, size_bytes: int, watcher: CycleWatcher) -> CycleReport:
    """Run the cycle over the five operations of the guide. Never raises a ProviderError: the report contains it.

    If the calling thread is interrupted, the running step stops within a second, the file and any unfinished upload are
    removed at the service, and the interrupt is raised again. If that takes too long or fails, `watcher.left_behind` is
    called.
    """
    key = f"homeserver-backup-test-{secrets.token_hex(8)}.bin"
    cancel = CancelToken()
    with tempfile.TemporaryDirectory(prefix="homeserver-backup-") as folder:
        cycle = _Cycle(opening, key, size_bytes, Path(folder), cancel, watcher)
        thread = threading.Thread(target=cycle.run, name="cycle", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(0.1)
        except BaseException:
            cancel.cancel()
            thread.join(_STOP_LIMIT_S)
            if left := _remove_soon(opening, key, cycle.may_be_there):
                _LOG.warning("%s is left at the service: %s", key, left.message)
                watcher.left_behind(key, left)
            raise
    left_behind = _remove(opening, key, cycle.may_be_there)
    return CycleReport(key=key, size_bytes=size_bytes, steps=tuple(cycle.steps), left_behind=left_behind)


class _Cycle:
    def __init__(
        self, opening: Opening, key: str, size_bytes: int, folder: Path, cancel: CancelToken, watcher: CycleWatcher
    ) -> None:
        self.steps: list[CycleStep] = []
        self.may_be_there = False
        """True while the file, or an upload of it, may be at the service."""
        self._opening = opening
        self._key = key
        self._size_bytes = size_bytes
        self._sent = folder / "sent.bin"
        self._fetched = folder / "fetched.bin"
        self._cancel = cancel
        self._watcher = watcher
        self._provider: BaseProvider | None = None

    def run(self) -> None:
        actions = {
            CycleStepName.CREATE: self._create,
            CycleStepName.UPLOAD: self._upload,
            CycleStepName.LIST: self._list,
            CycleStepName.DOWNLOAD: self._download,
            CycleStepName.COMPARE: self._compare,
            CycleStepName.DELETE: self._delete,
        }
        failed = False
        for name, action in actions.items():
            step = CycleStep(name=name, state=StepState.NOT_RUN) if failed else self._timed(name, action)
            failed = step.state is not StepState.OK
            self.steps.append(step)
            self._watcher.step_ended(step)
        if self._provider:
            self._provider.close()

    def _timed(self, name: CycleStepName, action: Callable[[], str]) -> CycleStep:
        start_s = time.monotonic()
        state, detail, error = StepState.OK, "", None
        try:
            detail = action()
        except ProviderError as failure:
            state, error = StepState.FAILED, ErrorInfo.of(failure)
        except Exception as failure:  # end of a thread: a bug of ours must fail the step, not vanish
            _LOG.exception("step %s of the cycle", name)
            state, error = StepState.FAILED, ErrorInfo("provider", f"internal error ({type(failure).__name__})")
        return CycleStep(name=name, state=state, detail=detail, elapsed_s=time.monotonic() - start_s, error=error)

    def _create(self) -> str:
        self._provider = self._opening(self._cancel)
        with self._sent.open("wb") as file:
            left_bytes = self._size_bytes
            while left_bytes:
                self._cancel.check()
                left_bytes -= file.write(os.urandom(min(left_bytes, _BLOCK_BYTES)))
        return f"{size(self._size_bytes)} of random bytes"

    def _upload(self) -> str:
        assert self._provider
        self.may_be_there = True
        start_s = time.monotonic()
        self._provider.upload(self._sent, self._key, self._progress(CycleStepName.UPLOAD))
        return self._rate(start_s)

    def _list(self) -> str:
        assert self._provider
        found = self._provider.list_files(self._key, 10)
        sizes = [item["size"] for item in found if item["name"] == self._key]
        if sizes != [self._size_bytes]:
            raise Integrity(f"listed with sizes {sizes}, expected once with {self._size_bytes}")
        return f"found with {size(self._size_bytes)}"

    def _download(self) -> str:
        assert self._provider
        start_s = time.monotonic()
        self._provider.download(self._key, self._fetched, self._progress(CycleStepName.DOWNLOAD))
        return self._rate(start_s)

    def _compare(self) -> str:
        if not filecmp.cmp(self._sent, self._fetched, shallow=False):
            raise Integrity("the downloaded bytes differ from the uploaded ones")
        return "every byte matches"

    def _delete(self) -> str:
        assert self._provider
        self._provider.delete(self._key)
        if any(item["name"] == self._key for item in self._provider.list_files(self._key, 10)):
            raise Integrity(f"{self._key} is still listed after it was deleted")
        self.may_be_there = False
        return "gone from the listing"

    def _progress(self, name: CycleStepName) -> Callable[[int, int], None]:
        return lambda done, total: self._watcher.progressed(name, done, total)

    def _rate(self, start_s: float) -> str:
        return rate(self._size_bytes / max(time.monotonic() - start_s, 1e-6))


def _remove_soon(opening: Opening, key: str, may_be_there: bool) -> ErrorInfo | None:
    """`_remove` after an interrupt: waits at most _CLEAN_LIMIT_S for the service."""
    outcome = [ErrorInfo("timed_out", f"the service did not answer within {_CLEAN_LIMIT_S:.0f} s")]

    def remove() -> None:
        left = _remove(opening, key, may_be_there)
        outcome[:] = [left] if left else []

    thread = threading.Thread(target=remove, name="cycle-clean", daemon=True)
    thread.start()
    thread.join(_CLEAN_LIMIT_S)
    return next(iter(outcome), None)


def _remove(opening: Opening, key: str, may_be_there: bool) -> ErrorInfo | None:
    """Remove the file and its unfinished uploads. None once nothing is left, else the error.

    Uses its own provider, because the other may be cancelled.
    """
    if not may_be_there:
        return None
    try:
        with _opened(opening) as provider:
            request = UploadRequest(key=key, size_bytes=0, part_size_bytes=1)
            for pending in provider.pending_uploads(key):
                provider.open_upload(request, token=pending.token).abort()
            with contextlib.suppress(NotFound):
                provider.delete(key)
    except ProviderError as error:
        return ErrorInfo.of(error)
    return None


@contextlib.contextmanager
def _opened(opening: Opening) -> Iterator[BaseProvider]:
    provider = opening(CancelToken())
    try:
        yield provider
    finally:
        provider.close()
