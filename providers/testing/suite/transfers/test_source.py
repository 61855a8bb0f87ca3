"""A source that changes between its first and last byte is never a success."""

from __future__ import annotations

import os

import pytest

from providers.errors import Integrity, InvalidName, NotFound
from providers.testing.needs import in_parts, needs, obeys_bandwidth
from providers.testing.support import Memory, Progress, content, source
from providers.testing.transfers import upload


def rewrite(path):
    path.write_bytes(content(path.stat().st_size, seed=9))


def shrink(path):
    os.truncate(path, path.stat().st_size // 2)


def grow(path):
    with path.open("ab") as file:
        file.write(b"one more line in the log")


def replace(path):
    other = path.with_name("other")
    other.write_bytes(content(path.stat().st_size, seed=9))
    os.replace(other, path)


def remove(path):
    path.unlink()


@pytest.mark.few(3)
@needs(in_parts)
@pytest.mark.parametrize("remembered", [False, True])
@pytest.mark.parametrize("change", [rewrite, shrink, grow, replace, remove])
def test_a_file_that_changes_while_it_is_read_fails(harness, root, change, remembered):
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
def test_a_small_file_that_changes_while_it_is_read_fails(root, change):
    path = source(root.tmp, content(300_000))
    calls = []

    def watch(done, total):
        calls.append(done)
        if len(calls) == 2:
            change(path)

    with pytest.raises(Integrity):
        upload(root.connect(max_bandwidth=400_000), path, "x", progress=watch)
    assert root.leftovers() == []


def test_only_regular_files_are_uploaded(root):
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
