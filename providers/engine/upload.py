"""The upload loop for all services: resumable, verified, and the only place that retries.

Opening, proof and ending are here; `providers/engine/parts.py` sends the parts.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from providers.contract.cancel import CancelToken
from providers.contract.capabilities import Proof
from providers.contract.digests import Hasher, LocalDigests, hasher
from providers.contract.objects import RemoteFile
from providers.contract.storage import Storage
from providers.contract.upload import Checkpoint, PartReceipt, SavedUpload, UploadRequest, UploadResult, UploadSession
from providers.engine import stored, unfinished
from providers.engine.encryption import refuse_encryption
from providers.engine.parts import OnWait, PartSender
from providers.engine.progress import Progress
from providers.engine.source import Source, opened, opened_link
from providers.errors import Conflict, Integrity, InvalidName, NotFound, ProviderError, Unsupported

_LOG: Final = logging.getLogger(__name__)
_HASH_LEAD_PARTS: Final = 2
_UNSIZED_BYTES: Final = 8 * 2**20
"""Read limit for a file whose size is wrong, if the service has no limit for one request."""

T = TypeVar("T")


def run_upload(
    provider: Storage,
    path: Path,
    key: str,
    *,
    beneath: Path | None = None,
    link: bool = False,
    progress: Callable[[int, int], None] | None = None,
    cancel: CancelToken,
    checkpoint: Checkpoint | None = None,
    only_if_absent: bool = False,
    replaces: bool | None = None,
    perhaps_stored: bool = False,
    connections: int | None = None,
    on_wait: OnWait | None = None,
    on_verify: Callable[[], None] | None = None,
) -> UploadResult:
    """Store the file `path` as `key`, resuming from `checkpoint`. Returns once the object is visible and proved.

    With a checkpoint, after an error that a later call may get past, the session stays open for it; otherwise nothing
    is left behind. A file that changes while it is read raises Integrity. Below `beneath`, neither the file nor a
    folder on the way may be a symlink. With `link`, `path` is a symlink and its target text is stored.

    `replaces` says whether an older object exists (None: ask). `perhaps_stored`: an earlier attempt may have stored the
    object, so with `only_if_absent` a small object that is provably this file is no Conflict. `on_wait(seconds, error)`
    reports each retry; `on_verify` is called when all bytes are sent and verification begins.

    Raises ProviderError; Cancelled if `cancel` was triggered.
    """
    refuse_encryption(provider.settings.encryption_enabled)
    provider.check_name(key)
    with opened_link(path, beneath or path.parent) if link else opened(path, beneath=beneath) as file:
        try:
            measure(provider, file, cancel)
        except Integrity:
            if checkpoint:
                unfinished.abandon(provider, checkpoint, cancel)
            raise
        moved = Progress(progress, file.identity.size_bytes)
        upload = _Upload(provider, file, key, moved, cancel, checkpoint, on_wait, on_verify)
        upload.only_if_absent = only_if_absent
        upload.perhaps_stored = perhaps_stored
        upload.replaces = replaces
        upload.connections = connections or provider.settings.connection_pool_size
        return upload.run()


def measure(provider: Storage, file: Source, cancel: CancelToken) -> None:
    """`Source.measure`, limited to what the service accepts in one request and to the configured timeout."""
    file.measure(
        limit_bytes=provider.capabilities.single_put_bytes or _UNSIZED_BYTES,
        timeout_s=provider.settings.timeout,
        cancel=cancel,
    )


class _Upload:
    """The upload of one file, from loading the checkpoint to the proof."""

    only_if_absent: bool
    perhaps_stored: bool
    replaces: bool | None
    connections: int

    def __init__(
        self,
        provider: Storage,
        file: Source,
        key: str,
        progress: Progress,
        cancel: CancelToken,
        checkpoint: Checkpoint | None,
        on_wait: OnWait | None,
        on_verify: Callable[[], None] | None,
    ) -> None:
        self._provider = provider
        self._file = file
        self._source = file.identity
        self._ctime_ns = file.ctime_ns
        self._key = key
        self._progress = progress
        self._cancel = cancel
        self._checkpoint = checkpoint
        self._on_wait = on_wait
        self._on_verify = on_verify
        self._committed = False
        self._begun_twice: SavedUpload | None = None
        self._unanswered: SavedUpload | None = None
        """Intent of an earlier process that never got its token: its request may still reach the service."""
        self._may_be_lost = False
        """A session exists at the service. Some services lose it, or discard it over a part that arrived damaged."""
        self._sender = PartSender(provider, file, progress, cancel, checkpoint, on_wait)

    def run(self) -> UploadResult:
        self._progress.begin()
        self._retrying(self._provider.learn)
        try:
            return self._attempt()
        except NotFound as error:
            if not self._may_be_lost:
                raise
            _LOG.info("upload session of %s cannot continue (%s); starting again", self._key, error)
        if self._checkpoint:
            unfinished.abandon(self._provider, self._checkpoint, self._cancel)
        try:
            return self._attempt()
        except NotFound:
            if self._sender.damage:
                raise self._sender.damage from None
            raise

    def _retrying(self, call: Callable[[], T]) -> T:
        return self._provider.retry.run(call, self._cancel, on_wait=self._on_wait)

    # Opening

    def _attempt(self) -> UploadResult:
        saved = self._saved()
        request = saved.request if saved else self._request()
        hash_first = not saved and self._known_beforehand(request)
        with ExitStack() as stack:
            hasher = stack.enter_context(self._hasher(request, ahead_of_all=hash_first))
            if hash_first:
                whole = dict(hasher.finish().whole)
                request = msgspec.structs.replace(request, sha256=whole.pop("sha256"), digests=whole)
            if hash_first and self.only_if_absent and self.perhaps_stored:
                earlier = self._stored_earlier(request, hasher)
                if earlier is not None:
                    return earlier
            if saved is None:
                self._check_existing()
            session = self._open(request, saved)
            try:
                stack.enter_context(self._cancel.calling(session.interrupt))
                return self._drive(session, request, saved, hasher)
            except BaseException as error:
                self._leave(session, error)
                raise

    def _saved(self) -> SavedUpload | None:
        saved = self._checkpoint.load() if self._checkpoint else None
        if saved is None or self._checkpoint is None:
            return None
        if saved.source == self._source and saved.request.key == self._key:
            if saved.token is not None:
                self._begun_twice = saved if saved.begun_twice else None
                return saved
            self._unanswered = saved
            token = unfinished.newest(self._provider, saved, self._cancel, file=self._file)
            if token is not None:
                self._begun_twice = saved
                return msgspec.structs.replace(saved, token=token)
            return None  # kept until the next intent replaces it: its request may still reach the service
        _LOG.info("%s is not the file that was begun; starting again", self._file.path)
        unfinished.abandon(self._provider, self._checkpoint, self._cancel)
        return None

    def _request(self) -> UploadRequest:
        capabilities = self._provider.capabilities
        size = self._source.size_bytes
        if capabilities.max_object_bytes is not None and size > capabilities.max_object_bytes:
            raise Unsupported(
                f"{self._file.path}: {size} bytes; this service accepts at most {capabilities.max_object_bytes}"
            )
        return UploadRequest(
            key=self._key,
            size_bytes=size,
            part_size_bytes=capabilities.part_size_bytes(size, self._provider.settings.upload_chunk_size),
            mtime_ns=self._file.mtime_ns,
            attributes=self._file.attributes,
            session_id=secrets.token_hex(8),
            only_if_absent=self.only_if_absent,
        )

    def _fits_one_request(self, request: UploadRequest) -> bool:
        return request.part_count == 1 and request.size_bytes <= self._provider.capabilities.single_put_bytes

    def _known_beforehand(self, request: UploadRequest) -> bool:
        """Whether the digests of the whole file are stored with the object from the start."""
        return self._fits_one_request(request) or self._provider.capabilities.digests_first

    def _hasher(self, request: UploadRequest, *, ahead_of_all: bool) -> Hasher:
        sizes = [request.part(index).size_bytes for index in range(request.part_count)]
        can = self._provider.capabilities
        return hasher(
            self._file.fd,
            sizes,
            can.part_digests,
            self._cancel,
            lead_parts=len(sizes) if ahead_of_all else _HASH_LEAD_PARTS + self.connections,
            whole_algorithms=can.whole_digests,
        )

    def _check_existing(self) -> None:
        """The caller's knowledge may be outdated: it is not relied on if nothing may be replaced and the server does
        not enforce that."""
        relied_on = not self.only_if_absent or self._provider.capabilities.conditional_commit
        if self.replaces is None or not relied_on:
            self.replaces = self._retrying(lambda: stored.look(self._provider, self._key)) is not None
        if self.only_if_absent and self.replaces:
            raise Conflict(f"{self._key}: something of that name is already there")

    def _open(self, request: UploadRequest, saved: SavedUpload | None) -> UploadSession:
        if saved is not None:
            session = self._provider.open_upload(request, token=saved.token)
        else:
            resumable = self._provider.capabilities.resumable_uploads and not self._fits_one_request(request)
            before = unfinished.pending(self._provider, self._key, self._cancel) if resumable else []
            saved = SavedUpload(
                source=self._source,
                request=request,
                intended_at=self._provider.context.now(),
                strangers=unfinished.strangers(before, self._unanswered),
            )
            if self._checkpoint and resumable:
                self._checkpoint.save(saved)
            session = self._begin(saved)
        self._may_be_lost = session.token is not None
        if self._checkpoint and session.token is not None:
            twice = self._begun_twice is not None
            self._checkpoint.save(msgspec.structs.replace(saved, token=session.token, receipts=(), begun_twice=twice))
        return session

    def _begin(self, saved: SavedUpload) -> UploadSession:
        """A new session. Before a second attempt, checks for a session whose answer was lost."""
        tries = 0

        def once() -> UploadSession:
            nonlocal tries
            tries += 1
            token = unfinished.newest(self._provider, saved, self._cancel, file=self._file) if tries > 1 else None
            return self._provider.open_upload(saved.request, token=token)

        session = self._retrying(once)
        perhaps = tries > 1 or self._unanswered is not None
        self._begun_twice = saved if perhaps and session.token is not None else self._unanswered
        return session

    # Sending

    def _drive(
        self, session: UploadSession, request: UploadRequest, saved: SavedUpload | None, hasher: Hasher
    ) -> UploadResult:
        try:
            held = self._held(session, saved) if saved else {}
        except NotFound:
            return self._committed_earlier(request, hasher)
        receipts, resumed_bytes = self._sender.send_all(session, request, hasher, held, self.connections)
        local = hasher.finish()
        self._refuse_a_changed_file(request, local)
        if self.only_if_absent and request.part_count > 1:
            self._check_existing()  # check again: sending took a while
        if self._on_verify:
            self._on_verify()
        remote = self._retrying(lambda: stored.commit(self._provider, session, receipts, local, self._cancel))
        self._committed = True
        self._remove_strays()
        if self.only_if_absent:
            self.replaces = False
        try:
            reached = stored.prove(
                self._provider, remote, local, self._cancel, replaced=self.replaces, on_failure=self._forget
            )
        except Integrity:
            self._discard(session)
            raise
        return self._result(remote, local, reached, resumed_bytes)

    def _remove_strays(self) -> None:
        """An earlier attempt may have reached the service after our check."""
        if self._begun_twice:
            unfinished.remove_strays(self._provider, self._begun_twice, self._cancel)

    def _discard(self, session: UploadSession) -> None:
        try:
            self._retrying(session.discard)
        except ProviderError as trouble:
            _LOG.warning("%s is at the service and is not what was sent: %s", self._key, trouble)

    def _held(self, session: UploadSession, saved: SavedUpload) -> dict[int, PartReceipt]:
        """The parts the server holds; where it reports no digests, with those of our own receipts."""
        ours = {receipt.index: receipt.digests for receipt in saved.receipts}
        return {
            receipt.index: receipt
            if receipt.digests
            else msgspec.structs.replace(receipt, digests=ours.get(receipt.index, {}))
            for receipt in self._retrying(session.confirmed)
        }

    def _committed_earlier(self, request: UploadRequest, hasher: Hasher) -> UploadResult:
        """The session is gone, perhaps because an earlier process was killed right after its commit. If the object is
        provably this file, nothing is sent again. Raises NotFound if it is not."""
        earlier = self._stored_earlier(request, hasher)
        if earlier is None:
            raise NotFound("the upload session is gone, and nothing of it is at the service")
        return earlier

    def _stored_earlier(self, request: UploadRequest, hasher: Hasher) -> UploadResult | None:
        remote = self._retrying(lambda: stored.look(self._provider, self._key))
        if remote is None or remote.size_bytes != request.size_bytes:
            return None
        for index in range(request.part_count):
            hasher.part(index)
            hasher.release()
        local = hasher.finish()
        self._refuse_a_changed_file(request, local)
        if self._on_verify:
            self._on_verify()
        reached = stored.proved(self._provider, remote, local, self._cancel)
        if reached is None:
            return None
        self._remove_strays()
        self._committed = True
        if self.only_if_absent:
            self.replaces = False
        return self._result(remote, local, reached, request.size_bytes)

    def _refuse_a_changed_file(self, request: UploadRequest, local: LocalDigests) -> None:
        self._file.refuse_a_change(local.sha256, self._cancel)
        if request.sha256 and request.sha256 != local.sha256:
            raise Integrity(
                f"{self._file.path}: the file changed while it was read",
                hint="Upload it again when nothing writes to it.",
            )

    def _result(self, remote: RemoteFile, local: LocalDigests, reached: Proof, resumed_bytes: int) -> UploadResult:
        """After the proof. Only now is the checkpoint cleared: until here, another process could resume."""
        self._forget()
        self._progress.finish()
        return UploadResult(
            remote=remote,
            sha256=local.sha256,
            proof=reached,
            replaced=self.replaces,
            resumed_bytes=resumed_bytes,
            mtime_ns=self._file.mtime_ns,
            ctime_ns=self._ctime_ns,
        )

    # Ending

    def _leave(self, session: UploadSession, error: BaseException) -> None:
        """End the session after a failure: kept if a later call can continue it, else removed."""
        if self._committed:
            return
        may_go_on = not isinstance(error, (Integrity, Conflict, InvalidName, Unsupported))
        if self._checkpoint and may_go_on:
            return
        try:
            self._provider.retry.run(session.abort, CancelToken() if self._cancel.cancelled else self._cancel)
        except ProviderError as trouble:
            _LOG.warning("could not remove the unfinished upload of %s: %s", self._key, trouble)
        else:
            self._forget()

    def _forget(self) -> None:
        if self._checkpoint:
            self._checkpoint.clear()
