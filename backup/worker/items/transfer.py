"""One attempt at one item, from its claim to an outcome. Errors become states here and nowhere else."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol

import msgspec

from backup.files import folders, links, shut_folders, targets
from backup.journal import Journal, items
from backup.journal.checkpoints import CheckpointRow, Commit, UploadCheckpoint
from backup.journal.folders_in_work import FoldersInWork
from backup.journal.records import Ending, Item, Job, Outcome
from backup.model.transfers import Conflicts, ItemKind, JobKind
from backup.worker.items import stubborn
from backup.worker.items.deletes import delete_many as delete_many
from backup.worker.items.judgement import MAX_FAILURES as MAX_FAILURES
from backup.worker.items.judgement import MAX_SLOWED as MAX_SLOWED
from backup.worker.items.judgement import PATIENCE_S as PATIENCE_S
from backup.worker.items.judgement import Chances as Chances
from backup.worker.items.judgement import asked_for as asked_for
from backup.worker.items.judgement import backoff_s as backoff_s
from backup.worker.items.judgement import judge as judge
from backup.worker.items.judgement import judge_any as judge_any
from backup.worker.items.judgement import unforeseen as unforeseen
from backup.worker.items.judgement import waits_for_credentials as waits_for_credentials
from providers.base import BaseProvider
from providers.contract.attributes import UNKNOWN
from providers.contract.cancel import CancelToken
from providers.contract.digests import sha256_of
from providers.contract.download import DownloadResult
from providers.contract.objects import RemoteFile
from providers.contract.report import ErrorInfo
from providers.contract.upload import UploadResult
from providers.engine import download, upload
from providers.engine.encryption import refuse_encryption
from providers.engine.source import Source, opened, opened_link
from providers.errors import (
    Cancelled,
    NotFound,
    PermissionDenied,
    ProviderError,
    Unsupported,
)
from providers.filesystem import beneath as walk
from providers.filesystem.landing import Landing

_LOG: Final = logging.getLogger(__name__)
_MTIME_TOLERANCE_S: Final = 0.001
"""S3 tools keep mtime as text with at least milliseconds."""


class Watcher(Protocol):
    """Receives the progress of an item."""

    def moved(self, bytes_done: int, bytes_total: int) -> None: ...

    def verifying(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """An attempt at one item. `commit` writes to the journal and returns once it is on disk."""

    provider: BaseProvider
    journal: Journal
    commit: Commit
    item: Item
    job: Job
    watcher: Watcher
    cancel: CancelToken
    connections: int | None = None
    chances: Chances = field(default_factory=Chances)

    def run(self) -> Outcome:
        """Never raises for anything that the item, the disk or the service does."""
        started = self.chances.clock()
        try:
            outcome = self._attempt()
        except ProviderError as error:
            if not isinstance(error, Cancelled):
                _LOG.warning("item %d (%s): %s", self.item.id, self.item.name, error)
            outcome = judge(stubborn.explained(error, self.item, self.provider, self.cancel), self.item, self.chances)
        except Exception as error:  # the worker continues with the next item in any case
            _LOG.exception("item %d (%s) failed unexpectedly", self.item.id, self.item.name)
            outcome = judge_any(error, self.item, self.chances)
        if outcome.ending is Ending.FAILED and self.item.job_kind is JobKind.DOWNLOAD:
            self._leave_nothing()
        return msgspec.structs.replace(
            outcome,
            gone=outcome.ending is Ending.FAILED and self._is_gone(outcome),
            elapsed_s=self.chances.clock() - started,
            clears=self._upload_checkpoint.cleared or self._download_checkpoint.cleared,
        )

    @cached_property
    def _upload_checkpoint(self) -> UploadCheckpoint:
        return UploadCheckpoint(self.journal, self.item.id, commit=self.commit, begun=self.item.begun)

    @cached_property
    def _download_checkpoint(self) -> CheckpointRow:
        return CheckpointRow(self.journal, self.item.id, commit=self.commit, begun=self.item.begun)

    @cached_property
    def _folders_in_work(self) -> FoldersInWork:
        return FoldersInWork(self.journal, self.job.id, commit=self.commit)

    def _attempt(self) -> Outcome:
        self.cancel.check()
        if self.item.job_kind is not JobKind.DELETE:
            refuse_encryption(self.provider.settings.encryption_enabled)
        match self.item.job_kind:
            case JobKind.UPLOAD:
                return self._upload_directory() if self.item.kind is ItemKind.DIRECTORY else self._upload()
            case JobKind.DOWNLOAD:
                return self._downloaded()
            case JobKind.DELETE:
                self.provider.retry.run(lambda: self.provider.remove(self.item.key), self.cancel, on_wait=self._waits)
                return self._done()

    # Up

    @property
    def _scanned_in(self) -> Path:
        """The folder below which no symlink may lead to the item: there was none when the item was found."""
        if self.job.order.resolved:
            return Path("/")
        above = Path(self.item.local_path).parents
        return above[min(self.item.name.count("/"), len(above) - 1)]

    def _upload(self) -> Outcome:
        if (
            self.job.order.conflicts is Conflicts.SKIP_UNCHANGED
            and self.item.replaces is not False
            and self._same_above()
        ):
            return self._skipped("unchanged at the destination")
        result = upload.run_upload(
            self.provider,
            Path(self.item.local_path),
            self.item.key,
            beneath=self._scanned_in,
            link=self.item.kind is ItemKind.SYMLINK,
            progress=self.watcher.moved,
            cancel=self.cancel,
            checkpoint=self._upload_checkpoint,
            only_if_absent=self.job.order.conflicts is Conflicts.REFUSE,
            replaces=self.item.replaces,
            perhaps_stored=self.item.attempts > 1,
            connections=self.connections,
            on_wait=self._waits,
            on_verify=self.watcher.verifying,
        )
        return self._moved(result)

    def _upload_directory(self) -> Outcome:
        if not self.provider.capabilities.empty_directories:
            return self._skipped("this service cannot store empty folders")
        with walk.folder(Path(self.item.local_path), self._scanned_in) as found:
            facts = os.fstat(found)
        key, conflicts = f"{self.item.key}/", self.job.order.conflicts
        why = folders.store(self.provider, facts, key, conflicts, self.cancel, self._waits)
        return self._skipped(why) if why else self._done()

    # Down

    @property
    def _landing_in(self) -> Path:
        """The folder below which no symlink may lead to the target."""
        order = self.job.order
        return Path("/") if order.resolved else Path(os.path.realpath(self._root))

    @property
    def _root(self) -> Path:
        """The folder that the user chose, or that holds the file that the user chose."""
        order = self.job.order
        return Path(order.to).parent if order.exact else Path(order.to)

    @property
    def _landing_root(self) -> Path:
        return self._root if self.job.order.resolved else Path(os.path.realpath(self._root))

    def _target(self) -> Path:
        order = self.job.order
        name = Path(order.to).name if order.exact else self.item.name
        if self.item.kind is ItemKind.SYMLINK and not order.exact:
            name = name.removesuffix(links.SUFFIX)
        return targets.prepare(
            self._root,
            name,
            folder=self.item.kind is ItemKind.DIRECTORY,
            mode=order.restoring.mode_of(UNKNOWN, folder=True),
            beneath=self._landing_in if order.resolved else None,
        )

    def _downloaded(self) -> Outcome:
        match self.item.kind:
            case ItemKind.DIRECTORY:
                return self._download_directory()
            case ItemKind.SYMLINK:
                return self._download_link()
        return self._download()

    def _download_link(self) -> Outcome:
        """Fetch and prove its text like any object, then create the link. Nothing is written through it."""
        target, conflicts = self._target(), self.job.order.conflicts
        result, text = links.fetch(
            self.provider, self._stored(), cancel=self.cancel, recall=self._known_sha256, known=self._stored_before
        )
        with Landing.opened(target, self._landing_in) as landing:
            if conflicts is Conflicts.SKIP_UNCHANGED and landing.link_text() == text:
                return self._skipped("unchanged on this disk")
            replaced = landing.put_link(
                text, replace=conflicts is not Conflicts.REFUSE, mtime_ns=result.remote.mtime_ns
            )
        return self._moved(msgspec.structs.replace(result, replaced=replaced))

    def _download_directory(self) -> Outcome:
        target, was_there = self._target(), bool(self.item.replaces)
        if was_there and self.job.order.conflicts is Conflicts.REFUSE:
            return self._done()
        before = self._folders_in_work.mode_before(target)
        ignored = folders.restore(
            self.provider, self.item.key, target, self._landing_in, self.job.order.restoring,
            was_there=was_there, mode_before=before, cancel=self.cancel, on_wait=self._waits,
        )  # fmt: skip
        if before is not None:
            self._folders_in_work.forget(target)
        return msgspec.structs.replace(self._done(), ignored_metadata=ignored)

    def _download(self) -> Outcome:
        try:
            return self._fetch(self._target())
        except PermissionDenied:
            shut = self._folders_of_the_job()
            if not shut:
                raise
        # It is retried alone, after its folder got its mode.
        with shut_folders.opened(shut, self._landing_in, self._folders_in_work):
            return self._fetch(self._target())

    def _folders_of_the_job(self) -> list[Path]:
        """The folders that this download creates, or fills, with their modes; outermost first."""
        order = self.job.order
        if order.exact or order.conflicts is Conflicts.REFUSE:
            return []
        with self.journal.look() as db:
            return [self._landing_root / name for name in items.folders_above(db, self.item)]

    def _fetch(self, target: Path) -> Outcome:
        conflicts = self.job.order.conflicts
        if conflicts is Conflicts.SKIP_UNCHANGED and os.path.lexists(target) and self._same_below(target):
            return self._skipped("unchanged on this disk")
        result = download.run_download(
            self.provider,
            self.item.key,
            target,
            beneath=self._landing_in,
            progress=self.watcher.moved,
            cancel=self.cancel,
            checkpoint=self._download_checkpoint,
            recall=self._known_sha256,
            known=self._stored_before,
            listed_bytes=self.item.size_bytes,
            replace=conflicts is not Conflicts.REFUSE,
            restoring=self.job.order.restoring,
            connections=self.connections,
            on_wait=self._waits,
            on_verify=self.watcher.verifying,
        )
        return self._moved(result)

    def _is_gone(self, outcome: Outcome) -> bool:
        """Whether the object is missing, rather than the target's folder or the whole container."""
        if self.item.job_kind is JobKind.UPLOAD or outcome.error is None or outcome.error.kind != NotFound.kind:
            return False
        try:
            self.provider.check_container()
        except ProviderError as error:
            _LOG.info("item %d: cannot determine whether its object exists: %s", self.item.id, error)
            return False
        try:
            self.provider.stat(self.item.key)
        except NotFound:
            return True
        except ProviderError as error:
            _LOG.info("item %d: cannot determine whether its object exists: %s", self.item.id, error)
        return False

    def _leave_nothing(self) -> None:
        """Remove the temporary file of a download that failed for good."""
        try:
            download.discard(Path(self.item.local_path), self._download_checkpoint)
        except ProviderError as error:
            _LOG.warning("item %d: its temporary file stays: %s", self.item.id, error)

    # Shared by uploads and downloads

    def _same_above(self) -> bool:
        """Whether the file is already stored unchanged."""
        try:
            there = self._stored()
        except NotFound:
            return False
        path = Path(self.item.local_path)
        is_link = self.item.kind is ItemKind.SYMLINK
        with opened_link(path, self._scanned_in) if is_link else opened(path, beneath=self._scanned_in) as file:
            upload.measure(self.provider, file, self.cancel)
            return self._same(there, file)

    def _same_below(self, target: Path) -> bool:
        """Whether the file on disk already matches the object."""
        with opened(target, beneath=self._landing_in) as file:
            return self._same(self._stored(), file)

    def _stored(self) -> RemoteFile:
        return self.provider.retry.run(lambda: self.provider.stat(self.item.key), self.cancel, on_wait=self._waits)

    def _same(self, there: RemoteFile, here: Source) -> bool:
        """Whether file and object have the same size and mtime, or else a known and equal digest."""
        if there.size_bytes != here.identity.size_bytes:
            return False
        if there.modified_at is not None:
            apart_s = abs(there.modified_at - here.identity.mtime_ns / 1e9)
            if apart_s <= _MTIME_TOLERANCE_S:
                return True
        known = there.recorded_sha256 or self._known_sha256(there)
        return bool(known) and known == sha256_of(here.fd, here.identity.size_bytes, self.cancel)

    def _known_sha256(self, remote: RemoteFile) -> str:
        with self.journal.look() as db:
            return items.known_sha256(
                db, self.item.place_id, remote.key, etag=remote.etag, size_bytes=remote.size_bytes
            )

    def _stored_before(self, sha256: str) -> bool:
        with self.journal.look() as db:
            return items.stored_before(db, self.item.place_id, self.item.key, sha256)

    def _moved(self, result: UploadResult | DownloadResult) -> Outcome:
        return Outcome(
            item_id=self.item.id,
            ending=Ending.DONE,
            size_bytes=result.remote.size_bytes,
            sha256=result.sha256,
            etag=result.remote.etag,
            proof=result.proof,
            replaced=result.replaced,
            mtime_ns=_mtime_ns(result),
            ctime_ns=result.ctime_ns if isinstance(result, UploadResult) else None,
            ignored_metadata=result.remote.attributes.ignored if isinstance(result, DownloadResult) else 0,
        )

    def _done(self) -> Outcome:
        return Outcome(item_id=self.item.id, ending=Ending.DONE)

    def _skipped(self, why: str) -> Outcome:
        return Outcome(item_id=self.item.id, ending=Ending.SKIPPED, error=ErrorInfo(Unsupported.kind, why))

    def _waits(self, seconds: float, error: ProviderError) -> None:
        what = f"retry in {seconds:.1f} s"
        info = ErrorInfo.of(error)
        now = self.chances.now()
        self.commit(lambda tx: items.note(tx, self.item.id, what, info, now=now))


def _mtime_ns(result: UploadResult | DownloadResult) -> int | None:
    if isinstance(result, UploadResult):
        return result.mtime_ns
    modified_at = result.remote.modified_at
    return None if modified_at is None else round(modified_at * 1e9)
