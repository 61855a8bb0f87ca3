"""Checkpoints in the journal: what an upload or a download needs to resume in another process.

`Commit` runs a change in a transaction and returns once it is on disk. The worker's groups many changes into one.
"""

from __future__ import annotations

from collections.abc import Callable
from sqlite3 import Connection
from typing import TypeVar

import msgspec

from backup.journal import items
from backup.journal.store import Journal
from backup.system.packing import pack, unpack
from providers.contract.download import SavedDownload
from providers.contract.upload import PartReceipt, SavedUpload

Change = Callable[[Connection], None]
Commit = Callable[[Change], None]
S = TypeVar("S", SavedUpload, SavedDownload)


def commit_alone(journal: Journal) -> Commit:
    """Commit each change in its own transaction."""

    def commit(change: Change) -> None:
        with journal.transaction() as tx:
            change(tx)

    return commit


class _Saved:
    """What checkpoints of uploads and downloads share.

    `clear` reaches the disk when the item ends (`Outcome.clears`) or with `forget`. A process killed before that
    finds the checkpoint again, sees at the service that nothing is left to do, and sends nothing twice.
    """

    def __init__(self, journal: Journal, item_id: int, *, commit: Commit | None = None, begun: bool = True) -> None:
        """`begun` False saves a query when nothing was ever saved."""
        self._journal = journal
        self._item_id = item_id
        self._commit = commit or commit_alone(journal)
        self._begun = begun
        self._on_disk = b""
        self.cleared = False

    def _load(self, kind: type[S]) -> tuple[S, list[bytes]] | None:
        if not self._begun or self.cleared:
            return None
        with self._journal.look() as db:
            row = db.execute("SELECT saved FROM checkpoints WHERE item_id = ?", (self._item_id,)).fetchone()
            if row is None:
                return None
            parts = db.execute("SELECT receipt FROM parts WHERE item_id = ? ORDER BY part", (self._item_id,)).fetchall()
        self._on_disk = row["saved"]
        return unpack(row["saved"], kind), [part["receipt"] for part in parts]

    def _save(self, saved: bytes, parts: list[tuple[int, bytes]], done_bytes: int) -> None:
        if saved == self._on_disk and not parts and not self.cleared:
            return  # the same session continues, and its parts are on disk

        def change(tx: Connection) -> None:
            tx.execute(
                "INSERT INTO checkpoints (item_id, saved) VALUES (?, ?)"
                " ON CONFLICT (item_id) DO UPDATE SET saved = excluded.saved",
                (self._item_id, saved),
            )
            tx.execute("DELETE FROM parts WHERE item_id = ?", (self._item_id,))
            tx.executemany("INSERT INTO parts VALUES (?, ?, ?)", [(self._item_id, *part) for part in parts])
            items.set_bytes_done(tx, self._item_id, done_bytes)

        self._commit(change)
        self._begun, self.cleared, self._on_disk = True, False, saved

    def _part(self, index: int, receipt: bytes, size_bytes: int) -> None:
        def change(tx: Connection) -> None:
            known = tx.execute("SELECT 1 FROM parts WHERE item_id = ? AND part = ?", (self._item_id, index)).fetchone()
            tx.execute("INSERT OR REPLACE INTO parts VALUES (?, ?, ?)", (self._item_id, index, receipt))
            if not known:
                items.moved_bytes(tx, self._item_id, size_bytes)

        self._commit(change)

    def clear(self) -> None:
        self.cleared = self._begun

    def forget(self) -> None:
        """Remove it from the disk now."""
        self._commit(lambda tx: items.drop_checkpoint(tx, self._item_id))


class UploadCheckpoint(_Saved):
    """The `providers.contract.upload.Checkpoint` of one item."""

    def load(self) -> SavedUpload | None:
        found = self._load(SavedUpload)
        if found is None:
            return None
        saved, receipts = found
        return msgspec.structs.replace(saved, receipts=tuple(unpack(receipt, PartReceipt) for receipt in receipts))

    def save(self, saved: SavedUpload) -> None:
        bare = msgspec.structs.replace(saved, receipts=())
        receipts = [(receipt.index, pack(receipt)) for receipt in saved.receipts]
        self._save(pack(bare), receipts, sum(receipt.size_bytes for receipt in saved.receipts))

    def part_done(self, receipt: PartReceipt) -> None:
        self._part(receipt.index, pack(receipt), receipt.size_bytes)


class CheckpointRow(_Saved):
    """The `providers.contract.download.DownloadCheckpoint` of one item."""

    _saved: SavedDownload | None = None

    def load(self) -> SavedDownload | None:
        found = self._load(SavedDownload)
        if found is None:
            return None
        saved, parts = found
        self._saved = msgspec.structs.replace(saved, done=tuple(int(part) for part in parts))
        return self._saved

    def save(self, saved: SavedDownload) -> None:
        self._saved = saved
        parts = [(index, b"%d" % index) for index in saved.done]
        done_bytes = sum(_part_size(saved, index) for index in saved.done)
        self._save(pack(msgspec.structs.replace(saved, done=())), parts, done_bytes)

    def part_done(self, index: int) -> None:
        self._part(index, b"%d" % index, _part_size(self._saved, index) if self._saved else 0)


def _part_size(saved: SavedDownload, index: int) -> int:
    return max(0, min(saved.part_size_bytes, saved.size_bytes - index * saved.part_size_bytes))


def begun_uploads(db: Connection) -> list[tuple[int, str, SavedUpload]]:
    """Item, instance and saved state of each unfinished upload that has begun at its service. Failed uploads are
    included: they resume where they were when retried."""
    query = (
        "SELECT items.id, items.instance, saved FROM checkpoints JOIN items ON items.id = item_id"
        " WHERE job_kind = 'upload' AND state NOT IN ('done', 'skipped', 'cancelled') ORDER BY items.id"
    )
    return [(row["id"], row["instance"], unpack(row["saved"], SavedUpload)) for row in db.execute(query)]
