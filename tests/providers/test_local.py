"""Local storage: containment, durability, resuming, names."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from providers.contract.attributes import Attributes
from providers.contract.cancel import CancelToken
from providers.contract.context import ProviderContext
from providers.contract.upload import UploadRequest
from providers.engine.upload import run_upload
from providers.engine.window import MemoryBody
from providers.errors import (
    Conflict,
    Integrity,
    InvalidConfiguration,
    InvalidName,
    NotFound,
    ProviderError,
    QuotaExceeded,
    Transient,
)
from providers.local.provider import LocalProvider
from providers.local.uploads import LocalUpload
from providers.testing.support import FakeTime
from tests.ordinary_user import as_an_ordinary_user


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "storage"
    path.mkdir()
    return path


@pytest.fixture
def provider(root):
    made = LocalProvider({"container": str(root)})
    yield made
    made.close()


class Body(io.BytesIO):
    def __len__(self):
        return len(self.getbuffer())


def begin(provider, key, data, part_bytes=100, **more):
    request = UploadRequest(key=key, size_bytes=len(data), part_size_bytes=part_bytes, **more)
    return provider.open_upload(request)


def send(session, data, index):
    part = session.request.part(index)
    window = data[part.offset : part.offset + part.size_bytes]
    return session.send(part, Body(window), {"sha256": hashlib.sha256(window).hexdigest()})


def store(provider, key, data=b"data", **more):
    session = begin(provider, key, data, max(1, len(data)), **more)
    return session.commit([send(session, data, 0)])


def read(provider, key, offset, size, **more):
    reader = provider.read_range(key, offset, size, **more)
    try:
        return b"".join(reader)
    finally:
        reader.close()


def everything(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


@pytest.mark.parametrize("key", ["..", "../x", "a/../../x", "/etc/x", "a//b", "a/./b", "", "/", "x\0y", "\ud800"])
def test_names_that_leave_the_folder_or_are_invalid_are_refused(provider, root, key):
    with pytest.raises(InvalidName):
        store(provider, key)
    for call in (provider.stat, provider.remove, lambda key: provider.read_range(key, 0, 1)):
        with pytest.raises(ProviderError):
            call(key)
    assert everything(root) == []
    assert everything(root.parent) == ["storage"]


@pytest.mark.parametrize("prefix", ["../", "/../", "/", "a/../b", "a//", "./"])
def test_an_impossible_prefix_is_not_an_empty_listing(provider, root, prefix):
    store(provider, "a/b")
    with pytest.raises(InvalidName):
        provider.scan(prefix)
    assert provider.scan("..").files == ()


def test_the_names_of_unfinished_uploads_are_reserved(provider, root):
    begin(provider, "x", b"data")
    (hidden,) = os.listdir(root)
    for key in (hidden, f"{hidden}/x"):
        with pytest.raises(InvalidName):
            store(provider, key)
    assert provider.scan().files == ()


@pytest.mark.parametrize("deep", [False, True])
def test_a_symlinked_parent_is_never_followed(provider, root, tmp_path, deep):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("s")
    at = root / "a" if deep else root
    at.mkdir(exist_ok=True)
    (at / "link").symlink_to(outside)
    key = "a/link/secret" if deep else "link/secret"
    for call in (
        lambda: store(provider, key),
        lambda: provider.stat(key),
        lambda: provider.remove(key),
        lambda: provider.read_range(key, 0, 1),
    ):
        with pytest.raises(InvalidName, match="symlink"):
            call()
    assert provider.scan("a/link/" if deep else "link/").files == ()
    assert everything(outside) == ["secret"]


def test_a_symlink_planted_during_the_walk_is_not_followed(provider, root, tmp_path, monkeypatch):
    """The directory is replaced by a symlink right before it is opened, after any earlier check."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "a").mkdir()
    real = os.open

    def swapping(path, flags, *args, dir_fd=None, **kwargs):
        if path == b"a" and not (root / "a").is_symlink():
            (root / "a").rmdir()
            (root / "a").symlink_to(outside)
        return real(path, flags, *args, dir_fd=dir_fd, **kwargs)

    monkeypatch.setattr(os, "open", swapping)
    with pytest.raises(InvalidName):
        store(provider, "a/x")
    assert everything(outside) == []


def test_a_symlink_swapped_back_and_forth_never_leads_out(provider, root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            with suppress(OSError):
                (root / "link").symlink_to(outside)
            with suppress(OSError):
                (root / "link").unlink()
            shutil.rmtree(root / "link", ignore_errors=True)

    thread = threading.Thread(target=swap)
    thread.start()
    outcomes = set()
    try:
        for _ in range(200):
            try:
                store(provider, "link/x")
                outcomes.add("stored")
            except ProviderError as error:
                outcomes.add(error.kind)
    finally:
        stop.set()
        thread.join()
    assert outcomes
    assert everything(outside) == []


def pages_left_out(provider, limit):
    token = None
    while True:
        page = provider.scan(token=token, limit=limit)
        yield from page.left_out
        token = page.next_token
        if token is None:
            return


def test_symlinks_and_special_files_are_not_objects(provider, root, tmp_path):
    (tmp_path / "secret").write_text("s")
    (root / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(root / "pipe")
    assert provider.scan().files == ()
    assert [file.key for limit in (1, 9) for file in pages_left_out(provider, limit)] == ["link", "pipe"] * 2
    for key in ("link", "pipe"):
        for call in (provider.stat, provider.remove, lambda key: provider.read_range(key, 0, 1)):
            with pytest.raises(NotFound):
                call(key)
    assert sorted(os.listdir(root)) == ["link", "pipe"]
    store(provider, "link", b"new")
    assert not (root / "link").is_symlink()
    assert (tmp_path / "secret").read_text() == "s"


def test_nothing_is_visible_before_the_commit(provider, root):
    data = b"x" * 250
    session = begin(provider, "a/b", data)
    receipts = [send(session, data, index) for index in (2, 0, 1)]
    assert provider.scan().files == ()
    assert provider.scan(delimiter="/").prefixes == ("a/",)
    assert not (root / "a/b").exists()
    remote = session.commit(sorted(receipts, key=lambda receipt: receipt.index))
    assert (root / "a/b").read_bytes() == data
    assert os.listdir(root / "a") == ["b"]
    assert remote == provider.stat("a/b")


def test_the_file_is_synced_before_the_rename_and_its_folder_after(provider, root, monkeypatch):
    did = []
    fsync, replace = os.fsync, os.replace

    def synced(fd):
        did.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    def replaced(*args, **kwargs):
        did.append("replace")
        replace(*args, **kwargs)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    store(provider, "x")
    named = did.index("replace")
    assert any(".homeserver-backup-" in path for path in did[:named])
    assert str(root) in did[named:]


def synced(monkeypatch):
    """Records each fsync: file or folder, its mode and mtime at that moment, and its content."""
    found, fsync = [], os.fsync

    def sync(fd):
        facts, path = os.fstat(fd), os.readlink(f"/proc/self/fd/{fd}")
        names = os.listdir(fd) if stat.S_ISDIR(facts.st_mode) else []
        found.append((path, stat.S_IMODE(facts.st_mode), facts.st_mtime_ns, names))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", sync)
    return found


def test_a_stored_folder_is_synced_with_its_attributes_and_its_name(provider, root, monkeypatch):
    kept = Attributes(mode=stat.S_IFDIR | 0o750, uid=os.getuid(), gid=os.getgid())
    request = UploadRequest(key="folder/", size_bytes=0, part_size_bytes=1, attributes=kept)
    session = provider.open_upload(request)
    found = synced(monkeypatch)
    session.commit([])
    assert [(path, "folder" in names) for path, _, _, names in found] == [
        (str(root / "folder"), False),
        (str(root), True),
    ]


@pytest.mark.parametrize("part_bytes", [100, 250])
def test_a_file_is_synced_with_its_mode_and_mtime_before_the_rename(provider, root, monkeypatch, part_bytes):
    kept = Attributes(mode=stat.S_IFREG | 0o640, uid=os.getuid(), gid=os.getgid())
    request = UploadRequest(
        key="x", size_bytes=250, part_size_bytes=part_bytes, mtime_ns=1_600_000_000_000_000_000, attributes=kept
    )
    session = provider.open_upload(request)
    found = synced(monkeypatch)
    data = b"x" * 250
    receipts = [
        session.send(request.part(index), MemoryBody(data[part_bytes * index :][:part_bytes]), {})
        for index in range(request.part_count)
    ]
    session.commit(receipts)
    *_, (mode, mtime_ns) = [facts for path, *facts, _ in found if path != str(root)]
    assert (mode, mtime_ns) == (0o640, 1_600_000_000_000_000_000)
    assert [names for path, *_, names in found if path == str(root)] == [["x"]]


def test_a_read_only_file_is_written_again_after_a_failed_attempt(monkeypatch):
    """It gets its mode before it is on disk."""
    request = UploadRequest(key="x", size_bytes=1, part_size_bytes=1, attributes=Attributes(mode=stat.S_IFREG | 0o400))

    def broken(fd):
        raise OSError(errno.EIO, "Input/output error")

    def act(top):
        provider = LocalProvider({"container": str(top)})
        session = provider.open_upload(request)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", broken)
            with pytest.raises(Transient):
                session.send(request.part(0), MemoryBody(b"1"), {})
        session.commit([session.send(request.part(0), MemoryBody(b"2"), {})])
        assert (top / "x").read_bytes() == b"2"
        assert stat.S_IMODE((top / "x").stat().st_mode) == 0o400

    as_an_ordinary_user(act)


def test_a_part_is_synced_before_it_counts(provider, monkeypatch):
    data = b"x" * 250
    session = begin(provider, "x", data)

    def broken(fd):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(Transient):
            send(session, data, 0)
    assert session.confirmed() == []
    send(session, data, 0)
    assert [receipt.index for receipt in session.confirmed()] == [0]


def test_another_process_resumes_with_the_complete_parts(provider, root):
    data = os.urandom(450)
    session = begin(provider, "d/x", data)
    for index in (0, 3):
        send(session, data, index)
    part = session.request.part(1)
    with pytest.raises(Integrity):
        session.send(part, Body(data[100:150]), {"sha256": "00"})  # ends early: half a part does not count

    other = LocalProvider({"container": str(root)})
    resumed = other.open_upload(session.request, token=session.token)
    held = resumed.confirmed()
    assert [receipt.index for receipt in held] == [0, 3]
    assert held[0].digests["sha256"] == hashlib.sha256(data[:100]).hexdigest()
    receipts = [*held, *(send(resumed, data, index) for index in (1, 2, 4))]
    resumed.commit(sorted(receipts, key=lambda receipt: receipt.index))
    assert (root / "d/x").read_bytes() == data


def test_a_part_that_the_disk_lost_is_not_confirmed(provider, root):
    data = os.urandom(250)
    session = begin(provider, "x", data)
    for index in range(3):
        send(session, data, index)
    token = session.token
    assert token
    with (root / token["temp"]).open("r+b") as file:
        file.seek(150)
        file.write(b"\0" * 20)
    assert [receipt.index for receipt in session.confirmed()] == [0, 2]


def test_a_missing_session_is_not_found(provider, root):
    data = b"x" * 250
    session = begin(provider, "x", data)
    session.abort()
    session.abort()
    assert os.listdir(root) == []
    for call in (session.confirmed, lambda: send(session, data, 0), lambda: session.commit([])):
        with pytest.raises(NotFound):
            call()


def test_a_token_of_another_key_is_refused(provider):
    session = begin(provider, "x", b"data")
    request = UploadRequest(key="y", size_bytes=4, part_size_bytes=4)
    for token in (session.token, {"temp": "../../etc/passwd"}, {}):
        with pytest.raises(InvalidName):
            provider.open_upload(request, token=token)


def test_unfinished_uploads_are_found_by_their_key(provider):
    session = begin(provider, "d/x", b"data")
    begin(provider, "d/y", b"data")
    (found,) = provider.pending_uploads("d/x")
    assert found.token == session.token
    assert abs(found.started_at - provider.context.now()) < 60
    assert provider.pending_uploads("nowhere/x") == []


def test_committing_half_a_file_is_refused(provider, root):
    data = b"x" * 250
    session = begin(provider, "x", data)
    receipt = send(session, data, 0)
    with pytest.raises(Integrity):
        session.commit([receipt])
    assert not (root / "x").exists()


@pytest.mark.parametrize("hard_links", [True, False])
def test_only_if_absent_never_replaces(provider, root, monkeypatch, hard_links):
    if not hard_links:

        def link(*args, **kwargs):
            raise PermissionError(errno.EPERM, "no hard links here")

        monkeypatch.setattr(os, "link", link)
        monkeypatch.setattr("providers.filesystem.rename._in_one_step", link)
    store(provider, "x", b"first", only_if_absent=True)
    session = begin(provider, "x", b"other", 5, only_if_absent=True)
    receipt = send(session, b"other", 0)
    with pytest.raises(Conflict):
        session.commit([receipt])
    assert (root / "x").read_bytes() == b"first"
    session.abort()
    assert os.listdir(root) == ["x"]


def test_the_mtime_is_kept_to_the_nanosecond_and_modes_are_private(provider, root):
    remote = store(provider, "d/x", mtime_ns=1_600_000_000_123_456_789)
    assert (root / "d/x").stat().st_mtime_ns == remote.mtime_ns == 1_600_000_000_123_456_789
    assert (root / "d/x").stat().st_mode & 0o777 == 0o600
    assert (root / "d").stat().st_mode & 0o777 == 0o700


def test_a_folder_is_removed_with_its_last_object(provider, root):
    store(provider, "a/b/x")
    store(provider, "a/y")
    provider.remove("a/b/x")
    assert everything(root) == ["a", "a/y"]
    provider.remove("a/y")
    assert everything(root) == []


def test_an_empty_directory_is_an_object(provider, root):
    session = provider.open_upload(UploadRequest(key="a/d/", size_bytes=0, part_size_bytes=1, mtime_ns=5_000_000_000))
    assert session.commit([]).key == "a/d/"
    assert [file.key for file in provider.scan().files] == ["a/d/"]
    assert provider.stat("a/d/").mtime_ns == 5_000_000_000
    assert read(provider, "a/d/", 0, 0) == b""
    provider.remove("a/d/")
    assert everything(root) == []


def test_a_file_in_place_of_a_folder_and_vice_versa_is_a_conflict(provider):
    store(provider, "a")
    with pytest.raises(Conflict, match="is a file"):
        store(provider, "a/b")
    with pytest.raises(NotFound):
        provider.stat("a/b")
    store(provider, "d/x")
    with pytest.raises(Conflict, match="folder"):
        store(provider, "d")


def test_names_that_are_not_utf8_survive(provider, root):
    raw = b"caf\xe9"
    key = raw.decode("utf-8", "surrogateescape")
    store(provider, key)
    assert os.listdir(os.fsencode(root)) == [raw]
    assert [file.key for file in provider.scan().files] == [key]
    provider.remove(key)
    assert os.listdir(root) == []


def test_pages_continue_over_another_connection(provider, root):
    keys = {f"{folder}{name}" for folder in ("", "a/", "a-b/", "a/b/") for name in ("x", "y", "0")}
    for key in keys:
        store(provider, key)
    (root / "a/empty").mkdir()
    wanted = keys | {"a/empty/"}
    for limit in (1, 2, 5, 100):
        for fresh in (False, True):
            found, token = [], None
            for _ in range(len(wanted) + 1):
                page = provider.scan(token=token, limit=limit)
                found += [file.key for file in page.files]
                token = page.next_token
                if fresh:
                    provider.close()  # drops the waiting walk
                if token is None:
                    break
            assert sorted(found) == sorted(wanted)
    page = provider.scan("a", delimiter="/")
    assert (set(page.prefixes), page.files) == ({"a/", "a-b/"}, ())
    assert {file.key for file in provider.scan("a/b").files} == {"a/b/x", "a/b/y", "a/b/0"}
    assert provider.scan("nothing/here/").files == ()


def test_a_large_directory_is_read_once_for_all_pages(provider, root, monkeypatch):
    for number in range(500):
        (root / f"{number:03}").touch()
    read = []
    scandir = os.scandir

    def counted(fd):
        read.append(fd)
        return scandir(fd)

    monkeypatch.setattr(os, "scandir", counted)
    token, count = None, 0
    while True:
        page = provider.scan(token=token, limit=50)
        count += len(page.files)
        token = page.next_token
        if token is None:
            break
    assert (count, len(read)) == (500, 1)


def test_a_changed_object_is_a_conflict_and_a_short_one_an_integrity_error(provider, root):
    remote = store(provider, "x", b"0123456789")
    assert read(provider, "x", 2, 3, etag=remote.etag) == b"234"
    with pytest.raises(Integrity):
        read(provider, "x", 5, 10)
    (root / "x").write_bytes(b"9876543210")
    with pytest.raises(Conflict):
        provider.read_range("x", 0, 3, etag=remote.etag)


def test_the_proof_reads_the_disk(provider, root, tmp_path, monkeypatch):
    """A file whose bytes are damaged between commit and proof is never a success."""
    source = tmp_path / "source"
    source.write_bytes(b"x" * 1000)

    def replace(*args, real=os.replace, **kwargs):
        real(*args, **kwargs)
        with (root / "x").open("r+b") as file:
            file.write(b"y")

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(Integrity):
        run_upload(provider, source, "x", cancel=CancelToken())


def test_a_missing_folder_is_created_only_if_allowed(tmp_path):
    there = tmp_path / "not" / "mounted"
    for call in (lambda p: p.scan(), lambda p: store(p, "x"), lambda p: p.check_reach()):
        with pytest.raises(NotFound, match="does not exist"):
            call(LocalProvider({"container": str(there)}))
    assert not there.exists()
    provider = LocalProvider({"container": str(there), "create_folder": True})
    assert not there.exists(), "construction writes nothing"
    store(provider, "x")
    assert (there / "x").read_bytes() == b"data"


@pytest.mark.parametrize("container", ["", "relative/path", "/a\0b"])
def test_the_folder_must_be_absolute(container):
    with pytest.raises(InvalidConfiguration) as caught:
        LocalProvider({"container": container})
    assert caught.value.field == "container"


def test_the_check_reports_free_space_and_warns_of_the_same_disk(provider, root, monkeypatch):
    monkeypatch.setenv("HOME", str(root))
    assert "WARNING: on the same disk" in provider.check_container()
    monkeypatch.setenv("HOME", "/proc")
    assert "WARNING" not in provider.check_container()
    assert "GB free" in provider.check_container()


def test_containers_are_folders(provider, tmp_path):
    provider.create_container(str(tmp_path / "new" / "one"))
    assert (tmp_path / "new" / "one").is_dir()
    with pytest.raises(InvalidConfiguration):
        provider.create_container("relative")


def test_a_file_that_cannot_fit_is_refused_before_anything_is_written(provider, root, tmp_path):
    huge = tmp_path / "huge"
    free = shutil.disk_usage(root).free
    with huge.open("wb") as file:
        file.truncate(free + 2**30)  # sparse: it takes no space itself
    with pytest.raises(QuotaExceeded, match="no space"):
        run_upload(provider, huge, "huge", cancel=CancelToken())
    assert list(root.iterdir()) == []


ROOT = Path(__file__).parents[2]
DEEP_LISTINGS = """
import json, resource, sys
from providers.local.provider import LocalProvider
root = sys.argv[1]
provider = LocalProvider({"container": root})
resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
whole = [file["name"] for file in provider.list_files()]
paged, token = [], ""
while token is not None:
    another = LocalProvider({"container": root})
    page = another.scan("d/", token=token or None, limit=1)
    another.close()
    paged += [file.key for file in page.files]
    token = page.next_token
print(json.dumps([whole, paged]))
"""
"""In its own process: the limit applies to the highest descriptor number, so it depends on leftovers of other tests."""


def test_folders_deeper_than_the_stack_and_the_table_of_open_files(provider, root, tmp_path):
    folders = [root / ("d/" * depth) for depth in range(1, 541)]
    for folder in folders:
        folder.mkdir()
    deep = "d/" * len(folders)
    keys = [f"{deep}a", f"{deep}b", f"{deep[:-2]}c", "z"]
    for key in keys:
        store(provider, key)
    argv = [sys.executable, "-c", DEEP_LISTINGS, str(root)]
    listed = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT)
    whole, paged = json.loads(listed.stdout)
    assert sorted(whole) == sorted(keys)
    assert sorted(paged) == sorted(keys[:3])
    for key in keys:
        os.unlink(root / key)
    for folder in reversed(folders):
        folder.rmdir()


def test_disk_errors_are_retried_as_configured(root, tmp_path, monkeypatch):
    times = FakeTime()
    context = ProviderContext(sleep=times.sleep, uniform=lambda low, high: high)
    provider = LocalProvider({"container": str(root), "max_retries": 3, "retry_delay": 4}, context=context)
    failures: list[None] = []

    def pwrite(*_):
        failures.append(None)
        raise OSError(errno.EIO, "Input/output error")

    path = tmp_path / "source"
    path.write_bytes(b"x")
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", pwrite)
        with pytest.raises(Transient, match="Input/output error"):
            provider.upload(path, "x")
    assert (len(failures), times.slept) == (4, [4, 8, 16])
    assert everything(root) == []
    provider.upload(path, "x")
    assert everything(root) == ["x"]


@pytest.mark.parametrize("width", [1, 3])
def test_as_many_parts_run_at_once_as_connections(root, tmp_path, monkeypatch, width):
    """Uploads and downloads: exactly that many wait for each other, never one more."""
    provider = LocalProvider({"container": str(root), "upload_chunk_size": 65536, "connection_pool_size": width})
    path = tmp_path / "source"
    path.write_bytes(os.urandom(6 * 65536))
    lock, together, under_way, most = threading.Lock(), threading.Barrier(width), 0, 0

    def meeting(call):
        def met(*args, **kwargs):
            nonlocal under_way, most
            with lock:
                under_way += 1
                most = max(most, under_way)
            together.wait(30)
            try:
                return call(*args, **kwargs)
            finally:
                with lock:
                    under_way -= 1

        return met

    with monkeypatch.context() as patched:
        patched.setattr(LocalUpload, "send", meeting(LocalUpload.send))
        provider.upload(path, "x")
    assert most == width
    most = 0
    with monkeypatch.context() as patched:
        real, part = provider.read_range, meeting(provider.read_range)
        whole = 6 * 65536  # the proof, which reads the whole object at once
        patched.setattr(
            provider, "read_range", lambda *args, **more: (real if args[2] == whole else part)(*args, **more)
        )
        provider.download("x", tmp_path / "target")
    assert most == width
    assert (tmp_path / "target").read_bytes() == path.read_bytes()


# Folders made by an upload, and others


def test_an_abandoned_upload_removes_only_the_folders_it_made(provider, root):
    provider.open_upload(UploadRequest(key="kept/", size_bytes=0, part_size_bytes=1)).commit([])
    (root / "theirs").mkdir()
    for key in ("kept/x", "theirs/x", "kept/new/x", "new/deeper/x"):
        begin(provider, key, b"data").abort()
        assert everything(root) == ["kept", "theirs"]


def test_another_process_removes_those_folders_too(provider, root):
    (root / "theirs").mkdir()
    session = begin(provider, "theirs/new/deeper/x", b"data")
    other = LocalProvider({"container": str(root)})
    other.open_upload(session.request, token=session.token).abort()
    assert everything(root) == ["theirs"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_last_of_several_uploads_removes_their_new_folder(provider, root, order, elsewhere):
    sessions = [begin(provider, f"new/{name}", b"data") for name in "abc"]
    if elsewhere:
        other = LocalProvider({"container": str(root)})
        sessions = [other.open_upload(session.request, token=session.token) for session in sessions]
    for number in order:
        sessions[number].abort()
    assert everything(root) == []


def test_a_folder_stored_meanwhile_stays(provider, root):
    session = begin(provider, "new/x", b"data")
    provider.open_upload(UploadRequest(key="new/", size_bytes=0, part_size_bytes=1)).commit([])
    session.abort()
    assert everything(root) == ["new"]


def test_a_folder_recreated_by_someone_else_is_not_removed(provider, root):
    store(provider, "new/x")
    provider.remove("new/x")
    (root / "new").mkdir()
    begin(provider, "new/y", b"data").abort()
    assert everything(root) == ["new"]


def test_an_upload_killed_while_the_name_was_reserved_resumes(provider, root, monkeypatch):
    """exFAT and some network shares have neither RENAME_NOREPLACE nor hard links."""

    def refused(*args, **kwargs):
        raise PermissionError(errno.EPERM, "not here")

    class Kill(BaseException):
        """The process ends here."""

    def killed(*args, **kwargs):
        raise Kill

    monkeypatch.setattr("providers.filesystem.rename._in_one_step", refused)
    monkeypatch.setattr(os, "link", refused)
    session = begin(provider, "x", b"data", only_if_absent=True)
    with monkeypatch.context() as there:
        there.setattr(os, "replace", killed)
        receipt = send(session, b"data", 0)
        with pytest.raises(Kill):
            session.commit([receipt])
    assert (root / "x").read_bytes() == b""
    again = LocalProvider({"container": str(root)}).open_upload(session.request, token=session.token)
    again.commit([send(again, b"data", 0)])
    assert everything(root) == ["x"]
    assert (root / "x").read_bytes() == b"data"
    begun = begin(provider, "x", b"other", 5, only_if_absent=True)
    receipt = send(begun, b"other", 0)
    with pytest.raises(Conflict):
        begun.commit([receipt])
