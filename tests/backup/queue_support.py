"""A queue with real worker processes and its own folders."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from backup.model.transfers import ItemState, ItemView, JobView
from backup.queue.client import Queue
from backup.system.paths import Paths
from tests.processes import stop_worker
from tests.servers.s3_server import ACCESS_KEY, REGION, SECRET_KEY

T = TypeVar("T")
MIB = 2**20


def wait_until(reached: Callable[[], T], timeout_s: float = 20.0, *, every_s: float = 0.02) -> T:
    """The first true result of `reached`. AssertionError at the deadline."""
    deadline = time.monotonic() + timeout_s
    while not (found := reached()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s"
        time.sleep(every_s)
    return found


class Workbench:
    """A queue, its configuration, and the worker processes that it started."""

    def __init__(self, paths: Paths, *, linger_s: float = 0.2) -> None:
        self.paths = paths
        self.queue = Queue(paths, worker_arguments=("--linger", str(linger_s), "--verbose"))

    def configure(self, name: str, **values: Any) -> None:
        """Write an instance into the configuration file, as a user with an editor would."""
        file = self.paths.config_file
        file.parent.mkdir(parents=True, exist_ok=True)
        tree: dict[str, Any] = {"version": 1, "providers": {}}
        if file.exists():
            tree = json.loads(file.read_text())
        tree["providers"].setdefault(name, {"enabled": True}).update(values)
        file.write_text(json.dumps(tree))

    def configure_s3(self, name: str, url: str, bucket: str, **values: Any) -> None:
        defaults = {
            "type": "aws_s3",
            "endpoint_url": url,
            "container": bucket,
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
            "region": REGION,
            "upload_chunk_size": 5 * MIB,
            "timeout": 10,
            "retry_delay": 0.05,
        }
        self.configure(name, **(defaults | values))

    @property
    def storage(self) -> Path:
        return self.paths.local_storage

    def pid(self) -> int | None:
        status = self.queue.worker_status()
        return int(status["pid"]) if status else None

    def kill_worker(self, number: int = signal.SIGKILL) -> None:
        """End the worker, and wait until it is gone."""
        _end(wait_until(lambda: self.pid() or 0), number)

    def kill_worker_of(self, job: JobView) -> bool:
        """The same, unless the job has finished: then there may be no worker, and the result is False."""
        wait_until(lambda: self.pid() or self.queue.job(job.id).finished)
        pid = self.pid()
        if pid is not None:
            _end(pid, signal.SIGKILL)
        return not self.queue.job(job.id).finished

    def finish(self, job: JobView, timeout_s: float = 30.0) -> JobView:
        """The finished job."""
        wait_until(lambda: self.queue.job(job.id).finished, timeout_s)
        return self.queue.job(job.id)

    def items(self, job: JobView) -> list[ItemView]:
        """All items of a job, by name."""
        found = self.queue.snapshot(job_id=job.id, limit=10_000).items
        return sorted(found, key=lambda item: item.name)

    def only_item(self, job: JobView) -> ItemView:
        """The job's only item, once the scan has found it."""
        (item,) = wait_until(lambda: self.items(job))
        return item

    def wait_state(self, job: JobView, state: ItemState, timeout_s: float = 20.0) -> ItemView:
        """The job's only item once it is in that state."""
        wait_until(lambda: [item.state for item in self.items(job)] == [state], timeout_s)
        return self.only_item(job)

    def log(self) -> str:
        file = self.paths.logs_dir / "worker.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def close(self) -> None:
        pid = self.pid()
        if pid and not stop_worker(self.paths, timeout_s=6):
            os.kill(pid, signal.SIGKILL)
        self.queue.close()


def _end(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has just left
        os.kill(pid, number)
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid))


def _is_zombie(pid: int) -> bool:
    """Wait until no thread of the process holds its files, including the lock."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text() and len(os.listdir(f"/proc/{pid}/task")) == 1
    except (FileNotFoundError, ProcessLookupError):  # the latter: it ended between opening and reading
        return True


def files_below(folder: Path) -> dict[str, bytes]:
    """Regular files by path relative to `folder`."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
