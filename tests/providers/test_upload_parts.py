"""Parts sent again after a stop, their order, and the progress reported meanwhile."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from providers.contract.cancel import CancelToken
from providers.contract.context import ProviderContext
from providers.contract.upload import PendingUpload, SavedUpload, UploadRequest, UploadSession
from providers.engine.upload import run_upload
from providers.errors import Cancelled, Integrity, NotFound, PermissionDenied, Transient
from tests.providers.memory import KeptCheckpoint, MemoryProvider, MemoryStore, failing

PART = 64 * 1024


class _Service(MemoryProvider):
    """Reports `known_digests` for every part it holds: some services report none, or another kind than we send."""

    known_digests: Mapping[str, str] | None = None
    shorter_by_bytes = 0

    def open_upload(self, request: UploadRequest, *, token: dict[str, Any] | None = None) -> UploadSession:
        session = super().open_upload(request, token=token)
        real = session.confirmed

        def confirmed() -> list[Any]:
            return [
                msgspec.structs.replace(
                    receipt,
                    size_bytes=receipt.size_bytes - self.shorter_by_bytes,
                    digests=receipt.digests if self.known_digests is None else dict(self.known_digests),
                )
                for receipt in real()
            ]

        session.confirmed = confirmed  # type: ignore[method-assign]
        return session


def connect(store: MemoryStore, *, parallel: bool = True, connections: int = 1) -> _Service:
    context = ProviderContext(sleep=lambda seconds, cancel: None)
    provider = _Service(store, context=context, upload_chunk_size=PART, connection_pool_size=connections)
    provider.can = msgspec.structs.replace(provider.can, parallel_parts=parallel)
    return provider


def begun(store: MemoryStore, path: Path, *, parallel: bool = True) -> KeptCheckpoint:
    """Stopped with parts 0 to 2 of five sent."""
    path.write_bytes(os.urandom(5 * PART))
    checkpoint = KeptCheckpoint(SavedUpload)
    store.trouble = failing("send", PermissionDenied("revoked"), at=3)
    with pytest.raises(PermissionDenied):
        run_upload(connect(store, parallel=parallel), path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    store.calls.clear()
    return checkpoint


def sent(store: MemoryStore) -> list[int]:
    return sorted(about for call, about in store.calls if call == "send")


@pytest.mark.parametrize(
    ("parallel", "known_digests", "receipts_kept", "sent_again"),
    [
        (True, {}, True, [3, 4]),  # our own receipts show what was sent
        (True, {}, False, [0, 1, 2, 3, 4]),  # the content of these parts is unknown
        (True, {"crc32c": "another kind"}, True, [0, 1, 2, 3, 4]),
        (True, {"md5": "of other bytes"}, True, [0, 1, 2, 3, 4]),
        (False, {}, False, [3, 4]),  # the proof of the whole object decides
        (False, {"crc32c": "another kind"}, True, [0, 1, 2, 3, 4]),
        (False, {"md5": "of other bytes"}, True, [0, 1, 2, 3, 4]),
    ],
)
def test_only_a_part_known_to_be_identical_is_not_sent_again(
    tmp_path: Path, parallel: bool, known_digests: dict[str, str], receipts_kept: bool, sent_again: list[int]
) -> None:
    store, path = MemoryStore(), tmp_path / "file"
    checkpoint = begun(store, path, parallel=parallel)
    if not receipts_kept:
        checkpoint.save(msgspec.structs.replace(checkpoint.load(), receipts=()))
    provider = connect(store, parallel=parallel)
    provider.known_digests = known_digests
    result = run_upload(provider, path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    assert sent(store) == sent_again
    assert result.resumed_bytes == (5 - len(sent_again)) * PART
    assert store.objects["k"] == path.read_bytes()
    assert not store.sessions


@pytest.mark.parametrize("parallel", [True, False])
def test_a_part_of_another_size_is_sent_again(tmp_path: Path, parallel: bool) -> None:
    store, path = MemoryStore(), tmp_path / "file"
    checkpoint = begun(store, path, parallel=parallel)
    provider = connect(store, parallel=parallel)
    provider.shorter_by_bytes = 1
    run_upload(provider, path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    assert sent(store) == [0, 1, 2, 3, 4]
    assert store.objects["k"] == path.read_bytes()


def test_our_own_receipts_detect_a_file_that_changed_under_its_mtime(tmp_path: Path) -> None:
    store, path = MemoryStore(), tmp_path / "file"
    checkpoint = begun(store, path)
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(PART)
        file.write(b"x" * 100)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    provider = connect(store)
    provider.known_digests = {}
    run_upload(provider, path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    assert sent(store) == [1, 3, 4]
    assert store.objects["k"] == path.read_bytes()


def test_a_serial_service_gets_one_part_at_a_time(tmp_path: Path) -> None:
    store, path = MemoryStore(), tmp_path / "file"
    path.write_bytes(os.urandom(6 * PART))
    lock, now, order, most = threading.Lock(), 0, list[int](), 0

    def watch(call: str, about: Any) -> None:
        nonlocal now, most
        with lock:
            if call == "send":
                now, most = now + 1, max(most, now + 1)
                order.append(about)
            elif call == "sent":
                now -= 1

    store.trouble = watch
    run_upload(connect(store, parallel=False, connections=4), path, "k", cancel=CancelToken())
    assert most == 1
    assert order == [0, 1, 2, 3, 4, 5]


def test_parts_the_service_has_count_as_done(tmp_path: Path) -> None:
    store, path = MemoryStore(), tmp_path / "file"
    checkpoint = begun(store, path)
    done: list[int] = []
    at_send: list[int] = []
    store.trouble = lambda call, about: at_send.append(done[-1]) if call == "send" else None
    run_upload(
        connect(store), path, "k", cancel=CancelToken(), checkpoint=checkpoint,
        progress=lambda bytes_done, total: done.append(bytes_done),
    )  # fmt: skip
    assert at_send == [3 * PART, 4 * PART]


@pytest.mark.parametrize("error", [Transient("reset"), PermissionDenied("revoked"), NotFound("no such session")])
def test_a_cancelled_upload_reports_the_cancellation_not_its_consequences(tmp_path: Path, error: Exception) -> None:
    store, path, cancel = MemoryStore(), tmp_path / "file", CancelToken()
    path.write_bytes(os.urandom(3 * PART))
    checkpoint = KeptCheckpoint(SavedUpload)

    def breaks(call: str, about: Any) -> None:
        if (call, about) == ("send", 1):
            cancel.cancel()
            raise error

    store.trouble = breaks
    with pytest.raises(Cancelled):
        run_upload(connect(store), path, "k", cancel=cancel, checkpoint=checkpoint)
    assert len(store.sessions) == 1
    assert checkpoint.load() is not None


def test_a_damaged_part_is_sent_again(tmp_path: Path) -> None:
    store, path = MemoryStore(), tmp_path / "file"
    path.write_bytes(os.urandom(3 * PART))
    store.trouble = failing("send", Integrity("the service received other bytes"), at=1)
    run_upload(connect(store), path, "k", cancel=CancelToken())
    assert sent(store) == [0, 1, 1, 2]
    assert store.objects["k"] == path.read_bytes()


def test_a_part_is_not_sent_again_if_the_file_has_changed(tmp_path: Path) -> None:
    store, path = MemoryStore(), tmp_path / "file"
    path.write_bytes(os.urandom(3 * PART))

    def changes(call: str, about: Any) -> None:
        if (call, about) == ("send", 1):
            path.write_bytes(b"something else")
            raise Integrity("the service received other bytes")

    store.trouble = changes
    with pytest.raises(Integrity):
        run_upload(connect(store), path, "k", cancel=CancelToken())
    assert sent(store) == [0, 1]
    assert not store.objects
    assert not store.sessions


def test_a_session_lost_repeatedly_over_damage_is_reported_as_damage(tmp_path: Path) -> None:
    """Some services discard the session with the damaged part; "no such session" explains nothing."""
    store, path = MemoryStore(), tmp_path / "file"
    path.write_bytes(os.urandom(3 * PART))

    def damages(call: str, about: Any) -> None:
        if (call, about) == ("send", 1):
            if store.count("send") % 2 == 0:
                raise Integrity("the service received other bytes")
            raise NotFound("no such session")

    store.trouble = damages
    with pytest.raises(Integrity, match="received other bytes"):
        run_upload(connect(store), path, "k", cancel=CancelToken())
    assert store.count("open") == 2
    assert not store.objects


class _TellsSessions(MemoryProvider):
    """Stores the owner of each session, as B2 does."""

    tells_sessions: ClassVar[bool] = True
    whose: dict[str, str]

    def open_upload(self, request: UploadRequest, *, token: dict[str, Any] | None = None) -> UploadSession:
        session = super().open_upload(request, token=token)
        assert session.token
        self.whose.setdefault(session.token["id"], request.session_id)
        return session

    def pending_uploads(self, key: str) -> list[PendingUpload]:
        return [
            msgspec.structs.replace(item, session_id=self.whose[item.token["id"]])
            for item in super().pending_uploads(key)
        ]


@pytest.mark.parametrize("lost", ["with the process", "with the answer"])
def test_a_session_with_a_lost_token_resumes_if_the_service_reports_its_owner(tmp_path: Path, lost: str) -> None:
    store, path = MemoryStore(), tmp_path / "file"
    path.write_bytes(os.urandom(3 * PART))
    provider = _TellsSessions(store, context=ProviderContext(sleep=lambda *_: None), upload_chunk_size=PART)
    provider.whose = {}
    checkpoint = KeptCheckpoint(SavedUpload)
    opened = provider.open_upload

    class Died(BaseException):
        """The process ends."""

    def loses(request: UploadRequest, *, token: dict[str, Any] | None = None) -> UploadSession:
        provider.open_upload = opened  # type: ignore[method-assign]
        provider.open_upload(request, token=token)
        raise Died if lost == "with the process" else Transient("the answer was lost")

    provider.open_upload = loses  # type: ignore[method-assign]
    if lost == "with the process":
        with pytest.raises(Died):
            run_upload(provider, path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    run_upload(provider, path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    assert store.count("open") == 1
    assert not store.sessions
    assert store.objects["k"] == path.read_bytes()
