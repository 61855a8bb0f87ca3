"""Requests are recorded even if no worker can be started; that does not make them fail."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from backup.journal import Journal, schema
from backup.journal.migrations import MIGRATIONS
from backup.model.transfers import ItemState
from backup.system.paths import Paths
from tests.backup.queue_support import Workbench
from tests.cli.conftest import Cli, cli  # noqa: F401  # a fixture


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"1")
    return tmp_path / "file"


@pytest.mark.parametrize("obstacle", ["no program", "no log"])
def test_a_worker_that_cannot_be_started_is_named_and_the_job_is_queued(
    cli: Cli,  # noqa: F811
    bench: Workbench,
    paths: Paths,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    obstacle: str,
) -> None:
    with monkeypatch.context() as patched:
        if obstacle == "no program":
            patched.setattr(sys, "executable", "/nonexistent/python")
        else:
            (paths.logs_dir / "worker.log").mkdir(parents=True)
        followed = cli("upload", str(source), "--to", "a")
        assert followed.code == 14
        assert "queued, not followed: the worker cannot be started: " in followed.err
        detached = cli("upload", str(source), "--to", "b", "--detach", "--json")
        assert (detached.code, detached.json()["worker"]["kind"]) == (0, "worker")
        assert cli("transfers", "pause", "1", "--json").json()["paused"] == 1
    if obstacle == "no log":
        (paths.logs_dir / "worker.log").rmdir()
    bench.queue.resume([], [1])
    for number in (1, 2):
        assert bench.finish(bench.queue.job(number)).counts[ItemState.DONE] == 1


def test_the_first_look_after_an_update_migrates_the_journal(bench: Workbench, paths: Paths) -> None:
    """No worker runs, so none has to make way."""
    paths.state_dir.mkdir(parents=True)
    with closing(sqlite3.connect(paths.journal_file, isolation_level=None)) as db:
        schema.migrate(db, paths.journal_file, MIGRATIONS[:-1])
    assert schema.is_older(paths.journal_file)
    assert bench.queue.snapshot().item_count == 0
    with Journal(paths.journal_file):
        assert not schema.is_older(paths.journal_file)
