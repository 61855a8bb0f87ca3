"""Listings are complete, paged, and in no promised order."""

from __future__ import annotations

from collections.abc import Generator
from typing import cast

import pytest

from providers.base import BaseProvider
from providers.contract.objects import Page, RemoteFile
from providers.testing.harness import Harness, Root
from providers.testing.transfers import keys

TREE = {
    "top.txt": b"1",
    "a/one.txt": b"11",
    "a/two.txt": b"22",
    "a/deep/er/file.txt": b"3",
    "ab/file.txt": b"4",
    "b/file.txt": b"5",
}


def pages(provider: BaseProvider, prefix: str = "", *, delimiter: str = "", limit: int = 1000) -> list[Page]:
    found, token = [], None
    while True:
        page = provider.scan(prefix, delimiter=delimiter, token=token, limit=limit)
        assert len(page.files) + len(page.prefixes) <= limit
        found.append(page)
        token = page.next_token
        if token is None:
            return found
        assert len(found) < 200, "the listing does not end"


def names(found: list[Page]) -> tuple[set[str], set[str]]:
    files = [file.key for page in found for file in page.files]
    prefixes = [prefix for page in found for prefix in page.prefixes]
    assert len(files) == len(set(files)), "listed twice"
    assert len(prefixes) == len(set(prefixes)), "folder listed twice"
    return set(files), set(prefixes)


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
def test_pages_of_any_size_add_up(root: Root, limit: int) -> None:
    root.plant(TREE)
    assert names(pages(root.connect(), limit=limit)) == (set(TREE), set())


@pytest.mark.parametrize("limit", [1, 2, 1000])
@pytest.mark.parametrize(
    ("prefix", "files", "folders"),
    [
        ("", {"top.txt"}, {"a/", "ab/", "b/"}),
        ("a/", {"a/one.txt", "a/two.txt"}, {"a/deep/"}),
        ("a", set(), {"a/", "ab/"}),
        ("a/deep/", set(), {"a/deep/er/"}),
        ("a/o", {"a/one.txt"}, set()),
        ("nothing", set(), set()),
    ],
)
def test_a_delimiter_folds_folders(root: Root, prefix: str, files: set[str], folders: set[str], limit: int) -> None:
    root.plant(TREE)
    assert names(pages(root.connect(), prefix, delimiter="/", limit=limit)) == (files, folders)


@pytest.mark.parametrize("prefix", ["a/", "a", "a/deep/", "b/f", "zzz", "top.txt", "a/one.txt"])
def test_a_prefix_is_text_not_a_folder(root: Root, prefix: str) -> None:
    root.plant(TREE)
    assert keys(root.connect(), prefix) == {key for key in TREE if key.startswith(prefix)}


def test_sizes_and_times(root: Root) -> None:
    root.plant(TREE)
    listed = {file.key: file for file in root.connect().walk()}
    assert {key: file.size_bytes for key, file in listed.items()} == {key: len(data) for key, data in TREE.items()}
    assert all(file.stored_at or file.modified_at for file in listed.values())


def test_a_token_is_valid_in_another_connection(root: Root) -> None:
    root.plant(TREE)
    first = root.connect().scan(limit=2)
    assert first.next_token is not None
    rest = root.connect().scan(token=first.next_token)
    assert {file.key for file in (*first.files, *rest.files)} == set(TREE)


def test_more_than_a_thousand_and_stopping_early(root: Root) -> None:
    many = {f"many/{number:05}.txt": b"x" for number in range(1_005)}
    root.plant(many)
    provider = root.connect()
    assert keys(provider, "many/") == set(many)
    assert len(provider.list_files("many/", max_files=7)) == 7
    assert len(provider.list_files("many/", max_files=1_051)) == 1_005
    assert len(provider.list_files()) == 1_000
    walk = cast(Generator[RemoteFile, None, None], provider.walk())
    assert next(walk).key in many
    walk.close()
    page = provider.scan("many/")
    assert page.next_token is not None
    assert len(page.files) == 1_000


def test_additions_and_deletions_show_at_once(harness: Harness, root: Root) -> None:
    provider = root.connect()
    assert keys(provider) == set()
    root.plant({"x/new": b"1"})
    assert keys(provider) == {"x/new"}
    provider.delete("x/new")
    assert keys(provider) == set()
    assert provider.scan(delimiter="/").prefixes == (("x/",) if harness.limits.keeps_emptied_folders else ())
