"""The end of a download: on disk before it has its name, never over another file on any kind of disk, no leftovers
after a failure."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from providers.contract.attributes import Restoring
from providers.contract.cancel import CancelToken
from providers.contract.capabilities import Proof
from providers.contract.context import ProviderContext
from providers.contract.digests import DROPBOX_HASH, composite, digest_of
from providers.contract.download import DownloadResult, SavedDownload
from providers.contract.objects import RemoteFile
from providers.engine.download import run_download
from providers.errors import Conflict, Integrity, InvalidName, PermissionDenied, ProviderError
from providers.filesystem import rename
from providers.filesystem.landing import Landing
from tests.providers.memory import KeptCheckpoint, MemoryProvider, MemoryStore, failing
from tests.providers.test_download_loop import Killed

PART = 64 * 1024
DATA = os.urandom(3 * PART + 5)


def fetch(target: Path, provider: MemoryProvider | None = None, **more: Any) -> DownloadResult:
    if provider is None:
        store = MemoryStore()
        store.objects["k"] = DATA
        provider = connect(store)
    return run_download(provider, "k", target, cancel=CancelToken(), **more)


def connect(store: MemoryStore, kind: type[MemoryProvider] = MemoryProvider) -> MemoryProvider:
    return kind(store, context=ProviderContext(sleep=lambda seconds, cancel: None), upload_chunk_size=PART)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# On disk


@pytest.mark.parametrize("replace", [True, False])
def test_bytes_and_mode_are_synced_before_the_rename_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace: bool
) -> None:
    happened: list[str] = []
    fsync, move, move_new = os.fsync, os.replace, rename._in_one_step

    def synced(fd: int) -> None:
        found = os.fstat(fd)
        file = f"file of {found.st_size}, {stat.S_IMODE(found.st_mode):o}"
        what = "folder" if os.path.samestat(found, tmp_path.stat()) else file
        happened.append(f"fsync {what}, {'with' if (tmp_path / 'out').exists() else 'without'} its name")
        fsync(fd)

    def named(call: Callable[..., Any]) -> Callable[..., None]:
        def renamed(*args: Any, **kwargs: Any) -> None:
            call(*args, **kwargs)
            happened.append("rename")

        return renamed

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", named(move))
    monkeypatch.setattr(rename, "_in_one_step", named(move_new))
    fetch(tmp_path / "out", replace=replace, restoring=Restoring(umask=0o027))
    assert happened == [f"fsync file of {len(DATA)}, 640, without its name", "rename", "fsync folder, with its name"]


@pytest.mark.parametrize("replace", [True, False])
def test_the_folder_of_a_restored_link_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace: bool
) -> None:
    if replace:
        (tmp_path / "link").symlink_to("elsewhere")
    synced: list[bool] = []

    def sync(fd: int) -> None:
        assert os.path.samestat(os.fstat(fd), tmp_path.stat())
        synced.append(os.readlink(tmp_path / "link") == "there")

    monkeypatch.setattr(os, "fsync", sync)
    with Landing.opened(tmp_path / "link", tmp_path) as landing:
        landing.put_link(b"there", replace=replace)
    assert synced == [True]


@pytest.mark.parametrize("older", [True, False])
def test_restoring_a_link_reports_whether_it_replaced_another(tmp_path: Path, older: bool) -> None:
    if older:
        (tmp_path / "link").symlink_to("elsewhere")
    with Landing.opened(tmp_path / "link", tmp_path) as landing:
        assert landing.put_link(b"there", replace=True) is older
        assert landing.link_text() == b"there"


def test_only_an_empty_file_counts_as_a_reserved_name(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"theirs")
    with Landing.opened(tmp_path / "out", tmp_path) as landing:
        landing.remove_reservation()
    assert (tmp_path / "out").read_bytes() == b"theirs"


# Never over another file


def no_such_call(errors: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that fails these calls with these errors."""

    def fails(code: int) -> Callable[..., None]:
        def call(*args: Any, **kwargs: Any) -> None:
            raise OSError(code, os.strerror(code))

        return call

    for name, code in errors.items():
        monkeypatch.setattr(*((rename, "_in_one_step") if name == "renameat2" else (os, name)), fails(code))


DISKS = {
    "has RENAME_NOREPLACE": {"link": errno.EPERM},
    "has links": {"renameat2": errno.EINVAL},
    "has neither": {"renameat2": errno.EINVAL, "link": errno.EPERM},
    "network share": {"renameat2": errno.ENOSYS, "link": errno.EOPNOTSUPP},
    "FUSE": {"renameat2": errno.EINVAL, "link": errno.ENOSYS},
}


@pytest.mark.parametrize("disk", DISKS)
def test_without_replace_nothing_is_overwritten_on_any_kind_of_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: str
) -> None:
    no_such_call(DISKS[disk], monkeypatch)
    assert fetch(tmp_path / "out", replace=False).replaced is False
    assert (tmp_path / "out").read_bytes() == DATA
    with pytest.raises(Conflict):
        fetch(tmp_path / "out", replace=False)
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("disk", DISKS)
def test_a_file_that_appears_during_the_download_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: str
) -> None:
    no_such_call(DISKS[disk], monkeypatch)
    store = MemoryStore()
    store.objects["k"] = DATA

    def appears(call: str, about: object) -> None:
        if call == "chunk":
            (tmp_path / "out").write_bytes(b"theirs")

    store.trouble = appears
    with pytest.raises(Conflict):
        fetch(tmp_path / "out", connect(store), replace=False)
    assert (tmp_path / "out").read_bytes() == b"theirs"
    assert names(tmp_path) == ["out"]


def test_a_failed_rename_removes_the_reserved_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_such_call(DISKS["has neither"] | {"replace": errno.EIO}, monkeypatch)
    with pytest.raises(ProviderError):
        fetch(tmp_path / "out", replace=False)
    assert names(tmp_path) == []


def test_a_download_killed_while_the_name_was_reserved_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_such_call(DISKS["has neither"], monkeypatch)
    store = MemoryStore()
    store.objects["k"] = DATA
    checkpoint = KeptCheckpoint(SavedDownload)

    class Kill(BaseException):
        """The process ends here."""

    def killed(*args: Any, **kwargs: Any) -> None:
        raise Kill

    with monkeypatch.context() as there:
        there.setattr(os, "replace", killed)
        with pytest.raises(Kill):
            fetch(tmp_path / "out", connect(store), checkpoint=checkpoint, replace=False)
    assert (tmp_path / "out").stat().st_size == 0
    store.calls.clear()
    fetch(tmp_path / "out", connect(store), checkpoint=checkpoint, replace=False)
    assert (tmp_path / "out").read_bytes() == DATA
    assert store.count("read") == 0
    assert names(tmp_path) == ["out"]


def test_a_download_killed_between_link_and_unlink_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_such_call(DISKS["has links"], monkeypatch)
    store = MemoryStore()
    store.objects["k"] = DATA
    checkpoint = KeptCheckpoint(SavedDownload)
    with monkeypatch.context() as there:
        no_such_call({"unlink": errno.EIO}, there)
        with pytest.raises(ProviderError):
            fetch(tmp_path / "out", connect(store), checkpoint=checkpoint, replace=False)
    assert len(names(tmp_path)) == 2
    store.calls.clear()
    assert fetch(tmp_path / "out", connect(store), checkpoint=checkpoint, replace=False).proof is Proof.MATCHED
    assert store.count("read") == 0
    assert names(tmp_path) == ["out"]


# Not fetched again


class _Tells(MemoryProvider):
    kind = ""

    def _describe(self, key: str, checksums: Mapping[str, str] | None = None) -> RemoteFile:
        data = self.store.objects[key]
        bare = msgspec.structs.replace(super()._describe(key), checksums={})
        if self.kind == "recorded sha1":
            return msgspec.structs.replace(bare, recorded_sha1=hashlib.sha1(data).hexdigest())
        if self.kind == "recorded sha256":
            return msgspec.structs.replace(bare, recorded_sha256=hashlib.sha256(data).hexdigest())
        algorithm, _, form = self.kind.partition("-")
        value = digest_of(algorithm, data)
        if form:
            parts = [data[at : at + 1000] for at in range(0, len(data), 1000)]
            value = composite(algorithm, [digest_of(algorithm, part) for part in parts])
        listed = {self.kind: value}
        return msgspec.structs.replace(bare, checksums=listed, part_size_bytes=1000 if form else None)


KINDS = [
    "recorded sha1", "recorded sha256", "sha256", "sha1", "md5", DROPBOX_HASH,
    "md5-composite", "sha1-composite", "sha256-composite",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_kill_after_the_rename_nothing_is_fetched_again_whatever_the_checksum(
    tmp_path: Path, kind: str
) -> None:
    store = MemoryStore()
    store.objects["k"] = DATA
    provider = connect(store, type("Tells", (_Tells,), {"kind": kind}))
    checkpoint = Killed(SavedDownload)
    assert fetch(tmp_path / "out", provider, checkpoint=checkpoint).proof is Proof.MATCHED
    store.calls.clear()
    assert fetch(tmp_path / "out", provider, checkpoint=checkpoint).proof is Proof.MATCHED
    assert store.count("read") == 0


class _Silent(MemoryProvider):
    """Reports no checksum and, like some plug-ins, no ETag."""

    etags = True

    def _describe(self, key: str, checksums: Mapping[str, str] | None = None) -> RemoteFile:
        bare = msgspec.structs.replace(super()._describe(key), checksums={})
        return bare if self.etags else msgspec.structs.replace(bare, etag="")


def test_two_equal_reads_are_reported_as_such_and_survive_a_kill(tmp_path: Path) -> None:
    store = MemoryStore()
    store.objects["k"] = DATA
    provider = connect(store, _Silent)
    checkpoint = Killed(SavedDownload)
    assert fetch(tmp_path / "out", provider, checkpoint=checkpoint).proof is Proof.READ_TWICE
    store.calls.clear()
    assert fetch(tmp_path / "out", provider, checkpoint=checkpoint).proof is Proof.READ_TWICE
    assert store.count("read") == 0
    (tmp_path / "out").write_bytes(DATA[::-1])
    fetch(tmp_path / "out", provider, checkpoint=checkpoint)
    assert (tmp_path / "out").read_bytes() == DATA


@pytest.mark.parametrize("etags", [True, False])
def test_a_match_with_our_own_history_needs_no_second_read(tmp_path: Path, etags: bool) -> None:
    store = MemoryStore()
    store.objects["k"] = DATA
    provider = connect(store, _Silent)
    provider.etags = etags  # type: ignore[attr-defined]
    ours = hashlib.sha256(DATA).hexdigest()
    result = fetch(tmp_path / "out", provider, known=lambda sha256: sha256 == ours)
    assert result.proof is Proof.MATCHED
    assert sum(size for call, (_, size) in [each for each in store.calls if each[0] == "read"]) == len(DATA)
    assert fetch(tmp_path / "other", provider, known=lambda sha256: False).proof is Proof.READ_TWICE


def test_a_download_killed_after_the_final_mode_was_set_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mode that forbids writing even to its owner; root would not notice."""
    store = MemoryStore()
    store.objects["k"] = DATA
    checkpoint = KeptCheckpoint(SavedDownload)
    store.trouble = failing("read", PermissionDenied("revoked"), at=(2 * PART, PART))
    with pytest.raises(PermissionDenied):
        fetch(tmp_path / "out", connect(store), checkpoint=checkpoint, connections=1)
    (temp,) = tmp_path.iterdir()
    temp.chmod(0o400)
    real = os.open

    def checked(path: Any, flags: int, *args: Any, **more: Any) -> int:
        if path == temp.name and flags & os.O_RDWR and not temp.stat().st_mode & 0o200:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, flags, *args, **more)

    monkeypatch.setattr(os, "open", checked)
    store.calls.clear()
    fetch(tmp_path / "out", connect(store), checkpoint=checkpoint)
    assert (tmp_path / "out").read_bytes() == DATA
    assert ("read", (0, PART)) not in store.calls


# Nothing left


def test_an_integrity_error_leaves_no_temporary_file_and_no_checkpoint(tmp_path: Path) -> None:
    checkpoint = KeptCheckpoint(SavedDownload)
    with pytest.raises(Integrity):
        fetch(tmp_path / "out", checkpoint=checkpoint, expected_sha256="00" * 32)
    assert names(tmp_path) == []
    assert checkpoint.load() is None


def test_an_integrity_error_before_the_first_byte_leaves_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    store.objects["k"] = DATA
    checkpoint = KeptCheckpoint(SavedDownload)
    store.trouble = failing("read", PermissionDenied("revoked"), at=(2 * PART, PART))
    with pytest.raises(PermissionDenied):
        fetch(tmp_path / "out", connect(store), checkpoint=checkpoint)
    assert len(names(tmp_path)) == 1
    store.trouble = failing("stat", Integrity("not the object that we know"))
    with pytest.raises(Integrity):
        fetch(tmp_path / "out", connect(store), checkpoint=checkpoint)
    assert names(tmp_path) == []
    assert checkpoint.load() is None


# Long names


@pytest.mark.parametrize("name", ["n" * 256, "ü" * 128, "n" * 5000])
def test_a_name_longer_than_the_disk_allows(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidName, match="255 bytes") as refused:
        fetch(tmp_path / name)
    assert refused.value.hint
    assert names(tmp_path) == []


def test_on_a_disk_with_short_names_the_temporary_name_still_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """eCryptfs allows 143 bytes."""
    opened: list[str] = []
    real = os.open

    def limited(path: Any, flags: int, *args: Any, **more: Any) -> int:
        opened.append(os.path.basename(os.fsdecode(path)))
        return real(path, flags, *args, **more)

    monkeypatch.setattr(os, "fpathconf", lambda fd, name: 143)
    monkeypatch.setattr(os, "open", limited)
    fetch(tmp_path / ("ü" * 71 + "n"))
    assert max(len(os.fsencode(name)) for name in opened) <= 143
    assert any(".hsb-part-" in name for name in opened)
    with pytest.raises(InvalidName, match="143 bytes"):
        fetch(tmp_path / ("n" * 144))


def test_a_folder_path_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(InvalidName):
        fetch(tmp_path.joinpath(*["n" * 200] * 30) / "out")
