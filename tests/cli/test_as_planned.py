"""The final message and the exit code say whether a transfer matched its plan."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backup.cli.diagnostics import ExitCode
from backup.queue.client import Queue
from backup.system.paths import Paths
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import Fault, Reply
from tests.cli.conftest import Cli, s3_instance, write_config
from tests.processes import stop_worker
from tests.servers.drive_oauth import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN
from tests.servers.drive_server import DriveServer
from tests.servers.s3_requests import list_objects
from tests.servers.s3_server import S3Server


@pytest.fixture(autouse=True)
def _worker_stopped(paths: Paths) -> Iterator[None]:
    yield
    assert stop_worker(paths)


def listed_twice(reply: Reply) -> Reply:
    """Put the first object into a listing twice."""
    begin, end = reply.body.find(b"<Contents>"), reply.body.find(b"</Contents>") + len(b"</Contents>")
    return reply.holding(reply.body[:end] + reply.body[begin:end] + reply.body[end:]) if begin >= 0 else reply


@pytest.fixture
def repeating(paths: Paths, rclone_s3: S3Server, rclone_proxy: FaultProxy, aws_credentials: None) -> str:
    """A server whose listings contain the first object twice."""
    bucket = rclone_s3.new_bucket()
    for name in ("d/a", "d/b"):
        rclone_s3.put(bucket, name, b"content")
    write_config(paths, s3=s3_instance(rclone_s3, bucket, port=rclone_proxy.port))
    rclone_proxy.fault(Fault.rewrite(listed_twice), list_objects(), times=None)
    return bucket


@pytest.mark.parametrize("verb", ["download", "delete"])
def test_a_key_that_is_listed_twice_is_reported(cli: Cli, repeating: str, tmp_path: Path, verb: str):
    arguments = ["--to", str(tmp_path / "back")] if verb == "download" else ["--yes"]
    done = cli(verb, "d/", *arguments)
    assert done.code == ExitCode.CONFLICT, (done.out, done.err)
    assert "differs from its plan" in done.err
    assert "1 name listed more than once, used once: d/a" in done.err
    if verb == "download":
        assert sorted(path.name for path in (tmp_path / "back/d").iterdir()) == ["a", "b"]
        document = cli("download", "d/", "--to", str(tmp_path / "again"), "--json")
        assert document.code == ExitCode.CONFLICT
        assert "listed more than once" in document.json()["job"]["error"]["message"]


def test_a_path_chosen_twice_is_transferred_once_as_planned(cli: Cli, paths: Paths, tmp_path: Path):
    (paths.local_storage / "d").mkdir(parents=True)
    (paths.local_storage / "d" / "a").write_bytes(b"1")
    down = cli("download", "/", "d/", "--to", str(tmp_path / "back"))
    assert down.code == 0, down.err
    assert "download 1 file" in down.out
    gone = cli("delete", "--yes", "d/a", "d/", "d/a")
    assert gone.code == 0, gone.err
    assert "delete 1 file" in gone.out


def test_two_objects_with_one_local_name_are_not_counted_as_one(cli: Cli, paths: Paths, tmp_path: Path):
    for name in ("x/f", "b/x/f"):
        (paths.local_storage / name).parent.mkdir(parents=True, exist_ok=True)
        (paths.local_storage / name).write_bytes(name.encode())
    down = cli("download", "/", "b/x/", "--to", str(tmp_path / "back"))
    assert down.code == ExitCode.CONFLICT
    assert "'x/f' and 'b/x/f'" in down.err or "'b/x/f' and 'x/f'" in down.err


@pytest.mark.few(2)
@pytest.mark.parametrize(("planned", "there"), [(3, 2), (2, 3)])
@pytest.mark.parametrize("verb", ["upload", "download", "delete"])
def test_files_added_or_removed_since_the_plan_are_reported(
    cli: Cli, paths: Paths, tmp_path: Path, verb: str, planned: int, there: int, monkeypatch: pytest.MonkeyPatch
):
    """The plan's findings are lost, as after an hour, so that the scan looks again."""
    source = tmp_path / "d" if verb == "upload" else paths.local_storage / "d"
    source.mkdir(parents=True)
    for number in range(planned):
        (source / str(number)).write_bytes(b"1")
    queue_of = {"upload": "queue_upload", "download": "queue_download", "delete": "queue_delete"}[verb]
    real: Any = getattr(Queue, queue_of)

    def meanwhile(self: Queue, *args: Any, **more: Any) -> Any:
        for file in paths.plans_dir.iterdir():
            file.unlink()
        for number in range(max(planned, there)):
            if number >= there:
                (source / str(number)).unlink()
            else:
                (source / str(number)).write_bytes(b"1")
        return real(self, *args, **more)

    monkeypatch.setattr(Queue, queue_of, meanwhile)
    arguments = {
        "upload": [str(source)], "download": ["d/", "--to", str(tmp_path / "back")], "delete": ["d/", "--yes"]
    }[verb]  # fmt: skip
    done = cli(verb, *arguments, "--json")
    assert done.code == ExitCode.CONFLICT, (done.out, done.err)
    assert f"{planned} files planned, {there} found when it began" in done.err
    assert f"{planned} files planned" in done.json()["job"]["error"]["message"]


@pytest.mark.few(2)
@pytest.mark.parametrize("verb", ["upload", "download", "delete"])
def test_other_names_of_the_same_number_are_reported(
    cli: Cli, paths: Paths, tmp_path: Path, verb: str, monkeypatch: pytest.MonkeyPatch
):
    """The plan's findings are lost again; as many other files are there then."""
    source = tmp_path / "d" if verb == "upload" else paths.local_storage / "d"
    source.mkdir(parents=True)
    for name in ("a", "b"):
        (source / name).write_bytes(b"1")
    queue_of = {"upload": "queue_upload", "download": "queue_download", "delete": "queue_delete"}[verb]
    real: Any = getattr(Queue, queue_of)
    renames = True

    def meanwhile(self: Queue, *args: Any, **more: Any) -> Any:
        for file in paths.plans_dir.iterdir():
            file.unlink()
        if renames:
            (source / "a").rename(source / "c")
        return real(self, *args, **more)

    monkeypatch.setattr(Queue, queue_of, meanwhile)
    arguments = {
        "upload": [str(source)], "download": ["d/", "--to", str(tmp_path / "back")], "delete": ["d/", "--yes"]
    }[verb]  # fmt: skip
    done = cli(verb, *arguments, "--json")
    assert done.code == ExitCode.CONFLICT, (done.out, done.err)
    assert "2 files planned, and as many found when it began, but not the same" in done.err
    assert "not the same" in done.json()["job"]["error"]["message"]
    if verb != "delete":
        renames = False
        again = cli(verb, *arguments, "--json")
        assert again.code == 0, again.err
        assert again.json()["job"]["error"] is None


def test_documents_and_shortcuts_of_drive_are_counted_as_left_out(cli: Cli, paths: Paths, tmp_path: Path):
    with DriveServer() as server:
        folder = server.store.folder("Backups/d")
        for name, kind in (("sheet", "spreadsheet"), ("link", "shortcut")):
            server.store.create(
                {"name": name, "parents": [folder], "mimeType": f"application/vnd.google-apps.{kind}"}, b""
            )
        server.store.create({"name": "file", "parents": [folder]}, b"content")
        only = server.store.folder("Backups/only")
        server.store.create({"name": "doc", "parents": [only], "mimeType": "application/vnd.google-apps.document"}, b"")
        drive = {
            "container": "Backups", "endpoint_url": server.url, "client_id": CLIENT_ID, "enabled": True,
            "client_secret": CLIENT_SECRET, "refresh_token": REFRESH_TOKEN, "max_retries": 0, "timeout": 10,
        }  # fmt: skip
        write_config(paths, google_drive=drive)
        listed = cli("list", "d/", "--json")
        assert [file["name"] for file in listed.json()["files"]] == ["d/file"]
        assert {one["name"] for one in listed.json()["left_out"]} == {"d/sheet", "d/link"}
        assert "left out, because they have no content: 2: " in listed.err
        down = cli("download", "d/", "--to", str(tmp_path))
        assert down.code == 0, down.err
        assert "download 1 file" in down.out
        assert "leaves out 2 entries without content (documents, shortcuts, links): " in down.out
        assert (
            "downloaded 1 item (7 B), verified; 2 entries without content (documents, shortcuts, links) left out"
            in down.out
        )
        nothing = cli("download", "only/", "--to", str(tmp_path))
        assert nothing.code == ExitCode.UNSUPPORTED
        assert "have no bytes, and nothing else was chosen" in nothing.err
        gone = cli("delete", "d/", "--yes", "--json")
        assert gone.json()["plan"]["left_out"] == 2
        assert gone.json()["job"]["skipped_special"] == 2


def test_an_interrupted_scan_is_not_a_difference(paths: Paths, tmp_path: Path):
    from backup.journal import Journal, jobs
    from backup.journal.records import Destination, JobRequest, NewItem, Planned
    from backup.model.transfers import JobKind
    from backup.worker.scan.differences import Differences

    paths.state_dir.mkdir(parents=True)
    items = [NewItem(name=name, key=name) for name in ("d/a", "d/b", "d/c")]
    with Journal(paths.journal_file) as journal, journal.transaction() as tx:
        place = Destination(instance="local", type="local", container="/srv", settings="{}")
        order = JobRequest(kind=JobKind.DELETE, sources=("d/",), planned=Planned(files=3))
        job = jobs.job(tx, jobs.add_job(tx, order, place, title="d", destination="", now=1.0))
        Differences(job, 0).add(tx, items[:2], now=1.0)
        again = Differences(job, jobs.newest_item(tx))
        again.add(tx, items, now=2.0)
        assert again.error(tx) is None
        again.add(tx, items[2:], now=2.0)
        error = again.error(tx)
    assert error is not None
    assert "1 name listed more than once, used once: d/c" in error.message


def test_refused_names_are_not_a_difference(cli: Cli, tmp_path: Path):
    """Files and empty folders: the plan has listed them, and each fails by itself."""
    reserved = ".homeserver-backup-0123456789abcdef-01234567-01234567.partial"
    (tmp_path / "d" / "sub" / reserved).mkdir(parents=True)
    (tmp_path / "d" / reserved).write_bytes(b"1")
    (tmp_path / "d" / "good").write_bytes(b"1")
    up = cli("upload", str(tmp_path / "d"), "--json")
    assert up.code == ExitCode.UNSUPPORTED, up.err
    document = up.json()
    plan = document["plan"]
    assert (plan["files"], plan["unstorable"], plan["unstorable_folders"]) == (1, 2, 1)
    shown = cli("upload", str(tmp_path / "d"), "--dry-run").out
    assert "will be refused, because local cannot hold the name: 1 file and 1 folder: d/" in shown
    assert f"  why: {plan['unstorable_why']}\n" in shown
    (tmp_path / "d" / "sub" / reserved).rmdir()
    shown = cli("upload", str(tmp_path / "d"), "--dry-run").out
    assert f"will be refused, because local cannot hold the name: 1 file: d/{reserved}\n" in shown
    assert document["job"]["error"] is None
    assert {item["key"].rpartition("/")[0] for item in document["failed"]} == {"d", "d/sub"}


def test_a_folder_that_fails_during_the_scan_is_not_a_difference(paths: Paths):
    from backup.journal import Journal, items, jobs
    from backup.journal.records import Destination, Ending, JobRequest, NewItem, Outcome, Planned
    from backup.model.transfers import ItemKind, JobKind
    from backup.worker.scan.differences import Differences

    paths.state_dir.mkdir(parents=True)
    found = [NewItem(name="d/a", key="d/a"), NewItem(name="d/e", key="d/e", kind=ItemKind.DIRECTORY)]
    with Journal(paths.journal_file) as journal, journal.transaction() as tx:
        place = Destination(instance="local", type="local", container="/srv", settings="{}")
        order = JobRequest(kind=JobKind.UPLOAD, sources=("/d",), planned=Planned(files=1))
        job = jobs.job(tx, jobs.add_job(tx, order, place, title="d", destination="", now=1.0))
        differences = Differences(job, 0)
        differences.add(tx, found, now=1.0)
        claimed = items.claim(tx, "local", limit=9, now=1.0)
        for item in claimed:
            items.end(tx, Outcome(item_id=item.id, ending=Ending.FAILED), now=1.0)
        assert differences.error(tx) is None


def test_a_marker_of_an_impossible_folder_is_not_counted_as_a_file(
    cli: Cli, paths: Paths, moto_s3: S3Server, aws_credentials: None, tmp_path: Path
):
    bucket = moto_s3.new_bucket()
    moto_s3.put(bucket, "d/a", b"1")
    moto_s3.put(bucket, "d/../", b"")
    write_config(paths, s3=s3_instance(moto_s3, bucket))
    down = cli("download", "d/", "--to", str(tmp_path / "back"), "--json")
    assert down.code == ExitCode.UNSUPPORTED, down.err
    assert down.json()["job"]["error"] is None
    assert [item["key"] for item in down.json()["failed"]] == ["d/../"]


def test_an_object_with_content_that_is_named_as_a_folder_is_not_left_out_silently(
    cli: Cli, paths: Paths, moto_s3: S3Server, aws_credentials: None, tmp_path: Path
):
    """A web page may have such a name; its bytes would be lost."""
    bucket = moto_s3.new_bucket()
    moto_s3.put(bucket, "site/page/", b"<html>")
    moto_s3.put(bucket, "site/page/below", b"1")
    moto_s3.put(bucket, "site/marker/", b"")
    write_config(paths, s3=s3_instance(moto_s3, bucket))
    down = cli("download", "site/", "--to", str(tmp_path / "back"), "--json")
    assert down.code == ExitCode.UNSUPPORTED, down.err
    assert [item["key"] for item in down.json()["failed"]] == ["site/page/"]
    assert "site/page/: holds 6 bytes, and is named as a folder" in down.err
    assert (tmp_path / "back/site/page/below").read_bytes() == b"1"
    assert (tmp_path / "back/site/marker").is_dir()


def test_links_and_pipes_among_stored_files_are_counted_as_left_out(cli: Cli, paths: Paths, tmp_path: Path):
    """Local storage is a folder, which may contain anything."""
    folder = paths.local_storage / "d"
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(b"content")
    (folder / "link").symlink_to("file")
    os.mkfifo(folder / "pipe")
    (paths.local_storage / "only").mkdir()
    (paths.local_storage / "only" / "link").symlink_to("../d/file")
    listed = cli("list", "--json")
    assert [file["name"] for file in listed.json()["files"]] == ["d/file"]
    assert {one["name"] for one in listed.json()["left_out"]} == {"d/link", "d/pipe", "only/link"}
    down = cli("download", "d/", "--to", str(tmp_path))
    assert down.code == 0, down.err
    assert "leaves out 2 entries without content (documents, shortcuts, links): d/link, d/pipe" in down.out
    assert "; 2 entries without content (documents, shortcuts, links) left out" in down.out
    nothing = cli("download", "only/", "--to", str(tmp_path))
    assert nothing.code == ExitCode.UNSUPPORTED
    gone = cli("delete", "d/", "--yes", "--json")
    assert (gone.json()["plan"]["left_out"], gone.json()["job"]["skipped_special"]) == (2, 2)


Meanwhile = Callable[[Callable[[], None]], None]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Runs a function between a plan and its transfer."""

    def between(happens: Callable[[], None]) -> None:
        for name in ("queue_upload", "queue_download"):
            real: Any = getattr(Queue, name)

            def queue(self: Queue, *args: Any, real: Any = real, **more: Any) -> Any:
                happens()
                return real(self, *args, **more)

            monkeypatch.setattr(Queue, name, queue)

    return between


@pytest.mark.few(2)
@pytest.mark.parametrize("looks_again", [False, True])
@pytest.mark.parametrize(("before", "after", "code"), [(3, 8, 0), (8, 3, ExitCode.CONFLICT), (8, 0, ExitCode.CONFLICT)])
def test_a_larger_file_is_reported_and_a_smaller_one_differs_from_its_plan(
    cli: Cli, paths: Paths, tmp_path: Path, before: int, after: int, code: int, looks_again: bool, meanwhile: Meanwhile
):
    """Bytes written since the plan are stored too; bytes planned and gone are not."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d/same").write_bytes(b"12")
    (tmp_path / "d/log").write_bytes(b"x" * before)

    def change() -> None:
        (tmp_path / "d/log").write_bytes(b"x" * after)
        for file in paths.plans_dir.iterdir() if looks_again else ():
            file.unlink()

    meanwhile(change)
    done = cli("upload", str(tmp_path / "d"))
    assert done.code == code, (done.out, done.err)
    assert f"{before + 2} B planned, {after + 2} B when it was read" in done.out
    assert (paths.local_storage / "d/log").stat().st_size == after
    if not code:
        assert "differs from its plan" not in done.err
        return
    assert "differs from its plan" in done.err
    said = f"{before + 2} B planned, {after + 2} B found when it began"
    assert (said if looks_again else f"d/log: {before} B planned, {after} B when it was read") in done.err
    assert cli("transfers", "list", "--since", "1h").code == ExitCode.FAILED_SINCE


@pytest.mark.few(2)
@pytest.mark.parametrize("looks_again", [False, True])
@pytest.mark.parametrize(("before", "after"), [(3, 8), (8, 3)])
def test_a_download_of_another_size_differs_from_its_plan(
    cli: Cli, paths: Paths, tmp_path: Path, before: int, after: int, looks_again: bool, meanwhile: Meanwhile
):
    """The object is not the planned one, whether it is larger or smaller."""
    (paths.local_storage / "d").mkdir(parents=True)
    (paths.local_storage / "d/same").write_bytes(b"12")
    (paths.local_storage / "d/a").write_bytes(b"x" * before)

    def change() -> None:
        (paths.local_storage / "d/a").write_bytes(b"x" * after)
        for file in paths.plans_dir.iterdir() if looks_again else ():
            file.unlink()

    meanwhile(change)
    done = cli("download", "d/", "--to", str(tmp_path), "--json")
    assert done.code == ExitCode.CONFLICT, (done.out, done.err)
    said = f"{before + 2} B planned, {after + 2} B found when it began"
    said = said if looks_again else f"d/a: {before} B planned, {after} B when it was fetched"
    assert said in done.json()["job"]["error"]["message"]
    job = done.json()["job"]
    assert (job["grown_bytes"], job["shrunk_bytes"]) == (max(0, after - before), max(0, before - after))
    assert (tmp_path / "d/a").stat().st_size == after


def test_a_file_that_shrank_is_not_offset_by_one_that_grew(cli: Cli, tmp_path: Path, meanwhile: Meanwhile):
    (tmp_path / "d").mkdir()
    for name, size in (("a", 5), ("b", 3)):
        (tmp_path / "d" / name).write_bytes(b"x" * size)

    def change() -> None:
        (tmp_path / "d/a").write_bytes(b"x" * 3)
        (tmp_path / "d/b").write_bytes(b"x" * 5)

    meanwhile(change)
    done = cli("upload", str(tmp_path / "d"), "--json")
    assert done.code == ExitCode.CONFLICT, done.err
    assert done.json()["job"]["error"]["message"] == "d/a: 5 B planned, 3 B when it was read"


def test_bytes_found_by_a_second_look_are_counted_once(paths: Paths):
    """A scan may end twice if its worker is killed before the end is recorded."""
    from backup.journal import Journal, jobs, views
    from backup.journal.records import Destination, JobRequest, NewItem, Planned
    from backup.model.transfers import JobKind
    from backup.worker.scan.differences import Differences

    paths.state_dir.mkdir(parents=True)
    with Journal(paths.journal_file) as journal, journal.transaction() as tx:
        place = Destination(instance="local", type="local", container="/srv", settings="{}")
        order = JobRequest(kind=JobKind.UPLOAD, sources=("/d",), planned=Planned(files=1, size_bytes=4))
        job = jobs.job(tx, jobs.add_job(tx, order, place, title="d", destination="", now=1.0))
        Differences(job, 0).add(tx, [NewItem(name="d/a", key="d/a", size_bytes=6)], now=1.0)
        assert [Differences(job, 1).error(tx) for _ in range(2)] == [None, None]
        assert views.job(tx, job.id).grown_bytes == 2
