"""Free space on the disk of a restore, checked before anything begins."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backup.files import free_space
from backup.files.free_space import Need, Room, Share
from backup.journal import Journal, items, jobs
from backup.journal.records import Destination, Job, JobRequest, NewItem
from backup.model.transfers import Conflicts, ItemKind, ItemState, JobKind
from backup.queries.answers import Questions
from backup.queries.questions import PlanDownload
from providers.errors import QuotaExceeded
from tests.backup.queue_support import Workbench, wait_until

PLACE = Destination(instance="m", type="memory", container="", settings="{}", location="memory")
MORE_THAN_THERE_IS = 2**43
"""A sparse file of this length takes no space."""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite") as opened:
        yield opened


def add(journal: Journal, to: Path, *sizes: int) -> Job:
    order = JobRequest(kind=JobKind.DOWNLOAD, sources=("/",), to=str(to), resolved=True)
    with journal.transaction() as tx:
        job = jobs.job(tx, jobs.add_job(tx, order, PLACE, title="t", destination="/", now=1.0))
        jobs.add_items(tx, job, files(to, *sizes), now=1.0)
        jobs.scan_ended(tx, job.id)
    return job


def files(to: Path, *sizes: int) -> list[NewItem]:
    return [
        NewItem(name=f"{number}", key=f"{number}", local_path=str(to / f"{number}"), size_bytes=size)
        for number, size in enumerate(sizes)
    ]


def share(journal: Journal, job: Job) -> Share | None:
    with journal.look() as db:
        return Share.of(db, job)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two disks, each with 1000 bytes free: /one and everything else."""

    def found(folder: Path) -> Room:
        return Room(device=1 if folder.is_relative_to("/one") else 2, free_bytes=1000)

    monkeypatch.setattr(free_space, "on_disk_of", found)


def taken(found: Share | None, *batches: list[NewItem]) -> int:
    assert found is not None
    return sum(len(batch) for batch in found.taking(iter(batches)))


def test_a_missing_folder_is_on_the_disk_of_its_nearest_existing_parent(tmp_path: Path) -> None:
    here = free_space.on_disk_of(tmp_path)
    assert here is not None
    below = free_space.on_disk_of(tmp_path / "not" / "yet" / ("n" * 200))
    assert below is not None
    assert below.device == here.device == tmp_path.stat().st_dev


def test_a_disk_that_does_not_report_its_space_has_enough(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs

    def silent(path: Any) -> os.statvfs_result:
        return os.statvfs_result((*real(path)[:2], 0, 0, 0, *real(path)[5:]))

    monkeypatch.setattr(os, "statvfs", silent)
    assert free_space.on_disk_of(tmp_path) is None
    assert share(journal, add(journal, tmp_path)) is None


@pytest.mark.usefixtures("disk")
def test_a_download_that_does_not_fit_is_not_begun(journal: Journal) -> None:
    to = Path("/one/a")
    job = add(journal, to)
    assert taken(share(journal, job), files(to, 600, 400)) == 2
    begun = share(journal, job)
    assert begun is not None
    batches = begun.taking(iter([files(to, 600), files(to, 401)]))
    assert len(next(batches)) == 1
    with pytest.raises(QuotaExceeded, match="1 B more than is free"):
        next(batches)


def test_an_existing_file_takes_no_more_space(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 700)
    assert free_space.extra_bytes(1000, tmp_path / "file") == 300
    assert free_space.extra_bytes(500, tmp_path / "file") == 0
    assert free_space.extra_bytes(500, tmp_path / "other") == 500
    (tmp_path / "link").symlink_to("file")
    assert free_space.extra_bytes(500, tmp_path / "link") == 500


def needed(*wanted: tuple[int, Path], conflicts: Conflicts = Conflicts.REPLACE) -> int:
    need = Need(conflicts)
    for size_bytes, target in wanted:
        need.add(size_bytes, target)
    return need.bytes


def test_the_new_file_needs_space_beside_the_old_one(tmp_path: Path) -> None:
    old, other, third = (tmp_path / name for name in ("old", "other", "third"))
    old.write_bytes(b"x" * 700)
    assert needed((700, old)) == 700
    assert needed((1000, old)) == 1000
    assert needed((300, old)) == 300
    other.write_bytes(b"x" * 50)
    third.write_bytes(b"x" * 40)
    assert needed((700, old), (50, other), (40, third)) == 750, "no more than two large files are fetched at once"
    assert needed((700, old), (90, other), (40, third), (5, tmp_path / "new")) == 700 + 90 + 5


def test_files_left_alone_need_no_space(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_bytes(b"x" * 700)
    assert needed((700, old), conflicts=Conflicts.SKIP_UNCHANGED) == 0
    assert needed((701, old), conflicts=Conflicts.SKIP_UNCHANGED) == 701
    assert needed((9000, old), (1, tmp_path / "new"), conflicts=Conflicts.REFUSE) == 1


@pytest.mark.usefixtures("disk")
def test_a_restore_is_not_begun_if_a_file_does_not_fit_beside_its_old_copy(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "0").write_bytes(b"x" * 1001)
    job = add(journal, tmp_path)
    with pytest.raises(QuotaExceeded, match="1 B more than is free"):
        taken(share(journal, job), files(tmp_path, 1001))
    (tmp_path / "0").write_bytes(b"x" * 1000)
    assert taken(share(journal, job), files(tmp_path, 1000)) == 1


@pytest.mark.usefixtures("disk")
def test_remaining_bytes_of_other_downloads_count_too(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "0").write_bytes(b"x" * 800)
    first, here = add(journal, tmp_path, 800), add(journal, Path("/two"))
    with pytest.raises(QuotaExceeded, match="other downloads still need 800 B"):
        taken(share(journal, here), files(Path("/two"), 201))
    with journal.transaction() as tx:
        ids = [row["id"] for row in tx.execute("SELECT id FROM items WHERE job_id = ?", (first.id,))]
        items.set_bytes_done(tx, ids[0], 300)
    assert taken(share(journal, here), files(Path("/two"), 500)) == 1


def test_a_plan_counts_a_file_chosen_twice_once(bench: Workbench, tmp_path: Path) -> None:
    bench.storage.mkdir(parents=True)
    (bench.storage / "one").write_bytes(b"x" * 10)
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "one").write_bytes(b"y" * 10)
    questions = Questions(bench.paths)
    try:
        assert questions.ask(PlanDownload("local", ["one", "one"], str(tmp_path / "back"))).needs_bytes == 10
        refusing = questions.ask(PlanDownload("local", ["one"], str(tmp_path / "back"), conflicts=Conflicts.REFUSE))
        assert refusing.needs_bytes == 0
    finally:
        questions.close()


@pytest.mark.usefixtures("disk")
def test_several_restores_onto_one_disk_share_it(journal: Journal) -> None:
    first = add(journal, Path("/one/a"), 300, 400)
    here, elsewhere = add(journal, Path("/one/b")), add(journal, Path("/two"))
    with pytest.raises(QuotaExceeded, match="other downloads still need 700 B"):
        taken(share(journal, here), files(Path("/one/b"), 301))
    assert taken(share(journal, here), files(Path("/one/b"), 300)) == 1
    assert taken(share(journal, elsewhere), files(Path("/two"), 1000)) == 1
    with journal.transaction() as tx:
        ids = [row["id"] for row in tx.execute("SELECT id FROM items WHERE job_id = ?", (first.id,))]
        items.set_bytes_done(tx, ids[0], 200)
    assert taken(share(journal, here), files(Path("/one/b"), 500)) == 1, "what has come is no promise any more"


@pytest.mark.usefixtures("disk")
def test_a_scan_that_is_repeated_does_not_count_its_own_bytes_twice(journal: Journal) -> None:
    to = Path("/one/a")
    job = add(journal, to, 900)
    with journal.transaction() as tx:
        tx.execute("UPDATE items SET bytes_done = 800")
    assert taken(share(journal, job), files(to, 900, 900)) == 2


def test_a_plan_reports_lacking_space_and_counts_queued_downloads(bench: Workbench, tmp_path: Path) -> None:
    bench.storage.mkdir(parents=True)
    (bench.storage / "small").write_bytes(b"1")
    with open(bench.storage / "large", "wb") as large:
        large.truncate(MORE_THAN_THERE_IS)
    questions = Questions(bench.paths)
    try:
        plan = questions.ask(PlanDownload("local", ["/"], str(tmp_path / "back")))
        assert plan.lacks_room
        assert plan.needs_bytes == MORE_THAN_THERE_IS + 1
        assert not questions.ask(PlanDownload("local", ["small"], str(tmp_path / "back"))).lacks_room
    finally:
        questions.close()


def test_the_worker_begins_no_download_that_does_not_fit(bench: Workbench, tmp_path: Path) -> None:
    bench.storage.mkdir(parents=True)
    (bench.storage / "small").write_bytes(b"1")
    with open(bench.storage / "large", "wb") as large:
        large.truncate(MORE_THAN_THERE_IS)
    job = bench.queue.queue_download("local", ["/"], tmp_path / "back")
    wait_until(lambda: bench.queue.job(job.id).finished)
    ended = bench.queue.job(job.id)
    assert ended.error is not None
    assert (ended.error.kind, ended.error.code) == ("quota", "ENOSPC")
    assert sum(ended.counts.values()) == 0
    assert list((tmp_path / "back").iterdir()) == []


def test_kinds_that_take_no_space() -> None:
    share_of = Share("/x", free_bytes=0, promised_bytes=0)
    folder = NewItem(name="d", key="d/", local_path="/x/d", kind=ItemKind.DIRECTORY)
    failed = NewItem(name="f", key="f", local_path="/x/f", size_bytes=9, state=ItemState.FAILED)
    assert taken(share_of, [folder, failed]) == 2
