"""Ends of a download: cleared, kept, or resumed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from providers.contract.cancel import CancelToken
from providers.contract.context import ProviderContext
from providers.contract.download import DownloadResult, SavedDownload
from providers.engine.download import discard, run_download
from providers.errors import Cancelled, Conflict, Integrity, PermissionDenied, Transient
from tests.providers.memory import KeptCheckpoint, MemoryProvider, MemoryStore, failing

PART = 64 * 1024


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.objects["k"] = os.urandom(5 * PART)
    return store


def connect(store: MemoryStore) -> MemoryProvider:
    context = ProviderContext(sleep=lambda seconds, cancel: None)
    return MemoryProvider(store, context=context, upload_chunk_size=PART, connection_pool_size=1)


def fetch(store: MemoryStore, target: Path, **more: Any) -> DownloadResult:
    return run_download(connect(store), "k", target, cancel=more.pop("cancel", CancelToken()), **more)


def begun(store: MemoryStore, target: Path) -> KeptCheckpoint:
    """Stopped with parts 0 to 2 of five on disk."""
    checkpoint = KeptCheckpoint(SavedDownload)
    store.trouble = failing("read", PermissionDenied("revoked"), at=(3 * PART, PART))
    with pytest.raises(PermissionDenied):
        fetch(store, target, checkpoint=checkpoint)
    store.calls.clear()
    return checkpoint


def reads(store: MemoryStore) -> list[int]:
    return [about[0] // PART for call, about in store.calls if call == "read"]


@pytest.mark.parametrize("parts", [0, 1, 5])
def test_a_finished_download_clears_its_checkpoint(store: MemoryStore, tmp_path: Path, parts: int) -> None:
    store.objects["k"] = os.urandom(parts * PART)
    checkpoint = KeptCheckpoint(SavedDownload)
    fetch(store, tmp_path / "out", checkpoint=checkpoint)
    assert checkpoint.load() is None
    assert os.listdir(tmp_path) == ["out"]


def test_parts_on_disk_count_as_done(store: MemoryStore, tmp_path: Path) -> None:
    checkpoint = begun(store, tmp_path / "out")
    done: list[int] = []
    at_read: list[int] = []
    store.trouble = lambda call, about: at_read.append(done[-1]) if call == "read" else None
    fetch(store, tmp_path / "out", checkpoint=checkpoint, progress=lambda bytes_done, total: done.append(bytes_done))
    assert at_read == [3 * PART, 4 * PART]


def test_a_missing_temporary_file_starts_again(store: MemoryStore, tmp_path: Path) -> None:
    checkpoint = begun(store, tmp_path / "out")
    (tmp_path / checkpoint.load().temp_name).unlink()
    fetch(store, tmp_path / "out", checkpoint=checkpoint)
    assert reads(store) == [0, 1, 2, 3, 4]
    assert (tmp_path / "out").read_bytes() == store.objects["k"]
    assert os.listdir(tmp_path) == ["out"]


def test_bytes_changed_on_disk_meanwhile_are_detected(store: MemoryStore, tmp_path: Path) -> None:
    checkpoint = begun(store, tmp_path / "out")
    with (tmp_path / checkpoint.load().temp_name).open("r+b") as file:
        file.write(b"x" * 100)
    with pytest.raises(Integrity):
        fetch(store, tmp_path / "out", checkpoint=checkpoint)
    assert os.listdir(tmp_path) == []
    assert checkpoint.load() is None


def test_a_part_is_recorded_only_once_it_is_on_disk(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    real = os.fdatasync

    def on_disk(fd: int) -> None:
        real(fd)
        happened.append("on disk")

    class Remembers(KeptCheckpoint):
        def part_done(self, done: Any) -> None:
            happened.append("remembered")
            super().part_done(done)

    monkeypatch.setattr(os, "fdatasync", on_disk)
    checkpoint = Remembers(SavedDownload)
    fetch(store, tmp_path / "out", checkpoint=checkpoint)
    assert happened == ["on disk", "remembered"] * 5


@pytest.mark.parametrize("parts", [1, 5])
def test_a_cancelled_download_reports_the_cancellation_not_its_consequences(
    store: MemoryStore, tmp_path: Path, parts: int
) -> None:
    store.objects["k"] = os.urandom(parts * PART)
    cancel = CancelToken()

    def breaks(call: str, about: Any) -> None:
        if call == "chunk":
            cancel.cancel()
            raise Transient("reset")

    store.trouble = breaks
    with pytest.raises(Cancelled):
        fetch(store, tmp_path / "out", cancel=cancel)
    assert os.listdir(tmp_path) == []


def test_a_file_that_appears_is_not_replaced_and_the_fetched_bytes_are_kept(store: MemoryStore, tmp_path: Path) -> None:
    """Once it is moved away, nothing is fetched again."""
    checkpoint = KeptCheckpoint(SavedDownload)

    def appears(call: str, about: Any) -> None:
        if (call, about) == ("read", (4 * PART, PART)):
            (tmp_path / "out").write_bytes(b"theirs")

    store.trouble = appears
    with pytest.raises(Conflict):
        fetch(store, tmp_path / "out", checkpoint=checkpoint, replace=False)
    assert (tmp_path / "out").read_bytes() == b"theirs"
    (tmp_path / "out").unlink()
    store.trouble = lambda call, about: None
    store.calls.clear()
    fetch(store, tmp_path / "out", checkpoint=checkpoint, replace=False)
    assert reads(store) == []
    assert (tmp_path / "out").read_bytes() == store.objects["k"]


def test_a_download_is_discarded_once(store: MemoryStore, tmp_path: Path) -> None:
    checkpoint = begun(store, tmp_path / "out")
    for _ in range(2):
        discard(tmp_path / "out", checkpoint)
        assert os.listdir(tmp_path) == []
        assert checkpoint.load() is None
