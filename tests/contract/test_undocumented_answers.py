"""Answers with a missing or unexpected field end in an error of ours, or cost only that entry."""

from __future__ import annotations

import contextlib
import json
import re
from operator import methodcaller
from typing import Any

import pytest

from providers.contract.upload import UploadRequest
from providers.errors import IncompleteListing, Integrity, ProviderError, Transient
from providers.testing.faults import Fault, Side
from providers.testing.transfers import keys
from tests.contract.harnesses import HARNESSES, only
from tests.servers import b2_requests, hostile

JSON = {
    "backblaze": (
        "absoluteMinimumPartSize", "action", "allowed", "apiUrl", "authorizationToken", "bucketId", "bucketName",
        "buckets", "capabilities", "contentLength", "contentSha1", "downloadUrl", "fileId", "fileInfo", "fileName",
        "files", "id", "name", "namePrefix", "nextFileId", "nextFileName", "nextPartNumber", "partNumber", "parts",
        "uploadTimestamp", "uploadUrl",
    ),
    "dropbox": (
        ".tag", "access_token", "account_id", "allocated", "allocation", "client_modified", "content_hash",
        "correct_offset", "cursor", "display_name", "email", "entries", "error", "error_summary", "expires_in",
        "has_more", "id", "is_downloadable", "metadata", "name", "path_display", "path_lower", "rev",
        "server_modified", "session_id", "size", "used",
    ),
    "google_drive": (
        "access_token", "appProperties", "createdTime", "emailAddress", "expires_in", "explicitlyTrashed", "files",
        "headRevisionId", "id", "ids", "limit", "md5Checksum", "mimeType", "modifiedTime", "name", "nextPageToken",
        "parents", "properties", "sha256Checksum", "size", "storageQuota", "trashed", "usage", "user",
    ),
}  # fmt: skip
XML = (
    "Bucket", "Buckets", "Code", "CommonPrefixes", "Contents", "CreationDate", "Deleted", "ETag", "Initiated",
    "IsTruncated", "Key", "LastModified", "Location", "Name", "NextContinuationToken", "Part", "PartNumber", "Prefix",
    "Size", "Upload", "UploadId",
)  # fmt: skip
FIELDS = {**JSON, "aws_s3": XML}
OTHERS = ([7], [[7]], None, {"x": "\ud800"}, "\ud800", "\udc80/x", "9" * 5000, -1)
PLAIN = (
    "learn", "unfinished_uploads", "containers", "account", "check_reach", "check_authentication", "check_container",
)  # fmt: skip
SERVICES = tuple({harness.service: harness for harness in reversed(HARNESSES) if harness.wire}.values())


def changed(parsed, name, *new):
    """`parsed` with every field `name` replaced by `new`, or removed."""
    if isinstance(parsed, list):
        return [changed(each, name, *new) for each in parsed]
    if not isinstance(parsed, dict):
        return parsed
    kept = {key: changed(value, name, *new) for key, value in parsed.items() if key != name}
    return kept | (dict.fromkeys([name], new[0]) if new and name in parsed else {})


def in_json(name, *new):
    def edit(data):
        try:
            return json.dumps(changed(json.loads(data), name, *new)).encode()
        except ValueError:
            return data

    return hostile.body(edit)


def in_xml(name, *new):
    element = re.compile(rb"<%b>.*?</%b>|<%b ?/>" % ((name.encode(),) * 3), re.DOTALL)
    elements = b"".join(b"<%b>%b</%b>" % (name.encode(), text, name.encode()) for text in new)
    return hostile.body(lambda data: element.sub(lambda found: elements, data))


def edits(service, name):
    if service == "aws_s3":
        texts = ((), (b"",), (b"x" * 5000,), (b"<x/>",), (b"9" * 5000,), (b"-1",), (b"1", b"2"))
        return [in_xml(name, *new) for new in texts]
    return [in_json(name), *(in_json(name, new) for new in OTHERS)]


CASES = [
    pytest.param(harness, name, id=f"{harness.name}-{name}") for harness in SERVICES for name in FIELDS[harness.service]
]


def result_of(act, *arguments):
    """False for an error of ours."""
    try:
        return act(*arguments)
    except ProviderError:
        return False


@pytest.mark.few(6)
@pytest.mark.parametrize(("harness", "field"), CASES)
def test_every_odd_answer_ends_in_an_error_of_ours(harness, root, field):
    part = harness.limits.part_bytes
    file, small, target = (root.tmp / name for name in ("file", "small", "target"))
    resumed = UploadRequest(key="z", size_bytes=2 * part, part_size_bytes=part)
    begun = root.connect(max_retries=0)
    session = begun.open_upload(resumed)
    token = session.token
    versions = {"delete_versions": True} if harness.service == "backblaze" else {}
    acts: tuple[Any, ...] = (
        *(methodcaller(name) for name in PLAIN), keys, methodcaller("scan", "", delimiter="/"),
        methodcaller("pending_uploads", "z"),
        lambda provider: provider.open_upload(resumed, token=token).confirmed(),
    )  # fmt: skip
    for number, edit in enumerate(edits(harness.service, field)):
        root.plant({"x": b"%d" % number, "d/e": b"22"})
        file.write_bytes(b"%d" % (number % 10) * (2 * part + 1))
        small.write_bytes(b"small %d" % number)
        if harness.capabilities.real_folders:
            root.make_folder(f"empty{number}")
        rule = root.wired.fault(hostile.odd(edit), when=lambda seen: seen.method != "HEAD", times=None)
        provider = root.connect(max_retries=0, **versions)
        for act in acts:
            with contextlib.suppress(ProviderError):
                act(provider)
        if result_of(provider.download, "x", target):
            assert target.read_bytes() == b"%d" % number, edit
        sent = {key: path for key, path in (("y", file), ("s", small)) if result_of(provider.upload, path, key)}
        gone = {"x"} if result_of(provider.delete, "x") else set()
        gone |= {"d/e"} if result_of(provider.remove_many, ["d/e"]) == {} else set()
        stored = root.stored()
        assert {key: stored.get(key) for key in sent} == {key: path.read_bytes() for key, path in sent.items()}, edit
        assert not stored.keys() & gone, edit
        with contextlib.suppress(ProviderError):
            provider.remove(f"empty{number}/")
        assert rule.hits
        rule.release()


def list_uploads(request):
    return request.method == "GET" and "uploads" in request.query


LISTED: dict[str, Any] = {
    "backblaze": (
        b2_requests.call("b2_list_unfinished_large_files"),
        [(name, other) for name in ("fileName", "fileId") for other in (None, 5, "")],
    ),
    "aws_s3": (
        lambda request: "uploads" in request.query and request.method == "GET",
        [(name, other) for name in ("Key", "UploadId") for other in (None, "")],
    ),
}


def first_upload(service, name, other):
    """In the first entry of a listing of unfinished uploads, replaces one field, or removes it (None)."""

    def in_files(data):
        found = json.loads(data)
        first = found["files"][0]
        del first[name]
        found["files"][0] = first if other is None else first | {name: other}
        return json.dumps(found).encode()

    def in_elements(data):
        text = b"" if other is None else b"<%b/>" % name.encode()
        element = re.compile(rb"<%b>[^<]*</%b>" % (name.encode(), name.encode()))
        return re.sub(rb"(?s)<Upload>.*?</Upload>", lambda found: element.sub(text, found[0]), data, count=1)

    return hostile.body(in_files if service == "backblaze" else in_elements)


@only(SERVICES, lambda harness: harness.service in LISTED)
def test_an_invalid_unfinished_upload_costs_only_itself(harness, root):
    provider = root.ready(max_retries=0)
    part = harness.limits.part_bytes
    for name in ("a", "b", "c"):
        assert provider.open_upload(UploadRequest(key=name, size_bytes=2 * part, part_size_bytes=part)).token
    when, odd = LISTED[harness.service]
    assert sorted(item.key for item in provider.unfinished_uploads()) == ["a", "b", "c"]
    for name, other in odd:
        rule = root.wired.fault(hostile.odd(first_upload(harness.service, name, other)), when=when, times=None)
        assert len(provider.unfinished_uploads()) == 2, (name, other)
        rule.release()


@only(HARNESSES, lambda harness: harness.service == "backblaze")
def test_the_b2_checksum_trial_ends_in_an_error_of_ours_and_cleans_up(harness, root):
    """For a server that accepts a wrong SHA-1 and reports no id for it, among invalid entries."""
    rule = root.wired.fault(Fault.status(200, "{}"), when=b2_requests.upload_file(), times=None)
    with pytest.raises(Integrity, match="not as documented"):
        root.connect(max_retries=0).learn()
    rule.release()

    def edit(data):
        found = json.loads(data)
        return json.dumps(found | {"files": [{}, 5, *found["files"]]}).encode()

    root.wired.fault(Fault.reset(Side.RESPONSE, at=None), when=b2_requests.upload_part(), times=None)
    when = b2_requests.call("b2_list_unfinished_large_files")
    listed = root.wired.fault(hostile.odd(hostile.body(edit)), when=when, times=None)
    with pytest.raises(Transient):
        root.connect(max_retries=0).learn()
    assert listed.hits
    assert root.leftovers() == []


DRIVE = only(HARNESSES, lambda harness: harness.service == "google_drive")
TREE = {"d/one/a": b"1", "d/one/same": b"22", "d/two/b": b"333", "d/two/same": b"4444", "d/c": b"5"}


def without_parents(data):
    found = json.loads(data)
    for item in found.get("files", ()):
        item.pop("parents", None)
    item = found if "files" not in found else {}
    item.pop("parents", None)
    return json.dumps(found).encode()


@DRIVE
def test_in_drive_files_without_parents_are_listed_in_the_requested_folder(harness, root):
    """Folders are read together; after that, each is requested alone."""
    root.plant(TREE)
    rule = root.wired.fault(hostile.odd(hostile.body(without_parents)), harness.requests.listing, times=None)
    provider = root.connect(max_retries=0)
    assert {file.key: file.size_bytes for file in provider.walk("")} == {key: len(data) for key, data in TREE.items()}
    assert rule.hits
    provider.download("d/two/same", root.tmp / "target")
    assert (root.tmp / "target").read_bytes() == b"4444"


@DRIVE
def test_in_drive_a_file_without_parents_on_a_later_page_is_reported(harness, root):
    root.plant(TREE)

    def of_later_pages(request):
        return harness.requests.listing(request) and "pageToken" in request.query

    rule = root.wired.fault(hostile.odd(hostile.body(without_parents)), of_later_pages, times=None)
    provider = root.connect(max_retries=0)

    def read_on(token=None):
        token = provider.scan("d/", limit=2, token=token).next_token
        if token:
            read_on(token)

    with pytest.raises(IncompleteListing, match="in which folder 'same' is"):
        read_on()
    assert rule.hits


@DRIVE
def test_in_drive_one_of_several_files_of_a_name_is_found_by_id(harness, root):
    root.plant({"x": b"1"})
    folder = root.drive.store.folder(root.defaults["container"])
    second = root.drive.store.create({"name": "x", "parents": [folder]}, b"22").id
    root.wired.fault(hostile.odd(hostile.body(without_parents)), lambda seen: "fields" in seen.query, times=None)
    provider = root.connect(max_retries=0)
    assert provider.stat(f"x [id={second}]").size_bytes == 2


@DRIVE
@pytest.mark.parametrize("parents", ["abc", 5, [7], [[7]]])
def test_in_drive_a_file_with_invalid_parents_costs_only_itself(harness, root, parents):
    root.plant({"x": b"1", "y": b"22"})

    def edit(data):
        found = json.loads(data)
        for item in found["files"]:
            if item["name"] == "x":
                item["parents"] = parents
        return json.dumps(found).encode()

    for container in (root.defaults["container"], "/"):
        rule = root.wired.fault(hostile.odd(hostile.body(edit)), harness.requests.listing, times=None)
        with pytest.raises(IncompleteListing) as caught:
            list(root.connect(max_retries=0, container=container).walk(""))
        assert isinstance(caught.value, Integrity)
        rule.release()
