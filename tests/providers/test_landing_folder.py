"""The target folder of a download: kept open while needed, and asked for its name limit."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from providers.errors import Conflict, InvalidName, NotFound, PermissionDenied, ProviderError, QuotaExceeded
from providers.filesystem.landing import TEMP_MARK, Landing, remove_leftover


def open_descriptors() -> int:
    """Compare with `<=`: leftovers of an earlier test may be garbage-collected meanwhile."""
    return len(os.listdir("/proc/self/fd"))


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    """A worker does this a hundred thousand times."""
    before = open_descriptors()
    with Landing.opened(tmp_path / "out", tmp_path) as landing:
        os.close(landing.open_temporary("temp", 0, fresh=True))
    with pytest.raises(InvalidName), Landing.opened(tmp_path / ("n" * 256), None):
        pytest.fail("a name that does not fit")
    with pytest.raises(NotFound), Landing.opened(tmp_path / "absent" / "out", tmp_path):
        pytest.fail("a folder that is not there")
    assert open_descriptors() <= before


def test_without_a_reported_limit_names_have_255_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: Any) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fpathconf", silent)
    with Landing.opened(tmp_path / ("n" * 255), None) as landing:
        os.close(landing.open_temporary(landing.temporary_name(), 0, fresh=True))
    with pytest.raises(InvalidName, match="255 bytes"), Landing.opened(tmp_path / ("n" * 256), None):
        pytest.fail("a name that does not fit")


@pytest.mark.parametrize("name", ["a" + "ü" * 110, "ü" * 127])
def test_a_name_is_cut_between_characters(tmp_path: Path, name: str) -> None:
    with Landing.opened(tmp_path / name, None) as landing:
        temp = landing.temporary_name()
    start, mark, _ = temp.partition(TEMP_MARK)
    assert mark
    assert name.startswith(start[1:])
    assert len(os.fsencode(start)) in (200, 201)


def test_the_disk_is_asked_for_its_name_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fpathconf", lambda fd, name: {"PC_NAME_MAX": 143}[name])
    with pytest.raises(InvalidName, match="143 bytes"), Landing.opened(tmp_path / ("n" * 144), None):
        pytest.fail("a name that does not fit")
    with Landing.opened(tmp_path / ("n" * 143), None) as landing:
        assert len(landing.temporary_name()) <= 143


@pytest.mark.parametrize("older", [True, False])
def test_a_link_that_cannot_be_put_in_place_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, older: bool
) -> None:
    if older:
        (tmp_path / "link").symlink_to("elsewhere")
    before = os.listdir(tmp_path)

    def fails(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "replace", fails)
    monkeypatch.setattr("providers.filesystem.landing.rename_new", fails)
    with Landing.opened(tmp_path / "link", None) as landing, pytest.raises(ProviderError):
        landing.put_link(b"there", replace=True)
    assert os.listdir(tmp_path) == before


def test_every_temporary_file_is_hidden_and_known_by_its_name(tmp_path: Path) -> None:
    """Later versions look for it too."""
    assert TEMP_MARK == ".hsb-part-"
    with Landing.opened(tmp_path / "photo.jpg", None) as landing:
        names = {landing.temporary_name() for _ in range(50)}
    assert all(name.startswith(".photo.jpg.hsb-part-") for name in names)
    assert len(names) == 50


@pytest.mark.parametrize(
    ("blocks", "free_blocks", "size_bytes", "fresh", "fits"),
    [
        (1000, 10, 40_960, True, True),  # to the last byte
        (1000, 10, 40_961, True, False),
        (0, 0, 40_961, True, True),  # a file system that reports nothing
        (1000, 0, 40_961, False, True),  # begun before: its space is already allocated
    ],
)
def test_free_space_is_checked_once_and_to_the_byte(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    blocks: int,
    free_blocks: int,
    size_bytes: int,
    fresh: bool,
    fits: bool,
) -> None:
    monkeypatch.setattr(
        os, "fstatvfs", lambda fd: os.statvfs_result((4096, 4096, blocks, free_blocks, free_blocks, 0, 0, 0, 0, 255))
    )
    if not fresh:
        (tmp_path / "temp").touch(0o600)
    with Landing.opened(tmp_path / "out", None) as landing:
        if fits:
            os.close(landing.open_temporary("temp", size_bytes, fresh=fresh))
        else:
            with pytest.raises(QuotaExceeded, match=f"{size_bytes} bytes do not fit"):
                landing.open_temporary("temp", size_bytes, fresh=fresh)
    assert (tmp_path / "temp").exists() is fits


def test_a_temporary_file_is_private_and_never_an_existing_link_or_file(tmp_path: Path) -> None:
    """Other users of the folder could put one there."""
    (tmp_path / "theirs").write_bytes(b"theirs")
    (tmp_path / "link").symlink_to("theirs")
    with Landing.opened(tmp_path / "out", None) as landing:
        assert not landing.has("link")
        for name, fresh in (("link", True), ("link", False), ("theirs", True)):
            with pytest.raises((InvalidName, Conflict, PermissionDenied)):
                landing.open_temporary(name, 0, fresh=fresh)
        before = os.umask(0)
        try:
            os.close(landing.open_temporary("temp", 0, fresh=True))
        finally:
            os.umask(before)
    assert stat.S_IMODE((tmp_path / "temp").stat().st_mode) == 0o600
    assert (tmp_path / "theirs").read_bytes() == b"theirs"


def test_a_leftover_is_removed_once_even_if_its_folder_is_gone(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "temp").touch()
    for _ in range(2):
        remove_leftover(tmp_path / "folder" / "out", "temp")
        assert list((tmp_path / "folder").iterdir()) == []
    (tmp_path / "folder").rmdir()
    remove_leftover(tmp_path / "folder" / "out", "temp")
    (tmp_path / "folder" / "temp").mkdir(parents=True)
    with pytest.raises(Conflict):
        remove_leftover(tmp_path / "folder" / "out", "temp")


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("fate", ["moved", "gone", "another one in its place"])
def test_nothing_is_put_into_a_folder_that_was_moved(tmp_path: Path, fate: str, replace: bool) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with Landing.opened(folder / "out", tmp_path) as landing:
        fd = landing.open_temporary("temp", 0, fresh=True)
        folder.rename(tmp_path / "elsewhere")
        if fate == "gone":
            (tmp_path / "elsewhere" / "temp").unlink()
            (tmp_path / "elsewhere").rmdir()
        elif fate == "another one in its place":
            folder.mkdir()
        with pytest.raises(Conflict, match="moved or replaced"):
            landing.put_in_place(fd, "temp", replace=replace, reserving=lambda: None)
        with pytest.raises(Conflict, match="moved or replaced"):
            landing.put_link(b"there", replace=replace)
        os.close(fd)
    assert not list(tmp_path.glob("*/out"))


@pytest.mark.parametrize("older", [True, False])
@pytest.mark.parametrize("mtime_ns", [1_600_000_000_123_456_789, None])
def test_a_restored_link_has_its_own_mtime_and_its_target_keeps_its_own(
    tmp_path: Path, older: bool, mtime_ns: int | None
) -> None:
    (tmp_path / "there").touch()
    os.utime(tmp_path / "there", (1, 1))
    if older:
        (tmp_path / "link").symlink_to("elsewhere")
    with Landing.opened(tmp_path / "link", tmp_path) as landing:
        assert landing.put_link(b"there", replace=older, mtime_ns=mtime_ns) is older
    kept = (tmp_path / "link").lstat().st_mtime_ns
    assert kept == mtime_ns if mtime_ns else kept > 1_600_000_000_123_456_789
    assert (tmp_path / "there").stat().st_mtime == 1
    assert sorted(os.listdir(tmp_path)) == ["link", "there"]


@pytest.mark.parametrize("older", ["file", "empty file", "folder", "link"])
@pytest.mark.parametrize("replace", [True, False])
def test_a_restored_link_replaces_only_a_link(tmp_path: Path, older: str, replace: bool) -> None:
    place = tmp_path / "link"
    if older == "link":
        place.symlink_to("elsewhere")
    elif older == "folder":
        place.mkdir()
    else:
        place.write_bytes(b"theirs" if older == "file" else b"")
    before = place.lstat()
    with Landing.opened(place, tmp_path) as landing:
        if replace and older == "link":
            assert landing.put_link(b"there", replace=replace)
            assert landing.link_text() == b"there"
        else:
            with pytest.raises(Conflict, match="already there"):
                landing.put_link(b"there", replace=replace)
            assert place.lstat() == before
    assert os.listdir(tmp_path) == ["link"]


def test_only_an_empty_file_is_a_reservation(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "full").write_bytes(b"1")
    (tmp_path / "link").symlink_to("empty")
    (tmp_path / "folder").mkdir()
    for name in ("absent", "full", "link", "folder", "empty"):
        with Landing.opened(tmp_path / name, None) as landing:
            landing.remove_reservation()
    assert sorted(os.listdir(tmp_path)) == ["folder", "full", "link"]
