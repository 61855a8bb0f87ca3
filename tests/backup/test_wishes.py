"""The user's wishes for running items survive the death of the worker."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from backup.journal import Journal, controls, items, jobs, views, work
from backup.journal.records import Destination, JobRequest, NewItem
from backup.model.transfers import ItemState, JobKind
from tests.backup.queue_support import MIB, Workbench, wait_until

PLACE = Destination(instance="disk", type="local", container="/srv", settings="{}")


@pytest.mark.parametrize(("wanted", "becomes"), [("cancel", ItemState.CANCELLED), ("pause", ItemState.PAUSED)])
def test_a_wish_that_a_dead_worker_did_not_see_is_fulfilled_by_the_next(
    bench: Workbench, tmp_path: Path, wanted: str, becomes: ItemState
) -> None:
    bench.configure("local", max_bandwidth=MIB, upload_chunk_size=MIB)
    source = tmp_path / "big"
    source.write_bytes(os.urandom(12 * MIB))
    job = bench.queue.queue_upload("local", [source])
    wait_until(lambda: bench.only_item(job).bytes_done >= MIB)
    (item_id,) = bench.queue.item_ids(job.id)
    bench.kill_worker(signal.SIGKILL)
    with Journal(bench.paths.journal_file) as journal, journal.transaction() as tx:
        assert getattr(controls, wanted)(tx, [item_id], [], now=1.0) == 1
        assert views.item(tx, item_id).state is ItemState.RUNNING  # no worker has acted on it
    bench.queue.ensure_worker()
    bench.wait_state(job, becomes)
    if becomes is ItemState.CANCELLED:
        wait_until(lambda: not any(path.is_file() for path in bench.storage.rglob("*")))  # cleaned up as well
    else:
        bench.configure("local", max_bandwidth=None)
        assert bench.queue.resume([item_id]) == 1
        bench.finish(job)
        assert (bench.storage / "big").read_bytes() == source.read_bytes()


def test_any_process_fulfils_wishes_for_items_of_a_dead_worker(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        with journal.transaction() as tx:
            order = JobRequest(kind=JobKind.UPLOAD, sources=("/x",))
            job = jobs.job(tx, jobs.add_job(tx, order, PLACE, title="x", destination="/", now=1.0))
            jobs.add_items(tx, job, [NewItem(name=name, key=name) for name in "abcd"], now=1.0)
            items.claim(tx, "disk", 4, now=2.0)
            assert items.cancel(tx, [1, 4], now=3.0) == 2
            assert items.pause(tx, [2], now=3.0) == 1
            assert items.pause(tx, [4], now=3.5) == 0  # cancelling takes precedence
        with journal.transaction() as tx:
            work.arrive(tx)
            assert items.requeue_running(tx, now=4.0) == 4
        with journal.look() as db:
            states = [views.item(db, number).state for number in (1, 2, 3, 4)]
            ended = [views.item(db, number).finished_at for number in (1, 2, 3, 4)]
            assert items.wishes(db) == {}
        assert states == [ItemState.CANCELLED, ItemState.PAUSED, ItemState.QUEUED, ItemState.CANCELLED]
        assert ended == [4.0, None, None, 4.0]
