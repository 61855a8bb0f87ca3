"""A job does exactly what its plan found: nothing is walked, listed or requested twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from backup.files.scan import TreeEntry
from backup.model.transfers import Conflicts, ItemState, JobKind, TransferPlan
from backup.queries import findings
from backup.queries.answers import Questions
from backup.queries.findings import Finding, Findings, Scope
from backup.queries.questions import PlanDelete, PlanDownload, PlanUpload
from backup.system.paths import Paths
from providers.contract.objects import RemoteFile
from providers.testing.fault_proxy import FaultProxy
from tests.backup.queue_support import Workbench, files_below
from tests.servers.rclone_s3 import rclone_s3
from tests.servers.s3_requests import get_object, head_object, list_objects
from tests.servers.s3_server import S3Server

OBJECTS = 2_100
"""Three pages of a listing."""
SCOPE = Scope(kind=JobKind.DELETE, place=("a", "aws_s3", "b", "{}"), sources=("d/",))


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server whose bucket `crowd` has OBJECTS objects in the folder `f`."""
    top = tmp_path_factory.mktemp("crowded")
    with rclone_s3(top) as server:
        folder = top / "data" / "crowd" / "f"
        folder.mkdir(parents=True)
        for number in range(OBJECTS):
            (folder / f"old-{number:04}").touch()
        yield server


@pytest.fixture
def cloud(bench: Workbench, crowded: S3Server, tmp_path: Path) -> Iterator[tuple[Workbench, FaultProxy]]:
    """An instance over the crowded bucket, with its server already known."""
    with FaultProxy(crowded.port) as proxy:
        bench.configure_s3("cloud", proxy.url, "crowd")
        first = tmp_path / "first"
        first.write_bytes(b"first")
        bench.finish(bench.queue.queue_upload("cloud", [first]))
        proxy.forget()
        yield bench, proxy


def folder_of(tmp_path: Path, count: int, name: str = "new") -> Path:
    folder = tmp_path / "f"
    folder.mkdir()
    for number in range(count):
        (folder / f"{name}-{number}").write_bytes(b"x")
    return folder


def plan_upload(
    bench: Workbench, instance: str, paths: list[Path], conflicts: Conflicts = Conflicts.REPLACE
) -> TransferPlan:
    with closing(Questions(bench.paths)) as questions:
        return questions.ask(PlanUpload(instance, paths, conflicts=conflicts))


def test_a_few_files_among_many_objects_are_looked_up_one_by_one(
    cloud: tuple[Workbench, FaultProxy], tmp_path: Path
) -> None:
    bench, proxy = cloud
    folder = folder_of(tmp_path, 3)
    (folder / "old-2050").write_bytes(b"newer")
    plan = plan_upload(bench, "cloud", [folder])
    assert (plan.files, plan.replaced_names) == (4, ("f/old-2050",))
    assert (proxy.count(list_objects()), proxy.count(head_object())) == (1, 4)
    proxy.forget()
    done = bench.finish(bench.queue.queue_upload("cloud", [folder], plan=plan))
    assert done.counts[ItemState.DONE] == 4
    assert {item.name: item.replaced for item in bench.items(done)}["f/old-2050"] is True
    assert proxy.count(list_objects()) == 0
    before = [request for request in proxy.requests if head_object()(request) and not request.path.endswith("old-2050")]
    assert len(before) <= 3  # one look at what was stored, none at the destination


def test_many_files_are_looked_for_in_one_listing(cloud: tuple[Workbench, FaultProxy], tmp_path: Path) -> None:
    bench, proxy = cloud
    folder = folder_of(tmp_path, 40, "some")
    plan = plan_upload(bench, "cloud", [folder])
    assert (proxy.count(list_objects()), proxy.count(head_object())) == (3, 0)
    done = bench.finish(bench.queue.queue_upload("cloud", [folder], plan=plan))
    assert done.counts[ItemState.DONE] == 40
    assert proxy.count(list_objects()) == 3
    assert proxy.count(head_object()) <= 40
    proxy.forget()

    with closing(Questions(bench.paths)) as questions:
        plan = questions.ask(PlanDownload("cloud", ["f/"], str(tmp_path / "back")))
    assert plan.files >= OBJECTS + 40
    lists = proxy.count(list_objects())
    gone = bench.queue.queue_download("cloud", ["f/"], tmp_path / "back", plan=plan)
    bench.queue.cancel([], jobs=[gone.id])
    assert proxy.count(list_objects()) == lists == 3


def test_a_listing_stops_where_single_requests_would_be_cheaper(
    cloud: tuple[Workbench, FaultProxy], tmp_path: Path
) -> None:
    bench, proxy = cloud
    plan_upload(bench, "cloud", [folder_of(tmp_path, 17, "zebra")])
    assert (proxy.count(list_objects()), proxy.count(head_object())) == (2, 17)


def test_planned_objects_are_deleted_and_fetched_without_a_second_listing(
    bench: Workbench, moto_s3: S3Server, moto_proxy: FaultProxy, tmp_path: Path
) -> None:
    bucket = moto_s3.new_bucket()
    bench.configure_s3("cloud", moto_proxy.url, bucket)
    for name in ("d/a", "d/b"):
        moto_s3.put(bucket, name, b"x")
    with closing(Questions(bench.paths)) as questions:
        down = questions.ask(PlanDownload("cloud", ["d/"], str(tmp_path / "back")))
        gone = questions.ask(PlanDelete("cloud", ["d/"]))
    assert moto_proxy.count(list_objects()) == 2
    moto_s3.put(bucket, "d/came later", b"x")
    moto_proxy.forget()
    bench.finish(bench.queue.queue_download("cloud", ["d/"], tmp_path / "back", plan=down))
    assert files_below(tmp_path / "back") == {"d/a": b"x", "d/b": b"x"}
    assert moto_proxy.count(get_object()) == 2
    assert bench.finish(bench.queue.queue_delete("cloud", ["d/"], plan=gone)).counts[ItemState.DONE] == 2
    assert moto_s3.keys(bucket) == {"d/came later"}  # the user was not asked about it
    assert moto_proxy.count(list_objects()) == 0
    assert list(bench.paths.plans_dir.iterdir()) == []


def test_an_old_plan_replaces_nothing_that_must_be_kept(bench: Workbench, rclone_s3: S3Server, tmp_path: Path) -> None:
    """The server ignores conditions, so it is asked once more right before."""
    bucket = rclone_s3.new_bucket()
    bench.configure_s3("cloud", rclone_s3.url, bucket)
    folder = folder_of(tmp_path, 1)
    plan = plan_upload(bench, "cloud", [folder], conflicts=Conflicts.REFUSE)
    assert plan.replaces == 0
    rclone_s3.put(bucket, "f/new-0", b"somebody else's")
    job = bench.finish(bench.queue.queue_upload("cloud", [folder], conflicts=Conflicts.REFUSE, plan=plan))
    (item,) = bench.items(job)
    assert (item.state, item.error and item.error.kind) == (ItemState.FAILED, "conflict")
    assert rclone_s3.objects(bucket) == {"f/new-0": b"somebody else's"}


def test_a_job_without_its_own_plan_scans_itself(bench: Workbench, tmp_path: Path) -> None:
    folder, other = folder_of(tmp_path, 2), tmp_path / "other"
    other.mkdir()
    (other / "file").write_bytes(b"x")
    plan = plan_upload(bench, "local", [folder])
    done = bench.finish(bench.queue.queue_upload("local", [other], plan=plan))
    assert [item.name for item in bench.items(done)] == ["other/file"]
    assert bench.finish(bench.queue.queue_upload("local", [folder], plan=plan)).counts[ItemState.DONE] == 2


def test_incomplete_findings_are_scanned_again(bench: Workbench, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, 2)
    plan = plan_upload(bench, "local", [folder])
    (kept,) = bench.paths.plans_dir.iterdir()
    kept.write_bytes(kept.read_bytes()[:-40])
    assert bench.finish(bench.queue.queue_upload("local", [folder], plan=plan)).counts[ItemState.DONE] == 2


def test_findings_are_returned_unchanged_once_and_only_for_their_scope(paths: Paths) -> None:
    store = Findings(paths)
    odd = os.fsdecode(b"caf\xe9")
    found = [
        Finding(source="d/", remote=RemoteFile(key=odd, size_bytes=3)),
        Finding(source="", local=TreeEntry(name=odd, path=odd, kind="file"), replaces=True),  # type: ignore[arg-type]
    ]
    token = store.keep(SCOPE, found * 400)
    (file,) = paths.plans_dir.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert store.load(token, SCOPE) is None  # it was not claimed
    assert (store.claim(token), store.claim(token), store.claim("../../etc")) == (True, False, False)
    assert store.load(token, Scope(kind=JobKind.DELETE, place=SCOPE.place, sources=("e/",))) is None
    batches = list(store.load(token, SCOPE) or ())
    assert [len(batch) for batch in batches] == [500, 300]
    assert [each.remote or each.local for batch in batches for each in batch] == [
        each.remote or each.local for each in found
    ] * 400
    store.drop(token)
    assert store.load(token, SCOPE) is None
    assert list(paths.plans_dir.iterdir()) == []


def test_plans_that_are_not_queued_are_deleted(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Findings(paths)
    old, claimed = store.keep(SCOPE, []), store.keep(SCOPE, [])
    assert store.claim(claimed)
    monkeypatch.setattr(findings, "_age_s", lambda path: 2 * 3600.0)
    kept = store.keep(SCOPE, [])
    assert {path.stem for path in paths.plans_dir.iterdir()} == {claimed, kept}
    store.drop_others([claimed])
    assert store.load(claimed, SCOPE) is not None
    store.drop_others([])
    assert store.load(claimed, SCOPE) is None
    assert not store.claim(old)


def test_a_full_disk_only_costs_a_second_scan(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.paths.state_dir.mkdir(parents=True)
    bench.paths.plans_dir.write_bytes(b"no folder")
    folder = folder_of(tmp_path, 2)
    plan = plan_upload(bench, "local", [folder])
    assert (plan.files, plan.found) == (2, "")
    assert bench.finish(bench.queue.queue_upload("local", [folder], plan=plan)).counts[ItemState.DONE] == 2
