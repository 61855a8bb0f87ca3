"""`unfinished`: unfinished uploads are listed and removed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backup.cli.diagnostics import ExitCode
from backup.journal import Journal, jobs
from backup.journal.checkpoints import UploadCheckpoint
from backup.journal.records import Destination, JobRequest, NewItem
from backup.model.transfers import ItemState, JobKind
from backup.system.paths import Paths
from providers import registry
from providers.contract.upload import SavedUpload, SourceIdentity, UploadRequest
from providers.local.folder import temporary_name
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import Fault
from tests.cli.conftest import Cli, s3_instance, write_config
from tests.processes import stop_worker
from tests.servers.s3_requests import list_parts
from tests.servers.s3_server import ACCESS_KEY, SECRET_KEY, S3Server

DAY_S = 86400.0


@pytest.fixture(autouse=True)
def _worker_stopped(paths: Paths) -> Iterator[None]:
    yield
    if paths.journal_file.exists():
        assert stop_worker(paths)


def leave(paths: Paths, key: str, age_s: float, data: bytes = b"123") -> str:
    """Leave the temporary file of a killed upload of `key` in local storage; returns its path there."""
    name = temporary_name(key.rpartition("/")[2], time.time() - age_s, "", 0)
    path = paths.local_storage / key.rpartition("/")[0] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path.relative_to(paths.local_storage))


def needed(paths: Paths, name: str) -> None:
    """Add an unfinished item of ours that will resume the upload."""
    request = UploadRequest(key="d/mine", size_bytes=10, part_size_bytes=10)
    saved = SavedUpload(
        source=SourceIdentity(size_bytes=10, mtime_ns=1, inode=1),
        request=request,
        intended_at=1.0,
        token={"temp": name},
    )
    paths.state_dir.mkdir(parents=True, exist_ok=True)
    with Journal(paths.journal_file) as journal:
        with journal.transaction() as tx:
            place = Destination(instance="local", type="local", container=str(paths.local_storage), settings="{}")
            order = JobRequest(kind=JobKind.UPLOAD, sources=("/d/mine",))
            job = jobs.job(tx, jobs.add_job(tx, order, place, title="d", destination="", now=1.0))
            jobs.add_items(tx, job, [NewItem(name="mine", key="d/mine", state=ItemState.PAUSED)], now=1.0)
            item = jobs.item_of_name(tx, job.id, "mine")
            jobs.scan_ended(tx, job.id)
        assert item is not None
        UploadCheckpoint(journal, item[0]).save(saved)


def test_they_are_listed_with_age_and_size_oldest_first(cli: Cli, paths: Paths):
    new, old = leave(paths, "a", 60), leave(paths, "d/b", 9 * DAY_S, b"12345")
    (paths.local_storage / "whole").write_bytes(b"1")
    listed = cli("unfinished", "list", "--json").json()["unfinished"]
    assert [(one["key"], one["size_bytes"], one["needed_by"]) for one in listed] == [(old, 5, None), (new, 3, None)]
    assert abs(listed[0]["age_s"] - 9 * DAY_S) < 60
    assert cli("unfinished", "--json").json()["unfinished"][0]["key"] == old
    assert cli("unfinished", "--json", "list").code == ExitCode.USAGE
    shown = cli("unfinished").out.splitlines()
    assert shown[1].split()[:2] == ["9", "d"]
    assert "5 B" in shown[1]


def test_only_old_enough_or_named_uploads_are_removed(cli: Cli, paths: Paths):
    new, old = leave(paths, "a", 60), leave(paths, "d/b", 9 * DAY_S)
    assert cli("unfinished", "remove", "--yes").code == ExitCode.USAGE
    assert cli("unfinished", "remove", "--older-than", "7d").code == ExitCode.USAGE  # no terminal to ask on
    assert cli("unfinished", "remove", "--older-than", "soon", "--yes").code == ExitCode.USAGE
    assert cli("unfinished", "remove", new, "--older-than", "7d", "--yes").out == "nothing to remove\n"
    done = cli("unfinished", "remove", "--older-than", "7d", "--yes", "--json")
    assert done.code == 0, done.err
    assert [one["key"] for one in done.json()["removed"]] == [old]
    assert not (paths.local_storage / old).exists()
    assert cli("unfinished", "remove", new, "--yes").code == 0
    assert "no unfinished uploads" in cli("unfinished", "list").out


def test_an_upload_of_unknown_age_is_never_old_enough(cli: Cli, paths: Paths):
    left = leave(paths, "a", time.time())
    (found,) = cli("unfinished", "list", "--json").json()["unfinished"]
    assert (found["key"], found["age_s"]) == (left, None)
    assert cli("unfinished", "remove", "--older-than", "1d", "--yes").out == "nothing to remove\n"
    assert (paths.local_storage / left).exists()


def test_it_asks_first(cli: Cli, paths: Paths, monkeypatch: pytest.MonkeyPatch):
    left = leave(paths, "a", 60)
    monkeypatch.setattr("backup.cli.commands.unfinished.stdin_is_terminal", lambda: True)
    assert cli("unfinished", "remove", left, stdin="n\n").code == ExitCode.CANCELLED
    assert (paths.local_storage / left).exists()
    assert cli("unfinished", "remove", left, stdin="y\n").code == 0
    assert not (paths.local_storage / left).exists()


def test_an_upload_that_a_transfer_of_ours_will_resume_is_kept(cli: Cli, paths: Paths):
    mine, other = leave(paths, "d/mine", 9 * DAY_S), leave(paths, "d/other", 9 * DAY_S)
    needed(paths, os.path.basename(mine))
    done = cli("unfinished", "remove", "--older-than", "1d", mine, other, "--yes", "--json")
    assert done.code == 0, done.err
    assert [one["key"] for one in done.json()["kept"]] == [mine]
    assert [one["key"] for one in done.json()["removed"]] == [other]
    assert "kept: transfer 1 will resume" in done.err
    assert (paths.local_storage / mine).exists()


def test_other_files_cannot_be_removed(cli: Cli, paths: Paths, tmp_path: Path):
    paths.local_storage.mkdir(parents=True)
    (paths.local_storage / "whole").write_bytes(b"1")
    (paths.local_storage / "link").symlink_to(tmp_path)
    assert cli("unfinished", "remove", "whole", "--yes").out == "nothing to remove\n"
    assert (paths.local_storage / "whole").exists()


def test_uploads_of_others_at_s3_are_listed_and_removed(
    cli: Cli, paths: Paths, rclone_s3: S3Server, aws_credentials: None
):
    bucket = rclone_s3.new_bucket()
    begun = rclone_s3.admin.create_multipart_upload(Bucket=bucket, Key="p/theirs")
    rclone_s3.admin.upload_part(
        Bucket=bucket, Key="p/theirs", UploadId=begun["UploadId"], PartNumber=1, Body=b"x" * 100
    )
    rclone_s3.admin.create_multipart_upload(Bucket=bucket, Key="elsewhere")
    write_config(paths, s3=s3_instance(rclone_s3, bucket, prefix="p"))
    (found,) = cli("unfinished", "list", "--json").json()["unfinished"]
    assert (found["key"], found["size_bytes"]) == ("theirs", 100)
    assert cli("unfinished", "remove", "theirs", "--yes").code == 0
    assert cli("unfinished", "list", "--json").json()["unfinished"] == []
    left = rclone_s3.admin.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [one["Key"] for one in left] == ["elsewhere"]


@pytest.mark.parametrize("upload_id", ["", "<UploadId></UploadId>", "<UploadId> </UploadId>"])
def test_an_upload_without_an_id_is_ignored(rclone_s3: S3Server, rclone_proxy: FaultProxy, upload_id: str):
    """Aborting an upload without an id is a DELETE that some servers, rclone's among them, apply to the object."""
    bucket = rclone_s3.new_bucket()
    rclone_s3.put(bucket, "mine", b"content")
    page = f"<ListMultipartUploadsResult><Upload><Key>mine</Key>{upload_id}</Upload></ListMultipartUploadsResult>"
    rclone_proxy.fault(
        Fault.rewrite(lambda reply: replace(reply, status=200).holding(page)),
        lambda request: "uploads" in request.query,
        times=None,
    )
    settings = {**s3_instance(rclone_s3, bucket, port=rclone_proxy.port), "access_key": ACCESS_KEY}
    del settings["type"]
    provider = registry.load("aws_s3")({**settings, "secret_key": SECRET_KEY})
    found = [*provider.unfinished_uploads(), *provider.pending_uploads("mine")]
    for upload in found:
        provider.discard_unfinished(upload)
    provider.close()
    assert rclone_s3.keys(bucket) == {"mine"}
    assert found == []


def test_an_upload_that_ends_during_the_listing_is_no_failure(cli: Cli, paths: Paths, monkeypatch: pytest.MonkeyPatch):
    """A worker may have completed its upload meanwhile, and its folder may be gone."""
    ended, other = leave(paths, "d/a", 60), leave(paths, "d/b", 60)
    folder = paths.local_storage / "d" / "folder"
    folder.mkdir()
    look = os.stat

    def stat(name: str | bytes, **more: Any) -> os.stat_result:
        if name == os.path.basename(ended).encode():
            (paths.local_storage / ended).unlink()
        found = look(name, **more)
        if name == b"folder":
            folder.rmdir()
        return found

    monkeypatch.setattr("providers.local.unfinished.os.stat", stat)
    listed = cli("unfinished", "list", "--json")
    assert listed.code == 0, listed.err
    assert [one["key"] for one in listed.json()["unfinished"]] == [other]
    assert not folder.exists()


@pytest.mark.few(2)
@pytest.mark.parametrize("status", [403, 404, 405, 501])
def test_an_upload_with_unlisted_parts_has_an_unknown_size(
    cli: Cli, paths: Paths, rclone_s3: S3Server, rclone_proxy: FaultProxy, aws_credentials: None, status: int
):
    bucket = rclone_s3.new_bucket()
    rclone_s3.admin.create_multipart_upload(Bucket=bucket, Key="theirs")
    write_config(paths, s3=s3_instance(rclone_s3, bucket, port=rclone_proxy.port))
    rclone_proxy.fault(Fault.status(status), list_parts(), times=None)
    listed = cli("unfinished", "list", "--json")
    assert listed.code == 0, listed.err
    (found,) = listed.json()["unfinished"]
    assert (found["key"], found["size_bytes"]) == ("theirs", None)
