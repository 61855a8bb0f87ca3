"""Uploads come back complete: every byte and the mtime, at every size where behaviour changes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

import pytest

from providers.testing.harness import Harness, Root
from providers.testing.needs import keeps_mtime, needs
from providers.testing.support import content, source
from providers.testing.transfers import download, upload

SIZES = {
    "empty": lambda part: 0,
    "one byte": lambda part: 1,
    "part - 1": lambda part: part - 1,
    "part": lambda part: part,
    "part + 1": lambda part: part + 1,
    "many parts": lambda part: 4 * part + 12_345,
}


@pytest.mark.few(2)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
def test_round_trip(harness: Harness, root: Root, size: Callable[[int], int]) -> None:
    data = content(size(harness.limits.part_bytes))
    path = source(root.tmp, data)
    provider = root.connect()
    sent = upload(provider, path, "folder/below/file.bin")

    assert root.stored() == {"folder/below/file.bin": data}
    assert sent.sha256 == hashlib.sha256(data).hexdigest()
    assert (sent.remote.key, sent.remote.size_bytes, sent.resumed_bytes) == ("folder/below/file.bin", len(data), 0)
    assert sent.replaced is False
    assert root.leftovers() == []

    other = root.connect()
    remote = other.stat("folder/below/file.bin")
    assert remote.size_bytes == len(data)
    assert remote.etag
    assert remote.etag == sent.remote.etag or not harness.limits.keeps_etag

    target = root.tmp / "target.bin"
    got = download(other, "folder/below/file.bin", target)
    assert target.read_bytes() == data
    assert got.sha256 == sent.sha256
    assert got.replaced is False


@needs(keeps_mtime)
def test_the_mtime_is_kept(harness: Harness, root: Root) -> None:
    """As precisely as the service can, and not claimed to be more precise."""
    path = source(root.tmp, content(1000))
    provider = root.connect()
    upload(provider, path, "file.bin")
    step_ns = harness.limits.mtime_step_ns
    mtime_ns = round(path.stat().st_mtime_ns / step_ns) * step_ns if step_ns > 1 else path.stat().st_mtime_ns
    assert root.connect().stat("file.bin").mtime_ns == mtime_ns
    download(provider, "file.bin", root.tmp / "target.bin")
    assert (root.tmp / "target.bin").stat().st_mtime_ns == mtime_ns


def test_the_five_operations_of_the_guide(root: Root) -> None:
    data = content(100_000)
    path = source(root.tmp, data)
    provider = root.connect()
    assert provider.test_connection() is True
    assert provider.upload(path, "a/file.bin") is True
    (listed,) = provider.list_files("a/")
    assert (listed["name"], listed["size"]) == ("a/file.bin", len(data))
    assert provider.download("a/file.bin", root.tmp / "target.bin") is True
    assert (root.tmp / "target.bin").read_bytes() == data
    assert provider.delete("a/file.bin") is True
    assert provider.list_files() == []
    assert root.stored() == {}


@needs(keeps_mtime)
def test_a_file_from_before_the_epoch(root: Root) -> None:
    path = source(root.tmp, b"old")
    os.utime(path, ns=(-5_000_000_000, -5_000_000_000))
    provider = root.connect()
    upload(provider, path, "old")
    assert provider.stat("old").mtime_ns == -5_000_000_000
