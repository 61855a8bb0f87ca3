"""Data of a job besides its items: environment, scan, place, and what it would replace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from sqlite3 import Connection

import pytest

from backup.journal import Journal, jobs, views
from backup.journal.records import Destination, JobRequest, NewItem
from backup.model.transfers import ItemKind, ItemState, JobKind
from backup.worker.scan.differences import Differences
from providers.contract.report import ErrorInfo
from providers.errors import NotFound
from tests.backup.test_journal import add_job

PLACE = Destination(instance="disk", type="local", container="/srv", settings="{}")
BUSY = ErrorInfo("rate_limited", "slow down")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite") as opened:
        yield opened


def scanning(journal: Journal, variables: Mapping[str, str] | None = None, instance: str = "disk") -> int:
    place = Destination(instance=instance, type="local", container="/srv", settings="{}")
    with journal.transaction() as tx:
        order = JobRequest(kind=JobKind.UPLOAD, sources=("/x",))
        return jobs.add_job(tx, order, place, title="x", destination="/", now=1.0, variables=variables)


def environment(journal: Journal, job_id: int) -> dict[str, str] | None:
    with journal.look() as db:
        number = jobs.environment_of(db, job_id)
        return None if number is None else jobs.variables(db, number)


def test_a_retried_job_takes_the_variables_set_there_and_keeps_the_rest(journal: Journal) -> None:
    of_a_job = scanning(journal, {"HTTPS_PROXY": "http://old", "AWS_PROFILE": "home"})
    of_the_worker = scanning(journal)
    assert environment(journal, of_the_worker) is None
    with journal.transaction() as tx:
        jobs.take_over(tx, [of_a_job, of_the_worker], {"HTTPS_PROXY": "http://new"})
    assert environment(journal, of_a_job) == {"HTTPS_PROXY": "http://new", "AWS_PROFILE": "home"}
    assert environment(journal, of_the_worker) == {"HTTPS_PROXY": "http://new"}
    with journal.transaction() as tx:
        jobs.take_over(tx, [of_a_job], {})
    assert environment(journal, of_a_job) == {"HTTPS_PROXY": "http://new", "AWS_PROFILE": "home"}


def test_equal_environments_are_stored_once_and_only_open_jobs_count(journal: Journal) -> None:
    for variables in ({"A": "1", "B": "2"}, {"B": "2", "A": "1"}, {"A": "2"}, None):
        last = scanning(journal, variables)
    scanning(journal, {"A": "3"}, instance="another")
    with journal.transaction() as tx:
        assert jobs.environments_open(tx, "disk") == 3
        assert jobs.environments_open(tx, "nobody") == 0
        jobs.scan_ended(tx, last)
        assert jobs.environments_open(tx, "disk") == 2
        assert jobs.variables(tx, 999) == {}


def test_a_scan_continues_until_it_is_paused_ended_or_broken(journal: Journal) -> None:
    paused, ended, broken, going = (scanning(journal) for _ in range(4))
    with journal.transaction() as tx:
        assert jobs.pause_scan(tx, paused, paused=True)
        assert not jobs.pause_scan(tx, paused, paused=True)
        assert jobs.scan_ended(tx, ended)
        assert not jobs.scan_ended(tx, ended)
        assert jobs.scan_broke(tx, broken, BUSY, now=5.0)
        assert not jobs.scan_broke(tx, broken, BUSY, now=5.0)
        assert not jobs.pause_scan(tx, ended, paused=True)
        assert jobs.wanted_scans(tx) == {going}
        assert [jobs.is_scanning(tx, job_id) for job_id in (paused, ended, broken, going, 999)] == [
            False, False, False, True, False,
        ]  # fmt: skip
        assert [job.id for job in jobs.unscanned(tx)] == [paused, going]
        assert [job.id for job in jobs.jobs_to_scan(tx, now=9.0)] == [going]
        assert jobs.pause_scan(tx, paused, paused=False)
        assert jobs.wanted_scans(tx) == {paused, going}


def test_a_waiting_scan_is_due_at_its_time(journal: Journal) -> None:
    waits, ended = scanning(journal), scanning(journal)
    with journal.transaction() as tx:
        jobs.scan_ended(tx, ended)
        for job_id in (waits, ended):
            jobs.scan_waits(tx, job_id, BUSY, until=100.0)
        assert [job.id for job in jobs.jobs_to_scan(tx, now=99.9)] == []
        assert [job.id for job in jobs.jobs_to_scan(tx, now=100.0)] == [waits]
        assert jobs.scan_at_once(tx, waits)
        assert not jobs.scan_at_once(tx, waits)
        assert not jobs.scan_at_once(tx, ended)
        assert [job.id for job in jobs.jobs_to_scan(tx, now=0.0)] == [waits]


def test_replaces_is_set_for_queued_files_only(journal: Journal) -> None:
    job_id = scanning(journal)
    new = [
        NewItem(name="x/here", key="x/here"),
        NewItem(name="x/new", key="x/new"),
        NewItem(name="alone", key="alone"),  # not from a folder, so not looked up
        NewItem(name="x/known", key="x/known", replaces=True),
        NewItem(name="x/folder", key="x/folder/", kind=ItemKind.DIRECTORY),
        NewItem(name="x/left", key="x/left", state=ItemState.SKIPPED),
    ]
    with journal.transaction() as tx:
        jobs.add_items(tx, jobs.job(tx, job_id), new, now=1.0)
        jobs.learn_replaced(tx, job_id, ["x/here", "x/elsewhere", "x/left", "x/folder"])
        found = {bytes(row["name"]).decode(): row["replaces"] for row in tx.execute("SELECT name, replaces FROM items")}
    assert found == {"x/here": 1, "x/new": 0, "alone": None, "x/known": 1, "x/folder": None, "x/left": None}


def test_items_are_found_by_name_and_the_newest_by_its_number(journal: Journal) -> None:
    with journal.look() as db:
        assert jobs.newest_item(db) == 0
    job = add_job(journal, 3)
    with journal.look() as db:
        assert jobs.item_of_name(db, job.id, "x/1") == (2, "x/1")
        assert jobs.item_of_name(db, job.id, "x/9") is None
        assert jobs.item_of_name(db, job.id + 1, "x/1") is None
        assert jobs.newest_item(db) == 3
        with pytest.raises(NotFound):
            jobs.job(db, job.id + 1)
        with pytest.raises(NotFound):
            jobs.place(db, 999)


@pytest.mark.parametrize("size_bytes", [0, 10])
@pytest.mark.parametrize("times", range(2, 13))
def test_a_key_listed_several_times_is_reported_with_its_count(journal: Journal, times: int, size_bytes: int) -> None:
    job_id = scanning(journal)
    batch = [NewItem(name="a", key="a", size_bytes=size_bytes)] * times
    with journal.transaction() as tx:
        differences = Differences(jobs.job(tx, job_id), jobs.newest_item(tx))
        differences.add(tx, batch, now=1.0)
        error = differences.error(tx)
    assert error is not None
    assert f"{times - 1} name" in error.message
    assert "listed more than once" in error.message


def test_names_are_added_to_a_job_once(journal: Journal) -> None:
    job_id = scanning(journal)
    with journal.transaction() as tx:
        job = jobs.job(tx, job_id)
        assert jobs.add_items(tx, job, [NewItem(name="a", key="a"), NewItem(name="b", key="b")], now=1.0) == 2
        assert jobs.add_items(tx, job, [NewItem(name="b", key="b"), NewItem(name="c", key="c")], now=1.0) == 1


def test_entries_ruled_out_are_reported_with_the_job(journal: Journal) -> None:
    job_id, other = scanning(journal), scanning(journal)
    with journal.transaction() as tx:
        jobs.note_ruled_out(tx, job_id, 7)
    with journal.look() as db:
        assert (views.job(db, job_id).ruled_out, views.job(db, other).ruled_out) == (7, 0)


def test_the_location_of_a_place_is_fixed_once_and_its_account_follows_the_service(journal: Journal) -> None:
    with journal.transaction() as tx:
        place_id = jobs.job(tx, _begin(tx)).place_id
        jobs.bind_place(tx, place_id, "first", "account-1")
        jobs.bind_place(tx, place_id, "second")
        assert (jobs.place(tx, place_id).location, jobs.place(tx, place_id).account) == ("first", "account-1")
        jobs.bind_place(tx, place_id, "third", "account-2")
        assert (jobs.place(tx, place_id).location, jobs.place(tx, place_id).account) == ("first", "account-2")
        assert jobs.job(tx, _begin(tx)).place_id != place_id  # its location is not known yet


def _begin(tx: Connection) -> int:
    return jobs.add_job(
        tx, JobRequest(kind=JobKind.UPLOAD, sources=("/x",)), PLACE, title="x", destination="/", now=1.0
    )


def test_jobs_are_open_until_scan_and_items_have_ended(journal: Journal) -> None:
    add_job(journal, 1)
    empty = add_job(journal, 0)
    scanning(journal)
    scanning(journal, instance="another")
    with journal.look() as db:
        assert not jobs.is_scanning(db, empty.id)
        assert [jobs.open_jobs(db, name) for name in ("disk", "another", "nobody")] == [2, 1, 0]
        assert jobs.other_instances(db, "disk") == ["another", "disk"]  # of another service, type "local"
        assert jobs.other_instances(db, "local") == ["another", "disk"]
