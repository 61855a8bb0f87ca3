"""The checks of the listing that every delete starts from, where a service lists trees by a request of its own."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from backup.files import scan
from backup.queries import plans
from providers.contract.cancel import CancelToken
from providers.contract.objects import Page, RemoteFile
from providers.errors import Integrity
from tests.providers.test_listing import Lister, circle, files


class TreeLister(Lister):
    def __init__(self, pages: Any) -> None:
        super().__init__(pages)
        self.can = msgspec.structs.replace(self.can, real_folders=True, empty_directories=True)

    def scan_tree(self, prefix: str = "", *, token: str | None = None, limit: int = 1000) -> Page:
        self.asked.append(token)
        return self.pages(token)  # type: ignore[no-any-return]


LEFT_OUT = RemoteFile(key="other/x", size_bytes=1, left_out="a shortcut")


@pytest.mark.parametrize(
    "page",
    [files(".bashrc"), files("photos2/a"), Page(left_out=(LEFT_OUT,)), Page(prefixes=(".ssh/",)),
     Page(prefixes=("photos",)), Page(prefixes=("photos/a/", "photos/b")), Page(prefixes=("photos2/",))],
)  # fmt: skip
def test_nothing_outside_the_prefix_is_ever_in_a_delete(page: Page) -> None:
    provider = TreeLister(lambda token: page)
    for act in (
        lambda: provider.scan_tree("photos/"),
        lambda: list(scan.walk_tree(provider, "photos/", CancelToken())),
        lambda: plans.delete(provider, "x", ["photos/"], CancelToken()),
    ):
        with pytest.raises(Integrity) as caught:
            act()
        assert caught.value.code == "foreign_key"


def test_the_folder_itself_and_the_folders_below_it_are() -> None:
    page = msgspec.structs.replace(files("photos/a"), prefixes=("photos/", "photos/sub/"))
    found = scan.walk_tree(TreeLister(lambda token: page), "photos/", CancelToken())
    assert [file.key for file in found] == ["photos/a", "photos/", "photos/sub/"]


@pytest.mark.parametrize(("tail", "length"), [(0, 1), (2, 3), (30, 8)])
def test_a_circle_of_trees_ends(tail: int, length: int) -> None:
    provider = TreeLister(circle(tail, length))
    with pytest.raises(Integrity, match="circle"):
        plans.delete(provider, "x", ["/"], CancelToken())
    assert len(provider.asked) <= 4 * (tail + length) + 2
