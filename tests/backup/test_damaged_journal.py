"""A damaged journal never counts as an empty queue, and nothing in it is changed."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from backup.instances.destination import place_of
from backup.journal import Journal, JournalDamaged, jobs
from backup.journal.records import JobRequest, NewItem
from backup.model.transfers import JobKind
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
    other = path.with_name("other.sqlite")
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE diary (page TEXT)")
    db.close()
    return other.read_bytes()


@pytest.fixture
def journal_file(paths: Paths) -> Path:
    """A journal with content, and its log and index as a crash leaves them."""
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
def test_it_is_refused_with_a_hint_and_left_unchanged(journal_file: Path, damage: str) -> None:
    DAMAGES[damage](journal_file)
    before = contents(journal_file.parent)
    for _ in range(2):
        with pytest.raises(JournalDamaged, match="it is damaged") as caught:
            Journal(journal_file)
        assert f"mkdir {journal_file.parent}/damaged-journal && mv {journal_file}* " in caught.value.hint
    if damage != "overwritten" and damage != "a foreign database":  # SQLite deletes a log that fits no database
        assert contents(journal_file.parent) == before
    assert contents(journal_file.parent).get(journal_file.name) == before.get(journal_file.name)


def by_sql(statement: str) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute(statement)

    return damage


def in_its_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


INNER_DAMAGES: dict[str, Callable[[Path], object]] = {
    "a table is gone": by_sql("DROP TABLE items"),
    "totals are gone": by_sql("DELETE FROM totals"),
    "an older version than its tables": by_sql("PRAGMA user_version = 2"),
    "no version at all": by_sql("PRAGMA user_version = -3"),
    "an unknown state": by_sql("INSERT INTO counts (job_id, kind, state, items) VALUES (0, 'upload', '?', 1)"),
    "a state that is no text": by_sql(
        "UPDATE counts SET state = CAST(x'ff' AS TEXT) WHERE job_id = 0 AND kind = 'upload' AND state = 'queued'"
    ),
    "a folder": in_its_place,
    "the schema is no text": lambda path: path.write_bytes(
        path.read_bytes().replace(b"CREATE TABLE", b"CREAT\xff TABLE")
    ),
}


@pytest.mark.few(3)
@pytest.mark.parametrize("damage", INNER_DAMAGES)
def test_status_works_and_names_any_damage(
    cli: Cli,  # noqa: F811
    paths: Paths,
    tmp_path: Path,
    damage: str,
) -> None:
    with Journal(paths.journal_file) as journal, journal.transaction() as tx:
        order = JobRequest(kind=JobKind.UPLOAD, sources=("/x",))
        job_id = jobs.add_job(tx, order, place_of(paths, "local"), title="x", destination="/", now=1.0)
        jobs.add_items(tx, jobs.job(tx, job_id), [NewItem(name="x", key="x")], now=1.0)
        jobs.scan_ended(tx, job_id)
    INNER_DAMAGES[damage](paths.journal_file)
    began = time.monotonic()
    shown = cli("status", "--json")
    assert (shown.code, time.monotonic() - began < 5) == (0, True)
    assert "it is damaged: " in shown.json()["journal_problem"]["message"]
    assert shown.json()["queue"] is None
    (tmp_path / "file").write_bytes(b"1")
    for refused in (cli("transfers", "list"), cli("upload", str(tmp_path / "file"))):
        assert refused.code == 1
        assert "it is damaged: " in refused.err
        assert "set up" not in refused.err  # this is no longer known


def test_a_link_to_a_journal_on_an_unmounted_disk_is_not_damage(
    cli: Cli,  # noqa: F811
    paths: Paths,
    tmp_path: Path,
) -> None:
    paths.state_dir.mkdir(parents=True)
    paths.journal_file.symlink_to(tmp_path / "away" / "journal.sqlite")
    shown = cli("status", "--json").json()["journal_problem"]
    assert "is a link to a file that is not there" in shown["message"]
    assert "See that its disk is mounted" in shown["hint"]


def test_a_newer_journal_is_named_where_a_provider_has_to_be_chosen(
    cli: Cli,  # noqa: F811
    paths: Paths,
    tmp_path: Path,
) -> None:
    Journal(paths.journal_file).close()
    by_sql("PRAGMA user_version = 999")(paths.journal_file)
    (tmp_path / "file").write_bytes(b"1")
    refused = cli("upload", str(tmp_path / "file"))
    assert refused.code == 3
    assert "written by a newer version of this program (journal version 999" in refused.err


def test_an_empty_file_without_a_log_is_damage_too(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").touch()
    with pytest.raises(JournalDamaged, match="the file is empty"):
        Journal(tmp_path / "journal.sqlite")
    assert (tmp_path / "journal.sqlite").stat().st_size == 0


def test_damage_found_later_is_reported_as_damage(journal_file: Path) -> None:
    """The first page is intact, others are not."""
    for name in ("-wal", "-shm"):
        journal_file.with_name(journal_file.name + name).unlink()
    with Journal(journal_file) as journal, journal.transaction() as tx:
        tx.execute("SELECT 1")
    data = bytearray(journal_file.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    journal_file.write_bytes(data)
    with pytest.raises(JournalDamaged, match="damaged"), Journal(journal_file) as journal, journal.look() as db:
        db.execute("SELECT * FROM items").fetchall()


def test_concurrent_first_starts_create_one_journal(tmp_path: Path) -> None:
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
    shown = cli("status", "--json").json()
    assert (shown["queue"], shown["worker"]["alive"], shown["problem"]) == (None, False, None)
    assert "damaged" in shown["journal_problem"]["message"]
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


def test_the_hint_works(cli: Cli, paths: Paths, journal_file: Path) -> None:  # noqa: F811
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
