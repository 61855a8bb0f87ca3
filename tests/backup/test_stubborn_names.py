"""A name that the service answers with 500 every time, through a worker: it delays no other item and then fails."""

from __future__ import annotations

from pathlib import Path

from backup.journal import Journal, work
from backup.model.transfers import ItemState, JobView
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import Fault
from tests.backup.queue_support import Workbench, wait_until
from tests.servers.s3_requests import put_object
from tests.servers.s3_server import S3Server

LONGER_THAN_ITS_WAIT_S = 1000.0


def small_file(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(name.encode())
    return path


def state_of_bad(bench: Workbench, job: JobView) -> tuple[ItemState, int] | None:
    return next(((item.state, item.attempts) for item in bench.items(job) if item.name == "top/bad"), None)


def test_a_name_that_fails_every_time_fails_at_its_third_attempt_and_delays_no_other(
    bench: Workbench, rclone_s3: S3Server, rclone_proxy: FaultProxy, tmp_path: Path
) -> None:
    bucket = rclone_s3.new_bucket()
    bench.configure_s3("cloud", rclone_proxy.url, bucket, connection_pool_size=1, max_retries=0)
    (tmp_path / "top").mkdir()
    for name in ("bad", "good", "last"):
        small_file(tmp_path / "top", name)
    rule = rclone_proxy.fault(Fault.status(500), put_object("top/bad"), times=None)
    job = bench.queue.queue_upload("cloud", [tmp_path / "top"])
    for attempt in (1, 2):
        wait_until(lambda attempt=attempt: state_of_bad(bench, job) == (ItemState.WAITING, attempt))  # type: ignore[misc]
        with Journal(bench.paths.journal_file) as journal, journal.transaction() as tx:
            work.move_waits(tx, -LONGER_THAN_ITS_WAIT_S)
        other = bench.finish(bench.queue.queue_upload("cloud", [small_file(tmp_path, f"beside-{attempt}")]))
        assert other.counts[ItemState.DONE] == 1, "the only connection was not free"
    done = bench.finish(job)
    assert (done.counts[ItemState.DONE], done.counts[ItemState.FAILED]) == (2, 1)
    found = next(item for item in bench.items(job) if item.state is ItemState.FAILED)
    assert (found.name, found.attempts, rule.hits) == ("top/bad", 3, 3)
    assert found.error is not None
    assert "top/bad: the service fails on this name every time, but not on another" in found.error.message
    assert set(rclone_s3.objects(bucket)) == {"top/good", "top/last", "beside-1", "beside-2"}
