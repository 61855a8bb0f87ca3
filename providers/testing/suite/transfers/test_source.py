"""A source that changes between its first and last byte is never a success."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from providers.errors import Integrity, InvalidName, NotFound
from providers.testing.harness import Harness, Root
from providers.testing.needs import in_parts, needs, obeys_bandwidth
from providers.testing.support import Memory, Progress, content, source
from providers.testing.transfers import upload


def rewrite(path: Path) -> None:
    path.write_bytes(content(path.stat().st_size, seed=9))


def shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"one more line in the log")


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(content(path.stat().st_size, seed=9))
    os.replace(other, path)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.few(3)
@needs(in_parts)
@pytest.mark.parametrize("remembered", [False, True])
@pytest.mark.parametrize("change", [rewrite, shrink, grow, replace, remove])
def test_a_file_that_changes_while_it_is_read_fails(
    harness: Harness, root: Root, change: Callable[[Path], None], remembered: bool
) -> None:
    part = harness.limits.part_bytes
    path = source(root.tmp, content(4 * part))
    memory = Memory() if remembered else None
    watch = Progress(part // 2, lambda done: change(path))
    with pytest.raises(Integrity):
        upload(root.connect(connection_pool_size=1), path, "x", progress=watch, checkpoint=memory)
    assert root.stored() == {}
    assert root.leftovers() == []


@needs(obeys_bandwidth)
@pytest.mark.parametrize("change", [rewrite, shrink, grow])
def test_a_small_file_that_changes_while_it_is_read_fails(root: Root, change: Callable[[Path], None]) -> None:
    path = source(root.tmp, content(300_000))
    calls = []

    def watch(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == 2:
            change(path)

    with pytest.raises(Integrity):
        upload(root.connect(max_bandwidth=400_000), path, "x", progress=watch)
    assert root.leftovers() == []


def test_only_regular_files_are_uploaded(root: Root) -> None:
    provider = root.connect()
    os.mkfifo(root.tmp / "pipe")
    (root.tmp / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(InvalidName):
            upload(provider, root.tmp / name, "x")
    with pytest.raises(NotFound):
        upload(provider, root.tmp / "missing", "x")
    assert root.stored() == {}
    assert root.proxy is None or root.proxy.requests == ()
