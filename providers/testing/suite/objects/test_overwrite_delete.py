"""Replacing, refusing to replace, and deleting."""

from __future__ import annotations

import pytest

from providers.errors import Conflict, NotFound
from providers.testing.harness import Harness, Root
from providers.testing.support import content, source
from providers.testing.transfers import keys, upload


def sizes(harness: Harness) -> tuple[int, int]:
    return (1_000, harness.limits.part_bytes + 1)


def test_the_newer_object_replaces_the_older(harness: Harness, root: Root) -> None:
    provider = root.connect()
    for size in sizes(harness):
        for seed, replaced in ((1, False), (2, True)):
            data = content(size, seed)
            assert upload(provider, source(root.tmp, data), f"x{size}").replaced is replaced
            assert root.stored()[f"x{size}"] == data


def test_a_fact_the_caller_knows_costs_no_request(root: Root) -> None:
    provider = root.connect()
    result = upload(provider, source(root.tmp, b"data"), "x", replaces=True)
    assert result.replaced is True
    assert root.stored() == {"x": b"data"}


def test_only_if_absent_never_replaces(harness: Harness, root: Root) -> None:
    provider = root.connect()
    for size in sizes(harness):
        key = f"x{size}"
        data = content(size)
        upload(provider, source(root.tmp, data), key, only_if_absent=True)
        with pytest.raises(Conflict):
            upload(provider, source(root.tmp, content(size, 2)), key, only_if_absent=True)
        assert root.stored()[key] == data
    assert root.leftovers() == []


def test_the_server_refuses_to_replace_if_it_declares_that(harness: Harness, root: Root) -> None:
    """For an object that appears after the check and before the commit."""
    provider = root.ready()
    if not provider.capabilities.conditional_commit:
        assert "conditional_commit" not in harness.limits.learnt
        return
    one, parts = sizes(harness)

    def appear(done: int, total: int) -> None:
        root.plant({"one": b"theirs"})

    with pytest.raises(Conflict):
        upload(provider, source(root.tmp, content(one)), "one", only_if_absent=True, progress=appear)

    def appear_late() -> None:
        root.plant({"parts": b"theirs"})

    with pytest.raises(Conflict):
        upload(provider, source(root.tmp, content(parts)), "parts", only_if_absent=True, on_verify=appear_late)
    assert root.stored() == {"one": b"theirs", "parts": b"theirs"}
    assert root.leftovers() == []


def test_deleting_one_leaves_the_others(root: Root) -> None:
    root.plant({"a/x": b"1", "a/xy": b"2", "a/x.d/z": b"3", "b": b"4"})
    before = keys(root.connect())
    root.connect().delete("a/x")
    assert keys(root.connect()) == before - {"a/x"}


def test_deleting_twice_is_not_found(root: Root) -> None:
    root.plant({"x": b"1"})
    provider = root.connect()
    assert provider.delete("x") is True
    with pytest.raises(NotFound):
        provider.delete("x")


def test_deleting_many_removes_all(root: Root) -> None:
    objects = {f"many/{number}": b"x" for number in range(30)}
    root.plant({**objects, "kept": b"1"})
    provider = root.connect()
    assert provider.remove_many(list(objects)) == {}
    assert keys(provider) == {"kept"}
