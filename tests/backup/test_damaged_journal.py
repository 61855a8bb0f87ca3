"""A journal that is not whole is never taken for an empty queue, and nothing of it is changed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from backup.journal import Journal, JournalDamaged
from backup.queue.client import Queue
from backup.system.paths import Paths
from tests.cli.conftest import ROOT, Cli, cli  # noqa: F401  # a fixture

DAMAGES: dict[str, Callable[[Path], object]] = {
    "emptied": lambda path: os.truncate(path, 0),
    "overwritten": lambda path: path.write_bytes(b"something else entirely" * 500),
    "a foreign database": lambda path: path.write_bytes(foreign(path)),
    "removed, its log left": lambda path: path.unlink(),
}


def foreign(path: Path) -> bytes:
    import sqlite3

    other = path.with_name("other.sqlite")
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE diary (page TEXT)")
    db.close()
    return other.read_bytes()


@pytest.fixture
def journal_file(paths: Paths) -> Path:
    """A journal with something in it, its log and index beside it as a crash leaves them."""
    file = paths.journal_file
    with Journal(file) as journal:
        with journal.transaction() as tx:
            tx.execute("INSERT INTO facts VALUES ('a', x'7b7d')")
        kept = {path: path.read_bytes() for path in file.parent.glob("journal.sqlite*")}
    for path, data in kept.items():
        path.write_bytes(data)
    assert len(kept) == 3
    return file


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("journal.sqlite*")}


@pytest.mark.parametrize("damage", DAMAGES)
def test_it_is_refused_with_the_way_out_and_left_as_it_is(journal_file: Path, damage: str) -> None:
    DAMAGES[damage](journal_file)
    before = contents(journal_file.parent)
    for _ in range(2):
        with pytest.raises(JournalDamaged, match="it is damaged") as caught:
            Journal(journal_file)
        assert f"mkdir {journal_file.parent}/damaged-journal && mv {journal_file}* " in caught.value.hint
    if damage != "overwritten" and damage != "a foreign database":  # SQLite throws a log away that fits no database
        assert contents(journal_file.parent) == before
    assert contents(journal_file.parent).get(journal_file.name) == before.get(journal_file.name)


def test_an_empty_file_without_a_log_is_damage_too(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").touch()
    with pytest.raises(JournalDamaged, match="the file is empty"):
        Journal(tmp_path / "journal.sqlite")
    assert (tmp_path / "journal.sqlite").stat().st_size == 0


def test_damage_that_shows_only_later_is_told_as_such(journal_file: Path) -> None:
    """The first page is well, others are not."""
    for name in ("-wal", "-shm"):
        journal_file.with_name(journal_file.name + name).unlink()
    with Journal(journal_file) as journal, journal.transaction() as tx:
        tx.execute("SELECT 1")
    data = bytearray(journal_file.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    journal_file.write_bytes(data)
    with pytest.raises(JournalDamaged, match="damaged"), Journal(journal_file) as journal, journal.look() as db:
        db.execute("SELECT * FROM items").fetchall()


def test_several_first_starts_at_once_make_one_journal(tmp_path: Path) -> None:
    path = tmp_path / "state" / "journal.sqlite"
    failures: list[Exception] = []

    def start(number: int) -> None:
        try:
            with Journal(path) as journal, journal.transaction() as tx:
                tx.execute("INSERT INTO facts VALUES (?, x'7b7d')", (str(number),))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    with Journal(path) as journal, journal.look() as db:
        assert db.execute("SELECT count(*) FROM facts").fetchone()[0] == 6
    assert [file.name for file in path.parent.iterdir() if file.name.startswith(".")] == []
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", ["emptied", "overwritten", "removed, its log left"])
def test_status_works_and_says_so(cli: Cli, journal_file: Path, damage: str) -> None:  # noqa: F811
    DAMAGES[damage](journal_file)
    shown = cli("status")
    assert shown.code == 0
    assert "it is damaged" in shown.out
    assert "&& mv " in shown.out
    assert "unknown: the journal cannot be read" in shown.out
    told = cli("status", "--json").json()
    assert (told["queue"], told["worker"]["alive"], told["problem"]) == (None, False, None)
    assert "damaged" in told["journal_problem"]["message"]
    refused = cli("transfers", "list")
    assert refused.code == 1
    assert "it is damaged" in refused.err


def test_the_worker_says_so_in_its_log(paths: Paths, journal_file: Path) -> None:
    os.truncate(journal_file, 0)
    done = subprocess.run(
        [sys.executable, "-m", "backup.worker", "--linger", "0"], timeout=30, check=False, cwd=ROOT, capture_output=True
    )
    assert done.returncode == 1
    log = (paths.logs_dir / "worker.log").read_text()
    assert "it is damaged: the file is empty" in log
    assert "put a copy back" in log
    assert journal_file.stat().st_size == 0
    with pytest.raises(JournalDamaged):
        Queue(paths).snapshot()


def test_the_way_out_is_a_way_out(cli: Cli, paths: Paths, journal_file: Path) -> None:  # noqa: F811
    os.truncate(journal_file, 0)
    before = contents(journal_file.parent)
    doctor = cli("credentials", "doctor")
    assert "it is damaged: the file is empty" in doctor.out
    with pytest.raises(JournalDamaged) as caught:
        Journal(journal_file)
    way_out = caught.value.hint.partition("(")[2].partition(")")[0]
    subprocess.run(["sh", "-euc", way_out], timeout=10, check=True)
    assert contents(journal_file.parent / "damaged-journal") == before
    assert cli("transfers", "list").code == 0
