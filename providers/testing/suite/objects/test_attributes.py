"""Modes, owners and groups of files: stored with the object and restored as far as allowed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.contract.attributes import Attributes, Restoring
from providers.contract.cancel import CancelToken
from providers.errors import Cancelled
from providers.testing.harness import Harness, Root
from providers.testing.needs import in_parts, needs, resumes
from providers.testing.support import Memory, Progress, content, source
from providers.testing.transfers import download, upload


def keeps_modes(harness: Harness) -> bool:
    return harness.capabilities.modes


def keeps_no_modes(harness: Harness) -> bool:
    return not harness.capabilities.modes


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def with_mode(folder: Path, data: bytes, mode: int, name: str = "source.bin") -> Path:
    path = source(folder, data, name)
    path.chmod(mode)
    return path


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@needs(keeps_modes)
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o444], ids=oct)
def test_a_file_comes_back_with_its_mode(root: Root, mode: int) -> None:
    provider = root.connect()
    upload(provider, with_mode(root.tmp, b"a key", mode), "key")
    found = root.connect().stat("key").attributes
    assert found == Attributes(mode=stat.S_IFREG | mode, uid=os.getuid(), gid=os.getgid())
    download(provider, "key", root.tmp / "target")
    assert mode_of(root.tmp / "target") == mode


@needs(keeps_modes)
@needs(in_parts)
def test_a_file_sent_in_parts_comes_back_with_its_mode(harness: Harness, root: Root) -> None:
    provider = root.connect(upload_chunk_size=harness.limits.part_bytes)
    data = content(harness.limits.part_bytes + 1)
    upload(provider, with_mode(root.tmp, data, 0o640), "large")
    download(provider, "large", root.tmp / "target")
    assert mode_of(root.tmp / "target") == 0o640


@needs(keeps_modes)
@needs(resumes)
def test_a_resumed_file_comes_back_with_its_mode(harness: Harness, root: Root) -> None:
    size = harness.limits.part_bytes
    path = with_mode(root.tmp, content(4 * size), 0o600)
    memory, cancel = Memory(), CancelToken()
    with pytest.raises(Cancelled):
        upload(
            root.connect(upload_chunk_size=size), path, "large", cancel=cancel, checkpoint=memory,
            connections=1, progress=Progress(2 * size, lambda done: cancel.cancel()),
        )  # fmt: skip
    upload(root.connect(upload_chunk_size=size), path, "large", checkpoint=memory, connections=1)
    download(root.connect(), "large", root.tmp / "target")
    assert mode_of(root.tmp / "target") == 0o600


@pytest.mark.parametrize("special", [stat.S_ISUID, stat.S_ISGID, stat.S_ISVTX], ids=["setuid", "setgid", "sticky"])
@needs(keeps_modes)
def test_special_bits_come_back_only_with_the_owner(root: Root, special: int) -> None:
    provider = root.connect()
    upload(provider, with_mode(root.tmp, b"program", 0o755 | special), "program")
    download(provider, "program", root.tmp / "target")
    assert mode_of(root.tmp / "target") == 0o755
    download(provider, "program", root.tmp / "with-owner", restoring=Restoring(owner=True))
    assert mode_of(root.tmp / "with-owner") == 0o755 | special


@needs(keeps_no_modes)
@pytest.mark.parametrize(("umask", "expected"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)], ids=oct)
def test_a_file_without_a_stored_mode_gets_the_usual_one(root: Root, umask: int, expected: int) -> None:
    root.plant({"key": b"data"})
    os.umask(umask)
    download(root.connect(), "key", root.tmp / "target")
    assert mode_of(root.tmp / "target") == expected
    download(root.connect(), "key", root.tmp / "asked", restoring=Restoring(umask=0o027))
    assert mode_of(root.tmp / "asked") == 0o640


@needs(keeps_no_modes)
def test_without_a_mode_it_is_no_more_readable_than_the_file_it_replaces(root: Root) -> None:
    root.plant({"key": b"data"})
    download(root.connect(), "key", with_mode(root.tmp, b"older", 0o600, "target"))
    assert mode_of(root.tmp / "target") == 0o600
    download(root.connect(), "key", with_mode(root.tmp, b"older", 0o755, "program"))
    assert mode_of(root.tmp / "program") == 0o644


@needs(keeps_modes)
def test_a_replaced_file_gets_the_mode_of_the_object(root: Root) -> None:
    provider = root.connect()
    upload(provider, with_mode(root.tmp, b"data", 0o640), "key")
    download(provider, "key", with_mode(root.tmp, b"older", 0o777, "target"))
    assert mode_of(root.tmp / "target") == 0o640
    download(provider, "key", with_mode(root.tmp, b"older", 0o400, "narrow"))
    assert mode_of(root.tmp / "narrow") == 0o640


def test_only_the_owner_can_read_a_file_while_it_is_fetched(root: Root) -> None:
    """From its first byte on, whatever its final mode."""
    data = content(300_000)
    upload(root.connect(), with_mode(root.tmp, data, 0o666), "key")
    seen: set[int] = set()

    def look(*progress: int) -> None:
        seen.update(mode_of(path) for path in root.tmp.iterdir() if ".hsb-part-" in path.name)

    download(root.connect(), "key", root.tmp / "target", progress=look, on_verify=look)
    assert seen == {0o600}
    assert (root.tmp / "target").read_bytes() == data
