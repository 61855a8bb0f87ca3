"""A service that accepts connections and never answers: all other work continues, and every process can leave."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from backup.journal import Journal, jobs, work
from backup.journal.records import Destination, JobRequest, NewItem
from backup.model.transfers import ItemState, JobKind, JobView
from backup.queries.client import QuestionsClient
from backup.queries.questions import ListPage, PlanDelete
from backup.system.paths import Paths
from providers.contract.cancel import CancelToken
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import Fault, Side, When
from tests.backup.queue_support import Workbench, wait_until
from tests.servers.b2 import B2Server
from tests.servers.b2_requests import call
from tests.servers.s3_requests import list_objects
from tests.servers.s3_server import S3Server

AT_ONCE_S = 4.0
"""Far below every time limit of the stalled service, and enough to start a worker on a busy machine."""


@pytest.fixture
def stalled_url() -> Iterator[str]:
    """The kernel accepts the connections; no process reads them."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def stalled(bench: Workbench, stalled_url: str) -> Workbench:
    bench.configure_s3("stalled", stalled_url, "bucket", timeout=300)
    return bench


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    top = tmp_path / "folder"
    top.mkdir()
    for number in range(30):
        (top / str(number)).write_bytes(b"x")
    return top


def small_upload(bench: Workbench, tmp_path: Path) -> JobView:
    file = tmp_path / "six"
    file.write_bytes(b"6bytes")
    return bench.queue.queue_upload("local", [file])


def test_scans_of_a_stalled_service_hold_up_no_other_instance(stalled: Workbench, folder: Path, tmp_path: Path) -> None:
    downloads = [stalled.queue.queue_download("stalled", [f"{n}/"], tmp_path / "back") for n in range(4)]
    uploads = [stalled.queue.queue_upload("stalled", [folder], str(number)) for number in range(4)]
    began = time.monotonic()
    done = stalled.finish(small_upload(stalled, tmp_path), AT_ONCE_S)
    assert done.counts[ItemState.DONE] == 1
    assert time.monotonic() - began < AT_ONCE_S
    # The files to upload are known without the service, for every job.
    wait_until(lambda: not any(stalled.queue.job(job.id).scanning for job in uploads), AT_ONCE_S)
    assert [sum(stalled.queue.job(job.id).counts.values()) for job in uploads] == [30] * 4
    assert all(stalled.queue.job(job.id).scanning for job in downloads)


NO_ANSWER = """import socket, time
_real = socket.getaddrinfo
def getaddrinfo(host, *args, **more):
    if host == "storage.test":
        open({asked!r}, "w").close()
        time.sleep(60)
    return _real(host, *args, **more)
socket.getaddrinfo = getaddrinfo
"""
NO_MODULE = """import sys, time
from importlib.machinery import ModuleSpec
class Hangs:
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name == "providers.backblaze.provider" else None
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        open({asked!r}, "w").close()
        time.sleep(60)
sys.meta_path.insert(0, Hangs())
"""

NO_DISK = """import os, time
_real = os.statvfs
def statvfs(path):
    if os.path.basename(path) == "stalled":
        open({asked!r}, "w").close()
        time.sleep(60)
    return _real(path)
os.statvfs = statvfs
"""


@pytest.fixture
def reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Callable[[], bool]]:
    """Make the worker run a script that blocks it somewhere; returns whether that happened."""

    def begin_with(script: str) -> Callable[[], bool]:
        asked = tmp_path / "asked"
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "sitecustomize.py").write_text(script.format(asked=str(asked)))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
        return asked.exists

    return begin_with


@pytest.fixture
def name_lookup(bench: Workbench, reached: Callable[[str], Callable[[], bool]]) -> Callable[[], bool]:
    """The name lookup of the service gets no answer."""
    bench.configure_s3("stalled", "http://storage.test", "bucket", timeout=300)
    return reached(NO_ANSWER)


@pytest.fixture
def its_module(bench: Workbench, reached: Callable[[str], Callable[[], bool]]) -> Callable[[], bool]:
    """The program's own disk does not respond while a service is loaded."""
    bench.configure("stalled", type="backblaze", container="bucket", application_key_id="id", application_key="key")
    return reached(NO_MODULE)


@pytest.fixture
def token(bench: Workbench, b2_server: B2Server) -> Iterator[Callable[[], bool]]:
    with stalling_b2(bench, b2_server, call("b2_authorize_account")) as reached:
        yield reached


@pytest.fixture
def bucket_look(bench: Workbench, b2_server: B2Server) -> Iterator[Callable[[], bool]]:
    with stalling_b2(bench, b2_server, call("b2_list_buckets")) as reached:
        yield reached


@contextmanager
def stalling_b2(bench: Workbench, server: B2Server, when: When) -> Iterator[Callable[[], bool]]:
    bucket, _ = server.new_bucket()
    key = server.master()  # it is valid for all buckets, so this one has to be looked up
    with FaultProxy(server.port) as proxy:
        stall = proxy.fault(Fault.stall(Side.RESPONSE, at=None), when, times=None)
        keys = {"application_key_id": key.key_id, "application_key": key.key}
        bench.configure("stalled", type="backblaze", realm=proxy.url, container=bucket, timeout=300, **keys)
        yield lambda: bool(stall.hits)
        stall.release()


@pytest.mark.few(2)
@pytest.mark.parametrize("at", ["its_module", "name_lookup", "token", "bucket_look"])
def test_opening_a_provider_that_stalls_holds_up_no_other_instance(
    bench: Workbench, folder: Path, tmp_path: Path, at: str, request: pytest.FixtureRequest
) -> None:
    is_stuck: Callable[[], bool] = request.getfixturevalue(at)
    stuck = [bench.queue.queue_download("stalled", [f"{number}/"], tmp_path / "back") for number in range(4)]
    stuck += [bench.queue.queue_upload("stalled", [folder], str(number)) for number in range(4)]
    wait_until(is_stuck)
    assert bench.finish(small_upload(bench, tmp_path), AT_ONCE_S).counts[ItemState.DONE] == 1
    assert not any(bench.queue.job(job.id).finished for job in stuck)


def test_a_disk_that_stalls_while_its_free_space_is_read_holds_up_no_other_job(
    bench: Workbench, tmp_path: Path, reached: Callable[[str], Callable[[], bool]]
) -> None:
    is_stuck = reached(NO_DISK)
    (tmp_path / "stalled").mkdir()
    assert bench.finish(small_upload(bench, tmp_path)).counts[ItemState.DONE] == 1
    stuck = bench.queue.queue_download("local", ["six"], tmp_path / "stalled")
    wait_until(is_stuck)
    assert bench.finish(small_upload(bench, tmp_path), AT_ONCE_S).counts[ItemState.DONE] == 1
    assert not bench.queue.job(stuck.id).finished


def ask_both(paths: Paths) -> float:
    """How long a plan of local storage takes while those of the stalled service hang."""
    cancel = CancelToken()
    with contextlib.closing(QuestionsClient(paths)) as client, ThreadPoolExecutor(20) as threads:
        client.ask(ListPage("local"))
        questions = [PlanDelete("stalled", [f"{number}/"]) for number in range(20)]
        hanging = [threads.submit(client.ask, question, cancel=cancel) for question in questions]
        began = time.monotonic()
        plan = client.ask(PlanDelete("local", ["/"]))
        took_s = time.monotonic() - began
        assert (plan.files, any(asked.done() for asked in hanging)) == (1, False)
        cancel.cancel()
        return took_s


def test_plans_for_a_stalled_service_hold_up_no_other(stalled: Workbench) -> None:
    stalled.storage.mkdir(parents=True)
    (stalled.storage / "file").write_bytes(b"x")
    assert ask_both(stalled.paths) < AT_ONCE_S


def test_clean_ups_of_one_instance_do_not_delay_others(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal, journal.transaction() as tx:
        for instance, number in (("dead", 150), ("alive", 2)):
            place = Destination(instance=instance, type="local", container="/srv", settings="{}")
            order = JobRequest(kind=JobKind.UPLOAD, sources=("/x",))
            job = jobs.job(tx, jobs.add_job(tx, order, place, title="x", destination="/", now=1.0))
            jobs.add_items(tx, job, [NewItem(name=str(each), key=str(each)) for each in range(number)], now=1.0)
        tx.execute("INSERT INTO cleanups (item_id, instance) SELECT id, instance FROM items")
        due = Counter(cleanup.instance for cleanup in work.due_cleanups(tx, now=2.0))
    assert due == {"dead": work.CLEANUPS_AT_ONCE, "alive": 2}


def test_a_scan_that_hangs_is_cancelled_and_paused_at_once(stalled: Workbench, tmp_path: Path) -> None:
    first, second = (stalled.queue.queue_download("stalled", [f"{n}/"], tmp_path / "back") for n in range(2))
    wait_until(lambda: "scan of" in stalled.log() or stalled.pid())
    began = time.monotonic()
    assert stalled.queue.cancel([], jobs=[first.id]) == 1
    assert stalled.queue.pause([], jobs=[second.id]) == 1
    assert time.monotonic() - began < 1.5
    gone = stalled.queue.job(first.id)
    assert gone.finished
    assert gone.error is not None
    assert gone.error.kind == "cancelled"
    held = stalled.queue.job(second.id)
    assert (held.finished, held.paused) == (False, True)
    wait_until(lambda: stalled.pid() is None, AT_ONCE_S)  # neither scan holds the worker


def test_a_paused_scan_continues_when_resumed(
    bench: Workbench, moto_s3: S3Server, moto_proxy: FaultProxy, tmp_path: Path
) -> None:
    bucket = moto_s3.new_bucket()
    moto_s3.put(bucket, "d/a", b"alpha")
    bench.configure_s3("cloud", moto_proxy.url, bucket, timeout=300)
    stall = moto_proxy.fault(Fault.stall(Side.RESPONSE, at=None), list_objects(), times=None)
    job = bench.queue.queue_download("cloud", ["d/"], tmp_path / "back")
    stall.wait_held()
    assert bench.queue.pause([], jobs=[job.id]) == 1
    assert bench.queue.pause([], jobs=[job.id]) == 0
    wait_until(lambda: bench.pid() is None)
    stall.release()
    assert bench.queue.resume([], jobs=[job.id]) == 1
    assert bench.finish(job).counts[ItemState.DONE] == 1
    assert (tmp_path / "back" / "d" / "a").read_bytes() == b"alpha"


def test_a_signal_ends_the_worker_while_everything_hangs(stalled: Workbench, folder: Path, tmp_path: Path) -> None:
    stalled.queue.queue_download("stalled", ["d/"], tmp_path / "back")
    up = stalled.queue.queue_upload("stalled", [folder])
    wait_until(lambda: stalled.queue.job(up.id).counts[ItemState.RUNNING])
    began = time.monotonic()
    stalled.kill_worker(signal.SIGTERM)
    assert time.monotonic() - began < 5
    assert stalled.queue.job(up.id).counts[ItemState.QUEUED] == 30
