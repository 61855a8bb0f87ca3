"""The queue over S3 with disturbances: kills, stalls, wrong keys, an unreachable server."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from backup.journal import Journal, views
from backup.model.transfers import Conflicts, ItemState, JobView
from providers.contract.report import PROBE_PREFIX
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import Fault, SeenRequest, Side
from tests.backup.queue_support import MIB, Workbench, files_below, wait_until
from tests.processes import stop_worker
from tests.servers.s3_requests import abort_multipart, complete_multipart, put_object, put_part, put_part_from
from tests.servers.s3_server import SECRET_KEY, S3Server


def big_file(folder: Path, parts: int) -> Path:
    """A file of this many 5 MiB parts, no two alike."""
    path = folder / "big.bin"
    path.write_bytes(random.Random(7).randbytes(5 * MIB * parts - 1234))
    return path


def parts_that_arrived(proxy: FaultProxy) -> list[str]:
    """Numbers of the big file's parts that the server received."""
    sent = [request for request in proxy.requests if put_part()(request) and request.path.endswith("big.bin")]
    return [request.query["partNumber"] for request in sent if request.ok]


def written_down(bench: Workbench, job: JobView) -> int:
    """Bytes of the job that the journal knows to be safe, without those of parts under way."""
    with Journal(bench.paths.journal_file) as journal, journal.look() as db:
        return views.job(db, job.id).done_bytes


@pytest.fixture
def s3_bench(bench: Workbench, rclone_s3: S3Server, rclone_proxy: FaultProxy) -> tuple[Workbench, str]:
    bucket = rclone_s3.new_bucket()
    bench.configure_s3("cloud", rclone_proxy.url, bucket)
    return bench, bucket


def learn_the_server(bench: Workbench, folder: Path) -> None:
    """One upload, so that the server's behaviour is known and not tried out any more."""
    first = folder / "first"
    first.write_bytes(b"first")
    bench.finish(bench.queue.queue_upload("cloud", [first]))


def test_an_upload_killed_at_any_moment_resumes_and_sends_no_finished_part_again(
    s3_bench: tuple[Workbench, str], rclone_s3: S3Server, rclone_proxy: FaultProxy, tmp_path: Path
) -> None:
    bench, bucket = s3_bench
    source = big_file(tmp_path, 8)
    finished_before_kills: list[str] = []
    job = bench.queue.queue_upload("cloud", [source], "safe")
    for part in (3, 6):
        # Every later part stalls as well: a slow machine could finish them all before the kill.
        stall = rclone_proxy.fault(Fault.stall(at=100_000), put_part_from(part), times=None)
        stall.wait_held()
        wait_until(lambda part=part: written_down(bench, job) == (part - 1) * 5 * MIB)  # type: ignore[misc]
        bench.kill_worker(signal.SIGKILL)
        finished_before_kills += parts_that_arrived(rclone_proxy)
        rclone_proxy.cut_connections()  # else stalled parts in the kernel's buffers would arrive after the kill
        stall.release()
        rclone_proxy.wait_idle()
        rclone_proxy.forget()
        bench.queue.ensure_worker()
    done = bench.finish(job)
    item = bench.only_item(done)
    assert (item.state, item.error) == (ItemState.DONE, None)
    assert item.proof is not None
    assert rclone_s3.objects(bucket) == {"safe/big.bin": source.read_bytes()}
    assert rclone_s3.unfinished_uploads(bucket) == []
    again = [part for part in parts_that_arrived(rclone_proxy) if part in finished_before_kills]
    assert again == []
    stop_worker(bench.paths)
    # The last worker counted all its parts; the killed ones counted what they had written by then.
    calls, all_calls = bench.only_item(done).calls, bench.queue.calls("cloud")
    assert calls["UploadPart"] >= len(parts_that_arrived(rclone_proxy)) > 0
    assert (calls["CreateMultipartUpload"], calls["CompleteMultipartUpload"]) == (1, 1)
    assert all(all_calls[kind] >= count for kind, count in calls.items())


def test_an_upload_killed_right_after_the_commit_sends_nothing_again(
    s3_bench: tuple[Workbench, str], rclone_s3: S3Server, rclone_proxy: FaultProxy, tmp_path: Path
) -> None:
    bench, bucket = s3_bench
    learn_the_server(bench, tmp_path)
    source = big_file(tmp_path, 3)
    reply = rclone_proxy.fault(Fault.stall(Side.RESPONSE, at=None), complete_multipart(), times=None)
    job = bench.queue.queue_upload("cloud", [source])
    reply.wait_held()
    bench.kill_worker(signal.SIGKILL)
    reply.release()
    assert rclone_s3.unfinished_uploads(bucket) == []
    rclone_proxy.forget()
    bench.queue.ensure_worker()
    bench.finish(job)
    item = bench.only_item(job)
    assert (item.state, item.error, item.bytes_done) == (ItemState.DONE, None, item.size_bytes)
    assert item.proof is not None
    assert parts_that_arrived(rclone_proxy) == []
    assert rclone_s3.objects(bucket)["big.bin"] == source.read_bytes()


def test_kills_at_random_moments_lose_nothing(
    s3_bench: tuple[Workbench, str], rclone_s3: S3Server, rclone_proxy: FaultProxy, tmp_path: Path
) -> None:
    bench, bucket = s3_bench
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number}.bin").write_bytes(os.urandom(20_000))
    big_file(folder, 4)
    learn_the_server(bench, tmp_path)
    chance = random.Random(os.getpid())
    job = bench.queue.queue_upload("cloud", [folder])
    for _ in range(3):
        seen = len(rclone_proxy.requests) + chance.randrange(1, 15)
        wait_until(lambda seen=seen: len(rclone_proxy.requests) >= seen or bench.queue.job(job.id).finished)  # type: ignore[misc]
        if not bench.kill_worker_of(job):
            break  # on a loaded machine it may finish first
        bench.queue.ensure_worker()
    bench.finish(job, 60)
    assert {item.state for item in bench.items(job)} == {ItemState.DONE}
    stored = rclone_s3.objects(bucket)
    assert stored == {"first": b"first"} | {f"many/{name}": data for name, data in files_below(folder).items()}
    assert rclone_s3.unfinished_uploads(bucket) == []


def test_cancel_takes_effect_within_a_second_on_a_stalled_connection_and_cleans_up(
    s3_bench: tuple[Workbench, str], rclone_s3: S3Server, rclone_proxy: FaultProxy, tmp_path: Path
) -> None:
    bench, bucket = s3_bench
    stall = rclone_proxy.fault(Fault.stall(at=1000), put_part(2), times=None)
    job = bench.queue.queue_upload("cloud", [big_file(tmp_path, 3)])
    stall.wait_held()
    began = time.monotonic()
    assert bench.queue.cancel(bench.queue.item_ids(job.id)) == 1
    bench.wait_state(job, ItemState.CANCELLED)
    assert time.monotonic() - began < 1.5  # a second, plus polling and machine load
    wait_until(lambda: rclone_proxy.count(abort_multipart()) == 1)
    wait_until(lambda: rclone_s3.unfinished_uploads(bucket) == [])
    wait_until(lambda: bench.only_item(job).bytes_done == 0)  # nothing of it is left, and the item says so
    assert rclone_s3.keys(bucket) == set()


def test_cancel_takes_effect_within_a_second_though_the_first_look_at_a_server_hangs(
    s3_bench: tuple[Workbench, str], rclone_s3: S3Server, rclone_proxy: FaultProxy, tmp_path: Path
) -> None:
    bench, bucket = s3_bench
    stall = rclone_proxy.fault(Fault.stall(at=None), times=None)
    job = bench.queue.queue_upload("cloud", [big_file(tmp_path, 2)])
    stall.wait_held()
    began = time.monotonic()
    assert bench.queue.cancel(bench.queue.item_ids(job.id)) == 1
    bench.wait_state(job, ItemState.CANCELLED)
    assert time.monotonic() - began < 1.5
    stall.release()
    wait_until(lambda: bench.pid() is None)
    assert rclone_s3.unfinished_uploads(bucket) == []
    assert "big.bin" not in rclone_s3.keys(bucket)


def test_items_cancelled_without_a_worker_are_cleaned_up_by_the_next(
    s3_bench: tuple[Workbench, str], rclone_s3: S3Server, rclone_proxy: FaultProxy, tmp_path: Path
) -> None:
    bench, bucket = s3_bench
    stall = rclone_proxy.fault(Fault.stall(at=1000), put_part(2), times=None)
    job = bench.queue.queue_upload("cloud", [big_file(tmp_path, 3)])
    stall.wait_held()
    bench.kill_worker(signal.SIGKILL)
    assert len(rclone_s3.unfinished_uploads(bucket)) == 1
    abort = rclone_proxy.fault(Fault.stall(at=None), abort_multipart(), times=None)
    assert bench.queue.cancel(bench.queue.item_ids(job.id)) == 1
    assert bench.only_item(job).state is ItemState.CANCELLED
    abort.wait_held()
    bench.kill_worker(signal.SIGKILL)  # in the middle of cleaning up, too
    abort.release()
    bench.queue.ensure_worker()
    wait_until(lambda: rclone_s3.unfinished_uploads(bucket) == [])


def test_sigterm_parks_within_five_seconds_on_a_stalled_connection(
    s3_bench: tuple[Workbench, str], rclone_s3: S3Server, rclone_proxy: FaultProxy, tmp_path: Path
) -> None:
    bench, bucket = s3_bench
    source = big_file(tmp_path, 3)
    stall = rclone_proxy.fault(Fault.stall(at=1000), put_part(3), times=None)
    job = bench.queue.queue_upload("cloud", [source])
    stall.wait_held()
    began = time.monotonic()
    bench.kill_worker(signal.SIGTERM)
    assert time.monotonic() - began < 5
    assert bench.only_item(job).state is ItemState.QUEUED
    stall.release()
    bench.queue.ensure_worker()
    bench.finish(job)
    assert rclone_s3.objects(bucket) == {"big.bin": source.read_bytes()}


def test_items_wait_for_wrong_credentials_and_continue_once_they_are_right(
    s3_bench: tuple[Workbench, str], rclone_s3: S3Server, rclone_proxy: FaultProxy, tmp_path: Path
) -> None:
    bench, bucket = s3_bench
    bench.configure("cloud", secret_key="wrong-secret")
    source = tmp_path / "folder"
    source.mkdir()
    for number in range(12):
        (source / str(number)).write_bytes(b"x" * 100)
    job = bench.queue.queue_upload("cloud", [source])
    waiting = wait_until(lambda: [item for item in bench.items(job) if item.state is ItemState.WAITING])
    assert waiting[0].error is not None
    assert waiting[0].error.kind == "authentication"
    wait_until(lambda: bench.pid() is None)  # it left: nothing continues by itself
    asked = len(rclone_proxy.requests)
    assert asked < 40
    bench.configure("cloud", secret_key=SECRET_KEY)
    bench.queue.credentials_changed("cloud")
    bench.finish(job)
    assert len(rclone_s3.keys(bucket)) == 12
    assert "wrong-secret" not in bench.log()


def test_items_wait_for_an_unreachable_server_and_a_resume_continues_at_once(
    s3_bench: tuple[Workbench, str], rclone_s3: S3Server, rclone_proxy: FaultProxy, tmp_path: Path
) -> None:
    bench, bucket = s3_bench
    bench.configure("cloud", max_retries=0)
    source = tmp_path / "a"
    source.write_bytes(b"a")
    with rclone_proxy.refusing():
        job = bench.queue.queue_upload("cloud", [source])
        item = bench.wait_state(job, ItemState.WAITING)
    assert item.wait_until is not None
    assert 4 < item.wait_until - time.time() < 11
    assert item.error is not None
    assert item.error.kind == "transient"
    assert bench.pid() is not None  # it stays, since this continues by itself
    assert bench.queue.resume([item.id]) == 1
    bench.finish(job)
    assert rclone_s3.keys(bucket) == {"a"}


def test_pausing_keeps_what_was_sent(
    s3_bench: tuple[Workbench, str], rclone_s3: S3Server, rclone_proxy: FaultProxy, tmp_path: Path
) -> None:
    bench, bucket = s3_bench
    stall = rclone_proxy.fault(Fault.stall(at=1000), put_part(3), times=None)
    job = bench.queue.queue_upload("cloud", [big_file(tmp_path, 3)])
    stall.wait_held()
    wait_until(lambda: len(parts_that_arrived(rclone_proxy)) == 2)
    assert bench.queue.pause(bench.queue.item_ids(job.id)) == 1
    paused = bench.wait_state(job, ItemState.PAUSED, 3)
    assert paused.bytes_done == 10 * MIB
    stall.release()
    rclone_proxy.forget()
    assert bench.queue.resume([paused.id]) == 1
    bench.finish(job)
    assert parts_that_arrived(rclone_proxy) == ["3"]
    assert len(rclone_s3.keys(bucket)) == 1


def test_hostile_remote_names_stay_inside_the_chosen_folder(
    bench: Workbench, moto_s3: S3Server, tmp_path: Path
) -> None:
    bucket = moto_s3.new_bucket()
    bench.configure_s3("cloud", moto_s3.url, bucket)
    hostile = ["d/../../evil", "d//evil", "d/./evil", "d/..", "d/link/evil", "d/a/b", "d/a"]
    for key in [*hostile, "d/good", "d/sub/good", "d/-rf \x1b[31m"]:
        moto_s3.put(bucket, key, key.encode())
    target = tmp_path / "target"
    (target / "d").mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    (target / "d" / "link").symlink_to(outside)
    before = files_below(tmp_path)
    job = bench.finish(bench.queue.queue_download("cloud", ["d/"], target))
    states = {item.key: item.state for item in bench.items(job)}
    assert {key for key, state in states.items() if state is ItemState.FAILED} >= set(hostile[:5])
    assert {states[key] for key in ("d/good", "d/sub/good", "d/-rf \x1b[31m")} == {ItemState.DONE}
    assert sorted(states[key] for key in ("d/a", "d/a/b")) == [ItemState.DONE, ItemState.FAILED]
    new = files_below(tmp_path).keys() - before.keys()
    assert all(name.startswith(("target/d/", "home/")) for name in new)
    assert list(outside.iterdir()) == []
    assert all(item.error for item in bench.items(job) if item.state is ItemState.FAILED)


def test_a_small_object_that_must_be_new_is_recognised_after_a_kill(
    s3_bench: tuple[Workbench, str], rclone_s3: S3Server, rclone_proxy: FaultProxy, tmp_path: Path
) -> None:
    bench, _ = s3_bench
    learn_the_server(bench, tmp_path)
    source = tmp_path / "small"
    source.write_bytes(os.urandom(3000))
    reply = rclone_proxy.fault(Fault.stall(Side.RESPONSE, at=None), put_object("small"), times=None)
    job = bench.queue.queue_upload("cloud", [source], conflicts=Conflicts.REFUSE)
    reply.wait_held()
    bench.kill_worker(signal.SIGKILL)
    reply.release()
    rclone_proxy.wait_idle()
    rclone_proxy.forget()
    bench.queue.ensure_worker()
    bench.finish(job)
    item = bench.only_item(job)
    assert (item.state, item.error, item.replaced) == (ItemState.DONE, None, False)
    assert item.proof is not None
    assert rclone_proxy.count(put_object("small")) == 0
    again = bench.finish(bench.queue.queue_upload("cloud", [source], conflicts=Conflicts.REFUSE))
    assert bench.only_item(again).state is ItemState.FAILED  # now the object exists; it is no lost answer


def test_leftovers_of_a_probe_whose_worker_was_killed_are_removed_by_the_next(
    s3_bench: tuple[Workbench, str], rclone_s3: S3Server, rclone_proxy: FaultProxy, tmp_path: Path
) -> None:
    bench, bucket = s3_bench
    source = tmp_path / "small"
    source.write_bytes(b"small")

    def completes_a_probe(request: SeenRequest) -> bool:
        return PROBE_PREFIX in request.path and request.method == "POST" and "uploadId" in request.query

    stall = rclone_proxy.fault(Fault.stall(at=0), completes_a_probe, times=None)
    job = bench.queue.queue_upload("cloud", [source])
    stall.wait_held()
    bench.kill_worker(signal.SIGKILL)
    assert [key for key in rclone_s3.keys(bucket) if PROBE_PREFIX in key]
    assert len(rclone_s3.unfinished_uploads(bucket)) == 1
    rclone_proxy.forget()
    stall.release()
    bench.queue.ensure_worker()
    bench.finish(job)
    assert rclone_s3.keys(bucket) == {"small"}
    assert rclone_s3.unfinished_uploads(bucket) == []


def test_empty_folders_are_left_out_if_the_server_would_store_them_as_files(
    s3_bench: tuple[Workbench, str], rclone_s3: S3Server, tmp_path: Path
) -> None:
    """rclone's server drops the final '/': then a later file in that folder could never be stored."""
    bench, bucket = s3_bench
    (tmp_path / "tree" / "empty").mkdir(parents=True)
    (tmp_path / "tree" / "file").write_bytes(b"data")
    done = bench.finish(bench.queue.queue_upload("cloud", [tmp_path / "tree"]))
    assert (done.counts[ItemState.DONE], done.counts[ItemState.SKIPPED]) == (1, 1)
    (skipped,) = [item for item in bench.items(done) if item.state is ItemState.SKIPPED]
    assert skipped.error is not None
    assert skipped.error.message == "this service cannot store empty folders"
    assert rclone_s3.keys(bucket) == {"tree/file"}
    (tmp_path / "tree" / "empty" / "later").write_bytes(b"later")
    done = bench.finish(bench.queue.queue_upload("cloud", [tmp_path / "tree"]))
    assert done.counts[ItemState.DONE] == 2
    assert rclone_s3.keys(bucket) == {"tree/file", "tree/empty/later"}


def test_empty_folders_are_stored_if_the_server_can_store_them(
    bench: Workbench, moto_s3: S3Server, tmp_path: Path
) -> None:
    bucket = moto_s3.new_bucket()
    bench.configure_s3("cloud", moto_s3.url, bucket)
    (tmp_path / "tree" / "empty").mkdir(parents=True)
    (tmp_path / "tree" / "file").write_bytes(b"data")
    done = bench.finish(bench.queue.queue_upload("cloud", [tmp_path / "tree"]))
    assert done.counts[ItemState.DONE] == 2
    assert moto_s3.keys(bucket) == {"tree/file", "tree/empty/"}
