"""The part loop: sending, resuming, retrying, proving, leftovers."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from providers.contract.cancel import CancelToken
from providers.contract.capabilities import Proof
from providers.contract.context import ProviderContext
from providers.contract.storage import RangeReader
from providers.contract.upload import SavedUpload, UploadRequest, UploadResult
from providers.engine.unfinished import abandon
from providers.engine.upload import run_upload
from providers.errors import Cancelled, Conflict, Integrity, NotFound, PermissionDenied, Transient, Unsupported
from tests.providers.memory import KeptCheckpoint, MemoryProvider, MemoryStore, failing

PART = 64 * 1024


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def connect(store: MemoryStore, **config: Any) -> MemoryProvider:
    waits: list[float] = []
    context = ProviderContext(
        sleep=lambda seconds, cancel: waits.append(seconds), uniform=lambda low, high: high, now=lambda: store.now
    )
    provider = MemoryProvider(store, context=context, upload_chunk_size=PART, **config)
    provider.waits = waits  # type: ignore[attr-defined]
    return provider


def a_file(tmp_path: Path, size: int) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(os.urandom(size))
    return path


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 7 * PART + 5])
def test_round_trip_at_every_boundary(store: MemoryStore, tmp_path: Path, size: int) -> None:
    path = a_file(tmp_path, size)
    result = run_upload(connect(store), path, "k", cancel=CancelToken())
    assert store.objects["k"] == path.read_bytes()
    assert result.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert result.proof is Proof.MATCHED
    assert result.replaced is False
    assert not store.sessions


def test_progress_begins_at_zero_never_falls_and_ends_after_the_proof(store: MemoryStore, tmp_path: Path) -> None:
    path = a_file(tmp_path, 6 * PART)
    seen: list[tuple[int, int]] = []
    at_verify: list[int] = []
    store.trouble = failing("sent", Transient("lost"), at=2)
    run_upload(
        connect(store),
        path,
        "k",
        cancel=CancelToken(),
        progress=lambda done, total: seen.append((done, total)),
        on_verify=lambda: at_verify.append(len(seen)),
    )
    assert seen[0] == (0, 6 * PART)
    assert seen[-1] == (6 * PART, 6 * PART)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen.index((6 * PART, 6 * PART)) >= at_verify[0]


def test_resume_sends_no_finished_part_again(store: MemoryStore, tmp_path: Path) -> None:
    path = a_file(tmp_path, 5 * PART)
    checkpoint = KeptCheckpoint(SavedUpload)
    store.trouble = failing("send", PermissionDenied("revoked"), at=3)
    with pytest.raises(PermissionDenied):
        run_upload(connect(store, connection_pool_size=1), path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    assert len(store.sessions) == 1
    store.calls.clear()
    result = run_upload(connect(store), path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    assert sorted(about for call, about in store.calls if call == "send") == [3, 4]
    assert result.resumed_bytes == 3 * PART
    assert store.objects["k"] == path.read_bytes()
    assert checkpoint.load() is None


def test_an_expired_session_starts_again(store: MemoryStore, tmp_path: Path) -> None:
    path = a_file(tmp_path, 3 * PART)
    checkpoint = KeptCheckpoint(SavedUpload)
    store.trouble = failing("send", PermissionDenied("revoked"), at=2)
    with pytest.raises(PermissionDenied):
        run_upload(connect(store, connection_pool_size=1), path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    store.sessions.clear()
    run_upload(connect(store), path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    assert store.objects["k"] == path.read_bytes()


def test_a_changed_file_abandons_the_old_session(store: MemoryStore, tmp_path: Path) -> None:
    path = a_file(tmp_path, 3 * PART)
    checkpoint = KeptCheckpoint(SavedUpload)
    store.trouble = failing("send", PermissionDenied("revoked"), at=2)
    with pytest.raises(PermissionDenied):
        run_upload(connect(store, connection_pool_size=1), path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    path.write_bytes(os.urandom(3 * PART))
    run_upload(connect(store), path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    assert store.objects["k"] == path.read_bytes()
    assert not store.sessions


def test_bytes_changed_under_an_unchanged_mtime_are_sent_again(store: MemoryStore, tmp_path: Path) -> None:
    path = a_file(tmp_path, 3 * PART)
    checkpoint = KeptCheckpoint(SavedUpload)
    store.trouble = failing("send", PermissionDenied("revoked"), at=2)
    with pytest.raises(PermissionDenied):
        run_upload(connect(store, connection_pool_size=1), path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    stat = path.stat()
    with path.open("r+b") as file:
        file.write(b"x" * 100)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    store.calls.clear()
    run_upload(connect(store), path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    assert sorted(about for call, about in store.calls if call == "send") == [0, 2]
    assert store.objects["k"] == path.read_bytes()


def test_a_session_with_a_lost_token_is_adopted_and_another_client_s_is_not(store: MemoryStore, tmp_path: Path) -> None:
    path = a_file(tmp_path, 2 * PART)
    checkpoint = KeptCheckpoint(SavedUpload)
    store.now = 5000.0

    class Died(BaseException):
        """The process ends between creating the session and saving its token."""

    real = checkpoint.save

    def save(saved: SavedUpload) -> None:
        if saved.token is not None:
            raise Died
        real(saved)

    checkpoint.save = save  # type: ignore[method-assign]
    stranger = connect(store).open_upload(
        msgspec.convert({"key": "k", "size_bytes": 1, "part_size_bytes": 1}, UploadRequest)
    )
    store.started["session-0"] = 100.0
    with pytest.raises(Died):
        run_upload(connect(store), path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    checkpoint.save = real  # type: ignore[method-assign]
    assert set(store.sessions) == {"session-0", "session-1"}
    run_upload(connect(store), path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    assert set(store.sessions) == {"session-0"}
    assert stranger.token == {"id": "session-0"}
    assert store.objects["k"] == path.read_bytes()


@pytest.mark.parametrize("arrival", ["pending", "send"])
def test_a_late_session_of_a_killed_process_is_removed(store: MemoryStore, tmp_path: Path, arrival: str) -> None:
    """The begin request was under way when the process died, and reaches the service after our first check."""
    path = a_file(tmp_path, 2 * PART)
    checkpoint = KeptCheckpoint(SavedUpload)
    store.now = 5000.0
    connect(store).open_upload(msgspec.convert({"key": "k", "size_bytes": 1, "part_size_bytes": 1}, UploadRequest))

    class Died(BaseException):
        """The process ends while the request is under way."""

    def dies(name: str, about: Any) -> None:
        if name == "open":
            raise Died

    store.trouble = dies
    with pytest.raises(Died):
        run_upload(connect(store), path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    looks = 0

    def arrives(name: str, about: Any) -> None:
        nonlocal looks
        looks += name == "pending"
        if name == arrival and looks == (2 if arrival == "pending" else looks) and "late" not in store.started:
            store.sessions["late"], store.keys["late"], store.started["late"] = {}, "k", store.now

    store.trouble = arrives
    run_upload(connect(store), path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    assert "late" in store.started
    assert set(store.sessions) == {"session-0"}  # another client's
    assert store.objects["k"] == path.read_bytes()


def test_retries_double_with_jitter_and_then_give_up(store: MemoryStore, tmp_path: Path) -> None:
    store.trouble = failing("send", Transient("reset"), times=99)
    provider = connect(store, max_retries=4, retry_delay=0.5)
    with pytest.raises(Transient):
        run_upload(provider, a_file(tmp_path, 10), "k", cancel=CancelToken())
    assert provider.waits == [0.5, 1.0, 2.0, 4.0]  # type: ignore[attr-defined]
    assert store.count("send") == 5
    assert not store.sessions
    assert "k" not in store.objects


@pytest.mark.parametrize("error", [Transient("reply lost"), Conflict("409")])
def test_a_lost_reply_to_the_commit_is_detected(store: MemoryStore, tmp_path: Path, error: Any) -> None:
    path = a_file(tmp_path, 10)
    store.trouble = failing("committed", error)
    result = run_upload(connect(store), path, "k", cancel=CancelToken())
    assert store.count("commit") == 1
    assert store.objects["k"] == path.read_bytes()
    assert result.proof is Proof.MATCHED


def test_wrong_bytes_at_the_service_are_integrity_and_report_what_was_replaced(
    store: MemoryStore, tmp_path: Path
) -> None:
    path = a_file(tmp_path, 100)
    store.objects["k"] = b"older"
    store.checksums = False

    def corrupt(call: str, about: Any) -> None:
        if call == "committed":
            store.objects["k"] = b"x" * 100

    store.trouble = corrupt
    with pytest.raises(Integrity, match=r"(?s)read back.*has been replaced"):
        run_upload(connect(store), path, "k", cancel=CancelToken())


def test_without_checksums_the_object_is_read_back(store: MemoryStore, tmp_path: Path) -> None:
    store.checksums = False
    result = run_upload(connect(store), a_file(tmp_path, 3 * PART), "k", cancel=CancelToken())
    assert result.proof is Proof.READ_BACK
    assert store.count("read") == 1


def test_reading_back_continues_at_the_byte_where_the_connection_broke(store: MemoryStore, tmp_path: Path) -> None:
    store.checksums = False
    size = 4 * PART
    store.trouble = failing("chunk", Transient("reset"), at=2 * PART)
    run_upload(connect(store), a_file(tmp_path, size), "k", cancel=CancelToken())
    assert [about for call, about in store.calls if call == "read"] == [(0, size), (2 * PART, size - 2 * PART)]


def test_reading_back_requests_an_empty_object_too_and_accepts_a_whole_answer(
    store: MemoryStore, tmp_path: Path
) -> None:
    """A server that ignores ranges starts again from the first byte after a break."""
    store.checksums = False
    provider = connect(store)
    readers: list[RangeReader] = []
    real = provider.read_range

    def kept(*args: Any, **more: Any) -> RangeReader:
        readers.append(real(*args, **more))
        return readers[-1]

    provider.read_range = kept  # type: ignore[method-assign]
    assert run_upload(provider, a_file(tmp_path, 0), "k", cancel=CancelToken()).proof is Proof.READ_BACK
    assert [reader.takes_whole for reader in readers] == [True]


@pytest.mark.parametrize("change", ["grow", "shrink", "replace"])
def test_a_file_that_changes_while_read_is_never_a_success(store: MemoryStore, tmp_path: Path, change: str) -> None:
    path = a_file(tmp_path, 4 * PART)

    def meddle(call: str, about: Any) -> None:
        if (call, about) != ("send", 1):
            return
        if change == "grow":
            with path.open("ab") as file:
                file.write(b"more")
        elif change == "shrink":
            os.truncate(path, PART)
        else:
            (tmp_path / "other").write_bytes(b"new")
            (tmp_path / "other").rename(path)

    store.trouble = meddle
    with pytest.raises(Integrity):
        run_upload(connect(store, connection_pool_size=1), path, "k", cancel=CancelToken())
    assert "k" not in store.objects
    assert not store.sessions


def test_cancel_ends_every_part_and_keeps_the_session(store: MemoryStore, tmp_path: Path) -> None:
    cancel = CancelToken()
    checkpoint = KeptCheckpoint(SavedUpload)
    reached = threading.Event()

    def pull(call: str, about: Any) -> None:
        if (call, about) == ("send", 2):
            reached.set()
            cancel.cancel()

    store.trouble = pull
    with pytest.raises(Cancelled):
        run_upload(connect(store), a_file(tmp_path, 9 * PART), "k", cancel=cancel, checkpoint=checkpoint)
    assert reached.is_set()
    assert len(store.sessions) == 1
    assert "k" not in store.objects
    abandon(connect(store), checkpoint, CancelToken())
    assert not store.sessions
    assert checkpoint.load() is None


def test_only_if_absent_replaces_nothing(store: MemoryStore, tmp_path: Path) -> None:
    store.objects["k"] = b"older"
    with pytest.raises(Conflict):
        run_upload(connect(store), a_file(tmp_path, 10), "k", cancel=CancelToken(), only_if_absent=True)
    assert store.objects["k"] == b"older"
    assert store.count("send") == 0


@pytest.mark.parametrize("known", [None, False])
def test_an_object_that_appears_while_parts_are_sent_is_seen_before_the_commit(
    store: MemoryStore, tmp_path: Path, known: bool | None
) -> None:
    """The service would replace it: the loop checks again, whatever was known before."""

    def another_machine(call: str, about: Any) -> None:
        if (call, about) == ("sent", 2):
            store.objects["k"] = b"theirs"

    store.trouble = another_machine
    provider = connect(store, connection_pool_size=1)
    assert not provider.capabilities.conditional_commit
    with pytest.raises(Conflict, match="already there"):
        run_upload(provider, a_file(tmp_path, 3 * PART), "k", cancel=CancelToken(), only_if_absent=True, replaces=known)
    assert (store.objects["k"], store.count("commit"), store.sessions) == (b"theirs", 0, {})
    asked = [call for call, _ in store.calls if call in {"open", "stat", "sent"}]
    assert asked == ["stat", "open", *["sent"] * 3, "stat"]


def test_with_encryption_enabled_nothing_is_sent(store: MemoryStore, tmp_path: Path) -> None:
    provider = connect(store, encryption_enabled=True)
    with pytest.raises(Unsupported, match="encryption_enabled"):
        run_upload(provider, a_file(tmp_path, 10), "k", cancel=CancelToken())
    assert not store.calls


def test_a_missing_file_names_itself(store: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="absent"):
        run_upload(connect(store), tmp_path / "absent", "k", cancel=CancelToken())


def test_as_many_parts_run_at_once_as_connections_and_never_more(store: MemoryStore, tmp_path: Path) -> None:
    lock = threading.Lock()
    three_at_once = threading.Event()
    now, most = 0, 0

    def watch(call: str, about: Any) -> None:
        nonlocal now, most
        with lock:
            if call == "send":
                now += 1
                most = max(most, now)
                if now == 3:
                    three_at_once.set()
            elif call == "sent":
                now -= 1
        if call == "send":
            assert three_at_once.wait(10)

    store.trouble = watch
    run_upload(connect(store, connection_pool_size=3), a_file(tmp_path, 20 * PART), "k", cancel=CancelToken())
    assert most == 3


@pytest.mark.parametrize("theirs", [None, b"another of 19 bytes"])
def test_an_object_of_an_earlier_attempt_is_found_and_another_client_s_is_a_conflict(
    store: MemoryStore, tmp_path: Path, theirs: bytes | None
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"mine, also 19 bytes")
    provider = connect(store)
    provider.can = msgspec.structs.replace(provider.can, single_put_bytes=PART)
    store.objects["k"] = theirs or path.read_bytes()

    def upload() -> UploadResult:
        # `replaces`: a listing before the first attempt found nothing
        return run_upload(
            provider, path, "k", cancel=CancelToken(), only_if_absent=True, replaces=False, perhaps_stored=True
        )

    if theirs:
        with pytest.raises(Conflict):
            upload()
        assert store.objects["k"] == theirs
    else:
        result = upload()
        assert (result.proof, result.replaced, result.resumed_bytes) == (Proof.MATCHED, False, 19)
        assert store.count("send") == 0


def test_an_empty_session_of_unknown_origin_is_not_adopted(store: MemoryStore, tmp_path: Path) -> None:
    """It may be another machine's, with the metadata of another file; the service cannot store a session id."""
    path = a_file(tmp_path, 2 * PART)
    checkpoint = KeptCheckpoint(SavedUpload)
    store.now = 5000.0
    used: list[str] = []

    def trouble(call: str, about: Any) -> None:
        if call == "open" and not used:
            used.append("lost")
            raise Transient("the request never arrived")
        if call == "pending" and used == ["lost"] and "theirs" not in store.started:
            store.sessions["theirs"], store.keys["theirs"], store.started["theirs"] = {}, "k", store.now
        if call == "sent":
            used.extend(name for name, parts in store.sessions.items() if parts)

    store.trouble = trouble
    run_upload(connect(store), path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    assert store.objects["k"] == path.read_bytes()
    assert "theirs" in store.started
    assert "theirs" not in used
