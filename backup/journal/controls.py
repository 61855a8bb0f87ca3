"""Pause, resume, cancel and retry of items and of whole jobs, even of jobs that are still being scanned.

Each function takes ids of items and of whole jobs. It returns how many items it reached, or scans if it reached none.
"""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection

from backup.journal import items, jobs, views
from backup.model.transfers import FINAL_STATES
from providers.contract.report import ErrorInfo
from providers.errors import Cancelled


def pause(tx: Connection, item_ids: Sequence[int], job_ids: Sequence[int], *, now: float) -> int:
    """A running item is only asked to pause: its transfer has to stop first."""
    scans = sum([jobs.pause_scan(tx, job_id, paused=True) for job_id in _whole(tx, item_ids, job_ids)])
    return items.pause(tx, [*item_ids, *_items(tx, job_ids)], now=now) or scans


def resume(tx: Connection, item_ids: Sequence[int], job_ids: Sequence[int], *, now: float) -> int:
    paused = {*job_ids, *views.scanning_jobs_of(tx, item_ids)}
    scans = sum([jobs.pause_scan(tx, job_id, paused=False) | jobs.scan_at_once(tx, job_id) for job_id in paused])
    return items.resume(tx, [*item_ids, *_items(tx, job_ids)], now=now) or scans


def cancel(tx: Connection, item_ids: Sequence[int], job_ids: Sequence[int], *, now: float) -> int:
    """What an item left at the service is queued for clean-up in the same transaction."""
    stopped = ErrorInfo.of(Cancelled("cancelled before its scan was complete"))
    scans = sum([jobs.scan_broke(tx, job_id, stopped, now=now) for job_id in _whole(tx, item_ids, job_ids)])
    ids = [*item_ids, *_items(tx, job_ids)]
    return items.cancel(tx, ids, now=now) or scans


def retry(tx: Connection, item_ids: Sequence[int], job_ids: Sequence[int], *, now: float) -> int:
    return items.retry(tx, [*item_ids, *_items(tx, job_ids)], now=now)


def _items(tx: Connection, job_ids: Sequence[int]) -> list[int]:
    return [item_id for job_id in job_ids for item_id in views.item_ids(tx, job_id)]


def _whole(tx: Connection, item_ids: Sequence[int], job_ids: Sequence[int]) -> set[int]:
    """The scanning jobs selected as a whole: by id, or through all of their unfinished items."""
    selected = set(job_ids)
    for job_id, chosen in views.scanning_jobs_of(tx, item_ids).items():
        counts = views.job(tx, job_id).counts
        if chosen == sum(number for state, number in counts.items() if state not in FINAL_STATES):
            selected.add(job_id)
    return selected
