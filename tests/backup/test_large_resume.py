"""200 MB to each service, cut off at 60 %, with the worker killed; a new worker completes it."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from backup.model.transfers import ItemState, JobView
from backup.system.paths import Paths
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import Fault, SeenRequest
from providers.testing.harness import Harness, Root
from tests.backup.queue_support import MIB, Workbench, wait_until
from tests.contract.harnesses import HARNESSES
from tests.contract.local_harness import LOCAL
from tests.contract.s3_harness import MOTO
from tests.servers.b2 import b2_server
from tests.servers.rclone_s3 import rclone_s3

SIZE = 200_000_000
CHUNK = 8 * MIB
CUT_AT = SIZE * 6 // 10
CONNECTIONS = 4
_SLOW_BYTES_PER_S = 40_000_000
_NOT_CONTENT_BYTES = 4 * MIB
"""More than a worker writes besides the file: journal and log."""
REMOTE = [harness for harness in HARNESSES if harness.wire and harness is not MOTO]


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    """Mostly holes, no two blocks alike."""
    path = tmp_path / "large.bin"
    chance = random.Random(4)
    with path.open("wb") as file:
        file.truncate(SIZE)
        for start in range(0, SIZE, MIB):
            file.seek(start)
            file.write(chance.randbytes(1000))
    yield path
    path.unlink()


@contextmanager
def opened(harness: Harness, tmp: Path) -> Iterator[Any]:
    """A folder on a separate server, which removes the 200 MB when it ends."""
    servers = {"rclone_s3": rclone_s3, "b2_server": b2_server}
    tmp.mkdir()
    with ExitStack() as stack:
        root = stack.enter_context(harness.open(lambda name: stack.enter_context(servers[name](tmp / name)), tmp))
        yield root


def carries_content(request: SeenRequest) -> bool:
    return request.method in ("POST", "PUT") and (request.declared_bytes or 0) > 100_000


def arrived(request: SeenRequest) -> bool:
    """Bytes that the service has confirmed, with status 308 while more of the session is expected."""
    return carries_content(request) and (request.ok or request.status == 308)


def queued(bench: Workbench, root: Root, harness: Harness, source: Path, **more: object) -> JobView:
    values = {"upload_chunk_size": CHUNK, "connection_pool_size": CONNECTIONS + 1, "retry_delay": 5, **more}
    bench.configure("far", type=harness.service, **{**root.defaults, **values})  # type: ignore[attr-defined]
    return bench.queue.queue_upload("far", [source])


def ended_whole(bench: Workbench, job: JobView, root: Root, source: Path) -> None:
    bench.queue.ensure_worker()
    bench.finish(job, 120)
    item = bench.only_item(job)
    assert (item.state, item.error, item.bytes_done) == (ItemState.DONE, None, SIZE)
    assert item.proof is not None
    assert root.stored() == {"large.bin": source.read_bytes()}
    assert root.leftovers() == []


@pytest.mark.few(2)
@pytest.mark.parametrize("harness", REMOTE, ids=lambda harness: harness.service)
def test_an_upload_cut_at_sixty_percent_resumes_in_a_new_process_and_sends_nothing_again(
    bench: Workbench, harness: Harness, source: Path, tmp_path: Path
) -> None:
    with opened(harness, tmp_path / "server") as root:
        proxy: FaultProxy = root.wired
        cut = proxy.fault(Fault.cut_line(CUT_AT), carries_content, times=None)
        job = queued(bench, root, harness, source)
        proxy.wait_for(lambda _: cut.carried_bytes == CUT_AT, 60)
        bench.kill_worker(signal.SIGKILL)
        proxy.wait_idle()
        assert proxy.body_bytes(carries_content) == CUT_AT
        finished_bytes = proxy.body_bytes(arrived)
        assert CUT_AT - finished_bytes <= harness.width(CONNECTIONS) * CHUNK
        cut.release()
        proxy.forget()
        ended_whole(bench, job, root, source)
        assert proxy.body_bytes(carries_content) <= SIZE - finished_bytes + CHUNK


def test_a_copy_to_disk_killed_at_sixty_percent_writes_nothing_again(
    paths: Paths, source: Path, tmp_path: Path
) -> None:
    bench = Workbench(paths, linger_s=60)
    with opened(LOCAL, tmp_path / "server") as root:
        job = queued(bench, root, LOCAL, source, max_bandwidth=_SLOW_BYTES_PER_S)
        wait_until(lambda: bench.only_item(job).bytes_done >= CUT_AT, 60)
        bench.kill_worker(signal.SIGKILL)
        done_bytes = bench.only_item(job).bytes_done
        assert CUT_AT - CONNECTIONS * CHUNK <= done_bytes < SIZE
        bench.configure("far", max_bandwidth=None)
        ended_whole(bench, job, root, source)
        assert written_bytes(bench.pid()) <= SIZE - done_bytes + CHUNK + _NOT_CONTENT_BYTES
        bench.close()


def written_bytes(pid: int | None) -> int:
    counters = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(counters["wchar"])
