"""Objects stored by an earlier attempt: found, compared, and not sent twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from providers.contract.cancel import CancelToken
from providers.contract.capabilities import Proof
from providers.contract.upload import SavedUpload
from providers.engine.upload import run_upload
from providers.errors import Integrity, PermissionDenied
from tests.providers.memory import KeptCheckpoint, MemoryStore, failing
from tests.providers.test_upload_endings import PART, connect


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(3 * PART))
    return path


@pytest.mark.parametrize("theirs", [False, True])
def test_after_a_kill_after_the_commit_the_same_file_is_not_sent_again(
    store: MemoryStore, path: Path, theirs: bool
) -> None:
    checkpoint = KeptCheckpoint(SavedUpload)
    store.trouble = failing("send", PermissionDenied("revoked"), at=2)
    with pytest.raises(PermissionDenied):
        run_upload(connect(store), path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    store.sessions.clear()
    store.objects["k"] = os.urandom(3 * PART) if theirs else path.read_bytes()
    store.calls.clear()
    verified: list[str] = []
    result = run_upload(
        connect(store), path, "k", cancel=CancelToken(), checkpoint=checkpoint, on_verify=lambda: verified.append("now")
    )
    assert store.objects["k"] == path.read_bytes()
    assert store.count("send") == (3 if theirs else 0)
    assert result.resumed_bytes == (0 if theirs else 3 * PART)
    assert result.proof is (Proof.MATCHED if theirs else Proof.READ_BACK)  # nothing else is known about it
    assert result.replaced is (True if theirs else None)  # only that process knew
    assert verified
    assert checkpoint.load() is None


def test_a_file_written_during_the_comparison_is_no_success(store: MemoryStore, path: Path) -> None:
    os.truncate(path, PART)
    store.objects["k"] = path.read_bytes()
    store.trouble = lambda call, about: os.utime(path, (5, 5)) if call == "stat" else None
    with pytest.raises(Integrity, match="changed while it was read"):
        run_upload(
            connect(store, single_put_bytes=PART),
            path,
            "k",
            cancel=CancelToken(),
            only_if_absent=True,
            perhaps_stored=True,
        )


def test_an_object_of_an_earlier_attempt_counts_as_replacing_nothing(store: MemoryStore, path: Path) -> None:
    os.truncate(path, PART)
    store.objects["k"] = path.read_bytes()
    result = run_upload(
        connect(store, single_put_bytes=PART), path, "k", cancel=CancelToken(), only_if_absent=True, perhaps_stored=True
    )
    assert result.replaced is False
    assert store.count("send") == 0
