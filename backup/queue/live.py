"""Live progress of the worker: a subscription to it, and its merge with the journal's state."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec

from backup.model.transfers import (
    FINAL_STATES,
    ItemState,
    ItemView,
    JobKind,
    JobView,
    LiveItem,
    LiveState,
    QueueSnapshot,
    QueueTotals,
)
from backup.rpc import Client, ConnectionLost
from backup.system.paths import Paths
from providers.contract.cancel import CancelToken
from providers.errors import Cancelled, ProviderError

_AGAIN_S: Final = 0.3


class Feed:
    """Keeps `live` up to date from a thread, whichever worker runs; None while none does. Use it as a context
    manager."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._end = CancelToken()
        self._thread = threading.Thread(target=self._run, name="live-feed", daemon=True)
        self.live: LiveState | None = None

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.cancel()
        self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                self._listen()
                self.live = None
                self._end.wait(_AGAIN_S)
        except Cancelled:
            self.live = None

    def _listen(self) -> None:
        try:
            with Client.connect(self._paths.worker_socket) as client:
                client.call(
                    "subscribe", timeout_s=math.inf, on_event=self._heard, event_type=LiveState, cancel=self._end
                )
        except Cancelled:
            raise
        except (ConnectionLost, ProviderError):
            return

    def _heard(self, live: LiveState) -> None:
        self.live = live


def merge(snapshot: QueueSnapshot, stored: Iterable[ItemView], live: LiveState | None) -> QueueSnapshot:
    """The snapshot with the worker's state of running items; `stored` is the journal's state of those."""
    if live is None:
        return snapshot
    moving = {item.id: item for item in live.items}
    ahead_bytes: Counter[int] = Counter()
    under_way: Counter[JobKind] = Counter()
    of_job: Counter[int] = Counter()
    for item in stored:
        if item.state is ItemState.RUNNING:
            under_way[item.job_kind] += 1
            of_job[item.job_id] += 1
            ahead_bytes[item.job_id] += max(0, min(moving[item.id].bytes_done, item.size_bytes) - item.bytes_done)
    return msgspec.structs.replace(
        snapshot,
        totals=_totals(_counted(snapshot.totals, under_way), ahead_bytes.total(), live),
        jobs=tuple(_job(job, ahead_bytes[job.id], of_job[job.id]) for job in snapshot.jobs),
        items=tuple(with_live(item, moving.get(item.id), live) for item in snapshot.items),
    )


def _counted(totals: QueueTotals, under_way: Counter[JobKind]) -> QueueTotals:
    """Show what the worker has only claimed ahead, so that no connection waits, as still queued."""
    uploading = min(totals.uploading, max(1, under_way[JobKind.UPLOAD]))
    downloading = min(totals.downloading, max(1, under_way[JobKind.DOWNLOAD]))
    ahead = totals.uploading - uploading + totals.downloading - downloading
    return msgspec.structs.replace(totals, uploading=uploading, downloading=downloading, queued=totals.queued + ahead)


def _totals(totals: QueueTotals, ahead_bytes: int, live: LiveState) -> QueueTotals:
    done_bytes = totals.done_bytes + ahead_bytes
    rate = live.rate_bytes_per_s if totals.uploading or totals.downloading else 0.0
    left_bytes = totals.size_bytes - done_bytes
    return msgspec.structs.replace(
        totals,
        done_bytes=done_bytes,
        rate_bytes_per_s=rate,
        left_s=left_bytes / rate if rate > 0 and left_bytes > 0 and not totals.scanning else None,
        worker_alive=True,
    )


def _job(job: JobView, ahead_bytes: int, under_way: int) -> JobView:
    running = job.counts.get(ItemState.RUNNING, 0)
    if running and job.kind is not JobKind.DELETE:
        shown = min(running, max(1, under_way))
        queued = job.counts.get(ItemState.QUEUED, 0) + running - shown
        counts = {**job.counts, ItemState.RUNNING: shown, ItemState.QUEUED: queued}
        return msgspec.structs.replace(job, done_bytes=job.done_bytes + ahead_bytes, counts=counts)
    return job


def with_live(item: ItemView, live: LiveItem | None, worker: LiveState | None) -> ItemView:
    """An item with its live progress. A progress bar never falls below what the journal knows to be safe. An item that
    the worker has only claimed ahead is still queued."""
    if live is None:
        claimed = worker is not None and item.state is ItemState.RUNNING and item.job_kind is not JobKind.DELETE
        return msgspec.structs.replace(item, state=ItemState.QUEUED) if claimed else item
    if item.state in FINAL_STATES:
        return item
    return msgspec.structs.replace(
        item,
        bytes_done=max(item.bytes_done, min(live.bytes_done, item.size_bytes)),
        rate_bytes_per_s=live.rate_bytes_per_s,
        left_s=live.left_s,
        verifying=live.verifying,
    )
