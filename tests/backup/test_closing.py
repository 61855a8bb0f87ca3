"""Everything opened is closed on every path: Python 3.13 warns of each connection left to the garbage collector."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from backup.instances.server_facts import FactsOnDisk
from backup.journal import Journal, store
from backup.journal.schema import open_connection
from backup.queries.answers import Questions
from backup.queries.questions import Probe
from backup.system.paths import Paths
from providers.errors import PermissionDenied


def open_files_below(folder: Path) -> list[str]:
    links = [entry.path for entry in os.scandir("/proc/self/fd")]
    targets = [os.readlink(link) for link in links if os.path.lexists(link)]
    return [target for target in targets if target.startswith(f"{folder}/")]


def test_a_journal_whose_second_connection_fails_leaves_none_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[sqlite3.Connection] = []

    def once(path: Path) -> sqlite3.Connection:
        if opened:
            raise PermissionDenied("no more")
        opened.append(open_connection(path))
        return opened[0]

    monkeypatch.setattr(store, "open_connection", once)
    with pytest.raises(PermissionDenied):
        Journal(tmp_path / "journal.sqlite")
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")


def test_facts_of_a_process_without_a_journal_leave_none_open(paths: Paths) -> None:
    facts = FactsOnDisk(paths)
    facts.remember("server", {"md5": True})
    assert facts.recall("server") == {"md5": True}
    assert open_files_below(paths.state_dir) == []


def test_queries_leave_nothing_open(paths: Paths, tmp_path: Path) -> None:
    questions = Questions(paths)
    assert questions.ask(Probe("local")).ok
    questions.close()
    assert [path for path in open_files_below(paths.state_dir) if "sqlite" in path] == []
