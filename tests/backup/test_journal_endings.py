"""The journal's record of how an attempt ended, to the last column."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from backup.journal import Journal, items, jobs, work
from backup.journal.checkpoints import UploadCheckpoint
from backup.journal.records import Ending, Hold, NewItem, Outcome
from backup.model.transfers import ItemState
from providers.contract.report import ErrorInfo
from providers.contract.upload import PartReceipt
from tests.backup.test_journal import SAVED, add_job

BUSY = ErrorInfo("rate_limited", "slow down")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite") as opened:
        yield opened


def begin(journal: Journal, count: int = 1) -> None:
    add_job(journal, count)
    with journal.transaction() as tx:
        items.claim(tx, "disk", count, now=2.0)


def test_a_failure_stays_a_failure_despite_a_wish_to_pause(journal: Journal) -> None:
    begin(journal)
    with journal.transaction() as tx:
        items.pause(tx, [1], now=3.0)
        assert items.end(tx, Outcome(item_id=1, ending=Ending.FAILED, error=BUSY), now=4.0) is ItemState.FAILED


@pytest.mark.parametrize(
    ("ending", "kept"), [(Ending.WAITING, 9.0), (Ending.FAILED, None), (Ending.STOPPED, None), (Ending.DONE, None)]
)
def test_only_waiting_items_have_a_time_to_wait_for(journal: Journal, ending: Ending, kept: float | None) -> None:
    begin(journal)
    with journal.transaction() as tx:
        items.end(tx, Outcome(item_id=1, ending=ending, wait_until=9.0, sha256="a" * 64), now=4.0)
        assert tx.execute("SELECT wait_until FROM items").fetchone()[0] == kept


@pytest.mark.parametrize(
    ("ending", "kept"),
    [
        (Ending.WAITING, True), (Ending.FAILED, True), (Ending.SKIPPED, True), (Ending.PAUSED, True),
        (Ending.STOPPED, False), (Ending.DONE, False),
    ],
)  # fmt: skip
def test_unsuccessful_items_keep_their_error(journal: Journal, ending: Ending, kept: bool) -> None:
    begin(journal)
    with journal.transaction() as tx:
        items.end(tx, Outcome(item_id=1, ending=ending, error=BUSY, wait_until=9.0, sha256="a" * 64), now=4.0)
        assert (tx.execute("SELECT error FROM items").fetchone()[0] is not None) is kept


def test_items_of_a_dead_worker_are_counted(journal: Journal) -> None:
    begin(journal, 3)
    with journal.transaction() as tx:
        items.end(tx, Outcome(item_id=1, ending=Ending.DONE), now=4.0)
        assert items.requeue_running(tx, now=5.0) == 2
        assert items.requeue_running(tx, now=5.0) == 0


def test_ignored_metadata_is_counted_by_job(journal: Journal) -> None:
    begin(journal, 3)
    with journal.transaction() as tx:
        for item_id, ignored in ((1, 2), (2, 0), (3, 1)):
            items.end(tx, Outcome(item_id=item_id, ending=Ending.DONE, ignored_metadata=ignored), now=4.0)
        assert tx.execute("SELECT ignored_metadata FROM jobs").fetchone()[0] == 3


@pytest.mark.parametrize("replaces", [None, False, True])
def test_replaced_is_recorded_as_found(journal: Journal, replaces: bool | None) -> None:
    job = add_job(journal, 0)
    with journal.transaction() as tx:
        jobs.add_items(tx, job, [NewItem(name="n", key="n", replaces=replaces)], now=1.0)
        (item,) = items.claim(tx, "disk", 1, now=2.0)
    assert item.replaces is replaces


def test_the_last_item_is_known_even_if_listed_twice(journal: Journal) -> None:
    """A killed scan begins again, and only the second listing may show which item comes last."""
    job = add_job(journal, 0)
    with journal.transaction() as tx:
        jobs.add_items(tx, job, [NewItem(name="n", key="n")], now=1.0)
        assert jobs.add_items(tx, job, [NewItem(name="n", key="n", last=True)], now=1.0) == 0
        (item,) = items.claim(tx, "disk", 1, now=2.0)
    assert item.last


def test_a_finished_clean_up_runs_once(journal: Journal) -> None:
    add_job(journal, 1)
    UploadCheckpoint(journal, 1).save(SAVED)
    with journal.transaction() as tx:
        items.cancel(tx, [1], now=3.0)
        assert [each.item_id for each in work.due_cleanups(tx, now=5.0)] == [1]
        work.cleanup_done(tx, 1)
        assert work.due_cleanups(tx, now=1e9) == []


def test_parts_of_a_resumed_session_are_on_disk(journal: Journal, tmp_path: Path) -> None:
    """Parts that an earlier process sent and the service still holds."""
    add_job(journal, 1)
    receipts = tuple(PartReceipt(index=index, size_bytes=5, tag=f"t{index}") for index in range(3))
    saved = msgspec.structs.replace(SAVED, token={"id": "u"}, receipts=receipts)
    UploadCheckpoint(journal, 1).save(saved)
    with Journal(tmp_path / "journal.sqlite") as again:
        assert UploadCheckpoint(again, 1).load() == saved


def test_a_released_instance_is_no_longer_held(journal: Journal) -> None:
    with journal.transaction() as tx:
        work.hold(tx, Hold(instance="disk", error=BUSY))
        work.hold(tx, Hold(instance="other", error=BUSY))
        work.let_go(tx, "disk")
        assert [held.instance for held in work.holds(tx)] == ["other"]
