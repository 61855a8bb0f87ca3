"""Data written by commit 9d02eaa opens with today's code: configuration, vault and journal, and transfers resume.

`former/` was written by that commit, with its worker killed during an upload. Places in it begin with `/former`.
"""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from backup.config import file as config
from backup.core.core import Core
from backup.credentials.vault import unlocked_here, vault_path
from backup.journal import Journal, items
from backup.model.credentials import StoreState
from backup.model.transfers import ItemState
from backup.system.paths import Paths
from providers.contract.capabilities import Proof
from tests.backup.queue_support import Workbench, files_below
from tests.backup.vault_tools import PASSPHRASE

FORMER = Path(__file__).parent / "former"
PART = 65536
BIG = random.Random(9).randbytes(16 * PART)
SENT_BYTES = 5 * PART
PARTIAL = ".homeserver-backup-2a21fe6d592a19b7-1a21e03eaaf-d0eea9a8e7a9e48c-0.partial"
MTIME_NS = 1_790_000_000_000_000_000
DONE_SHA256 = "a4c3ed04a95a3da14a9d235c83d868bed7c0f45cf7f3faa751ee8f50598d2211"


@pytest.fixture
def home(paths: Paths, tmp_path: Path) -> Path:
    """All data as that commit left it."""
    home = tmp_path / "former"
    for name in ("src", "disk/failed.txt"):
        (home / name).mkdir(parents=True)
    for name, data in {"big": BIG, "paused.txt": b"paused", "failed.txt": b"failed"}.items():
        (home / "src" / name).write_bytes(data)
        os.utime(home / "src" / name, ns=(MTIME_NS, MTIME_NS))
    (home / "disk" / "done.txt").write_bytes(b"done")
    (home / "disk" / PARTIAL).write_bytes(BIG[:SENT_BYTES])
    (home / "disk" / PARTIAL.replace(".partial", ".ledger")).write_bytes((FORMER / "big.ledger").read_bytes())
    paths.config_dir.mkdir(parents=True)
    paths.config_file.write_text((FORMER / "config.json").read_text().replace("/former", str(home)))
    vault_path(paths).parent.mkdir(parents=True, exist_ok=True)
    vault_path(paths).write_bytes((FORMER / "vault.json").read_bytes())
    vault_path(paths).chmod(0o600)
    paths.state_dir.mkdir(parents=True, mode=0o700)
    inode = (home / "src" / "big").stat().st_ino
    script = _with(_with((FORMER / "journal.sql").read_text(), "/former", str(home)), "1234567890", str(inode))
    with closing(sqlite3.connect(paths.journal_file)) as db:
        db.executescript(script)
    return home


def _with(script: str, old: str, new: str) -> str:
    """This includes blobs, which are hexadecimal."""
    return script.replace(old, new).replace(old.encode().hex().upper(), new.encode().hex().upper())


def test_its_configuration_opens(home: Path, paths: Paths) -> None:
    loaded = config.load(paths)
    assert (loaded.problem, loaded.default_provider, loaded.history_days) == (None, "local", 3650)
    assert [step.name for step in loaded.checks["local"].steps][:2] == ["reach", "authenticate"]
    with closing(Core(paths)) as core:
        local, nas = core.instances.all()
        assert (local.name, local.container, local.enabled) == ("local", str(home / "disk"), True)
        assert (nas.name, nas.type, nas.settings["endpoint_url"]) == ("nas", "aws_s3", "http://127.0.0.1:9000")


def test_its_vault_opens(home: Path, paths: Paths) -> None:
    with closing(Core(paths)) as core:
        assert core.credentials.status().state is StoreState.LOCKED
        core.credentials.unlock(PASSPHRASE)
        assert core.credentials.status().state is StoreState.READY
        (credential,) = core.credentials.all()
        assert (credential.key, credential.username) == ("nas", "AKIAFORMER")
        kit = core.credentials.recovery_kit(["nas"], columns=80, dark_background=False).reveal()
    assert "the former secret" in kit
    unlocked_here(vault_path(paths)).lock()


def test_its_journal_opens_and_still_proves_what_is_stored(home: Path, paths: Paths) -> None:
    with Journal(paths.journal_file) as journal, journal.look() as db:
        (place,) = db.execute("SELECT place_id FROM items WHERE name = ?", (b"done.txt",)).fetchone()
        etag = "3381e3-4-18ebf67f0bcae303"
        assert items.known_sha256(db, place, "done.txt", etag=etag, size_bytes=4) == DONE_SHA256


def test_its_transfers_resume(home: Path, bench: Workbench) -> None:
    half = (home / "disk" / PARTIAL).stat().st_ino
    before = {item.name: item for item in bench.queue.snapshot().items}
    assert {name: item.state for name, item in before.items()} == {
        "big": ItemState.QUEUED,
        "done.txt": ItemState.DONE,
        "failed.txt": ItemState.FAILED,
    }
    assert before["big"].bytes_done == SENT_BYTES
    assert before["done.txt"].proof is Proof.READ_BACK
    (home / "disk" / "failed.txt").rmdir()
    bench.queue.retry([before["failed.txt"].id])
    bench.queue.ensure_worker()
    for job in bench.queue.snapshot().jobs:
        bench.finish(job)
    assert {item.state for item in bench.queue.snapshot().items} == {ItemState.DONE}
    assert (home / "disk" / "big").stat().st_ino == half  # the same file that was begun
    assert files_below(home / "disk") == {
        "big": BIG, "done.txt": b"done", "failed.txt": b"failed", "paused.txt": b"paused"
    }  # fmt: skip
