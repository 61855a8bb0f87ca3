"""Owners and special bits: counted beforehand, restored only on request; invalid metadata is counted too."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backup.cli.plan_words import show_plan
from backup.model.transfers import Conflicts, ItemState, JobKind, TransferPlan
from backup.queries import plans
from providers import registry
from providers.base import BaseProvider
from providers.contract.cancel import CancelToken
from screens.modals.transfer_questions import transfer_question
from tests.backup.queue_support import Workbench
from tests.servers.s3_server import ACCESS_KEY, REGION, SECRET_KEY, S3Server


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two ordinary files, a setuid program, a key, and a private folder."""
    top = tmp_path / "tree"
    (top / "private").mkdir(parents=True)
    for name, mode in (("plain", 0o644), ("plain2", 0o644), ("program", 0o4755), ("private/key", 0o600)):
        (top / name).write_bytes(b"x")
        (top / name).chmod(mode)
    top.chmod(0o755)
    (top / "private").chmod(0o700)
    return top


class Lines:
    def __init__(self) -> None:
        self.text: list[str] = []

    def line(self, text: str = "") -> None:
        self.text.append(text)


def summary(plan: TransferPlan) -> str:
    lines: Any = Lines()
    show_plan(lines, plan)
    return "\n".join(lines.text)


def shown(plan: TransferPlan) -> dict[str, str]:
    return {fact.label: fact.text for fact in transfer_question(plan, "there").facts}


def planned(service: str, tree: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> TransferPlan:
    provider = registry.load(service)({"container": "c", **settings})
    monkeypatch.setattr(plans, "existing_files", lambda *args: iter(()))
    monkeypatch.setattr(plans, "spellings_at", lambda *args: None)
    return plans.upload(provider, service, [tree], "", Conflicts.REPLACE, CancelToken())


@pytest.mark.parametrize(
    ("service", "lost"), [("local", 0), ("aws_s3", 0), ("google_drive", 0), ("backblaze", 1), ("dropbox", 3)]
)  # a folder; two files and a folder
def test_the_plan_says_what_is_lost(service, lost, tree, tmp_path, monkeypatch):
    plan = planned(service, tree, monkeypatch, **({"container": str(tmp_path / "store")} if service == "local" else {}))
    assert plan.modes_lost == lost
    assert ("cannot store them" in summary(plan)) is bool(lost)
    assert ("lost" in shown(plan)) is bool(lost)


@pytest.fixture
def bucket(moto_s3: S3Server) -> str:
    return moto_s3.new_bucket()


@pytest.fixture
def s3(moto_s3: S3Server, bucket: str) -> Iterator[BaseProvider]:
    provider = registry.load("aws_s3")(
        {
            "endpoint_url": moto_s3.url, "container": bucket, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY,
            "region": REGION,
        }
    )  # fmt: skip
    yield provider
    provider.close()


def put(server: S3Server, bucket: str, key: str, **metadata: str) -> None:
    server.admin.put_object(Bucket=bucket, Key=key, Body=b"x", Metadata=metadata)


def test_with_owner_the_plan_requests_what_a_listing_lacks(moto_s3, bucket, s3, tmp_path):
    put(moto_s3, bucket, "x/plain", mode="100644", uid=str(os.geteuid()), gid=str(os.getegid()))
    put(moto_s3, bucket, "x/setuid", mode="104755", uid=str(os.geteuid()))
    put(moto_s3, bucket, "x/foreign", mode="100644", uid="4711", gid="4712")
    put(moto_s3, bucket, "x/nonsense", mode="0o644", uid="-1", gid="0x0")
    plan = plans.download(s3, "s3", ["x/"], tmp_path, CancelToken(), owner=True)
    assert (plan.owned, plan.ignored_metadata, plan.restores_owner) == (2, 3, True)
    assert "restores owner, group or special bits of 2 files" in summary(plan)
    assert "ignores 3 stored values" in summary(plan)
    plan = plans.download(s3, "s3", ["x/"], tmp_path, CancelToken())
    assert (plan.owned, plan.restores_owner, plan.perhaps_owned) == (0, False, True)


def test_ignored_metadata_is_reported_if_the_listing_has_it(tree, tmp_path):
    provider = registry.load("local")({"container": str(tree)})
    plan = plans.download(provider, "local", ["/"], tmp_path / "to", CancelToken())
    assert plan.owned == 1
    assert "does not restore owner, group or special bits of 1 file; see --owner" in summary(plan)
    assert "o restores these" in shown(plan)["left out"]


def test_invalid_metadata_is_counted_at_the_end(bench: Workbench, moto_s3: S3Server, bucket: str, tmp_path: Path):
    bench.configure_s3("s3", moto_s3.url, bucket)
    put(moto_s3, bucket, "x/nonsense", mode="33188", uid="root", gid="-1")
    put(moto_s3, bucket, "x/sound", mode="100600", uid="0", gid="0")
    job = bench.finish(bench.queue.queue_download("s3", ["x/"], tmp_path))
    assert job.counts[ItemState.DONE] == 2
    assert job.ignored_metadata == 3
    assert stat.S_IMODE((tmp_path / "x/sound").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "x/nonsense").stat().st_mode) == 0o644


@pytest.mark.parametrize("owner", [True, False])
def test_special_bits_are_restored_only_with_owner(bench: Workbench, tree: Path, tmp_path: Path, owner: bool):
    bench.finish(bench.queue.queue_upload("local", [tree]))
    job = bench.finish(bench.queue.queue_download("local", ["tree/"], tmp_path / "to", owner=owner))
    assert job.counts[ItemState.FAILED] == 0
    assert stat.S_IMODE((tmp_path / "to/tree/program").stat().st_mode) == (0o4755 if owner else 0o755)
    assert job.kind is JobKind.DOWNLOAD
