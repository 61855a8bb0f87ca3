"""Scans: items that were found are transferred while the scan continues."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from backup.files.scan import TreeEntry
from backup.instances.request_counts import CallCounts
from backup.instances.server_facts import FactsOnDisk
from backup.journal import Journal, items, jobs, views
from backup.journal.records import Destination, Job, JobRequest
from backup.model.transfers import ItemKind, JobKind
from backup.system.paths import Paths
from backup.system.private_files import private_folder
from backup.worker.batch_writer import BatchWriter
from backup.worker.context import WorkerContext
from backup.worker.progress import ProgressBoard
from backup.worker.scan.scanning import Scans
from backup.worker.shared_provider import SharedProvider
from providers.base import BaseProvider
from providers.contract.objects import Page, RemoteFile
from tests.backup.queue_support import wait_until
from tests.providers.memory import MemoryProvider, MemoryStore

PLACE = Destination(instance="disk", type="local", container="/srv", settings="{}")


@pytest.fixture
def journal(paths: Paths) -> Iterator[Journal]:
    private_folder(paths.state_dir)
    with Journal(paths.journal_file) as opened:
        yield opened


def add_job(journal: Journal, source: str) -> Job:
    order = JobRequest(kind=JobKind.UPLOAD, sources=(source,))
    with journal.transaction() as tx:
        return jobs.job(tx, jobs.add_job(tx, order, PLACE, title="x", destination="/", now=1.0))


def claimed(journal: Journal) -> list[str]:
    with journal.transaction() as tx:
        return [item.name for item in items.claim(tx, "disk", 9, now=2.0)]


def scanning(journal: Journal, job: Job) -> bool:
    with journal.look() as db:
        return views.job(db, job.id).scanning


def test_the_first_files_are_uploaded_during_the_scan_and_older_jobs_come_first(
    journal: Journal, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()

    def walk(sources: tuple[str, ...], **_: Any) -> Iterator[list[TreeEntry]]:
        (top,) = sources
        yield [TreeEntry(name=f"{top}/{number}", path=f"{top}/{number}", kind=ItemKind.FILE) for number in (1, 2)]
        assert goes_on.wait(20)
        yield [TreeEntry(name=f"{top}/3", path=f"{top}/3", kind=ItemKind.FILE)]

    monkeypatch.setattr("backup.files.scan.walk_local", walk)
    writer = BatchWriter(journal, on_failure=lambda error: None)
    woken = threading.Event()
    worker = WorkerContext(
        paths=paths, journal=journal, writer=writer, board=ProgressBoard(), facts=FactsOnDisk(paths, journal),
        calls=CallCounts(), wake=woken.set,
    )  # fmt: skip
    older, newer = add_job(journal, "/older"), add_job(journal, "/newer")
    scans = Scans(worker)
    with closing(SharedProvider("disk", worker)) as shared:
        scans.start(older, shared)
        assert woken.wait(20)
        assert claimed(journal) == ["/older/1", "/older/2"]
        assert scanning(journal, older)
        goes_on.set()
        wait_until(lambda: not scanning(journal, older))
        scans.start(newer, shared)
        wait_until(lambda: not scanning(journal, newer))
    assert claimed(journal) == ["/older/3", "/newer/1", "/newer/2", "/newer/3"]
    wait_until(lambda: not scans.busy)
    assert writer.close(5)


class Liar(MemoryProvider):
    """The second page of its listings names something from elsewhere while it lies."""

    lies = True

    def scan(self, prefix: str = "", *, delimiter: str = "", token: str | None = None, limit: int = 1000) -> Page:
        if token is None:
            return Page(files=tuple(RemoteFile(key=f"d/{n}", size_bytes=1) for n in range(1000)), next_token="2")
        return Page(files=(RemoteFile(key="elsewhere" if self.lies else "d/last", size_bytes=1),))


class Opened:
    """An open provider, in place of `SharedProvider`."""

    refreshed = 0

    def __init__(self, provider: BaseProvider) -> None:
        self._provider = provider

    @contextmanager
    def used_for(self, *_: object, **__: object) -> Iterator[BaseProvider]:
        yield self._provider


@pytest.mark.parametrize("kind", [JobKind.DELETE, JobKind.DOWNLOAD])
def test_a_listing_refused_at_its_last_page_begins_nothing(
    journal: Journal, paths: Paths, kind: JobKind, tmp_path: Path
) -> None:
    woken = threading.Event()
    writer = BatchWriter(journal, on_failure=lambda error: None)
    worker = WorkerContext(
        paths=paths, journal=journal, writer=writer, board=ProgressBoard(), facts=FactsOnDisk(paths, journal),
        calls=CallCounts(), wake=woken.set,
    )  # fmt: skip
    scans, provider = Scans(worker), Liar(MemoryStore())
    order = JobRequest(kind=kind, sources=("d/",), to=str(tmp_path / "to"))

    def scanned() -> tuple[int, str]:
        with journal.transaction() as tx:
            job = jobs.job(tx, jobs.add_job(tx, order, PLACE, title="x", destination="", now=1.0))
        scans.start(job, cast(SharedProvider, Opened(provider)))
        wait_until(lambda: not scanning(journal, job))
        with journal.look() as db:
            return jobs.files_of(db, job.id), str(views.job(db, job.id).error)

    files, error = scanned()
    assert files == 0
    assert "elsewhere" in error
    assert claimed(journal) == []
    provider.lies = False
    assert scanned()[0] == 1001
    assert list(paths.plans_dir.iterdir()) == [], "what was written down is needed no more"
    writer.close(5)
