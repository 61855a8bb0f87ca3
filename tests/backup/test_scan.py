"""Scans return everything that was given, nothing beyond it, in batches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.files import scan, targets
from backup.model.transfers import ItemKind, Selection
from providers.contract.cancel import CancelToken
from providers.errors import Cancelled, Conflict, InvalidName, NotFound
from providers.local.provider import LocalProvider

ODD = os.fsdecode(b"caf\xe9")


def walked(*paths: Path | str) -> dict[str, scan.TreeEntry]:
    return {found.name: found for batch in scan.walk_local(paths) for found in batch}


@pytest.fixture
def top(tmp_path: Path) -> Path:
    top = tmp_path / "top"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "file").write_bytes(b"12345")
    (top / ODD).write_bytes(b"1")
    (top / "empty").mkdir()
    (top / "link").symlink_to("/etc")
    os.mkfifo(top / "pipe")
    return top


def test_every_kind_is_reported_and_no_link_is_followed(top: Path) -> None:
    found = walked(top)
    kinds = {name: (item.kind, item.size_bytes) for name, item in found.items()}
    assert kinds == {
        "top/a/b/file": (ItemKind.FILE, 5),
        f"top/{ODD}": (ItemKind.FILE, 1),
        "top/empty": (ItemKind.DIRECTORY, 0),
        "top/link": (ItemKind.SYMLINK, 0),
        "top/pipe": (ItemKind.OTHER, 0),
    }
    assert found["top/a/b/file"].mtime_ns == (top / "a" / "b" / "file").stat().st_mtime_ns
    assert found["top/empty"].empty


def test_a_chosen_link_is_not_followed_either(top: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(top)
    assert [item.kind for item in walked(tmp_path / "alias").values()] == [ItemKind.SYMLINK]


def test_names_of_chosen_paths(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(top / "a")
    assert set(walked(".")) == {"a/b/file"}
    assert set(walked(f"{top}/a/b/", "b/file")) == {"b/file", "file"}


def test_the_root_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    found = [entry for batch in scan.walk_local(["/"], selection=Selection(exclude=("/*",))) for entry in batch]
    assert "root/etc" in {entry.name for entry in found}
    assert all(entry.ruled_out for entry in found)
    assert not any(entry.error for entry in found)


def test_batches_are_bounded(tmp_path: Path) -> None:
    for number in range(scan.BATCH + 20):
        (tmp_path / str(number)).touch()
    assert [len(batch) for batch in scan.walk_local([tmp_path])] == [scan.BATCH, 20]


def test_entries_that_vanish_meanwhile_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").touch()
    (tmp_path / "stays").touch()
    real = os.scandir

    def scandir(folder: int) -> Iterator[os.DirEntry[str]]:
        if (tmp_path / "sub").exists() and os.path.samestat(os.fstat(folder), (tmp_path / "sub").stat()):
            (tmp_path / "sub" / "file").unlink()
            (tmp_path / "sub").rmdir()
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert [name.rpartition("/")[2] for name in walked(tmp_path)] == ["stays"]


def test_unreadable_entries_are_reported_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked").mkdir()

    def scandir(folder: int) -> Iterator[os.DirEntry[str]]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", scandir)
    (found,) = walked(tmp_path / "locked").values()
    assert (found.kind, found.error and found.error.kind) == (ItemKind.DIRECTORY, "permission")
    (gone,) = walked(tmp_path / "gone").values()
    assert gone.error is not None
    assert gone.error.kind == "not_found"


def test_a_tree_deeper_than_pythons_stack(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(700):  # os.makedirs would recurse itself
            os.mkdir("d", dir_fd=folder)
            below = os.open("d", os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = below
    finally:
        os.close(folder)
    (found,) = walked(tmp_path / "d").values()
    assert found.kind is ItemKind.DIRECTORY
    assert found.name.count("/") == 699


def test_a_scan_can_be_stopped(top: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        list(scan.walk_local([top], cancel=cancel))


@pytest.fixture
def store(tmp_path: Path) -> LocalProvider:
    folder = tmp_path / "store"
    for name in ("p/a", "p/q/b", "other"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return LocalProvider({"container": str(folder)})


def test_objects_of_a_remote_key(store: LocalProvider) -> None:
    def keys(key: str) -> set[str]:
        return {file.key for file in scan.walk_remote(store, key, CancelToken())}

    assert keys("p/a") == {"p/a"}
    assert keys("p/") == {"p/a", "p/q/b"}
    assert keys("/") == {"p/a", "p/q/b", "other"}
    for nothing in ("p/none", "none/"):
        with pytest.raises(NotFound):
            keys(nothing)


def test_a_destination_knows_what_it_listed_and_when_it_does_not_know(store: LocalProvider) -> None:
    known, cut = scan.Destination(), scan.Destination()
    assert known.has("p/a") is None
    known.look(store, ["p/"], CancelToken(), limit=10)
    assert (known.has("p/a"), known.has("p/new")) == (True, False)
    cut.look(store, ["p/"], CancelToken(), limit=1)
    assert (cut.has("p/new"), cut.has("p/zzz")) == (None, None)


@pytest.mark.parametrize(
    ("key", "chosen", "name"),
    [
        ("photos/2024/a/b.jpg", "photos/2024/", "2024/a/b.jpg"),
        ("photos/2024/b.jpg", "photos/2024/b.jpg", "b.jpg"),
        ("photos/2024/empty/", "photos/", "photos/2024/empty/"),
        ("photos/b.jpg", "/", "photos/b.jpg"),
        ("-rf", "-rf", "-rf"),
    ],
)
def test_a_folder_keeps_its_name_below_the_target(key: str, chosen: str, name: str) -> None:
    assert targets.local_name(key, chosen) == name


@pytest.mark.parametrize(
    "key", ["d/../x", "d/..", "d/./x", "d//x", "d/a\0b", "d/../../../../etc/passwd", "d//etc/passwd"]
)
def test_names_that_would_lead_out_are_refused(key: str) -> None:
    with pytest.raises(InvalidName):
        targets.local_name(key, "d/")


def test_absolute_names_are_refused() -> None:
    with pytest.raises(InvalidName):
        targets.local_name("/etc/passwd", "/")


def test_folders_are_created_but_never_through_a_link_or_a_file(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = tmp_path / "root"
    assert targets.prepare(root, "a/b/c") == root / "a" / "b" / "c"
    assert (root / "a" / "b").is_dir()
    assert not (root / "a" / "b" / "c").exists()
    assert targets.prepare(root, "x/y/", folder=True).is_dir()
    (root / "link").symlink_to(outside)
    (root / "file").touch()
    with pytest.raises(InvalidName, match="symbolic link"):
        targets.prepare(root, "link/x")
    with pytest.raises(Conflict):
        targets.prepare(root, "file/x")
    assert list(outside.iterdir()) == []


def test_a_target_folder_that_is_a_link_is_the_users_choice(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path / "real")
    assert targets.prepare(tmp_path / "alias", "a") == tmp_path / "real" / "a"


def test_names_that_a_disk_cannot_distinguish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not targets.folds_names(tmp_path)
    tells_apart = targets.FoldedNames(tmp_path)
    assert tells_apart.twin("a") is tells_apart.twin("A") is None
    monkeypatch.setattr(targets, "folds_names", lambda *_: True)
    folds = targets.FoldedNames(tmp_path)
    assert [folds.twin(name) for name in ("A", "b", "a", "caf\u00e9", "cafe\u0301", "A")] == [
        None, None, "A", None, "caf\u00e9", None,
    ]  # fmt: skip
