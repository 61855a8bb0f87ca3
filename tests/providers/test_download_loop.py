"""The download loop: temporary file, proof, rename, resuming, leftovers."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from providers.contract.cancel import CancelToken
from providers.contract.capabilities import Proof
from providers.contract.context import ProviderContext
from providers.contract.download import SavedDownload
from providers.engine.download import discard, run_download
from providers.errors import Cancelled, Conflict, Integrity, InvalidName, NotFound, PermissionDenied, Transient
from tests.providers.memory import KeptCheckpoint, MemoryProvider, MemoryStore, failing

PART = 64 * 1024


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def connect(store: MemoryStore, **config: Any) -> MemoryProvider:
    context = ProviderContext(sleep=lambda seconds, cancel: None)
    return MemoryProvider(store, context=context, upload_chunk_size=PART, **config)


def left_over(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 7 * PART + 5])
def test_round_trip_at_every_boundary(store: MemoryStore, tmp_path: Path, size: int) -> None:
    store.objects["k"] = os.urandom(size)
    seen: list[tuple[int, int]] = []
    result = run_download(
        connect(store), "k", tmp_path / "out", cancel=CancelToken(), progress=lambda *at: seen.append(at)
    )
    assert (tmp_path / "out").read_bytes() == store.objects["k"]
    assert result.sha256 == hashlib.sha256(store.objects["k"]).hexdigest()
    assert seen[0] == (0, size)
    assert seen[-1] == (size, size)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert left_over(tmp_path) == ["out"]


def test_resume_fetches_no_finished_part_again(store: MemoryStore, tmp_path: Path) -> None:
    store.objects["k"] = os.urandom(5 * PART)
    checkpoint = KeptCheckpoint(SavedDownload)
    store.trouble = failing("read", PermissionDenied("revoked"), at=(3 * PART, PART))
    with pytest.raises(PermissionDenied):
        run_download(
            connect(store, connection_pool_size=1), "k", tmp_path / "out", cancel=CancelToken(), checkpoint=checkpoint
        )
    assert not (tmp_path / "out").exists()
    store.calls.clear()
    result = run_download(connect(store), "k", tmp_path / "out", cancel=CancelToken(), checkpoint=checkpoint)
    assert sorted(about[0] for call, about in store.calls if call == "read") == [3 * PART, 4 * PART]
    assert result.resumed_bytes == 3 * PART
    assert (tmp_path / "out").read_bytes() == store.objects["k"]
    assert left_over(tmp_path) == ["out"]


def test_bytes_appended_to_the_temporary_file_are_not_in_the_finished_one(store: MemoryStore, tmp_path: Path) -> None:
    store.objects["k"] = os.urandom(2 * PART)
    checkpoint = KeptCheckpoint(SavedDownload)
    store.trouble = failing("read", PermissionDenied("revoked"), at=(PART, PART))
    with pytest.raises(PermissionDenied):
        run_download(
            connect(store, connection_pool_size=1), "k", tmp_path / "out", cancel=CancelToken(), checkpoint=checkpoint
        )
    (temp,) = tmp_path.iterdir()
    os.truncate(temp, 3 * PART)
    run_download(connect(store), "k", tmp_path / "out", cancel=CancelToken(), checkpoint=checkpoint)
    assert (tmp_path / "out").read_bytes() == store.objects["k"]


def test_a_broken_connection_continues_at_its_byte(store: MemoryStore, tmp_path: Path) -> None:
    store.objects["k"] = os.urandom(2**20)
    store.trouble = failing("chunk", Transient("reset"), at=2**19)
    provider = MemoryProvider(store, context=ProviderContext(sleep=lambda *_: None), upload_chunk_size=2**20)
    run_download(provider, "k", tmp_path / "out", cancel=CancelToken())
    assert [about for call, about in store.calls if call == "read"] == [(0, 2**20), (2**19, 2**19)]
    assert (tmp_path / "out").read_bytes() == store.objects["k"]


def test_an_object_that_changed_between_attempts_is_fetched_again(store: MemoryStore, tmp_path: Path) -> None:
    store.objects["k"] = os.urandom(3 * PART)
    checkpoint = KeptCheckpoint(SavedDownload)
    store.trouble = failing("read", PermissionDenied("revoked"), at=(2 * PART, PART))
    with pytest.raises(PermissionDenied):
        run_download(
            connect(store, connection_pool_size=1), "k", tmp_path / "out", cancel=CancelToken(), checkpoint=checkpoint
        )
    store.objects["k"] = os.urandom(3 * PART)
    run_download(connect(store), "k", tmp_path / "out", cancel=CancelToken(), checkpoint=checkpoint)
    assert (tmp_path / "out").read_bytes() == store.objects["k"]
    assert left_over(tmp_path) == ["out"]


def test_wrong_bytes_leave_the_target_untouched(store: MemoryStore, tmp_path: Path) -> None:
    store.objects["k"] = os.urandom(100)
    (tmp_path / "out").write_bytes(b"older")
    with pytest.raises(Integrity):
        run_download(connect(store), "k", tmp_path / "out", cancel=CancelToken(), expected_sha256="00" * 32)
    assert (tmp_path / "out").read_bytes() == b"older"
    assert left_over(tmp_path) == ["out"]


def test_each_kind_of_proof_is_reported(store: MemoryStore, tmp_path: Path) -> None:
    store.objects["k"] = os.urandom(3 * PART)
    digest = hashlib.sha256(store.objects["k"]).hexdigest()
    known = run_download(connect(store), "k", tmp_path / "a", cancel=CancelToken(), expected_sha256=digest)
    assert known.proof is Proof.MATCHED
    store.checksums = False
    store.calls.clear()
    unknown = run_download(connect(store), "k", tmp_path / "b", cancel=CancelToken())
    assert unknown.proof is Proof.READ_TWICE
    assert sum(about[1] for call, about in store.calls if call == "read") == 2 * 3 * PART


def test_cancel_keeps_the_fetched_bytes_until_they_are_discarded(store: MemoryStore, tmp_path: Path) -> None:
    store.objects["k"] = os.urandom(6 * PART)
    cancel = CancelToken()
    checkpoint = KeptCheckpoint(SavedDownload)
    store.trouble = lambda call, about: cancel.cancel() if (call, about) == ("read", (2 * PART, PART)) else None
    with pytest.raises(Cancelled):
        run_download(
            connect(store, connection_pool_size=1), "k", tmp_path / "out", cancel=cancel, checkpoint=checkpoint
        )
    saved = checkpoint.load()
    assert saved.done == (0, 1)
    assert left_over(tmp_path) == [saved.temp_name]
    discard(tmp_path / "out", checkpoint)
    assert left_over(tmp_path) == []


def test_without_a_checkpoint_a_failure_leaves_nothing(store: MemoryStore, tmp_path: Path) -> None:
    store.objects["k"] = os.urandom(6 * PART)
    store.trouble = failing("read", PermissionDenied("revoked"), at=(2 * PART, PART))
    with pytest.raises(PermissionDenied):
        run_download(connect(store), "k", tmp_path / "out", cancel=CancelToken())
    assert left_over(tmp_path) == []


def test_a_download_never_replaces_a_folder_a_link_or_an_unconfirmed_file(store: MemoryStore, tmp_path: Path) -> None:
    store.objects["k"] = b"data"
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"older")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for name in ("folder", "link"):
        with pytest.raises(InvalidName):
            run_download(connect(store), "k", tmp_path / name, cancel=CancelToken())
    with pytest.raises(Conflict):
        run_download(connect(store), "k", tmp_path / "file", cancel=CancelToken(), replace=False)
    assert (tmp_path / "file").read_bytes() == b"older"


def test_a_missing_object_and_a_missing_folder_are_not_found(store: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        run_download(connect(store), "nothing", tmp_path / "out", cancel=CancelToken())
    store.objects["k"] = b"data"
    with pytest.raises(NotFound, match="missing"):
        run_download(connect(store), "k", tmp_path / "missing" / "out", cancel=CancelToken())


def test_a_long_name_still_finds_room_for_its_temporary_file(store: MemoryStore, tmp_path: Path) -> None:
    store.objects["k"] = b"data"
    name = "ü" * 127
    run_download(connect(store), "k", tmp_path / name, cancel=CancelToken())
    assert (tmp_path / name).read_bytes() == b"data"


class Killed(KeptCheckpoint):
    """The process ends between the rename and the end of the item: the cleared checkpoint never reaches the disk."""

    def clear(self) -> None:
        """Nothing reaches the disk any more."""


@pytest.mark.parametrize("size", [100, 5 * PART + 7])
@pytest.mark.parametrize("replace", [True, False])
def test_after_a_kill_right_after_the_rename_nothing_is_fetched_again(
    store: MemoryStore, tmp_path: Path, size: int, replace: bool
) -> None:
    store.objects["k"] = os.urandom(size)
    target = tmp_path / "out"
    if replace:
        target.write_bytes(b"older")
    checkpoint = Killed(SavedDownload)
    first = run_download(connect(store), "k", target, cancel=CancelToken(), checkpoint=checkpoint, replace=replace)
    store.calls.clear()
    seen: list[tuple[int, int]] = []
    again = run_download(
        connect(store),
        "k",
        target,
        cancel=CancelToken(),
        checkpoint=checkpoint,
        replace=replace,
        progress=lambda *at: seen.append(at),
    )
    assert store.count("read") == 0
    assert (again.sha256, again.proof, again.replaced) == (first.sha256, Proof.MATCHED, replace)
    assert again.resumed_bytes == size
    assert seen == [(0, size), (size, size)]
    assert left_over(tmp_path) == ["out"]


def test_another_file_of_that_name_is_not_taken_for_the_object(store: MemoryStore, tmp_path: Path) -> None:
    store.objects["k"] = os.urandom(PART)
    checkpoint = Killed(SavedDownload)
    run_download(connect(store), "k", tmp_path / "out", cancel=CancelToken(), checkpoint=checkpoint)
    (tmp_path / "out").write_bytes(os.urandom(PART))
    with pytest.raises(Conflict):
        run_download(connect(store), "k", tmp_path / "out", cancel=CancelToken(), checkpoint=checkpoint, replace=False)
    run_download(connect(store), "k", tmp_path / "out", cancel=CancelToken(), checkpoint=checkpoint)
    assert (tmp_path / "out").read_bytes() == store.objects["k"]


def test_the_fetched_bytes_must_match_the_history(store: MemoryStore, tmp_path: Path) -> None:
    store.objects["k"] = b"as it was"
    etag = connect(store).stat("k").etag
    known = {etag: hashlib.sha256(b"as it was").hexdigest()}
    done = run_download(
        connect(store), "k", tmp_path / "a", cancel=CancelToken(), recall=lambda remote: known.get(remote.etag, "")
    )
    assert done.proof is Proof.MATCHED
    with pytest.raises(Integrity, match="expected 00"):
        run_download(connect(store), "k", tmp_path / "b", cancel=CancelToken(), recall=lambda remote: "00" * 32)
    assert left_over(tmp_path) == ["a"]
