"""A worker whose table of descriptors is really full opens later what it cannot open now."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.journal import Journal
from backup.model.transfers import ItemState
from backup.system.paths import Paths
from tests.backup.queue_support import Workbench, wait_until


@pytest.fixture
def bench(paths: Paths, tmp_path: Path) -> Iterator[Workbench]:
    """A worker that has opened its provider, and keeps running."""
    opened = Workbench(paths, linger_s=60)
    (tmp_path / "first").write_bytes(b"x")
    opened.finish(opened.queue.queue_upload("local", [tmp_path / "first"]))
    yield opened
    opened.close()


def limit(pid: int, more: int) -> tuple[int, int]:
    """Let a process open this many more files; returns its former limits."""
    found = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    free = [number for number in range(len(taken) + more + 1) if number not in taken]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free[more - 1] + 1, found[1]))
    return found


@pytest.mark.few(1)
@pytest.mark.parametrize("opened_before", [True, False])
def test_items_wait_for_descriptors_without_counting_as_failures(
    bench: Workbench, paths: Paths, tmp_path: Path, opened_before: bool
) -> None:
    pid = bench.pid()
    assert pid is not None
    if not opened_before:
        bench.configure("local", retry_delay=0.5)  # the file changed, so it is read again
    top = tmp_path / "top"
    top.mkdir()
    for number in range(40):
        (top / str(number)).write_bytes(b"x" * 1000)
    before = limit(pid, 3)
    job = bench.queue.queue_upload("local", [top])
    waiting = wait_until(lambda: [item for item in bench.items(job) if item.error])
    assert {item.error.code for item in waiting if item.error} == {"EMFILE"}
    assert {item.state for item in waiting} <= {ItemState.WAITING, ItemState.QUEUED}
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    bench.queue.resume([], [job.id])
    done = bench.finish(job)
    assert (done.counts[ItemState.DONE], bench.pid()) == (40, pid)
    with Journal(paths.journal_file) as journal, journal.look() as db:
        assert db.execute("SELECT sum(failures) FROM items").fetchone()[0] == 0
