"""A full state folder: everything waits, says so, and continues by itself once there is space."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

from backup.handshake import presence
from backup.handshake.presence import Presence, WorkerState
from backup.model.transfers import ItemState
from tests.backup.queue_support import Workbench, files_below, wait_until

SIZE = 20_000


def limit_files(pid: int, size_bytes: int) -> None:
    """Let no file that this process writes grow beyond `size_bytes`, like a quota."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))


def test_a_download_survives_a_full_state_folder(bench: Workbench, tmp_path: Path) -> None:
    bench.storage.mkdir(parents=True)
    for number in range(60):
        (bench.storage / f"{number}").write_bytes(os.urandom(SIZE))
    bench.configure("local", max_bandwidth=200_000)
    job = bench.queue.queue_download("local", ["/"], tmp_path / "back")
    wait_until(lambda: bench.queue.job(job.id).counts[ItemState.DONE] >= 3)
    pid = bench.pid()
    assert pid is not None
    log = bench.paths.journal_file.with_name(f"{bench.paths.journal_file.name}-wal")
    limit_files(pid, max(SIZE, log.stat().st_size))
    wait_until(lambda: "waits for free disk space" in bench.log())
    wait_until(lambda: bench.pid() is None)
    assert Path(f"/proc/{pid}").exists()
    assert presence.look(bench.paths) == Presence(state=WorkerState.WAITS_FOR_ROOM, pid=pid)
    assert "Traceback" not in bench.log()
    stored = files_below(bench.storage)
    assert all(stored[name] == data for name, data in files_below(tmp_path / "back").items() if name in stored)
    waiting = bench.queue.job(job.id)
    assert (waiting.counts[ItemState.FAILED], waiting.finished) == (0, False)
    bench.configure("local", max_bandwidth=None)
    limit_files(pid, resource.RLIM_INFINITY)
    done = bench.finish(job)
    assert done.counts[ItemState.DONE] == 60
    assert bench.pid() in (pid, None)  # the same one, or none if it has left
    assert files_below(tmp_path / "back") == stored


FRONT_END = """
import pathlib, resource, sys
from backup.journal import JournalFull
from backup.system.paths import Paths
from backup.queue.client import Queue
queue = Queue(Paths.default())
queue.snapshot()
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    queue.queue_upload("local", [pathlib.Path(sys.argv[1])])
except JournalFull as error:
    print(error.kind, error.hint)
"""
"""In a separate process, since others of this one write files too."""


def test_a_front_end_on_a_full_disk_says_what_to_do(bench: Workbench, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    bench.finish(bench.queue.queue_upload("local", [tmp_path / "file"]))
    wait_until(lambda: bench.pid() is None)
    argv = [sys.executable, "-c", FRONT_END, str(tmp_path / "file")]
    refused = subprocess.run(
        argv, capture_output=True, text=True, timeout=60, check=True, cwd=Path(__file__).parents[2]
    )
    assert refused.stdout.startswith("quota")
    assert "Make room" in refused.stdout
    assert len(bench.queue.snapshot().jobs) == 1
    bench.finish(bench.queue.queue_upload("local", [tmp_path / "file"]))
