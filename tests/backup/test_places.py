"""Identity of places: the same with another key and after an update, different for another account."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backup.instances.destination import place_of
from backup.journal import Journal, former_places, items, jobs
from backup.journal.checkpoints import UploadCheckpoint
from backup.journal.records import Destination, JobRequest, NewItem
from backup.model.transfers import ItemState, JobKind
from backup.system.packing import pack
from providers import registry
from providers.contract.report import ErrorInfo
from providers.contract.upload import SavedUpload, SourceIdentity, UploadRequest
from tests.backup.queue_support import wait_until
from tests.servers.b2 import B2Server
from tests.servers.drive_oauth import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN
from tests.servers.drive_server import DriveServer
from tests.servers.dropbox_server import ACCOUNT_ID, APP_KEY, DropboxServer
from tests.servers.dropbox_server import REFRESH_TOKEN as DROPBOX_TOKEN
from tests.servers.s3_server import S3Server

FORMER = Path(__file__).parent / "journals" / "version_4.sql"
PORTS = {"nas": 9000, "b2": 9001, "box": 9002, "drive": 9003}
CONTAINERS = {"nas": "backups", "b2": "backups"}


def former_journal(file: Path, source: Path, instance: str, url: str = "", container: str = "") -> None:
    """The journal of the version before with a queue for one instance, pointed to the test's server."""
    file.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(file)
    db.executescript(FORMER.read_text())
    for job_table, column in (("items", "instance"), ("jobs", "instance")):
        for (row,) in db.execute(f"SELECT id FROM {job_table} WHERE {column} <> ?", (instance,)).fetchall():
            if job_table == "items":
                db.execute("DELETE FROM events WHERE item_id = ?", (row,))
                db.execute("DELETE FROM checkpoints WHERE item_id = ?", (row,))
            db.execute(f"DELETE FROM {job_table} WHERE id = ?", (row,))
    if url:
        old = f"http://127.0.0.1:{PORTS[instance]}"
        db.execute(
            "UPDATE places SET settings = replace(settings, ?1, ?2), location = replace(location, ?1, ?2)", (old, url)
        )
    if container:
        old = CONTAINERS[instance]
        db.execute("UPDATE places SET container = ? WHERE container = ?", (container, old))
        db.execute("UPDATE places SET settings = replace(settings, ?, ?)", (f'"{old}"', f'"{container}"'))
        db.execute("UPDATE places SET location = replace(location, ?, ?)", (f"bucket={old} ", f"bucket={container} "))
    db.execute("UPDATE items SET local_path = ?", (bytes(source),))
    db.commit()
    db.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"bytes")
    return path


@pytest.fixture
def dropbox() -> Iterator[DropboxServer]:
    with DropboxServer() as server:
        server.store.make_folder("/backups", False)
        yield server


@pytest.fixture
def drive() -> Iterator[DriveServer]:
    with DriveServer() as server:
        server.store.folder("Backups")
        yield server


def finish_all(bench: Any) -> dict[str, ItemState]:
    bench.queue.ensure_worker()
    for job in bench.queue.snapshot().jobs:
        bench.finish(job)
    return {item.name: item.state for item in bench.queue.snapshot().items}


DONE = {"done.txt": ItemState.DONE, "bound.txt": ItemState.DONE, "unbound.txt": ItemState.DONE}


def test_after_an_update_s3_continues_with_another_key(bench, moto_s3: S3Server, source):
    bucket = moto_s3.new_bucket()
    former_journal(bench.paths.journal_file, source, "nas", moto_s3.url, bucket)
    bench.configure_s3("nas", moto_s3.url, bucket, prefix="the photos", access_key="AKIANEW")
    assert finish_all(bench) == DONE
    assert moto_s3.keys(bucket) == {"the photos/bound.txt", "the photos/unbound.txt"}


def test_after_an_update_b2_continues_with_another_key(bench, b2_server: B2Server, source):
    bucket, key = b2_server.new_bucket()
    former_journal(bench.paths.journal_file, source, "b2", b2_server.url, bucket)
    bench.configure(
        "b2", type="backblaze", realm=b2_server.url, container=bucket, application_key_id=key.key_id,
        application_key=key.key,
    )  # fmt: skip
    assert finish_all(bench) == DONE
    assert set(b2_server.objects(bucket)) == {"bound.txt", "unbound.txt"}


def test_after_an_update_dropbox_continues(bench, dropbox, source):
    """Its journal had the app but not the account."""
    file = bench.paths.journal_file
    former_journal(file, source, "box", dropbox.url)
    with sqlite3.connect(file) as db:
        db.execute("UPDATE places SET location = replace(location, 'app1', ?)", (APP_KEY,))
    db.close()
    configure_dropbox(bench, dropbox)
    assert finish_all(bench) == DONE


def test_after_an_update_drive_continues_with_another_client(bench, drive, source):
    former_journal(bench.paths.journal_file, source, "drive", drive.url)
    configure_drive(bench, drive)
    assert finish_all(bench) == DONE


def configure_dropbox(bench: Any, server: DropboxServer, **values: Any) -> None:
    settings = {"container": "backups", "app_key": APP_KEY, "refresh_token": DROPBOX_TOKEN, "retry_delay": 0.05}
    bench.configure("box", type="dropbox", endpoint_url=server.url, **(settings | values))


def configure_drive(bench: Any, server: DriveServer, **values: Any) -> None:
    settings = {"container": "Backups", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    bench.configure(
        "drive", type="google_drive", endpoint_url=server.url, refresh_token=REFRESH_TOKEN, **(settings | values)
    )


def queued(bench: Any, instance: str, source: Path, *, location: str, account: str = "") -> int:
    """A file that was queued when the instance had this place, and that no worker has seen yet."""
    place = place_of(bench.paths, instance)
    with Journal(bench.paths.journal_file) as journal, journal.transaction() as tx:
        job_id = jobs.add_job(
            tx, JobRequest(kind=JobKind.UPLOAD, sources=(str(source),)), place, title="x", destination="/", now=1
        )
        job = jobs.job(tx, job_id)
        jobs.add_items(tx, job, [NewItem(name="x", key="x", local_path=str(source), size_bytes=5)], now=1)
        jobs.scan_ended(tx, job_id)
        jobs.bind_place(tx, job.place_id, location, account)
    return job_id


def outcome(bench: Any, job_id: int) -> Any:
    """The job's only item, once it is done or paused."""
    bench.queue.ensure_worker()
    job = bench.queue.job(job_id)
    still = {ItemState.DONE, ItemState.PAUSED, ItemState.FAILED}
    wait_until(lambda: all(item.state in still for item in bench.items(job)))
    return bench.only_item(job)


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("account", "state"),
    [
        ("", ItemState.DONE),
        (f"{ACCOUNT_ID} app={APP_KEY} root=1 folder=", ItemState.DONE),
        (f"{ACCOUNT_ID} app=another root=1 folder=id:another", ItemState.PAUSED),
        (f"dbid:somebody-else app={APP_KEY} root=1 folder=", ItemState.PAUSED),
        (f"{ACCOUNT_ID} app={APP_KEY} root=2 folder=", ItemState.PAUSED),
    ],
    ids=["not known", "the same", "another app", "another account", "another root"],
)
def test_dropbox_checks_the_account_of_a_folder(bench, dropbox, source, account, state):
    configure_dropbox(bench, dropbox)
    place = registry.load("dropbox")({"endpoint_url": dropbox.url, "container": "backups"}).place
    item = outcome(bench, queued(bench, "box", source, location=place, account=account))
    assert item.state is state
    if state is ItemState.PAUSED:
        assert "pointed to" in item.error.message
        assert dropbox.files() == {}


def test_dropbox_recognises_a_folder_with_any_app(dropbox):
    """A full Dropbox shows the same folder to every app, as its id proves."""
    one, other = (
        registry.load("dropbox")(
            {"endpoint_url": dropbox.url, "container": "backups", "app_key": APP_KEY, "refresh_token": DROPBOX_TOKEN}
        )
        for _ in range(2)
    )
    account = one.account()
    assert other.same_account(account.replace(f"app={APP_KEY}", "app=older"), account)
    assert not other.same_account(account.replace("dbid:", "dbid:x"), account)
    one.close()
    other.close()


def test_another_google_account_is_another_place(bench, drive, source):
    configure_drive(bench, drive)
    place = registry.load("google_drive")({"endpoint_url": drive.url, "container": "Backups"}).place
    assert (
        outcome(bench, queued(bench, "drive", source, location=place, account="x@example.net")).state
        is ItemState.PAUSED
    )
    job_id = queued(bench, "drive", source, location=place)
    assert outcome(bench, job_id).state is ItemState.DONE
    with Journal(bench.paths.journal_file) as journal, journal.look() as db:
        assert "@" in jobs.place(db, jobs.job(db, job_id).place_id).account


def test_another_account_of_b2_with_a_bucket_of_that_name_is_another_place(bench, b2_server, source):
    bucket, key = b2_server.new_bucket()
    bench.configure(
        "b2", type="backblaze", realm=b2_server.url, container=bucket, application_key_id=key.key_id,
        application_key=key.key,
    )  # fmt: skip
    place = registry.load("backblaze")({"realm": b2_server.url, "container": bucket}).place
    assert outcome(bench, queued(bench, "b2", source, location=place, account="somebody")).state is ItemState.PAUSED
    assert outcome(bench, queued(bench, "b2", source, location=place, account="0a1b2c3d4e5f")).state is ItemState.DONE


def test_another_bucket_still_pauses(bench, moto_s3, source):
    bucket = moto_s3.new_bucket()
    bench.configure_s3("nas", moto_s3.url, bucket)
    place = registry.load("aws_s3")({"endpoint_url": moto_s3.url, "container": "another"}).place
    item = outcome(bench, queued(bench, "nas", source, location=place))
    assert item.state is ItemState.PAUSED
    assert "bucket=another" in item.error.message


def test_leftovers_of_a_cancelled_item_are_removed_with_another_key(bench, moto_s3, source):
    bucket = moto_s3.new_bucket()
    left = moto_s3.admin.create_multipart_upload(Bucket=bucket, Key="x")
    bench.configure_s3("nas", moto_s3.url, bucket, access_key="AKIANEW")
    former = f"aws_s3 {moto_s3.url} bucket={bucket} id=AKIAOLD"
    job_id = queued(bench, "nas", source, location=former_places.place_of(former))
    with Journal(bench.paths.journal_file) as journal:
        with journal.look() as db:
            (item_id,) = (row["id"] for row in db.execute("SELECT id FROM items WHERE job_id = ?", (job_id,)))
        UploadCheckpoint(journal, item_id).save(
            SavedUpload(
                source=SourceIdentity(size_bytes=5, mtime_ns=1, inode=1),
                request=UploadRequest(key="x", size_bytes=5, part_size_bytes=5),
                intended_at=1.0,
                token={"upload_id": left["UploadId"], "checksum": ""},
            )
        )
        with journal.transaction() as tx:
            items.cancel(tx, [item_id], now=2)
    bench.queue.ensure_worker()
    wait_until(lambda: not moto_s3.admin.list_multipart_uploads(Bucket=bucket).get("Uploads"))


def test_history_finds_its_object_after_a_rotation_and_an_update(paths, source):
    former_journal(paths.journal_file, source, "nas")
    with Journal(paths.journal_file) as journal:
        now = Destination(
            instance="nas", type="aws_s3", container="backups", settings="{}",
            location=registry.load("aws_s3")(
                {"endpoint_url": "HTTPS://127.0.0.1:9000", "container": "backups", "prefix": "the photos"}
            ).place,
        )  # fmt: skip
        with journal.transaction() as tx:
            job_id = jobs.add_job(tx, JobRequest(kind=JobKind.UPLOAD, sources=()), now, title="", destination="", now=1)
            place_id = jobs.job(tx, job_id).place_id
        with journal.look() as db:
            assert items.known_sha256(db, place_id, "done.txt", etag="etag-of-done", size_bytes=5) == "5" * 64


FORMER_PLACES = [
    ("aws_s3 http://127.0.0.1:9000 bucket=backups prefix=the photos/ id=AKIAOLD",
     "aws_s3", {"endpoint_url": "http://127.0.0.1:9000/", "container": "backups", "prefix": "the photos"}),
    ("aws_s3 AWS eu-central-1 bucket=my-backups id=AKIAOLD", "aws_s3",
     {"container": "my-backups", "region": "eu-west-1"}),
    ("aws_s3 AWS default region bucket=b id=profile my own", "aws_s3", {"container": "b"}),
    ("aws_s3 AWS cn-north-1 bucket=b id=AWS chain", "aws_s3", {"container": "b", "region": "cn-north-1"}),
    ("aws_s3 https://s3.eu-central-1.amazonaws.com bucket=b prefix=a id=b/ id=K", "aws_s3",
     {"container": "b", "prefix": "a id=b"}),
    ("backblaze https://api.backblazeb2.com bucket=b prefix=p q/ id=1", "backblaze",
     {"container": "b", "prefix": "p q"}),
    ("dropbox http://127.0.0.1:9002 app=app1 folder=/backups", "dropbox",
     {"endpoint_url": "http://127.0.0.1:9002", "container": "Backups"}),
    ("dropbox Dropbox app=k account=dbid:A folder=/", "dropbox", {}),
    ("google_drive of client1: My Drive folder=Backups", "google_drive", {"container": "Backups"}),
    ("google_drive http://127.0.0.1:9003 of a@b.c: shared drive 0A folder=x: y", "google_drive",
     {"endpoint_url": "http://127.0.0.1:9003", "shared_drive_id": "0A", "container": "x: y"}),
    ("local /srv/store", "local", {"container": "/srv/store/"}),
]  # fmt: skip


@pytest.mark.parametrize(("former", "service", "settings"), FORMER_PLACES, ids=[each[0] for each in FORMER_PLACES])
def test_a_former_place_equals_the_one_of_its_settings_now(former, service, settings):
    assert former_places.place_of(former) == registry.load(service)(settings).place
    assert former_places.place_of(former_places.place_of(former)) == former_places.place_of(former)


def test_a_former_place_may_contain_its_account():
    assert former_places.account_of("google_drive of Me@Example.net: My Drive folder=x") == "me@example.net"
    assert former_places.account_of("google_drive of client1: My Drive folder=x") == ""
    assert former_places.account_of("dropbox Dropbox app=k account=dbid:A folder=/") == "dbid:A app=k root= folder="
    assert former_places.account_of("aws_s3 AWS eu-central-1 bucket=b id=K") == ""


def test_a_place_with_a_key_in_it_of_a_class_in_the_guides_style():
    assert former_places.place_of("acme:user@x@bucket") == "acme:bucket prefix="


SAME = [
    ("aws_s3", "endpoint_url",
     ["https://S3.Example.net", "https://s3.example.net/", "https://s3.example.net:443", "http://s3.example.net:80/",
      "http://s3.example.net.", "HTTPS://s3.EXAMPLE.net//"]),
    ("aws_s3", "endpoint_url", ["", "https://s3.eu-central-1.amazonaws.com", "https://s3.dualstack.us-east-1.amazonaws.com"]),
    ("aws_s3", "endpoint_url", ["http://[::1]:9000", "https://[::1]:9000/"]),
    ("aws_s3", "region", ["", "us-east-1", "eu-west-1"]),
    ("aws_s3", "prefix", ["a/b", "/a/b/", "a/b/"]),
    ("aws_s3", "access_key", ["", "AKIAONE", "AKIATWO"]),
    ("backblaze", "realm", ["", "https://api.backblazeb2.com/", "https://API.backblazeb2.com:443"]),
    ("backblaze", "application_key_id", ["", "1", "2"]),
    ("dropbox", "refresh_token", ["one", "two"]),
    ("google_drive", "client_id", ["one", "two"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("service", "setting", "values"), SAME, ids=[f"{each[0]} {each[1]} {each[2][-1]}" for each in SAME]
)
def test_different_spellings_and_keys_are_the_same_place(service, setting, values):
    secret = {"secret_key": "s"} if setting == "access_key" else {}
    places = {registry.load(service)({"container": "c", setting: value, **secret}).place for value in values}
    assert len(places) == 1


OTHER = [
    ("aws_s3", "endpoint_url", ["", "http://a", "http://a:8080", "http://a/gateway", "http://b", "https://amazonaws.com.evil.net"]),
    ("aws_s3", "region", ["eu-west-1", "cn-north-1", "us-gov-west-1"]),
    ("aws_s3", "prefix", ["", "a", "A", "a/b"]),
    ("aws_s3", "container", ["a", "b"]),
    ("backblaze", "container", ["a", "b"]),
    ("backblaze", "prefix", ["", "a"]),
    ("dropbox", "container", ["", "a"]),
    ("google_drive", "shared_drive_id", ["", "0A", "0B"]),
    ("local", "container", ["/a", "/b"]),
]  # fmt: skip


@pytest.mark.parametrize(("service", "setting", "values"), OTHER, ids=[f"{each[0]} {each[1]}" for each in OTHER])
def test_different_places(service, setting, values):
    places = {registry.load(service)({"container": "c", setting: value}).place for value in values}
    assert len(places) == len(values)


def pause_as_before(file: Path, instance: str) -> None:
    """As the version before left its queue after the key was rotated."""
    error = ErrorInfo(
        "configuration",
        f"{instance} pointed to aws_s3 http://127.0.0.1:9000 bucket=backups id=AKIAOLD when this was queued, and now"
        " points to aws_s3 http://127.0.0.1:9000 bucket=backups id=AKIANEW",
        "Change it back and resume, or cancel and queue again.",
    )
    with sqlite3.connect(file) as db:
        db.execute("UPDATE items SET state = 'paused', error = ? WHERE state = 'queued'", (pack(error),))
    db.close()


def test_items_paused_for_a_rotated_key_by_the_version_before_continue_after_the_update(
    bench, moto_s3: S3Server, source
):
    bucket = moto_s3.new_bucket()
    former_journal(bench.paths.journal_file, source, "nas", moto_s3.url, bucket)
    pause_as_before(bench.paths.journal_file, "nas")
    bench.configure_s3("nas", moto_s3.url, bucket, prefix="the photos", access_key="AKIANEW")
    assert finish_all(bench) == DONE
    assert moto_s3.keys(bucket) == {"the photos/bound.txt", "the photos/unbound.txt"}


def test_items_paused_by_the_user_stay_paused_after_the_update(paths, source):
    former_journal(paths.journal_file, source, "nas")
    with sqlite3.connect(paths.journal_file) as db:
        db.execute("UPDATE items SET state = 'paused' WHERE state = 'queued'")
    db.close()
    with Journal(paths.journal_file) as journal, journal.look() as looked:
        assert {row["state"] for row in looked.execute("SELECT state FROM items")} == {"done", "paused"}
