"""Objects deleted by others are forgotten once a complete listing lacks them, and only then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from backup.instances.request_counts import CallCounts
from backup.instances.server_facts import FactsOnDisk
from backup.journal import Journal, jobs, views
from backup.journal.records import Destination, JobRequest
from backup.model.transfers import JobKind
from backup.queries.findings import Finding, Findings, Scope
from backup.system.paths import Paths
from backup.system.private_files import private_folder
from backup.worker.batch_writer import BatchWriter
from backup.worker.context import WorkerContext
from backup.worker.progress import ProgressBoard
from backup.worker.scan.scanning import Scans
from backup.worker.shared_provider import SharedProvider
from providers.contract.objects import Page, RemoteFile
from providers.errors import IncompleteListing
from tests.backup.queue_support import wait_until
from tests.backup.test_scanning import Opened
from tests.providers.memory import MemoryProvider, MemoryStore

PLACE = Destination(instance="disk", type="local", container="/c", settings="{}")
DAY_S = 24 * 3600.0
NOW = 100 * DAY_S
KINDS = pytest.mark.parametrize("kind", [JobKind.DELETE, JobKind.DOWNLOAD])
OLD = ["d/a", "d/gone", "d/sub/gone", "d/Caf\u0065\u0301", "d/empty/", "d0", "e/gone", "d", "d/caf\udce9"]
FRESH = ["d/just stored"]
LISTED = ("d/a", "d/caf\u00e9", "d/new", "d/caf\udce9")


class Bench:
    def __init__(self, paths: Paths, journal: Journal) -> None:
        self.paths = paths
        self.journal = journal
        self.writer = BatchWriter(journal, on_failure=lambda error: None)
        self.scans = Scans(
            WorkerContext(
                paths=paths,
                journal=journal,
                writer=self.writer,
                board=ProgressBoard(),
                facts=FactsOnDisk(paths, journal),
                calls=CallCounts(),
                wake=lambda: None,
            )
        )
        with journal.transaction() as tx:
            for key in OLD + FRESH:
                at = 5.0 if key in OLD else NOW - DAY_S + 1
                row = ("local /c", key.encode("utf-8", "surrogateescape"), at)
                tx.execute("INSERT INTO objects VALUES (?, ?, 1, 'e', 'a', NULL, NULL, NULL, 1, ?)", row)
                tx.execute("INSERT INTO objects VALUES ('elsewhere', ?, 1, 'e', 'a', NULL, NULL, NULL, 1, ?)", row[1:])

    def scan(self, order: JobRequest, provider: MemoryProvider) -> str:
        """The error of the scan."""
        with self.journal.transaction() as tx:
            job = jobs.job(tx, jobs.add_job(tx, order, PLACE, title="x", destination="", now=NOW))
            jobs.bind_place(tx, job.place_id, "local /c")
        self.scans.start(job, cast(SharedProvider, Opened(provider)))
        wait_until(lambda: not self.scans.busy)
        with self.journal.look() as db:
            assert not views.job(db, job.id).scanning
            return str(views.job(db, job.id).error or "")

    @property
    def known(self) -> list[str]:
        with self.journal.look() as db:
            assert db.execute("SELECT count(*) FROM objects WHERE place = 'elsewhere'").fetchone()[0] == 10
            rows = db.execute("SELECT key FROM objects WHERE place = 'local /c'")
            return [row["key"].decode("utf-8", "surrogateescape") for row in rows]


@pytest.fixture
def bench(paths: Paths) -> Iterator[Bench]:
    private_folder(paths.state_dir)
    with Journal(paths.journal_file) as journal:
        made = Bench(paths, journal)
        yield made
        assert made.writer.close(5)


def storing(*keys: str) -> MemoryProvider:
    store = MemoryStore()
    store.objects.update(dict.fromkeys(keys, b"1"))
    return MemoryProvider(store)


def without(*gone: str) -> list[str]:
    return sorted(key for key in OLD + FRESH if key not in gone)


@KINDS
def test_objects_missing_in_a_complete_listing_are_forgotten(bench: Bench, kind: JobKind, tmp_path: Path) -> None:
    """New objects are not expected in it yet, and names that some service treats as one count as one."""
    order = JobRequest(kind=kind, sources=("d/",), to=str(tmp_path / "to"))
    assert bench.scan(order, storing(*LISTED, "e/x")) == ""
    assert sorted(bench.known) == without("d/gone", "d/sub/gone")


def test_a_complete_listing_of_the_container(bench: Bench, tmp_path: Path) -> None:
    order = JobRequest(kind=JobKind.DOWNLOAD, sources=("/",), to=str(tmp_path / "to"))
    assert bench.scan(order, storing(*LISTED)) == ""
    assert sorted(bench.known) == without("d/gone", "d/sub/gone", "d0", "e/gone", "d")


@KINDS
@pytest.mark.parametrize("listed", [LISTED, ()])
def test_the_listing_of_a_plan_shows_it_too_unless_it_is_empty(
    bench: Bench, kind: JobKind, listed: tuple[str, ...], tmp_path: Path
) -> None:
    findings = Findings(bench.paths)
    order = JobRequest(kind=kind, sources=("d/",), to=str(tmp_path / "to"))
    found = [Finding(source="d/", remote=RemoteFile(key=key, size_bytes=1)) for key in listed]
    token = findings.keep(Scope.of(order, PLACE), found)
    assert findings.claim(token)
    planned = JobRequest(kind=kind, sources=("d/",), to=order.to, found=token)
    assert bench.scan(planned, storing()) == ""
    assert sorted(bench.known) == without(*(["d/gone", "d/sub/gone"] if listed else []))


class Damaged(MemoryProvider):
    """The second page of its listings cannot be read completely."""

    def scan(self, prefix: str = "", *, delimiter: str = "", token: str | None = None, limit: int = 1000) -> Page:
        if token is None:
            return Page(files=(RemoteFile(key="d/a", size_bytes=1),), next_token="2")
        error = IncompleteListing("an entry is damaged")
        error.page = Page(files=(RemoteFile(key="d/new", size_bytes=1),), unread="an entry is damaged")
        raise error


@KINDS
def test_an_incomplete_listing_shows_nothing(bench: Bench, kind: JobKind, tmp_path: Path) -> None:
    order = JobRequest(kind=kind, sources=("d/",), to=str(tmp_path / "to"))
    assert "an entry is damaged" in bench.scan(order, Damaged(MemoryStore()))
    assert sorted(bench.known) == without()


def test_an_empty_listing_shows_nothing_since_a_disk_may_not_be_mounted(bench: Bench, tmp_path: Path) -> None:
    order = JobRequest(kind=JobKind.DOWNLOAD, sources=("d/",), to=str(tmp_path / "to"))
    assert "there is nothing below it" in bench.scan(order, storing("e/x"))
    assert sorted(bench.known) == without()


def test_a_file_named_alone_is_not_a_listing(bench: Bench, tmp_path: Path) -> None:
    order = JobRequest(kind=JobKind.DOWNLOAD, sources=("d/a",), to=str(tmp_path / "to"))
    assert bench.scan(order, storing("d/a")) == ""
    assert sorted(bench.known) == without()


def test_more_rows_than_can_be_held_are_left_alone(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backup.worker.scan.vanished._MOST", 3)
    order = JobRequest(kind=JobKind.DOWNLOAD, sources=("d/",), to=str(tmp_path / "to"))
    assert bench.scan(order, storing(*LISTED)) == ""
    assert sorted(bench.known) == without()
