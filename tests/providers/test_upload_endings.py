"""Ends of an upload: what is removed, kept for a later call, and reported of an older object."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from providers.contract.cancel import CancelToken
from providers.contract.context import ProviderContext
from providers.contract.upload import SavedUpload, UploadRequest, UploadSession
from providers.engine.upload import run_upload
from providers.errors import (
    Cancelled,
    Conflict,
    Integrity,
    InvalidName,
    NotFound,
    PermissionDenied,
    ProviderError,
    Transient,
    Unsupported,
)
from tests.providers.memory import KeptCheckpoint, MemoryProvider, MemorySession, MemoryStore, failing

PART = 64 * 1024


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(3 * PART))
    return path


def connect(store: MemoryStore, kind: type[MemoryProvider] = MemoryProvider, **can: Any) -> MemoryProvider:
    context = ProviderContext(sleep=lambda seconds, cancel: None)
    provider = kind(store, context=context, upload_chunk_size=PART, connection_pool_size=1)
    provider.can = msgspec.structs.replace(provider.can, **can)
    return provider


@pytest.mark.parametrize(
    ("error", "goes_on"),
    [
        (Transient("reset"), True),
        (PermissionDenied("revoked"), True),
        (Cancelled("asked to stop"), True),
        (Conflict("there is one"), False),
        (InvalidName("not at this service"), False),
        (Unsupported("not at this service"), False),
        (Integrity("other bytes arrived"), False),
    ],
)
@pytest.mark.parametrize("resumable", [True, False])
def test_only_a_resumable_upload_keeps_its_session(
    store: MemoryStore, path: Path, error: ProviderError, goes_on: bool, resumable: bool
) -> None:
    checkpoint = KeptCheckpoint(SavedUpload) if resumable else None
    store.trouble = failing("send", error, at=2, times=99)
    with pytest.raises(type(error)):
        run_upload(connect(store), path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    kept = goes_on and resumable
    assert len(store.sessions) == kept
    if checkpoint:
        assert (checkpoint.load() is not None) is kept


def test_a_cancelled_upload_that_cannot_resume_is_removed(store: MemoryStore, path: Path) -> None:
    cancel = CancelToken()
    store.trouble = lambda call, about: cancel.cancel() if (call, about) == ("send", 1) else None
    with pytest.raises(Cancelled):
        run_upload(connect(store), path, "k", cancel=cancel)
    assert not store.sessions


def test_an_upload_that_cannot_be_removed_is_remembered(store: MemoryStore, path: Path) -> None:
    checkpoint = KeptCheckpoint(SavedUpload)

    def refuses(call: str, about: Any) -> None:
        if (call, about) == ("send", 2):
            raise Unsupported("no such parts")
        if call == "abort":
            raise PermissionDenied("may not remove")

    store.trouble = refuses
    with pytest.raises(Unsupported):
        run_upload(connect(store), path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    assert checkpoint.load() is not None


class _Replaces(MemoryProvider):
    """Does not itself enforce only-if-absent."""

    def open_upload(self, request: UploadRequest, *, token: dict[str, Any] | None = None) -> UploadSession:
        return super().open_upload(msgspec.structs.replace(request, only_if_absent=False), token=token)


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("resumable", [True, False])
def test_an_object_that_appears_during_the_upload_is_not_replaced(
    store: MemoryStore, path: Path, resumable: bool, parts: int
) -> None:
    os.truncate(path, parts * PART)

    def appears(call: str, about: Any) -> None:
        if (call, about) == ("send", parts - 1):
            store.objects["k"] = b"theirs"

    store.trouble = appears
    checkpoint = KeptCheckpoint(SavedUpload) if resumable else None
    with pytest.raises(Conflict):
        run_upload(
            connect(store, _Replaces), path, "k", cancel=CancelToken(), checkpoint=checkpoint, only_if_absent=True
        )
    assert store.objects["k"] == b"theirs"
    assert not store.sessions


def test_a_name_the_service_refuses_costs_no_request(store: MemoryStore, path: Path) -> None:
    provider = connect(store)

    def refuse(key: str) -> None:
        raise InvalidName(f"{key}: not at this service")

    provider.check_name = refuse  # type: ignore[method-assign]
    with pytest.raises(InvalidName):
        run_upload(provider, path, "k", cancel=CancelToken())
    assert not store.calls


@pytest.mark.parametrize("beneath", [True, False])
def test_a_link_is_stored_as_its_target_text_and_only_on_request(store: MemoryStore, path: Path, beneath: bool) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    below = path.parent if beneath else None
    run_upload(connect(store), link, "k", cancel=CancelToken(), link=True, beneath=below)
    assert store.objects.pop("k") == os.fsencode(path)
    if beneath:
        with pytest.raises(ProviderError):
            run_upload(connect(store), link, "k", cancel=CancelToken(), beneath=below)
        assert not store.objects


@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize("only_if_absent", [True, False])
def test_an_older_listing_is_used_only_if_nothing_can_be_lost(
    store: MemoryStore, path: Path, conditional: bool, only_if_absent: bool
) -> None:
    store.objects["k"] = b"theirs"
    provider = connect(store, conditional_commit=conditional)

    def upload() -> bool | None:
        return run_upload(
            provider, path, "k", cancel=CancelToken(), only_if_absent=only_if_absent, replaces=False
        ).replaced

    if only_if_absent:
        with pytest.raises(Conflict):
            upload()
        assert store.objects["k"] == b"theirs"
        assert ("send" in dict(store.calls)) is conditional
    else:
        assert upload() is False
        assert not [about for call, about in store.calls[: len(store.calls) - 1] if call == "stat"]


@pytest.mark.parametrize("size_bytes", [PART, 3 * PART])
def test_identical_bytes_stored_by_someone_else_are_a_conflict_too(
    store: MemoryStore, path: Path, size_bytes: int
) -> None:
    """No earlier attempt is known that could have stored it."""
    os.truncate(path, size_bytes)
    store.objects["k"] = path.read_bytes()
    with pytest.raises(Conflict):
        run_upload(connect(store, single_put_bytes=PART), path, "k", cancel=CancelToken(), only_if_absent=True)


class _Discards(MemoryProvider):
    """Every session can remove the object it created."""

    def open_upload(self, request: UploadRequest, *, token: dict[str, Any] | None = None) -> UploadSession:
        session = super().open_upload(request, token=token)
        session.discard = lambda: self.store.called("discard", request.key)  # type: ignore[method-assign]
        return session


@pytest.mark.parametrize("refused", [False, True])
def test_a_damaged_stored_object_is_removed(store: MemoryStore, path: Path, refused: bool) -> None:
    checkpoint = KeptCheckpoint(SavedUpload)
    store.checksums = False

    def damages(call: str, about: Any) -> None:
        if call == "committed":
            store.objects["k"] = bytes(3 * PART)
        if call == "discard" and refused:
            raise PermissionDenied("may not remove")

    store.trouble = damages
    with pytest.raises(Integrity, match="There was no object of that name before"):
        run_upload(connect(store, _Discards), path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    assert store.count("discard") == 1
    assert store.count("abort") == 0
    assert checkpoint.load() is None


def test_a_session_created_late_after_a_lost_answer_is_removed(store: MemoryStore, path: Path) -> None:
    def late(call: str, about: Any) -> None:
        if call == "open" and store.count("open") == 1:
            raise Transient("the answer was lost")
        if (call, about) == ("send", 2):
            store.sessions["late"], store.keys["late"], store.started["late"] = {}, "k", store.now

    store.trouble = late
    run_upload(connect(store), path, "k", cancel=CancelToken())
    assert "late" in store.started
    assert not store.sessions
    assert store.objects["k"] == path.read_bytes()


def test_a_session_that_is_lost_twice_is_reported(store: MemoryStore, path: Path) -> None:
    store.trouble = failing("send", NotFound("no such session"), times=99)
    with pytest.raises(NotFound, match="no such session"):
        run_upload(connect(store), path, "k", cancel=CancelToken())
    assert store.count("open") == 2


@pytest.mark.parametrize(("more_bytes", "taken"), [(0, True), (1, False)])
def test_the_largest_object_a_service_accepts(store: MemoryStore, path: Path, more_bytes: int, taken: bool) -> None:
    provider = connect(store, max_object_bytes=3 * PART - more_bytes)
    if taken:
        run_upload(provider, path, "k", cancel=CancelToken())
        return
    with pytest.raises(Unsupported, match=f"{3 * PART} bytes; this service accepts at most {3 * PART - 1}"):
        run_upload(provider, path, "k", cancel=CancelToken())
    assert store.count("open") == 0


class _Keeps(MemoryProvider):
    """Keeps what was known of the object when the upload began."""

    begun: UploadRequest

    def open_upload(self, request: UploadRequest, *, token: dict[str, Any] | None = None) -> UploadSession:
        self.begun = request
        return super().open_upload(request, token=token)


@pytest.mark.parametrize(
    ("single_put_bytes", "digests_first", "known"),
    [(0, False, False), (PART - 1, False, False), (PART, False, True), (0, True, True)],
)
def test_the_whole_digest_is_sent_first_if_it_cannot_be_added_later(
    store: MemoryStore, tmp_path: Path, single_put_bytes: int, digests_first: bool, known: bool
) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(PART))
    provider = connect(store, _Keeps, single_put_bytes=single_put_bytes, digests_first=digests_first)
    result = run_upload(provider, path, "k", cancel=CancelToken())
    assert isinstance(provider, _Keeps)
    assert provider.begun.sha256 == (result.sha256 if known else "")
    assert provider.begun.mtime_ns == path.stat().st_mtime_ns == result.mtime_ns


def test_not_found_before_a_session_exists_is_not_retried(store: MemoryStore, path: Path) -> None:
    """The container is missing, not the session."""
    store.trouble = failing("open", NotFound("no such bucket"), times=99)
    with pytest.raises(NotFound, match="no such bucket"):
        run_upload(connect(store), path, "k", cancel=CancelToken())
    assert store.count("open") == 1


def test_server_features_are_discovered_before_anything_is_sent(store: MemoryStore, path: Path) -> None:
    provider = connect(store)
    store.trouble = failing("learn", Transient("reset"))
    provider.learn = lambda: store.called("learn")  # type: ignore[method-assign]
    run_upload(provider, path, "k", cancel=CancelToken())
    assert [call for call, _ in store.calls[:3]] == ["learn", "learn", "stat"]


def test_a_session_of_another_key_is_not_continued(store: MemoryStore, path: Path) -> None:
    checkpoint = KeptCheckpoint(SavedUpload)
    store.trouble = failing("send", PermissionDenied("revoked"), at=2)
    with pytest.raises(PermissionDenied):
        run_upload(connect(store), path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    run_upload(connect(store), path, "other", cancel=CancelToken(), checkpoint=checkpoint)
    assert store.objects == {"other": path.read_bytes()}
    assert not store.sessions


class _KeepsSessions(MemoryProvider):
    opened: list[MemorySession]

    def open_upload(self, request: UploadRequest, *, token: dict[str, Any] | None = None) -> UploadSession:
        session = super().open_upload(request, token=token)
        assert isinstance(session, MemorySession)
        self.opened.append(session)
        return session


@pytest.mark.parametrize("during", ["confirmed", "send", "commit"])
def test_cancel_interrupts_any_running_call(store: MemoryStore, path: Path, during: str) -> None:
    checkpoint = KeptCheckpoint(SavedUpload)
    store.trouble = failing("send", PermissionDenied("revoked"), at=2)
    with pytest.raises(PermissionDenied):
        run_upload(connect(store), path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    provider, cancel = connect(store, _KeepsSessions), CancelToken()
    assert isinstance(provider, _KeepsSessions)
    provider.opened = []
    interrupted: list[bool] = []

    def pull(call: str, about: Any) -> None:
        if call == during:
            cancel.cancel()
            interrupted.append(provider.opened[-1].interrupted.is_set())
            raise Transient("the connection was closed")

    store.trouble = pull
    with pytest.raises(Cancelled):
        run_upload(provider, path, "k", cancel=cancel, checkpoint=checkpoint)
    assert interrupted == [True]
    assert "k" not in store.objects


@pytest.mark.parametrize("resumable", [True, False])
@pytest.mark.parametrize(
    ("size_bytes", "requests"),
    [
        (PART, ["stat", "open", "send", "commit", "read"]),  # in one request: no session could be begun twice
        (2 * PART, ["stat", "pending", "open", "send", "send", "commit", "read"]),
    ],
)
def test_an_upload_costs_exactly_these_requests(
    store: MemoryStore, path: Path, size_bytes: int, requests: list[str], resumable: bool
) -> None:
    os.truncate(path, size_bytes)
    store.checksums = False
    checkpoint = KeptCheckpoint(SavedUpload) if resumable else None
    run_upload(connect(store, single_put_bytes=PART), path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    assert [call for call, _ in store.calls if call in {*requests, "pending", "confirmed", "abort"}] == requests


@pytest.mark.parametrize("replaces", [None, False])
def test_a_new_object_is_reported_as_replacing_nothing(store: MemoryStore, path: Path, replaces: bool | None) -> None:
    result = run_upload(connect(store), path, "k", cancel=CancelToken(), only_if_absent=True, replaces=replaces)
    assert result.replaced is False
    result = run_upload(connect(store), path, "k", cancel=CancelToken())
    assert result.replaced is True
