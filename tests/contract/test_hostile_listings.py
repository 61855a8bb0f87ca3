"""A wrong listing is refused as a whole, by every service: foreign keys, circles, impossible sizes."""

from __future__ import annotations

import json
import re

import pytest

from backup.files import scan
from backup.queries import plans
from providers.contract.cancel import CancelToken
from providers.contract.upload import UploadRequest
from providers.errors import Integrity, ProviderError
from providers.testing.faults import Fault
from providers.testing.needs import WIRED
from providers.testing.transfers import keys
from tests.contract.harnesses import HARNESSES, only
from tests.servers import b2_requests, hostile

SERVICES = only(
    tuple({harness.service: harness for harness in reversed(HARNESSES) if harness.wire}.values()), lambda harness: True
)
TREE = {"photos/a": b"1", "photos/sub/b": b"22", "other/c": b"333"}


def of_json(change):
    """An edit of each entry of a JSON listing."""

    def spell(data):
        found = json.loads(data)
        for item in found.get("files", found.get("entries", [])):
            change(item)
        return json.dumps(found).encode()

    return hostile.body(spell)


def renamed(old, new):
    """Replaces the name `old` by `new` in every spelling: plain, URL-encoded, lower case."""
    quoted = [(old, new), (old.replace("/", "%2F"), new.replace("/", "%2F")), (old.lower(), new.lower())]
    return [hostile.replaced(one, other) for one, other in quoted]


def elsewhere(item):
    item["parents"] = ["1Elsewhere"]


FOREIGN = {
    "aws_s3": renamed("photos/a", "elsewhere"),
    "backblaze": renamed("photos/a", "elsewhere"),
    "dropbox": renamed("photos/a", "elsewhere/a"),
    "google_drive": [of_json(elsewhere)],
}


@WIRED
def test_a_foreign_key_refuses_the_whole_listing(harness, root, tmp_path):
    root.plant(TREE)
    provider = root.connect(max_retries=0)
    cancel = CancelToken()
    assert keys(provider, "photos/") == {"photos/a", "photos/sub/b"}
    listed = provider.scan("photos/", delimiter="/")
    assert ({file.key for file in listed.files}, listed.prefixes) == ({"photos/a"}, ("photos/sub/",))
    root.wired.fault(hostile.odd(*FOREIGN[harness.service]), when=harness.requests.listing, times=None)
    for act in (
        lambda: provider.list_files("photos/"),
        lambda: provider.scan("photos/", delimiter="/"),
        lambda: provider.scan_tree("photos/"),
        lambda: list(scan.walk_remote(provider, "photos/", cancel)),
        lambda: list(scan.walk_tree(provider, "photos/", cancel)),
        lambda: plans.download(provider, "x", ["photos/"], tmp_path, cancel),
        lambda: plans.delete(provider, "x", ["photos/"], cancel),
    ):
        with pytest.raises(Integrity) as caught:
            act()
        assert caught.value.code == "foreign_key"
        assert "elsewhere" in caught.value.message or harness.service == "google_drive"
        assert caught.value.hint or caught.value.remedies
    assert list(tmp_path.iterdir()) == []
    assert root.stored() == TREE


PREFIXED = ("aws_s3", "backblaze")


@only(HARNESSES, lambda harness: harness.service in PREFIXED)
def test_an_instance_with_a_prefix_sees_nothing_outside_it(harness, root):
    root.plant({"own/a": b"1"})
    provider = root.connect(prefix="own", max_retries=0)
    assert keys(provider) == {"a"}
    root.wired.fault(hostile.odd(*renamed("own/a", "ownership")), when=harness.requests.listing, times=None)
    with pytest.raises(Integrity, match="'ownership', which is not below 'own/'"):
        provider.scan()


@only(HARNESSES, lambda harness: harness.service == "dropbox")
@pytest.mark.parametrize(
    ("stored", "shown"), [("photos/", "PHOTOS/"), ("f\u00e9/", "fe\u0301/"), ("stra\u00dfe/", "Stra\u00dfe/")]
)
def test_dropbox_may_spell_a_folder_differently(harness, root, stored, shown):
    root.plant({f"{stored}a": b"1"})
    provider = root.connect(max_retries=0)

    def respell(item):
        item["path_display"] = item["path_display"].replace(stored[:-1], shown[:-1])

    root.wired.fault(hostile.odd(of_json(respell)), when=harness.requests.listing, times=None)
    assert keys(provider, stored) == {f"{stored}a"}
    page = provider.scan(stored, delimiter="/")
    assert [file.key for file in page.files] == [f"{stored}a"]


@only(HARNESSES, lambda harness: harness.service == "dropbox")
@pytest.mark.parametrize("path", ["/.bashrc", "/Backups/.bashrc", "", "/Backups/photos"])
def test_in_dropbox_a_file_above_the_folder_or_nowhere_is_refused_too(harness, root, path):
    root.plant({"photos/a": b"1"})

    def moved(item):
        if item[".tag"] == "file":
            item.update(path_display=path, path_lower=path.lower(), name=path.rpartition("/")[2])

    root.wired.fault(hostile.odd(of_json(moved)), when=harness.requests.listing, times=None)
    provider = root.connect(max_retries=0)
    for how in ({}, {"delimiter": "/"}):
        with pytest.raises(Integrity, match="not below"):
            provider.scan("photos/", **how)


@only(HARNESSES, lambda harness: harness.service == "dropbox")
@pytest.mark.parametrize("name", ["../../.bashrc", "sub/a", "b", ""])
def test_in_dropbox_a_name_is_the_end_of_its_path(harness, root, name):
    root.plant({"photos/a": b"1"})
    root.wired.fault(
        hostile.odd(of_json(lambda item: item.update(name=name))), when=harness.requests.listing, times=None
    )
    with pytest.raises(Integrity):
        keys(root.connect(max_retries=0), "photos/")


SIZES = {
    "aws_s3": (r"<Size>\d+</Size>", "<Size>%s</Size>"),
    "backblaze": (r'"contentLength": ?\d+', '"contentLength": %s'),
    "dropbox": (r'"size": ?\d+', '"size": %s'),
    "google_drive": (r'"size": ?"\d+"', '"size": %s'),
}
NO_SIZES = ["-5", "NaN", "Infinity", "1e30", str(10**30), str(2**63), "1.5", "1e999", '"NaN"', "[]"]
NO_SIZES_AS_TEXT = ["-5", "NaN", "inf", "1e30", str(10**30), str(2**63), "1.5", "+5", "5_0", "\u0665", "0x5", "true"]


def odd_sizes(service):
    """Impossible sizes in the service's notation."""
    match service:
        case "aws_s3":
            return NO_SIZES_AS_TEXT
        case "google_drive":
            return [*NO_SIZES, "true", "null", *map(json.dumps, NO_SIZES_AS_TEXT)]
    return [*NO_SIZES, "true", "null", '"5"']


@SERVICES
def test_an_impossible_size_is_refused(harness, root):
    root.plant({"photos/a": b"1"})
    provider = root.connect(max_retries=0)
    pattern, form = SIZES[harness.service]
    for size in odd_sizes(harness.service):
        seen: list[object] = []

        def respell(data, size=size, seen=seen):
            seen.append(re.search(pattern, data.decode()))
            return re.sub(pattern, lambda _: form % size, data.decode()).encode()

        rule = root.wired.fault(hostile.odd(hostile.body(respell)), when=harness.requests.listing, times=None)
        with pytest.raises(ProviderError) as caught:
            provider.list_files()
        assert any(seen), "the size was not found"
        assert caught.value.kind in ("integrity", "transient", "unsupported", "configuration"), size
        rule.release()
    assert [file["size"] for file in provider.list_files()] == [1]


ENDLESS = {
    "aws_s3": "<ListBucketResult><IsTruncated>true</IsTruncated>"
    "<NextContinuationToken>t</NextContinuationToken></ListBucketResult>",
    "backblaze": '{"files": [], "nextFileName": "t"}',
    "dropbox": '{"entries": [], "has_more": true, "cursor": "t"}',
    "google_drive": '{"files": [], "nextPageToken": "t"}',
}


@SERVICES
def test_a_repeated_continuation_token_is_refused(harness, root):
    root.plant({"photos/a": b"1"})
    provider = root.connect(max_retries=0)
    keys(provider)
    root.wired.forget()
    root.wired.fault(Fault.status(200, ENDLESS[harness.service]), when=any_listing(harness), times=None)
    for act in (
        lambda: keys(provider),
        lambda: keys(provider, "zzz"),
        lambda: all_pages(lambda token: provider.scan("", delimiter="/", token=token)),
        lambda: all_pages(lambda token: provider.scan_tree("", token=token)),
        lambda: plans.delete(provider, "x", ["/"], CancelToken()),
    ):
        with pytest.raises(Integrity, match="circle"):
            act()
    assert root.wired.count() <= 20


def all_pages(scan):
    token = None
    while (token := scan(token).next_token) is not None:
        continue


def any_listing(harness):
    if harness.service != "dropbox":
        return harness.requests.listing
    return lambda request: harness.requests.listing(request) or request.path.endswith("list_folder/continue")


CONTAINERS = {
    "aws_s3": "<ListAllMyBucketsResult><Buckets><Bucket><Name>%s</Name></Bucket></Buckets></ListAllMyBucketsResult>",
    "dropbox": '{"entries": [{".tag": "folder", "name": "%s"}], "has_more": false, "cursor": ""}',
}


@only(HARNESSES, lambda harness: harness.service in CONTAINERS)
@pytest.mark.parametrize("name", ["", "a/b"])
def test_a_container_without_a_usable_name_is_refused(harness, root, name):
    provider = root.connect(max_retries=0)
    provider.containers()
    body = CONTAINERS[harness.service].replace("%s", name)
    root.wired.fault(Fault.status(200, body), times=None)
    with pytest.raises(Integrity, match="container"):
        provider.containers()


@only(HARNESSES, lambda harness: harness.service in ("dropbox", "google_drive"))
def test_containers_in_a_circle_are_refused(harness, root):
    provider = root.connect(max_retries=0)
    provider.containers()
    root.wired.fault(Fault.status(200, ENDLESS[harness.service]), when=any_listing(harness), times=None)
    with pytest.raises(Integrity, match="circle"):
        provider.containers()


@only(HARNESSES, lambda harness: harness.service == "google_drive")
def test_in_drive_a_file_of_another_folder_is_not_accepted(harness, root):
    """Reads, deletes and the choice between two uploads all depend on such a listing."""
    root.plant({"photos/a": b"1"})
    provider = root.connect(max_retries=0)
    provider.stat("photos/a")
    root.wired.fault(hostile.odd(of_json(elsewhere)), when=lambda request: "q" in request.query, times=None)
    for act in (provider.stat, provider.remove):
        with pytest.raises(Integrity, match="which is not below"):
            act("photos/a")
    assert root.stored() == {"photos/a": b"1"}


B2 = only(HARNESSES, lambda harness: harness.service == "backblaze")
UPLOAD = UploadRequest(key="x", size_bytes=20 << 20, part_size_bytes=10 << 20)
IN_B2 = {
    "b2_list_parts": lambda provider: provider.open_upload(UPLOAD, token={"file_id": "f"}).confirmed(),
    "b2_list_unfinished_large_files": lambda provider: provider.pending_uploads("x"),
    "b2_list_file_versions": lambda provider: provider.remove("x"),
}


@B2
@pytest.mark.parametrize("name", IN_B2)
def test_in_b2_every_paged_list_ends(harness, root, name):
    root.plant({"x": b"1"})
    provider = root.connect(max_retries=0, delete_versions=True)
    keys(provider)
    circle = '{"parts": [], "files": [], "nextPartNumber": 1, "nextFileId": "f", "nextFileName": "x"}'
    rule = root.wired.fault(Fault.status(200, circle), when=b2_requests.call(name), times=None)
    with pytest.raises(Integrity, match="circle"):
        IN_B2[name](provider)
    assert rule.hits <= 3
    assert root.stored() == {"x": b"1"}


@B2
def test_in_b2_unfinished_files_of_others_are_left_alone(harness, root):
    """The check of what the server enforces also cancels only its own."""
    listed = '{"files": [{"fileName": "precious", "fileId": "f"}], "nextFileId": null}'
    root.wired.fault(Fault.status(200, listed), when=b2_requests.call("b2_list_unfinished_large_files"), times=None)
    provider = root.connect(max_retries=0)
    with pytest.raises(Integrity, match="precious"):
        provider.pending_uploads("x")
    provider.learn()
    cancelled = b2_requests.call("b2_cancel_large_file")
    assert root.wired.count(cancelled) == 0


@only(HARNESSES, lambda harness: harness.service in ("dropbox", "google_drive"))
@pytest.mark.parametrize(
    "figure", ["-5", "1e999", "NaN", "true", str(10**400), str(10**4200)], ids=lambda text: text[:6]
)
def test_the_free_space_of_an_account_may_be_any_value(harness, root, figure):
    """It is only displayed; an odd value breaks nothing."""
    quoted = harness.service == "google_drive"

    def respell(data):
        return re.sub(rb'"(used|allocated|usage|limit)": ?"?\d+"?', lambda name: b'"%b": %b' % (name[1], written), data)

    written = json.dumps(figure).encode() if quoted else figure.encode()
    root.wired.fault(
        hostile.odd(hostile.body(respell)),
        times=None,
        when=lambda request: "about" in request.path or "space" in request.path,
    )
    provider = root.connect(max_retries=0)
    assert provider.check_authentication()
    assert provider.check_container()
