"""Deletion of real folders: the folder is deleted too, and nothing that was not listed is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from backup.instances.destination import place_of
from backup.journal import Journal, items, jobs
from backup.journal.records import Destination, Ending, JobRequest, NewItem, Outcome
from backup.model.transfers import ItemKind, ItemState, JobKind, JobView, TransferPlan
from backup.queries.answers import Questions
from backup.queries.questions import PlanDelete
from backup.worker.items.transfer import Chances, delete_many
from providers.contract.cancel import CancelToken
from providers.contract.context import ProviderContext
from providers.errors import Conflict, NotFound, ProviderError, Transient
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import Fault, Reply, SeenRequest
from providers.testing.support import FakeTime
from tests.backup.queue_support import Workbench, wait_until
from tests.providers.memory import MemoryProvider, MemoryStore
from tests.servers import dropbox_requests
from tests.servers.drive_oauth import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN
from tests.servers.drive_server import DriveServer
from tests.servers.dropbox_server import APP_KEY, DropboxServer
from tests.servers.dropbox_server import REFRESH_TOKEN as DROPBOX_TOKEN


@dataclass
class Service:
    name: str
    bench: Workbench
    put: Callable[[str], object]
    make_folder: Callable[[str], object]
    paths: Callable[[], set[str]]
    """Existing files and folders ('/' at the end)."""
    port: int = 0
    drive: DriveServer | None = None

    def plan(self, key: str) -> TransferPlan:
        with contextlib.closing(Questions(self.bench.paths)) as questions:
            return questions.ask(PlanDelete(self.name, [key]))

    def delete(self, *keys: str) -> JobView:
        return self.bench.finish(self.bench.queue.queue_delete(self.name, keys))


@contextlib.contextmanager
def local(bench: Workbench) -> Iterator[Service]:
    top = bench.storage

    def put(key: str) -> None:
        (top / key).parent.mkdir(parents=True, exist_ok=True)
        (top / key).write_bytes(b"x")

    def paths() -> set[str]:
        return {f"{path.relative_to(top)}{'/' if path.is_dir() else ''}" for path in top.rglob("*")}

    top.mkdir(parents=True, exist_ok=True)
    yield Service("local", bench, put, lambda key: (top / key).mkdir(parents=True), paths)


@contextlib.contextmanager
def dropbox(bench: Workbench) -> Iterator[Service]:
    with DropboxServer() as server:
        store = server.store
        store.make_folder("/backups", False)
        bench.configure(
            "box", type="dropbox", endpoint_url=server.url, container="backups", app_key=APP_KEY,
            refresh_token=DROPBOX_TOKEN, retry_delay=0.05,
        )  # fmt: skip

        def paths() -> set[str]:
            nodes = [(node.display.removeprefix("/backups/"), node.data is None) for node in store.nodes.values()]
            return {f"{path}{'/' if folder else ''}" for path, folder in nodes if path != "/backups"}

        yield Service(
            "box",
            bench,
            lambda key: server.put(f"/backups/{key}", b"x"),
            lambda key: store.make_folder(f"/backups/{key}", False),
            paths,
            server.port,
        )


@contextlib.contextmanager
def drive(bench: Workbench) -> Iterator[Service]:
    with DriveServer() as server:
        store = server.store
        top = store.folder("Backups")
        bench.configure(
            "drive", type="google_drive", endpoint_url=server.url, container="Backups", client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET, refresh_token=REFRESH_TOKEN, retry_delay=0.05,
        )  # fmt: skip

        def put(key: str) -> None:
            folder, _, name = f"Backups/{key}".rpartition("/")
            store.create({"name": name, "parents": [store.folder(folder)]}, b"x")

        def paths(folder: str = top, above: str = "") -> set[str]:
            found: set[str] = set()
            for item in store.children(folder):
                name = f"{above}{item.facts['name']}"
                found |= {f"{name}/", *paths(item.id, f"{name}/")} if item.is_folder else {name}
            return found

        yield Service("drive", bench, put, lambda key: store.folder(f"Backups/{key}"), paths, server.port, server)


SERVICES = {"local": local, "dropbox": dropbox, "google_drive": drive}
REAL = ["dropbox", "google_drive"]
"""Services where a folder stays when its last object is deleted."""


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest, bench: Workbench) -> Iterator[Service]:
    with SERVICES[request.param](bench) as opened:
        yield opened


@pytest.mark.few(2)
def test_a_folder_is_deleted_with_all_its_content(service: Service) -> None:
    for key in ("x/a", "x/y/b", "x/y/z/c", "kept/d"):
        service.put(key)
    for key in ("x/empty", "x/deep/er"):
        service.make_folder(key)
    plan = service.plan("x/")
    assert (plan.files, plan.folders) == (3, 6)
    job = service.delete("x/")
    assert service.paths() == {"kept/", "kept/d"}
    if plan.removes_folders:
        assert job.counts[ItemState.DONE] == plan.files + plan.folders
    assert job.error is None


@pytest.mark.few(2)
def test_an_empty_folder_can_be_deleted(service: Service) -> None:
    service.make_folder("x")
    service.put("kept")
    plan = service.plan("x/")
    assert (plan.files, plan.folders) == (0, 1)
    assert service.delete("x/").counts[ItemState.DONE] == 1
    assert service.paths() == {"kept"}


@pytest.mark.few(2)
def test_everything_but_the_container_is_deleted(service: Service) -> None:
    service.put("x/a")
    service.make_folder("empty")
    service.delete("/")
    assert service.paths() == set()
    with pytest.raises(NotFound, match="nothing below it"):
        service.plan("x/")


def test_a_folder_chosen_twice_is_deleted_once(service: Service) -> None:
    service.put("x/y/a")
    job = service.delete("x/y/", "x/")
    assert service.paths() == set()
    assert job.counts[ItemState.FAILED] == 0


def scanned(service: Service, *new: NewItem) -> int:
    """A delete job after its scan: what it found is in the journal, and no worker has begun."""
    with Journal(service.bench.paths.journal_file) as journal, journal.transaction() as tx:
        order = JobRequest(kind=JobKind.DELETE, sources=("x/",))
        place = place_of(service.bench.paths, service.name)
        job_id = jobs.add_job(tx, order, place, title="x/", destination="", now=1)
        jobs.add_items(tx, jobs.job(tx, job_id), new, now=1)
        jobs.scan_ended(tx, job_id)
    return job_id


def folder(key: str) -> NewItem:
    return NewItem(name=key, key=key, kind=ItemKind.DIRECTORY, last=True)


@pytest.mark.parametrize("service", REAL, indirect=True)
def test_files_added_after_the_listing_are_kept_with_their_folders(service: Service) -> None:
    for key in ("x/a", "x/y/came-later", "x/z/b"):
        service.put(key)
    found = [NewItem(name=key, key=key, size_bytes=1) for key in ("x/a", "x/z/b")]
    job_id = scanned(service, *found, folder("x/y/"), folder("x/z/"), folder("x/"))
    service.bench.queue.ensure_worker()
    job = service.bench.finish(service.bench.queue.job(job_id))
    assert service.paths() == {"x/", "x/y/", "x/y/came-later"}
    states = {item.key: item.state for item in service.bench.items(job)}
    assert [key for key, state in states.items() if state is ItemState.FAILED] == ["x/", "x/y/"]
    errors = {item.key: item.error for item in service.bench.items(job) if item.error}
    assert "'came-later' is in it" in errors["x/y/"].message
    assert errors["x/y/"].kind == Conflict.kind


@pytest.mark.parametrize("service", REAL, indirect=True)
def test_a_delete_continues_after_a_kill(service: Service) -> None:
    """The state the next worker finds: part was deleted, but not recorded."""
    for key in ("x/a", "x/y/b"):
        service.put(key)
    found = [NewItem(name=key, key=key, size_bytes=1) for key in ("x/gone", "x/a", "x/y/b")]
    job_id = scanned(service, *found, folder("x/z/"), folder("x/y/"), folder("x/"))
    with Journal(service.bench.paths.journal_file) as journal, journal.transaction() as tx:
        assert [item.key for item in items.claim(tx, service.name, 1, now=2)] == ["x/gone"]
    service.bench.queue.ensure_worker()
    job = service.bench.finish(service.bench.queue.job(job_id))
    assert service.paths() == set()
    assert job.counts[ItemState.DONE] == 6


@pytest.mark.few(1)
@pytest.mark.parametrize("service", REAL, indirect=True)
def test_a_worker_killed_before_each_answer_still_deletes_everything(service: Service) -> None:
    """A real worker and kill -9. For every file and folder, only the service knows that it is gone."""
    for key in ("x/a", "x/y/b", "kept"):
        service.put(key)
    service.make_folder("x/z")
    deletes = drive_deletes if service.drive else dropbox_requests.delete
    kills = 0

    def kill(reply: Reply) -> Reply:
        nonlocal kills
        service.bench.kill_worker()
        kills += 1
        return reply

    with FaultProxy(service.port) as proxy:
        service.bench.configure(service.name, endpoint_url=proxy.url)
        proxy.fault(Fault.rewrite(kill), deletes, times=5)
        job = service.bench.queue.queue_delete(service.name, ["x/"])
        while kills < 5:
            before = kills
            service.bench.queue.ensure_worker()
            wait_until(lambda before=before: kills > before)  # type: ignore[misc]
        service.bench.queue.ensure_worker()
        job = service.bench.finish(job)
    assert service.paths() == {"kept"}
    assert job.counts[ItemState.FAILED] == 0
    assert job.counts[ItemState.DONE] == 5


def drive_deletes(request: SeenRequest) -> bool:
    return request.method in ("DELETE", "PATCH") and request.path.startswith("/drive/v3/files/")


# Order


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite") as opened:
        yield opened


def queued(journal: Journal, *new: NewItem) -> None:
    with journal.transaction() as tx:
        place = Destination(instance="i", type="local", container="", settings="{}")
        job_id = jobs.add_job(tx, JobRequest(kind=JobKind.DELETE, sources=()), place, title="", destination="", now=1)
        jobs.add_items(tx, jobs.job(tx, job_id), new, now=1)


def claimed(journal: Journal, limit: int = 10) -> list[str]:
    with journal.transaction() as tx:
        return [item.key for item in items.claim(tx, "i", limit, now=2)]


def ended(journal: Journal, item_id: int, ending: Ending, wait_until: float | None = None) -> None:
    with journal.transaction() as tx:
        items.end(tx, Outcome(item_id=item_id, ending=ending, wait_until=wait_until), now=3)


def test_folders_wait_only_for_the_files_of_their_job(journal: Journal) -> None:
    queued(journal, NewItem(name="x/a", key="x/a"), folder("x/y/"), folder("x/"))
    queued(journal, NewItem(name="other", key="other"))
    assert claimed(journal) == ["x/a", "other"]
    assert claimed(journal) == []
    ended(journal, 1, Ending.WAITING, wait_until=100.0)
    assert claimed(journal) == []
    with journal.transaction() as tx:
        items.resume(tx, [1], now=4)
    assert claimed(journal) == ["x/a"]
    ended(journal, 1, Ending.DONE)
    assert claimed(journal) == ["x/y/", "x/"]


@pytest.mark.parametrize("ending", [Ending.FAILED, Ending.PAUSED, Ending.WAITING])
def test_a_file_that_waits_for_the_user_does_not_hold_up_folders(journal: Journal, ending: Ending) -> None:
    queued(journal, NewItem(name="x/a", key="x/a"), folder("x/"))
    assert claimed(journal) == ["x/a"]
    ended(journal, 1, ending)
    assert claimed(journal) == ["x/"]


def test_a_folder_waits_for_retried_folders_in_it(journal: Journal) -> None:
    queued(journal, folder("x/y/"), folder("x/"))
    assert claimed(journal, 1) == ["x/y/"]
    ended(journal, 1, Ending.WAITING, wait_until=100.0)
    assert claimed(journal) == []


class Folders(MemoryProvider):
    def __init__(self, trouble: dict[str, ProviderError]) -> None:
        super().__init__(MemoryStore(), context=ProviderContext(sleep=FakeTime().sleep), max_retries=0)
        self.can = msgspec.structs.replace(self.can, real_folders=True)
        self._trouble = trouble
        self.removed: list[str] = []

    def remove(self, key: str) -> None:
        if key in self._trouble:
            raise self._trouble[key]
        self.removed.append(key)


def test_folders_above_a_retried_one_are_not_tried_before_it(journal: Journal) -> None:
    queued(journal, folder("x/y/z/"), folder("x/y/"), folder("x/w/"), folder("x/"))
    with journal.transaction() as tx:
        group = items.claim(tx, "i", 10, now=2)
    provider = Folders({"x/y/z/": Transient("later")})
    outcomes = delete_many(provider, group, CancelToken(), Chances())
    endings = {item.key: outcome.ending for item, outcome in zip(group, outcomes, strict=True)}
    assert endings == {
        "x/y/z/": Ending.WAITING, "x/y/": Ending.STOPPED, "x/w/": Ending.DONE, "x/": Ending.STOPPED,
    }  # fmt: skip
    assert provider.removed == ["x/w/"]


def test_a_folder_that_vanished_with_its_last_file_is_done(journal: Journal) -> None:
    queued(journal, folder("x/"))
    with journal.transaction() as tx:
        group = items.claim(tx, "i", 10, now=2)
    (outcome,) = delete_many(Folders({"x/": NotFound("gone")}), group, CancelToken(), Chances())
    assert outcome.ending is Ending.DONE


def test_a_document_that_is_never_listed_keeps_its_folder(bench: Workbench) -> None:
    """Google's own documents have no bytes, and are no objects here: the user did not choose to delete them."""
    with drive(bench) as service:
        service.put("x/a")
        assert service.drive
        kind, store = "application/vnd.google-apps.document", service.drive.store
        store.create({"name": "Letter", "mimeType": kind, "parents": [store.folder("Backups/x")]})
        job = service.delete("x/")
        assert service.paths() == {"x/", "x/Letter"}
        (failed,) = [item for item in service.bench.items(job) if item.state is ItemState.FAILED]
        assert failed.error
        assert "'Letter' is in it" in failed.error.message


def test_a_folder_named_like_a_file_is_reported_whatever_it_contains(service: Service) -> None:
    """This includes an empty folder, which no listing of objects shows."""
    service.make_folder("empty")
    service.make_folder("above/below")
    for key in ("empty", "above", "above/below"):
        with pytest.raises(NotFound, match=f"'{key}' is a folder, not a file"):
            service.plan(key)
    with pytest.raises(NotFound) as nothing:
        service.plan("nothing")
    assert "is a folder" not in str(nothing.value)
