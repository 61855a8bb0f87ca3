"""Modes of folders: stored if a folder can be an object, and restored once the folder is filled."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.files import folders as stored_folders
from backup.files import shut_folders
from backup.journal import Journal, items, jobs
from backup.journal.checkpoints import commit_alone
from backup.journal.folders_in_work import FoldersInWork
from backup.journal.records import Ending, Job, JobRequest, NewItem
from backup.model.transfers import Conflicts, ItemKind, ItemState, JobKind
from backup.queries.answers import Questions
from backup.queries.questions import PlanUpload
from backup.worker.items.transfer import Transfer
from backup.worker.scan.new_items import download_items
from providers.contract.attributes import Attributes, Restoring
from providers.contract.cancel import CancelToken
from providers.contract.objects import RemoteFile
from providers.local import disk
from tests.backup.queue_support import Workbench, wait_until
from tests.backup.test_swapped_links import PLACE
from tests.backup.test_transfer import Watched
from tests.ordinary_user import as_an_ordinary_user
from tests.providers.memory import MemoryProvider, MemoryStore
from tests.servers.b2 import B2Server
from tests.servers.drive_oauth import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN
from tests.servers.drive_server import DriveServer
from tests.servers.s3_server import S3Server


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(top: Path) -> dict[str, str]:
    """Modes of everything below a folder, and of itself ('.')."""
    found = {str(path.relative_to(top)): f"{stat.S_IMODE(path.stat().st_mode):o}" for path in top.rglob("*")}
    return {".": f"{stat.S_IMODE(top.stat().st_mode):o}", **found}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A tree like a home folder."""
    top = tmp_path / "source/home"
    for folder in ("docs", ".ssh", "frozen/below", "shared", "empty"):
        (top / folder).mkdir(parents=True)
    for file in ("docs/letter", ".ssh/id", "frozen/below/file", "frozen/file", "shared/file"):
        (top / file).write_bytes(b"bytes")
    (top / ".ssh/id").chmod(0o600)
    (top / ".ssh").chmod(0o700)
    (top / "shared").chmod(0o775)
    (top / "empty").chmod(0o711)
    (top / "frozen/below").chmod(0o500)
    (top / "frozen").chmod(0o500)
    return top


@pytest.fixture(params=["local", "s3", "drive"])
def instance(request: pytest.FixtureRequest, bench: Workbench) -> Iterator[str]:
    if request.param == "local":
        yield "local"
        return
    if request.param == "drive":
        with DriveServer() as drive:
            drive.store.folder("Backups")
            bench.configure(
                "drive", type="google_drive", endpoint_url=drive.url, container="Backups", client_id=CLIENT_ID,
                client_secret=CLIENT_SECRET, refresh_token=REFRESH_TOKEN, retry_delay=0.05,
            )  # fmt: skip
            yield "drive"
        return
    server: S3Server = request.getfixturevalue("moto_s3")
    bench.configure_s3("s3", server.url, server.new_bucket())
    yield "s3"


@pytest.mark.few(2)
def test_a_tree_comes_back_with_the_modes_of_its_folders(
    bench: Workbench, instance: str, home: Path, tmp_path: Path
) -> None:
    up = bench.finish(bench.queue.queue_upload(instance, [home]))
    assert up.counts[ItemState.FAILED] == 0
    for _ in range(2):  # the second time over existing files
        down = bench.finish(bench.queue.queue_download(instance, ["home/"], tmp_path / "back"))
        assert down.counts[ItemState.FAILED] == 0
        assert modes(tmp_path / "back/home") == modes(home)


def test_a_folder_with_the_usual_mode_is_not_stored(bench: Workbench, moto_s3: S3Server, home: Path) -> None:
    bucket = moto_s3.new_bucket()
    bench.configure_s3("s3", moto_s3.url, bucket)
    bench.finish(bench.queue.queue_upload("s3", [home]))
    folders = {key for key in moto_s3.keys(bucket) if key.endswith("/")}
    assert folders == {"home/.ssh/", "home/empty/", "home/frozen/", "home/frozen/below/", "home/shared/"}


def test_a_folder_is_stored_again_only_if_it_changed(bench: Workbench, instance: str, home: Path) -> None:
    bench.finish(bench.queue.queue_upload(instance, [home]))
    (home / "shared").chmod(0o750)
    job = bench.finish(bench.queue.queue_upload(instance, [home], conflicts=Conflicts.SKIP_UNCHANGED))
    assert [item.name for item in bench.items(job) if item.state is ItemState.DONE] == ["home/shared"]


def test_existing_folders_are_kept_under_refuse(bench: Workbench, instance: str, home: Path, tmp_path: Path) -> None:
    bench.finish(bench.queue.queue_upload(instance, [home]))
    (home / "shared").chmod(0o750)
    bench.finish(bench.queue.queue_upload(instance, [home], conflicts=Conflicts.REFUSE))
    bench.finish(bench.queue.queue_download(instance, ["home/"], tmp_path / "back"))
    assert modes(tmp_path / "back/home")["shared"] == "775"
    (tmp_path / "back/home/shared").chmod(0o755)
    bench.finish(bench.queue.queue_download(instance, ["home/"], tmp_path / "back", conflicts=Conflicts.REFUSE))
    assert modes(tmp_path / "back/home")["shared"] == "755"


def test_without_support_by_the_service_folders_have_no_items(
    bench: Workbench, b2_server: B2Server, home: Path
) -> None:
    bucket, key = b2_server.new_bucket()
    bench.configure(
        "b2", type="backblaze", realm=b2_server.url, container=bucket, application_key_id=key.key_id,
        application_key=key.key,
    )  # fmt: skip
    job = bench.finish(bench.queue.queue_upload("b2", [home]))
    assert [item.name for item in bench.items(job) if item.kind is ItemKind.DIRECTORY] == ["home/empty"]
    assert job.counts[ItemState.FAILED] == 0


@pytest.mark.parametrize("kind", ["no attributes", "vfat"])
def test_a_disk_that_cannot_store_modes_is_reported(
    kind: str, bench: Workbench, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An extended attribute holds the mode of a local folder, but not every disk supports those; FAT stores no
    modes."""

    def none(*args: object) -> bytes:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    if kind == "vfat":
        device = tmp_path.stat().st_dev
        mounts = tmp_path / "mountinfo"
        mounts.write_text(
            f"31 1 0:4 / /proc rw - proc proc rw\n30 1 {os.major(device)}:{os.minor(device)} / / rw - vfat /dev/x rw\n"
        )
        monkeypatch.setattr(disk, "_MOUNTS", mounts)
    else:
        monkeypatch.setattr(os, "getxattr", none)
    with contextlib.closing(Questions(bench.paths)) as questions:
        plan = questions.ask(PlanUpload("local", [home], ""))
    files = 1 if kind == "vfat" else 0
    assert plan.modes_lost == files + 5


def test_a_folder_without_a_mode_gets_the_usual_one(bench: Workbench, moto_s3: S3Server, tmp_path: Path) -> None:
    """A marker of another tool. A folder that existed before keeps its mode."""
    bucket = moto_s3.new_bucket()
    bench.configure_s3("s3", moto_s3.url, bucket)
    for key in ("w/", "w/file", "x/", "x/file", "y/", "y/file", "z/", "z/file"):
        moto_s3.put(bucket, key, b"")
    moto_s3.admin.put_object(Bucket=bucket, Key="z/", Metadata={"mode": "0o700", "uid": "root"})
    (tmp_path / "w").mkdir(0o500)
    (tmp_path / "y").mkdir(0o700)
    bench.finish(bench.queue.queue_download("s3", ["/"], tmp_path))
    assert {name: modes(tmp_path)[name] for name in "wxyz"} == {"w": "500", "x": "755", "y": "700", "z": "755"}


class Remembered:
    """The folders known after a kill: the former mode, or None for one that was created."""

    def __init__(self, **known: int | None) -> None:
        self.known = known

    def made(self, path: Path) -> None:
        self.known[path.name] = None

    def opening(self, path: Path, mode: int) -> None:
        assert stat.S_IMODE(path.stat().st_mode) == mode, "it is noted before it is opened"
        self.known.setdefault(path.name, mode)

    def is_own(self, path: Path) -> bool:
        return self.known.get(path.name, 0) is None

    def forget(self, path: Path) -> None:
        self.known.pop(path.name)


def a_job(to: Path) -> Job:
    order = JobRequest(kind=JobKind.DOWNLOAD, sources=("x/",), to=str(to), restoring=Restoring(umask=0o022))
    return Job(id=1, instance="i", place_id=1, order=order)


def test_a_folder_is_closed_before_the_first_file_in_it_is_queued(tmp_path: Path) -> None:
    listed = [RemoteFile(key="x/.ssh/", size_bytes=0), RemoteFile(key="x/.ssh/id", size_bytes=1)]
    made = download_items(a_job(tmp_path), lambda key: iter(listed), Remembered())
    assert next(made).key == "x/.ssh/id"
    assert modes(tmp_path / "x") == {".": "755", ".ssh": "700"}
    (folder,) = made
    assert (folder.key, folder.last, folder.replaces) == ("x/.ssh/", True, False)


def test_folders_come_last_innermost_first(tmp_path: Path) -> None:
    keys = ["x/", "x/y/", "x/y/z/", "x/y/z/file", "x/file", "x/a/"]
    made = download_items(
        a_job(tmp_path), lambda key: (RemoteFile(key=key, size_bytes=0) for key in keys), Remembered()
    )
    assert [item.key for item in made] == ["x/y/z/file", "x/file", "x/y/z/", "x/a/", "x/y/", "x/"]


@pytest.mark.parametrize(("asked", "started"), [(0o022, 0o077), (0o002, 0o022), (0o077, 0o022)], ids=oct)
def test_files_without_a_mode_get_the_umask_of_the_command_and_not_of_the_worker(
    tmp_path: Path, asked: int, started: int
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o2777)
    store = MemoryStore()
    store.objects["x/y/file"] = b"1"
    order = JobRequest(
        kind=JobKind.DOWNLOAD, sources=("x/",), to=str(shared / "new/to"), resolved=True,
        restoring=Restoring(umask=asked),
    )  # fmt: skip
    listed = [RemoteFile(key=key, size_bytes=size) for key, size in (("x/", 0), ("x/y/file", 1))]
    os.umask(started)
    with Journal(tmp_path / "journal.sqlite") as journal:
        with journal.transaction() as tx:
            job = jobs.job(tx, jobs.add_job(tx, order, PLACE, title="t", destination="/", now=1.0))
            jobs.add_items(tx, job, download_items(job, lambda key: iter(listed), Remembered()), now=1.0)
        for _ in listed:
            with journal.transaction() as tx:
                (item,) = items.claim(tx, "m", 1, now=1.0)
            outcome = Transfer(
                provider=MemoryProvider(store), journal=journal, commit=commit_alone(journal), item=item, job=job,
                watcher=Watched(), cancel=CancelToken(),
            ).run()  # fmt: skip
            assert outcome.ending is Ending.DONE, outcome.error
            with journal.transaction() as tx:
                items.end(tx, outcome, now=2.0)
    folder, file = f"{0o2777 & ~asked:o}", f"{0o666 & ~asked:o}"
    assert modes(shared / "new") == {".": folder, "to": folder, "to/x": folder, "to/x/y": folder, "to/x/y/file": file}


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(0o777)
    (tmp_path / "elsewhere").chmod(0o757)
    (tmp_path / "to/x").mkdir(parents=True)
    (tmp_path / "to/x/y").symlink_to(tmp_path / "elsewhere")
    (item,) = download_items(
        a_job(tmp_path / "to"), lambda key: iter([RemoteFile(key="x/y/", size_bytes=0)]), Remembered()
    )
    assert item.last
    assert modes(tmp_path)["elsewhere"] == "757"


def test_setgid_of_a_shared_folder_is_inherited(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(0o2755)
    fd = os.open(folder, os.O_RDONLY)
    try:
        Restoring().apply(fd, Attributes(mode=stat.S_IFDIR | 0o770), folder=True)
    finally:
        os.close(fd)
    assert modes(folder) == {".": "2770"}


@pytest.mark.parametrize("conflicts", list(Conflicts))
def test_a_late_file_opens_its_folders_and_they_are_shut_again(conflicts: Conflicts) -> None:
    """One item of a job is retried when its folder (0500) already has its mode. Under refuse, nothing that existed
    before is changed."""

    def act(top: Path) -> None:
        (top / "to/x/y").mkdir(parents=True)
        (top / "to/x/y").chmod(0o500)
        (top / "to/x").chmod(0o500)
        store = MemoryStore()
        store.objects["x/y/file"] = b"late"
        order = JobRequest(kind=JobKind.DOWNLOAD, sources=("x/",), to=str(top / "to"), conflicts=conflicts)
        listed = [RemoteFile(key=key, size_bytes=size) for key, size in (("x/", 0), ("x/y/", 0), ("x/y/file", 4))]
        with Journal(top / "journal.sqlite") as journal:
            with journal.transaction() as tx:
                job = jobs.job(tx, jobs.add_job(tx, order, PLACE, title="t", destination="/", now=1.0))
                jobs.add_items(tx, job, download_items(job, lambda key: iter(listed), Remembered()), now=1.0)
                for name in ("x/y", "x"):
                    (top / "to" / name).chmod(0o500)
                (file,) = items.claim(tx, "m", 9, now=1.0)
            outcome = Transfer(
                provider=MemoryProvider(store), journal=journal, commit=commit_alone(journal), item=file, job=job,
                watcher=Watched(), cancel=CancelToken(),
            ).run()  # fmt: skip
            with journal.transaction() as tx:
                items.end(tx, outcome, now=2.0)
        if conflicts is Conflicts.REFUSE:
            assert outcome.ending is Ending.FAILED
        else:
            assert outcome.ending is Ending.DONE, outcome.error
            assert (top / "to/x/y/file").read_bytes() == b"late"
        assert modes(top / "to/x") | {"y/file": ""} == {".": "500", "y": "500", "y/file": ""}

    as_an_ordinary_user(act)


def test_an_ordinary_user_can_restore_into_a_read_only_folder() -> None:
    """A second restore into a tree with a folder of mode 0500."""

    def act(top: Path) -> None:
        (top / "x").mkdir()
        (top / "x").chmod(0o500)
        assert stored_folders.make_private(top / "x", top, 0o755, Remembered(), opens=True) is True
        (top / "x/file").write_bytes(b"1")
        assert modes(top / "x")["."] == "700"

    as_an_ordinary_user(act)


# After a kill


def scanned(journal: Journal, to: Path, keys: list[str]) -> Job:
    """A download that was scanned up to these folders when its worker was killed: the journal has none of them as an
    item."""
    order = JobRequest(kind=JobKind.DOWNLOAD, sources=("/",), to=str(to), restoring=Restoring(umask=0o022))
    with journal.transaction() as tx:
        job = jobs.job(tx, jobs.add_job(tx, order, PLACE, title="t", destination="/", now=1.0))
    again(journal, job, keys)
    return job


def again(journal: Journal, job: Job, keys: list[str]) -> list[NewItem]:
    memory = FoldersInWork(journal, job.id, commit=commit_alone(journal))
    return list(download_items(job, lambda key: (RemoteFile(key=key, size_bytes=0) for key in keys), memory))


def test_after_a_kill_folders_get_their_former_mode_or_the_usual_one(tmp_path: Path) -> None:
    """No modes are stored with them; one existed and was shut, and one was created."""
    to = tmp_path / "to"
    (to / "shut").mkdir(parents=True)
    (to / "shut").chmod(0o500)
    store = MemoryStore()
    store.objects |= {"made/": b"", "shut/": b""}
    with Journal(tmp_path / "journal.sqlite") as journal:
        job = scanned(journal, to, list(store.objects))
        assert modes(to) == {".": "755", "shut": "700", "made": "700"}
        with journal.transaction() as tx:
            jobs.add_items(tx, job, again(journal, job, list(store.objects)), now=1.0)
            jobs.scan_ended(tx, job.id)
        with journal.transaction() as tx:
            claimed = items.claim(tx, PLACE.instance, 9, now=1.0)
        assert [item.name for item in claimed] == ["made/", "shut/"]
        for item in claimed:
            outcome = Transfer(
                provider=MemoryProvider(store), journal=journal, commit=commit_alone(journal), item=item, job=job,
                watcher=Watched(), cancel=CancelToken(),
            ).run()  # fmt: skip
            with journal.transaction() as tx:
                items.end(tx, outcome, now=2.0)
    assert modes(to) == {".": "755", "shut": "500", "made": "755"}


@pytest.mark.parametrize("changed", [False, True])
def test_a_cancelled_job_shuts_the_folders_it_opened(bench: Workbench, tmp_path: Path, changed: bool) -> None:
    """Unless the folder was given another mode meanwhile."""
    to = tmp_path / "to"
    (to / "shut").mkdir(parents=True)
    (to / "shut").chmod(0o500)
    bench.paths.journal_file.parent.mkdir(parents=True, exist_ok=True)
    with Journal(bench.paths.journal_file) as journal:
        job = scanned(journal, to, ["shut/"])
        with journal.transaction() as tx:
            jobs.scan_ended(tx, job.id)
    if changed:
        (to / "shut").chmod(0o750)
    (to / "file").write_bytes(b"1")
    bench.finish(bench.queue.queue_upload("local", [to / "file"]))
    wait_until(lambda: modes(to)["shut"] == ("750" if changed else "500"))
    wait_until(lambda: not in_work(bench.paths.journal_file))


def in_work(file: Path) -> list[object]:
    with contextlib.closing(sqlite3.connect(file)) as db:
        return db.execute("SELECT * FROM folders_in_work").fetchall()


def test_a_folder_filled_late_is_recorded_while_it_is_open(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(0o500)
    memory = Remembered()
    with shut_folders.opened([folder], tmp_path, memory):
        assert memory.known == {"folder": 0o500}
        assert modes(folder)["."] == "700"
    assert memory.known == {}
    assert modes(folder)["."] == "500"


HUNG_DISK = """import os, time
_real = os.open
def hangs(path, *args, **more):
    if os.path.basename(os.fspath(path)) in ("hung", b"hung"):
        open({asked!r}, "w").close()
        time.sleep(600)
    return _real(path, *args, **more)
os.open = hangs
"""


def test_a_disk_that_hangs_while_a_folder_is_shut_holds_up_nothing(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds up neither transfers, nor folders of other jobs, nor the leaving worker; the next worker tries again."""
    asked, site = tmp_path / "asked", tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(HUNG_DISK.format(asked=str(asked)))
    bench.paths.journal_file.parent.mkdir(parents=True, exist_ok=True)
    with Journal(bench.paths.journal_file) as journal:
        for name in ("a/hung", "b/shut"):
            to = tmp_path / name
            to.mkdir(parents=True)
            to.chmod(0o500)
            job = scanned(journal, to.parent, [f"{to.name}/"])
            with journal.transaction() as tx:
                jobs.scan_ended(tx, job.id)
    assert (modes(tmp_path)["a/hung"], modes(tmp_path)["b/shut"]) == ("700", "700")
    (tmp_path / "file").write_bytes(b"1")
    with monkeypatch.context() as patched:
        patched.setenv("PYTHONPATH", str(site))
        uploads = [bench.queue.queue_upload("local", [tmp_path / "file"], to) for to in ("1", "2")]
    for upload in uploads:
        assert bench.finish(upload).counts[ItemState.DONE] == 1
    wait_until(asked.exists)
    wait_until(lambda: modes(tmp_path)["b/shut"] == "500")
    wait_until(lambda: bench.pid() is None)
    assert len(in_work(bench.paths.journal_file)) == 1
    bench.finish(bench.queue.queue_upload("local", [tmp_path / "file"], "3"))
    wait_until(lambda: modes(tmp_path)["a/hung"] == "500")
    wait_until(lambda: not in_work(bench.paths.journal_file))
