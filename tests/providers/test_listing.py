"""The checks of every listing: keys below the prefix, circles, possible files."""

from __future__ import annotations

import itertools
import math
from typing import Any

import msgspec
import pytest

from providers.base import adapted
from providers.contract.context import ProviderContext
from providers.contract.listing import MAX_IDLE_PAGES, Trail
from providers.contract.objects import MAX_SIZE_BYTES, Page, RemoteFile
from providers.contract.upload import PendingUpload, UploadRequest
from providers.dropbox.provider import DropboxProvider
from providers.errors import Integrity
from tests.providers.memory import MemoryProvider, MemoryStore
from tests.providers.s3_stub import error, stub


class Lister(MemoryProvider):
    """Lists what the test returns, page by page: `pages(token)`."""

    def __init__(self, pages: Any) -> None:
        super().__init__(MemoryStore(), context=ProviderContext(sleep=lambda seconds, cancel: None))
        self.pages = pages
        self.asked: list[str | None] = []

    def scan(self, prefix: str = "", *, delimiter: str = "", token: str | None = None, limit: int = 1000) -> Page:
        self.asked.append(token)
        return self.pages(token)  # type: ignore[no-any-return]

    def pending_uploads(self, key: str) -> list[PendingUpload]:
        return [PendingUpload(key=name, token={}, started_at=0.0) for name in self.pages(None)]

    def containers(self) -> list[str]:
        return self.pages(None)  # type: ignore[no-any-return]


class Folding(Lister):
    """Treats names as equal by Dropbox's rule."""

    folded = DropboxProvider.folded


def files(*keys: Any, token: Any = None) -> Page:
    return Page(files=tuple(RemoteFile(key=key, size_bytes=1) for key in keys), next_token=token)


def lister(*keys: Any, folders: tuple[Any, ...] = (), kind: type[Lister] = Lister) -> Lister:
    return kind(lambda token: msgspec.structs.replace(files(*keys), prefixes=folders))


def consumed(listing: Any) -> None:
    """Reads a walk to its end."""
    if not isinstance(listing, Page):
        list(listing)


# Below the prefix


@pytest.mark.parametrize(
    "key",
    [".bashrc", ".ssh/authorized_keys", "photo", "photos", "PHOTOS/a", "./photos/a", "/photos/a", "\\photos/a", "",
     " photos/a", "../photos/a", "photos\0/a", "fotos/a", 5, None, b"photos/a"],
)  # fmt: skip
def test_a_key_outside_the_prefix_is_refused(key):
    provider = lister("photos/fine", key)
    for act in (
        lambda: provider.scan("photos/"),
        lambda: provider.list_files("photos/"),
        lambda: provider.walk("photos/"),
    ):
        with pytest.raises(Integrity) as caught:
            consumed(act())
        assert caught.value.code == "foreign_key"
        assert "'photos/'" in caught.value.message


@pytest.mark.parametrize(
    "key", ["photos/", "photos/a", "photos/a/b", "photos/..", "photos//", "photos/\udcff", "photos/\n"]
)
def test_a_key_below_the_prefix_is_kept_byte_for_byte(key):
    """Includes the marker that some tools leave for the folder itself; other code decides what may be written."""
    assert lister(key).list_files("photos/")[0]["name"] == key


def test_a_prefix_is_text_not_a_folder():
    assert [file.key for file in lister("photos/a", "photos2/b").walk("photos")] == ["photos/a", "photos2/b"]


def test_without_a_prefix_every_key_fits_except_the_empty_one():
    assert lister("a", "b/c").scan().files
    with pytest.raises(Integrity):
        lister("").scan()


@pytest.mark.parametrize("key", ["Photos/a", "PHOTOS/É", "photos/e\u0301"])
def test_the_service_s_own_rule_of_equality_applies(key):
    assert [file.key for file in lister(key, kind=Folding).walk("pHotos/")] == [key]
    with pytest.raises(Integrity):
        lister("photo/a", kind=Folding).scan("pHotos/")


def test_accents_are_one_letter_to_dropbox_and_two_to_others():
    assert lister("e\u0301/a", kind=Folding).scan("\u00e9/").files
    with pytest.raises(Integrity):
        lister("e\u0301/a").scan("\u00e9/")


@pytest.mark.parametrize(
    "folder",
    ["photos/", "photos/a", "photos/a/b/", "other/", "photos", "", "/", "photos/a//", "PHOTOS/a/", None],
)
def test_a_folder_that_is_impossible_here_is_refused(folder):
    """The requested folder, for example, would be opened again and again."""
    with pytest.raises(Integrity):
        lister(folders=("photos/fine/", folder)).scan("photos/", delimiter="/")


@pytest.mark.parametrize(("prefix", "folder"), [("", "a/"), ("a", "a/"), ("a", "ab/"), ("a/", "a/b/"), ("a/", "a//")])
def test_a_folder_ends_with_the_first_delimiter_after_the_prefix(prefix, folder):
    assert lister(folders=(folder,)).scan(prefix, delimiter="/").prefixes == (folder,)


def test_folders_that_were_not_requested_are_refused():
    """Their content would silently be missing."""
    with pytest.raises(Integrity):
        lister(folders=("a/",)).scan("")


@pytest.mark.parametrize(("prefix", "key"), [("", "a/b"), ("a/", "a/b/c"), ("a", "a/b"), ("", "a/b/")])
def test_a_file_of_a_deeper_folder_is_refused_with_a_delimiter(prefix, key):
    with pytest.raises(Integrity) as caught:
        lister(key).scan(prefix, delimiter="/")
    assert caught.value.code == "not_folded"


@pytest.mark.parametrize(("prefix", "key"), [("a/", "a/"), ("", "b/"), ("a/", "a/b/")])
def test_the_marker_of_a_folder_may_be_among_the_files(prefix, key):
    assert [file.key for file in lister(key).scan(prefix, delimiter="/").files] == [key]


@pytest.mark.parametrize("other", ["x2", "X", "", "a/x"])
def test_unfinished_uploads_of_another_key_are_refused(other):
    assert len(Lister(lambda token: ["x", "x"]).pending_uploads("x")) == 2
    with pytest.raises(Integrity):
        Lister(lambda token: ["x", other]).pending_uploads("x")


@pytest.mark.parametrize("name", ["", "a/b", "a\0b", None, 5])
def test_a_container_without_a_usable_name_is_refused(name):
    assert Lister(lambda token: ["one", "t\u00fcw \\"]).containers() == ["one", "t\u00fcw \\"]
    with pytest.raises(Integrity):
        Lister(lambda token: ["one", name]).containers()


def test_a_subclass_of_a_provider_is_checked_too():
    class Further(Lister):
        def scan(self, prefix: str = "", **how: Any) -> Page:
            return files("elsewhere") if prefix == "own" else super().scan(prefix, **how)

    with pytest.raises(Integrity):
        Further(lambda token: files("a")).scan("own")
    pages = {None: files("a", token="1"), "1": files("b", token="2"), "2": files("c")}
    assert [file.key for file in Further(pages.__getitem__).walk()] == ["a", "b", "c"]


# Circles


def circle(tail, length):
    tokens = [f"t{number}" for number in range(tail + length)]
    onward: dict[str | None, str] = {None: tokens[0], **dict(itertools.pairwise(tokens)), tokens[-1]: tokens[tail]}
    return lambda token: files(f"{token}", token=onward[token])


@pytest.mark.parametrize("tail", [0, 1, 2, 7, 30])
@pytest.mark.parametrize("length", [1, 2, 3, 8, 50])
def test_a_circle_of_tokens_is_found_after_few_rounds(tail, length):
    provider = Lister(circle(tail, length))
    with pytest.raises(Integrity, match="circle"):
        list(provider.walk())
    assert len(provider.asked) <= 4 * (tail + length) + 2


def test_a_circle_is_found_across_single_page_requests():
    """Pages may be requested over another connection, in another process: the token holds all state."""
    pages = circle(3, 4)

    def on(token):
        return on(Lister(pages).scan(token=token).next_token)

    with pytest.raises(Integrity, match="circle"):
        on(None)


def test_the_same_files_under_new_tokens_are_a_circle():
    numbers = itertools.count()
    provider = Lister(lambda token: files(f"f{next(numbers) % 3}", token=f"t{next(numbers)}"))
    with pytest.raises(Integrity, match="circle"):
        list(provider.walk())
    assert len(provider.asked) < 20


def test_a_long_listing_reaches_its_end():
    pages = Lister(lambda token: files(f"f{token}", token=str(int(token or 0) + 1) if token != "700" else None))
    assert len(list(pages.walk())) == 701


def test_empty_pages_do_not_end_a_listing_but_are_limited():
    onward: dict[str | None, str] = {
        None: "0",
        **{str(number): str(number + 1) for number in range(MAX_IDLE_PAGES * 3)},
    }
    some = Lister(lambda token: files("x") if token == "900" else Page(next_token=onward[token]))
    assert [file.key for file in some.walk()] == ["x"]
    none = Lister(lambda token: Page(next_token=onward[token]))
    with pytest.raises(Integrity, match="does not end"):
        list(none.walk())
    assert len(none.asked) == MAX_IDLE_PAGES + 1


@pytest.mark.parametrize("token", [5, True, b"t", ["t"]])
def test_a_token_that_is_not_text_is_refused(token):
    with pytest.raises(Integrity):
        Lister(lambda at: files("a", token=token)).scan()


@pytest.mark.parametrize(
    "token", ["", "page:", "page:[]", 'page:["x",1]', "\udcff", "\u00e9\n", "page:[[1,2,3,4,5],6,7]"]
)
def test_the_service_gets_its_token_back_unchanged(token):
    provider = Lister(lambda at: files("a", token=token) if at is None else files("b"))
    assert [file.key for file in provider.walk()] == ["a", "b"]
    assert provider.asked == [None, token]
    provider.scan(token=token)
    assert provider.asked[-1] == token


def test_the_trail_is_small():
    trail = Trail()
    for number in range(5000):
        trail = trail.step(str(number), brought=True)
    assert len(msgspec.json.encode(trail)) < 100


# Sizes and times


@pytest.mark.parametrize(
    "size", [-5, -1, 10**30, MAX_SIZE_BYTES + 1, True, False, 5.0, math.nan, math.inf, "5", None, []]
)
def test_an_impossible_size_makes_no_file(size):
    with pytest.raises(Integrity, match="size"):
        RemoteFile(key="x", size_bytes=size)


@pytest.mark.parametrize("size", [0, 1, 5 * 2**40, MAX_SIZE_BYTES])
def test_a_possible_size_makes_a_file(size):
    assert RemoteFile(key="x", size_bytes=size).size_bytes == size


@pytest.mark.parametrize("at", [math.nan, math.inf, -math.inf, 1e300, -1e300, 1e12])
def test_an_impossible_time_is_dropped(at):
    file = RemoteFile(key="x", size_bytes=1, modified_at=at, stored_at=at, mtime_ns=10**30)
    assert (file.modified_at, file.stored_at, file.mtime_ns) == (None, None, None)


# Classes in the guide's style


def guide(entries: Any) -> Any:
    class Five:
        def __init__(self, config: Any) -> None:
            self.removed: list[str] = []

        def upload(self, *_: Any) -> bool:
            return True

        download = upload

        def list_files(self, prefix: str = "", max_files: int = 1000) -> Any:
            return entries(prefix, max_files)

        def delete(self, name: str) -> bool:
            self.removed.append(name)
            return True

        def test_connection(self) -> bool:
            return True

    return adapted(Five, "five")({})


def test_a_guide_style_class_that_lists_other_keys_is_refused():
    made = guide(lambda prefix, limit: [{"name": "photos/a", "size": 1}, {"name": ".bashrc", "size": 1}])
    for act in (lambda: made.list_files("photos/"), lambda: made.scan("photos/", delimiter="/")):
        with pytest.raises(Integrity, match=r"\.bashrc"):
            act()
    assert [file["name"] for file in made.list_files("")] == [".bashrc", "photos/a"]


@pytest.mark.parametrize("size", [-5, 10**30, True, math.nan, "5", 5.5])
def test_a_guide_style_class_must_return_sizes(size):
    with pytest.raises(Integrity, match="size"):
        guide(lambda prefix, limit: [{"name": "a", "size": size}]).list_files()


def test_a_guide_style_class_that_never_ends_is_refused(monkeypatch):
    monkeypatch.setattr("providers.guide.adapter._LONGEST_LISTING", 10_000)
    one = {"name": "a", "size": 1}
    with pytest.raises(Integrity, match="without end"):
        guide(lambda prefix, limit: [one] * limit).list_files()


def test_times_of_a_guide_style_class_may_be_anything():
    times = [10**400, math.nan, "soon", None, 1e300, -5]
    listed = guide(
        lambda prefix, limit: [{"name": str(at)[:9], "size": 1, "modified": at} for at in times]
    ).list_files()
    assert {file["modified"] for file in listed} == {None, -5.0}


# S3


def uploads(*keys: str, more: str = "") -> bytes:
    items = "".join(f"<Upload><Key>{key}</Key><UploadId>id-{key}</UploadId></Upload>" for key in keys)
    return f"<ListMultipartUploadsResult>{items}{more}</ListMultipartUploadsResult>".encode()


AGAIN = "<IsTruncated>true</IsTruncated><NextKeyMarker>x</NextKeyMarker><NextUploadIdMarker>1</NextUploadIdMarker>"


def test_s3_unfinished_uploads_below_the_key_are_skipped_and_others_refused():
    with stub(lambda *_: (200, {}, uploads("p/x", "p/x2", "p/x/y"))) as server:
        assert [found.key for found in server.provider(prefix="p").pending_uploads("x")] == ["x"]
    with stub(lambda *_: (200, {}, uploads("p/x", "q/x"))) as server, pytest.raises(Integrity):
        server.provider(prefix="p").pending_uploads("x")


@pytest.mark.parametrize("keys", [(), ("x",)])
def test_s3_unfinished_uploads_in_a_circle_are_refused(keys):
    with stub(lambda *_: (200, {}, uploads(*keys, more=AGAIN))) as server:
        with pytest.raises(Integrity, match="circle"):
            server.provider().pending_uploads("x")
        assert len(server.seen) <= 3


def test_s3_parts_in_a_circle_are_refused():
    body = (
        b"<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>"
        b"<Part><PartNumber>1</PartNumber><Size>5</Size><ETag>e</ETag></Part></ListPartsResult>"
    )
    with stub(lambda *_: (200, {}, body)) as server:
        request = UploadRequest(key="x", size_bytes=20 << 20, part_size_bytes=10 << 20)
        session = server.provider().open_upload(request, token={"upload_id": "1", "checksum": ""})
        with pytest.raises(Integrity, match="circle"):
            session.confirmed()
        assert len(server.seen) <= 3


def test_s3_discovery_aborts_only_its_own_upload():
    """A server that ignores the prefix lists everyone's."""

    def answer(method: str, path: str, headers: Any, body: bytes) -> Any:
        if method == "GET":
            return 200, {}, uploads("precious")
        return (204, {}, b"") if method == "DELETE" else error(403, "AccessDenied")

    with stub(answer) as server:
        with pytest.raises(Exception, match="AccessDenied"):
            server.provider().learn()
        assert any("uploads" in path for _, path, *_ in server.seen)
        assert not [path for method, path, *_ in server.seen if method == "DELETE" and "uploadId" in path]


BUCKETS = "<ListAllMyBucketsResult><Buckets><Bucket><Name>%s</Name></Bucket></Buckets>%s</ListAllMyBucketsResult>"


def test_s3_buckets_come_in_pages_and_never_in_a_circle():
    def more(token):
        return f"<ContinuationToken>{token}</ContinuationToken>" if token else ""

    def answer(method, path, headers, body):
        return 200, {}, (BUCKETS % (("two", "") if "continuation-token=a" in path else ("one", more("a")))).encode()

    with stub(answer) as server:
        assert server.provider().containers() == ["one", "two"]
    with stub(lambda *_: (200, {}, (BUCKETS % ("one", more("a"))).encode())) as server:
        with pytest.raises(Integrity, match="circle"):
            server.provider().containers()
        assert len(server.seen) <= 3
