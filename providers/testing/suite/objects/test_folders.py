"""Real folders: listed by `scan_tree`, and removed when empty."""

from __future__ import annotations

import stat

import pytest

from providers.base import BaseProvider
from providers.contract.attributes import Attributes
from providers.contract.upload import UploadRequest
from providers.engine.window import MemoryBody
from providers.errors import Conflict, NotFound
from providers.testing.harness import Harness, Root
from providers.testing.needs import needs
from providers.testing.transfers import keys


def has_real_folders(harness: Harness) -> bool:
    return harness.capabilities.real_folders


def has_no_real_folders(harness: Harness) -> bool:
    return not harness.capabilities.real_folders


def tree(provider: BaseProvider, prefix: str = "", *, limit: int = 1000) -> tuple[set[str], list[str]]:
    """Keys of files, and folders in the order reported."""
    files: set[str] = set()
    folders: list[str] = []
    token = None
    while True:
        page = provider.scan_tree(prefix, token=token, limit=limit)
        files.update(file.key for file in page.files)
        folders += page.prefixes
        token = page.next_token
        if token is None:
            return files, folders


@needs(has_real_folders)
@pytest.mark.parametrize("limit", [1000, 2, 1])
def test_every_folder_is_listed_once(root: Root, limit: int) -> None:
    root.plant({"x/a": b"1", "x/y/b": b"2", "top": b"3"})
    for empty in ("x/empty", "x/deep/er/empty"):
        root.make_folder(empty)
    files, folders = tree(root.connect(), limit=limit)
    assert files == {"x/a", "x/y/b", "top"}
    assert sorted(folders) == ["x/", "x/deep/", "x/deep/er/", "x/deep/er/empty/", "x/empty/", "x/y/"]
    files, folders = tree(root.connect(), "x/deep/", limit=limit)
    assert (files, sorted(folders)) == (set(), ["x/deep/", "x/deep/er/", "x/deep/er/empty/"])
    assert tree(root.connect(), "x/y/", limit=limit) == ({"x/y/b"}, ["x/y/"])
    assert tree(root.connect(), "x/empty/", limit=limit) == (set(), ["x/empty/"])
    assert tree(root.connect(), "nothing/", limit=limit) == (set(), [])


@needs(has_no_real_folders)
def test_without_real_folders_it_is_the_plain_listing(root: Root) -> None:
    root.plant({"x/a": b"1", "x/y/b": b"2"})
    assert tree(root.connect()) == ({"x/a", "x/y/b"}, [])


@needs(has_real_folders)
def test_an_empty_folder_is_removed(root: Root) -> None:
    root.make_folder("x/empty")
    provider = root.connect()
    provider.remove("x/empty/")
    _, folders = tree(root.connect())
    assert "x/empty/" not in folders
    with pytest.raises(NotFound):
        provider.remove("x/empty/")


@needs(has_real_folders)
def test_a_folder_that_is_not_empty_stays_and_the_error_names_its_content(root: Root) -> None:
    root.plant({"x/y/file.txt": b"1"})
    provider = root.connect()
    with pytest.raises(Conflict, match=r"x/y/: is not empty.*'file.txt'"):
        provider.remove("x/y/")
    with pytest.raises(Conflict, match=r"x/: is not empty.*'y'"):
        provider.remove("x/")
    assert root.stored() == {"x/y/file.txt": b"1"}


@needs(has_real_folders)
def test_a_file_is_not_a_folder_nor_a_folder_a_file(root: Root) -> None:
    root.plant({"file": b"1"})
    root.make_folder("folder")
    provider = root.connect()
    with pytest.raises(NotFound):
        provider.remove("file/")
    with pytest.raises(NotFound):
        provider.remove("folder")
    assert root.stored() == {"file": b"1"}
    assert tree(root.connect())[1] == ["folder/"]


@needs(has_real_folders)
def test_a_file_can_take_the_name_of_a_removed_folder(root: Root) -> None:
    root.make_folder("x")
    provider = root.connect()
    provider.remove("x/")
    path = root.tmp / "source"
    path.write_bytes(b"data")
    provider.upload(path, "x/file")
    assert keys(provider) == {"x/file"}


def keeps_folders_with_modes(harness: Harness) -> bool:
    return bool(harness.limits.learnt.get("folder_modes", harness.capabilities.folder_modes))


def stored_modes(provider: BaseProvider, prefix: str = "") -> dict[str, int]:
    """Modes of the entries that a plain listing reports as folders."""
    found = {file.key for file in provider.scan(prefix).files if file.key.endswith("/")}
    return {key: stat.S_IMODE(provider.stat(key).attributes.mode or 0) for key in found}


@needs(keeps_folders_with_modes)
def test_a_stored_folder_keeps_its_mode_and_is_listed(root: Root) -> None:
    root.plant({"x/y/file": b"1", "plain/file": b"2"})
    provider = root.connect()
    for key, mode in (("x/y/", 0o700), ("new/one/", 0o2750), ("x/y/", 0o711)):
        session = provider.open_upload(
            UploadRequest(
                key=key, size_bytes=0, part_size_bytes=1, attributes=Attributes(mode=stat.S_IFDIR | mode, uid=1, gid=2)
            )
        )
        part = session.request.part(0)
        session.commit([session.send(part, MemoryBody(), {})])
    assert stored_modes(root.connect()) == {"x/y/": 0o711, "new/one/": 0o2750}
    assert stored_modes(root.connect(), "x/y/") == {"x/y/": 0o711}
    assert stored_modes(root.connect(), "x/y") == {"x/y/": 0o711}
    kept = root.connect().stat("new/one/").attributes
    assert (kept.uid, kept.gid) == (1, 2)
    assert root.stored().keys() >= {"x/y/file", "plain/file"}
