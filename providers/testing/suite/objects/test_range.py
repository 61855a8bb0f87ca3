"""Reading part of an object."""

from __future__ import annotations

import pytest

from providers.errors import Conflict, Integrity, ProviderError
from providers.testing.harness import Harness, Root
from providers.testing.support import content, source
from providers.testing.transfers import read, upload

SIZE = 300_000
SLICES = [(0, 1), (0, SIZE), (SIZE - 1, 1), (100_000, 100_000), (65_535, 2), (0, 0), (SIZE, 0)]


def test_any_slice_is_read(root: Root) -> None:
    data = content(SIZE)
    root.plant({"x": data})
    provider = root.connect()
    for offset, size in SLICES:
        assert read(provider, "x", offset, size) == data[offset : offset + size], (offset, size)


def test_a_slice_across_parts_is_read(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    data = content(2 * part + 10)
    provider = root.connect()
    upload(provider, source(root.tmp, data), "x")
    assert read(provider, "x", part - 5, 10) == data[part - 5 : part + 5]
    assert read(provider, "x", 2 * part, 10) == data[2 * part :]


@pytest.mark.parametrize("offset", [SIZE - 10, SIZE, SIZE + 10])
def test_an_object_that_ends_early_is_integrity(root: Root, offset: int) -> None:
    root.plant({"x": content(SIZE)})
    with pytest.raises(Integrity):
        read(root.connect(), "x", offset, 100)


def test_an_object_that_has_changed_is_a_conflict(root: Root) -> None:
    root.plant({"x": content(SIZE)})
    provider = root.connect()
    etag = provider.stat("x").etag
    assert read(provider, "x", 0, 10, etag=etag) == content(SIZE)[:10]
    root.plant({"x": content(SIZE, seed=2)})
    with pytest.raises(Conflict):
        read(provider, "x", 0, 10, etag=etag)


def test_a_reader_may_be_left_early_and_closed_twice(root: Root) -> None:
    root.plant({"x": content(SIZE)})
    reader = root.connect().read_range("x", 0, SIZE)
    assert next(iter(reader))
    reader.close()
    reader.close()


def test_an_interrupted_reader_fails_at_once(root: Root) -> None:
    root.plant({"x": content(4 << 20)})
    reader = root.connect().read_range("x", 0, 4 << 20)
    chunks = iter(reader)
    next(chunks)
    reader.interrupt()
    with pytest.raises(ProviderError):
        list(chunks)
    reader.close()
