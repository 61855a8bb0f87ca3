"""Sending the parts of one upload: in parallel or in order, each retried separately, none sent twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from providers.contract.cancel import CancelToken
from providers.contract.digests import Hasher
from providers.contract.storage import Storage
from providers.contract.upload import Checkpoint, PartReceipt, UploadRequest, UploadSession
from providers.engine.parallel import run_parts
from providers.engine.progress import Progress
from providers.engine.source import Source
from providers.engine.window import FileWindow
from providers.errors import Integrity, NotFound, ProviderError

OnWait = Callable[[float, ProviderError], None]


class PartSender:
    """Sends the parts of one file. `damage` is the error of the last part that was damaged on the way."""

    def __init__(
        self,
        provider: Storage,
        file: Source,
        progress: Progress,
        cancel: CancelToken,
        checkpoint: Checkpoint | None,
        on_wait: OnWait | None,
    ) -> None:
        self._provider = provider
        self._file = file
        self._progress = progress
        self._cancel = cancel
        self._checkpoint = checkpoint
        self._on_wait = on_wait
        self.damage: Integrity | None = None

    @property
    def _parallel(self) -> bool:
        return self._provider.capabilities.parallel_parts

    def send_all(
        self,
        session: UploadSession,
        request: UploadRequest,
        hasher: Hasher,
        held: Mapping[int, PartReceipt],
        connections: int,
    ) -> tuple[list[PartReceipt], int]:
        """Returns the receipts of all parts in order, and the number of bytes the service already had (`held`).

        Raises ProviderError: NotFound if the session must be started again, Cancelled if asked to stop.
        """
        width = min(connections, request.part_count) if self._parallel else 1
        stop = CancelToken()
        resumed: list[int] = []

        def send(index: int) -> PartReceipt:
            try:
                digests = hasher.part(index)
                held_receipt = held.get(index)
                if held_receipt and self._is_same(request, held_receipt, digests):
                    self._progress.part_at(index, held_receipt.size_bytes)
                    resumed.append(held_receipt.size_bytes)
                    return held_receipt
                if held_receipt and not self._parallel:
                    raise NotFound("the parts sent before do not match the file; it is sent again")
                return self._send(session, request, index, digests, stop)
            finally:
                hasher.release()

        with self._cancel.calling(stop.cancel), stop.calling(session.interrupt), self._cancel_first():
            receipts = run_parts(range(request.part_count), send, width, stop)
        return receipts, sum(resumed)

    @contextmanager
    def _cancel_first(self) -> Iterator[None]:
        """After a request to stop, raise Cancelled instead of the failure it caused."""
        try:
            yield
        except ProviderError:
            self._cancel.check()
            raise

    def _is_same(self, request: UploadRequest, receipt: PartReceipt, digests: dict[str, str]) -> bool:
        """A serial service cannot replace one part, nor report its digest: there the proof of the whole decides."""
        shared = receipt.digests.keys() & digests.keys()
        same_size = receipt.size_bytes == request.part(receipt.index).size_bytes
        comparable = bool(shared) or not (receipt.digests or self._parallel)
        return same_size and comparable and all(receipt.digests[name] == digests[name] for name in shared)

    def _send(
        self, session: UploadSession, request: UploadRequest, index: int, digests: dict[str, str], stop: CancelToken
    ) -> PartReceipt:
        part = request.part(index)

        def once() -> PartReceipt:
            body = FileWindow(
                self._file.fd,
                part.offset,
                part.size_bytes,
                limiter=self._provider.limiter,
                cancel=stop,
                on_position=lambda position: self._progress.part_at(index, position),
                path=self._file.readable_path,
            )
            return session.send(part, body, digests)

        def worth_repeating(error: ProviderError) -> bool:
            if isinstance(error, Integrity) and self._file.unchanged:
                self.damage = error
                return True
            return error.retryable

        receipt = self._provider.retry.run(once, stop, on_wait=self._on_wait, worth_repeating=worth_repeating)
        self._progress.part_at(index, part.size_bytes)
        if self._checkpoint and session.token is not None:
            self._checkpoint.part_done(receipt)
        return receipt
