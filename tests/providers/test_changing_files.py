"""Files that change while they are read, or report a wrong size: never stored torn, never stored short."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from providers.contract import digests
from providers.contract.cancel import CancelToken
from providers.contract.context import ProviderContext
from providers.contract.upload import SavedUpload, UploadResult
from providers.engine.upload import run_upload
from providers.errors import Cancelled, Integrity
from providers.local.provider import LocalProvider
from tests.providers.memory import KeptCheckpoint, MemoryProvider, MemoryStore

PART = 64 * 1024


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def connect(store: MemoryStore, **config: Any) -> MemoryProvider:
    context = ProviderContext(sleep=lambda seconds, cancel: None)
    return MemoryProvider(store, context=context, upload_chunk_size=PART, connection_pool_size=1, **config)


def send(store: MemoryStore, path: Path, **more: Any) -> UploadResult:
    return run_upload(connect(store), path, "k", cancel=CancelToken(), **more)


def rewritten(path: Path) -> None:
    """Other bytes at the start, same size, mtime reset: as VeraCrypt and `rsync --inplace -t` do."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def linked(path: Path) -> None:
    path.with_name("second").hardlink_to(path)


def on_the_way(store: MemoryStore, *acts: Callable[[Path], None], path: Path) -> None:
    """Runs the acts once, after the last part has been sent."""
    left = list(acts)

    def trouble(call: str, about: object) -> None:
        if call == "sent" and about == (path.stat().st_size - 1) // PART:
            while left:
                left.pop(0)(path)

    store.trouble = trouble


@pytest.fixture(params=[10, 3 * PART + 7], ids=["one part", "several parts"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(request.param))
    os.utime(path, (1_600_000_000, 1_600_000_000))
    return path


def chmod(path: Path) -> None:
    path.chmod(0o640)


@pytest.mark.parametrize("acts", [(rewritten,), (rewritten, chmod), (chmod, rewritten)])
def test_a_reset_mtime_hides_no_change(
    store: MemoryStore, path: Path, acts: tuple[Callable[[Path], None], ...]
) -> None:
    on_the_way(store, *acts, path=path)
    with pytest.raises(Integrity, match="changed while it was read"):
        send(store, path)
    assert not store.objects


@pytest.mark.parametrize("acts", [(chmod,), (linked,), (chmod, linked)])
def test_a_new_mode_or_link_causes_a_second_read_and_is_no_change(
    store: MemoryStore, path: Path, acts: tuple[Callable[[Path], None], ...]
) -> None:
    on_the_way(store, *acts, path=path)
    send(store, path)
    assert store.objects["k"] == path.read_bytes()


def test_a_change_during_the_second_read_is_detected(
    store: MemoryStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_the_way(store, chmod, path=path)
    real = digests.sha256_of

    def changed_then(*args: Any) -> str:
        path.write_bytes(os.urandom(path.stat().st_size))
        return real(*args)

    monkeypatch.setattr("providers.engine.source.sha256_of", changed_then)
    with pytest.raises(Integrity, match="changed while it was read"):
        send(store, path)


def mapped(path: Path) -> None:
    """Written through a memory map and not yet synced."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[0] ^= 1


def cut_and_refilled(path: Path) -> None:
    size = path.stat().st_size
    os.truncate(path, 0)
    os.truncate(path, size)


def replaced_under_its_name(path: Path) -> None:
    """By a file with the same size and times."""
    before, other = path.stat(), path.with_name("other")
    other.write_bytes(os.urandom(before.st_size))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize("act", [mapped, cut_and_refilled, replaced_under_its_name])
def test_other_bytes_of_the_same_size_are_detected(store: MemoryStore, path: Path, act: Callable[[Path], None]) -> None:
    on_the_way(store, act, path=path)
    with pytest.raises(Integrity, match="changed while it was read"):
        send(store, path)
    assert not store.objects


def grows(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


@pytest.mark.parametrize("act", [lambda path: os.truncate(path, 3), grows])
def test_a_file_that_shrinks_or_grows_is_detected(store: MemoryStore, path: Path, act: Callable[[Path], None]) -> None:
    on_the_way(store, act, path=path)
    with pytest.raises(Integrity, match="changed while it was read"):
        send(store, path)
    assert not store.objects


def test_a_new_mode_between_two_runs_sends_no_part_again(store: MemoryStore, tmp_path: Path) -> None:
    """A ctime is no identity: a session resumes even though it has changed."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(4 * PART))
    checkpoint = KeptCheckpoint(SavedUpload)
    cancel = CancelToken()
    store.trouble = lambda call, about: cancel.cancel() if (call, about) == ("sent", 1) else None
    with pytest.raises(Cancelled):
        run_upload(connect(store), path, "k", cancel=cancel, checkpoint=checkpoint)
    path.chmod(0o600)
    store.calls.clear()
    assert send(store, path, checkpoint=checkpoint).resumed_bytes > 0
    assert store.count("open") == 0


# Wrong sizes


@pytest.fixture
def lies(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, int], None]:
    """Makes the system report a wrong size for a file, as a FUSE file system may."""

    def lie(path: Path, size: int) -> None:
        inode = path.stat().st_ino
        for name in ("fstat", "stat"):
            real = getattr(os, name)

            def lied(*args: Any, real: Any = real, **more: Any) -> os.stat_result:
                found: os.stat_result = real(*args, **more)
                if found.st_ino != inode:
                    return found
                fields = {field: getattr(found, field) for field in dir(found) if field.startswith("st_")}
                return os.stat_result((*found[:6], size, *found[7:]), fields | {"st_size": size})

            monkeypatch.setattr(os, name, lied)

    return lie


@pytest.mark.parametrize("says", [0, 4096, 1, 3 * PART])
@pytest.mark.parametrize("holds", [5, PART + 1, 0])
def test_the_whole_content_is_stored_whatever_the_reported_size(
    store: MemoryStore, tmp_path: Path, lies: Callable[[Path, int], None], says: int, holds: int
) -> None:
    data = os.urandom(holds)
    path = tmp_path / "file"
    path.write_bytes(data)
    lies(path, says)
    seen: list[tuple[int, int]] = []
    result = send(store, path, progress=lambda *at: seen.append(at))
    assert store.objects["k"] == data
    assert result.remote.size_bytes == holds
    assert seen[-1] == (holds, holds)


@pytest.mark.parametrize("name", ["/proc/version", "/proc/self/limits", "/proc/filesystems"])
def test_files_of_proc_are_stored(tmp_path: Path, name: str) -> None:
    path = Path(name)
    assert path.stat().st_size == 0
    (tmp_path / "store").mkdir()
    provider = LocalProvider({"container": str(tmp_path / "store")})
    run_upload(provider, path, "k", cancel=CancelToken())
    assert (tmp_path / "store" / "k").read_bytes() == path.read_bytes() != b""


def test_an_endless_file_is_limited_to_the_size_of_one_request(
    store: MemoryStore, tmp_path: Path, lies: Callable[[Path, int], None]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(1001))
    lies(path, 0)
    provider = connect(store)
    provider.can = msgspec.structs.replace(provider.can, single_put_bytes=1000)
    with pytest.raises(Integrity, match="changes while it is read"):
        run_upload(provider, path, "k", cancel=CancelToken())
    assert not store.objects


def test_the_upload_of_a_file_that_became_endless_is_abandoned(
    store: MemoryStore, tmp_path: Path, lies: Callable[[Path, int], None]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(4 * PART))
    checkpoint, cancel = KeptCheckpoint(SavedUpload), CancelToken()
    store.trouble = lambda call, about: cancel.cancel() if (call, about) == ("sent", 1) else None
    with pytest.raises(Cancelled):
        run_upload(connect(store), path, "k", cancel=cancel, checkpoint=checkpoint)
    assert store.sessions
    lies(path, 0)
    provider = connect(store)
    provider.can = msgspec.structs.replace(provider.can, single_put_bytes=1000)
    with pytest.raises(Integrity):
        run_upload(provider, path, "k", cancel=CancelToken(), checkpoint=checkpoint)
    assert not store.sessions
    assert checkpoint.load() is None


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Reads that block until the test ends, as on a network file system that is gone."""
    released = threading.Event()

    def read(fd: int, size: int) -> bytes:
        released.wait(30)
        return b""

    yield lambda: monkeypatch.setattr(os, "read", read)
    released.set()


def waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that announces more data, as /proc/kmsg does."""

    def read(fd: int, size: int) -> bytes:
        raise BlockingIOError

    monkeypatch.setattr(os, "read", read)


@pytest.mark.parametrize("how", ["hangs", "waits"])
def test_a_file_that_does_not_end_in_time_fails(
    store: MemoryStore,
    tmp_path: Path,
    lies: Callable[[Path, int], None],
    stuck: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    lies(path, 0)
    provider = connect(store)
    monkeypatch.setattr(provider, "settings", msgspec.structs.replace(provider.settings, timeout=0.1))
    if how == "hangs":
        stuck()
    else:
        waits(monkeypatch)
    with pytest.raises(Integrity, match="changes while it is read"):
        run_upload(provider, path, "k", cancel=CancelToken())
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        run_upload(connect(store), path, "k", cancel=cancel)
