"""An incomplete listing still shows its readable part, which is never taken for the whole."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from backup.files import scan
from backup.model.transfers import Conflicts
from backup.queries import plans
from backup.queries.page_to_show import page_to_show
from providers.contract.cancel import CancelToken
from providers.contract.report import StepName, StepState
from providers.errors import IncompleteListing, Integrity, ProviderError, Transient
from providers.testing.transfers import download, upload
from tests.contract.harnesses import HARNESSES, only
from tests.servers import hostile

SERVICES = only(
    tuple({harness.service: harness for harness in reversed(HARNESSES) if harness.wire}.values()), lambda harness: True
)
TREE = {"d/a": b"1", "d/b": b"22", "d/c": b"333"}


def entries_of(service, data):
    """Start and end of each entry of a listing."""
    if service == "aws_s3":
        return [found.span() for found in re.finditer(rb"<Contents>.*?</Contents>", data, re.DOTALL)]
    text = data.decode()
    name = "entries" if service == "dropbox" else "files"
    begin = re.search(rf'"{name}"\s*:\s*\[', text)
    if begin is None:
        return []
    position, spans = begin.end(), []
    while text.startswith("{", position := position + len(text[position:]) - len(text[position:].lstrip(" \n,"))):
        start = position
        _, position = json.JSONDecoder().raw_decode(text, start)
        spans.append((len(text[:start].encode()), len(text[:position].encode())))
    return spans


def cut_off(service, data):
    """Truncated in the middle of the last entry."""
    begin, end = entries_of(service, data)[-1]
    return data[: (begin + end) // 2]


def damaged(service, data):
    """The last entry but one is invalid XML or JSON; the rest is valid."""
    begin, end = entries_of(service, data)[-2]
    inner = b"<Key><<&\x01</Nothing>" if service == "aws_s3" else b'{"\x01 : }'
    close = b"</Contents>" if service == "aws_s3" else b""
    head = b"<Contents>" if service == "aws_s3" else b""
    return data[:begin] + head + inner + close + data[end:]


def with_size(service, size):
    def spell(data):
        begin, end = entries_of(service, data)[-2]
        odd = re.sub(rb'(<Size>|"contentLength": ?|"size": ?)("?\d+"?)', rb"\g<1>" + size, data[begin:end])
        return data[:begin] + odd + data[end:]

    return spell


BROKEN = {
    "cut off": lambda service: lambda data: cut_off(service, data),
    "damaged": lambda service: lambda data: damaged(service, data),
    "an impossible size": lambda service: with_size(service, b"-5"),
    "no size": lambda service: with_size(service, b"" if service == "aws_s3" else b"null"),
}


def breaking(harness, root, how, **more):
    spell = BROKEN[how](harness.service)

    def some(data):
        return spell(data) if len(entries_of(harness.service, data)) >= 2 else data

    return root.wired.fault(hostile.odd(hostile.body(some)), harness.requests.listing, times=None, **more)


@SERVICES
@pytest.mark.parametrize("how", BROKEN)
def test_the_readable_part_is_shown_and_never_taken_for_the_whole(harness, root, tmp_path, how):
    root.plant(TREE)
    provider = root.connect(max_retries=0)
    assert {file.key for file in provider.walk("d/")} == set(TREE)
    rule = breaking(harness, root, how)
    cancel = CancelToken()
    with pytest.raises(IncompleteListing) as caught:
        provider.scan("d/", delimiter="/")
    read = {file.key: file.size_bytes for file in caught.value.page.files}
    assert len(read) == 2, "only one entry is lost"
    assert all(TREE[key] and size == len(TREE[key]) for key, size in read.items())
    assert caught.value.page.next_token is None
    for act in (
        lambda: provider.list_files("d/"),
        lambda: list(scan.walk_remote(provider, "d/", cancel)),
        lambda: list(scan.walk_tree(provider, "d/", cancel)),
        lambda: plans.download(provider, "x", ["d/"], tmp_path, cancel),
        lambda: plans.delete(provider, "x", ["d/"], cancel),
    ):
        with pytest.raises(Integrity) as caught_too:
            act()
        said = caught_too.value.message + caught_too.value.hint
        assert not re.search("endpoint_url|realm|address and port", said), "never the address"
        assert "can be fetched by name" in said
    assert rule.hits
    assert root.stored() == TREE


UNLIKE: dict[str, list[tuple[str, Any]]] = {
    "backblaze": [("fileName", None), ("fileName", 5), ("action", None), ("contentLength", "x")],
    "dropbox": [("name", None), ("name", 5), ("path_display", 5), (".tag", None), ("size", "x")],
    "google_drive": [("id", None), ("id", "\ud800"), ("name", None), ("size", "x"), ("size", 5.5)],
}


@only(HARNESSES, lambda harness: harness.service in UNLIKE)
def test_an_invalid_entry_costs_only_itself(harness, root):
    root.plant(TREE)
    provider = root.connect(max_retries=0)
    for field, value in UNLIKE[harness.service]:

        def spell(data, field=field, value=value):
            for begin, end in entries_of(harness.service, data)[1:2]:
                entry = {name: content for name, content in json.loads(data[begin:end]).items() if name != field}
                other = entry if value is None else entry | {field: value}
                data = data[:begin] + json.dumps(other).encode() + data[end:]
            return data

        rule = root.wired.fault(hostile.odd(hostile.body(spell)), harness.requests.listing, times=None)
        with pytest.raises(IncompleteListing) as caught:
            provider.scan("d/", delimiter="/")
        assert {file.key for file in caught.value.page.files} == {"d/a", "d/c"}, field
        rule.release()


@SERVICES
def test_the_part_before_a_repeated_break_is_shown(harness, root, tmp_path):
    """To callers that act on it, it is a broken connection: retried, then failed."""
    root.plant(TREE)
    provider = root.connect(max_retries=1, retry_delay=0)
    provider.list_files("d/")

    def some(reply):
        listing = len(entries_of(harness.service, reply.body)) >= 2
        return replace(reply, body=cut_off(harness.service, reply.body)) if listing else reply

    rule = root.wired.fault(hostile.odd(some), harness.requests.listing, times=None)
    scan = partial(provider.scan, "d/", delimiter="/")
    for act in (
        scan,
        lambda: provider.list_files("d/"),
        lambda: plans.download(provider, "x", ["d/"], tmp_path, CancelToken()),
        lambda: plans.delete(provider, "x", ["d/"], CancelToken()),
    ):
        with pytest.raises(Transient, match="broke off"):
            act()
    tried = rule.hits
    shown = page_to_show(provider, scan, CancelToken())
    assert rule.hits >= tried + 3, "two rounds with the configured retries, then one more"
    assert len(shown.files) == 2
    assert re.search("br(oke|eaks) off|truncated", shown.unread)
    rule.release()
    assert {file.key for file in page_to_show(provider, scan, CancelToken()).files} == set(TREE)


@SERVICES
def test_an_unreadable_answer_is_reported_as_a_broken_connection(harness, root):
    root.plant(TREE)
    provider = root.connect(max_retries=0)
    provider.list_files("d/")
    rule = root.wired.fault(
        hostile.odd(lambda reply: replace(reply, body=reply.body[:1])), harness.requests.listing, times=None
    )
    with pytest.raises(Transient, match="broke off"):
        page_to_show(provider, partial(provider.scan, "d/", delimiter="/"), CancelToken())
    assert rule.hits >= 2


@only(HARNESSES, lambda harness: harness.service in ("backblaze", "dropbox", "google_drive"))
def test_an_entry_with_invalid_utf8_is_left_out_and_reported(harness, root):
    """S3 names are read as they are: tests/providers/test_s3_names.py."""
    root.plant(TREE)
    provider = root.connect(max_retries=0)

    def spell(data):
        for begin, end in entries_of(harness.service, data)[1:2]:
            data = data[:begin] + re.sub(rb'(?<=[/"])b"', b'b\xff"', data[begin:end]) + data[end:]
        return data

    root.wired.fault(hostile.odd(hostile.body(spell)), harness.requests.listing, times=None)
    with pytest.raises(IncompleteListing, match="truncated or damaged") as caught:
        provider.scan("d/", delimiter="/")
    assert {file.key for file in caught.value.page.files} == {"d/a", "d/c"}


@SERVICES
@pytest.mark.parametrize("how", ["damaged", "no size"])
def test_single_files_can_be_transferred_despite_an_unreadable_entry(harness, root, tmp_path, how):
    root.plant(TREE)
    provider = root.connect(max_retries=0)
    broken = breaking(harness, root, how)
    with pytest.raises(IncompleteListing) as caught:
        provider.scan("d/", delimiter="/")
    readable = caught.value.page.files[0].key
    download(provider, readable, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == TREE[readable]
    local = tmp_path / "local" / "d"
    local.mkdir(parents=True)
    (local / "a").write_bytes(b"new")
    (local / "new").write_bytes(b"new")
    plan = plans.upload(provider, "x", [local], "", Conflicts.REPLACE, CancelToken())
    assert (plan.files, plan.replaces, plan.complete) == (2, 1, True), "an unlisted object is requested by name"
    upload(provider, local / "new", "d/new")
    provider.delete(readable)
    assert broken.hits
    assert set(root.stored()) == {*TREE, "d/new"} - {readable}


@SERVICES
def test_a_damaged_entry_does_not_fail_the_connection_check(harness, root):
    """The step reports it, and the remaining steps run."""
    root.plant({"a": b"1", "b": b"22", "c": b"333"})
    provider = root.connect(max_retries=0)
    breaking(harness, root, "no size")
    report = provider.probe()
    step = next(step for step in report.steps if step.name is StepName.LIST)
    assert step.state is StepState.OK
    assert "2 entries; incomplete: " in step.detail


@SERVICES
def test_a_listing_continues_after_a_page_damaged_in_one_place(harness, root):
    """Everything that names the next page is intact."""
    root.plant({f"d/{number}": b"1" for number in range(6)})
    provider = root.connect(max_retries=0)
    breaking(harness, root, "damaged")
    seen, token, broken = set(), None, 0
    for _ in range(20):
        try:
            page = provider.scan("d/", delimiter="/", token=token, limit=3)
        except IncompleteListing as error:
            page, broken = error.page, broken + 1
        seen |= {file.key for file in page.files}
        token = page.next_token
        if token is None:
            break
    assert token is None
    assert broken >= 1
    assert 3 <= len(seen) < 6


ASKED = {
    "aws_s3": ("containers", "unfinished_uploads"),
    "backblaze": ("unfinished_uploads",),
    "dropbox": ("containers", "stat"),
    "google_drive": ("containers", "stat"),
}


@SERVICES
def test_a_truncated_answer_is_not_blamed_on_the_address(harness, root):
    root.plant(TREE)
    root.ready(max_retries=0)
    provider = root.connect(max_retries=0)
    provider.stat("d/a")
    rule = root.wired.fault(hostile.odd(hostile.body(lambda data: data[: len(data) // 2])), times=None)
    for ask in ASKED[harness.service]:
        before = rule.hits
        with pytest.raises(Integrity):
            getattr(provider, ask)(*(["d/a"] if ask == "stat" else []))
        assert rule.hits > before


FOREIGN = {"aws_s3": "d/a", "backblaze": "d/a", "dropbox": "/d/a"}


@only(HARNESSES, lambda harness: harness.service in FOREIGN)
def test_a_foreign_key_refuses_the_readable_part_too(harness, root):
    root.plant(TREE)
    provider = root.connect(max_retries=0)
    provider.list_files("d/")
    old = FOREIGN[harness.service]
    new = old.replace("d/a", "e/a")
    renamed = [hostile.replaced(old, new), hostile.replaced(old.replace("/", "%2F"), new.replace("/", "%2F"))]
    cut = hostile.body(lambda data: cut_off(harness.service, data))
    root.wired.fault(hostile.odd(*renamed, cut), harness.requests.listing, times=None)
    with pytest.raises(Integrity) as caught:
        provider.scan("d/")
    assert not isinstance(caught.value, IncompleteListing)
    assert caught.value.code == "foreign_key"


@SERVICES
def test_an_unreadable_listing_is_not_an_empty_one(harness, root):
    root.plant(TREE)
    provider = root.connect(max_retries=0)
    begins = {
        "aws_s3": b"<ListBucketResult><Contents><Key>d/a",
        "backblaze": b'{"files": [{"fileName": "d/a", ',
        "dropbox": b'{"entries": [{".tag": "file", ',
        "google_drive": b'{"files": [{"id": "a", ',
    }[harness.service]
    root.wired.fault(hostile.odd(hostile.body(lambda _: begins)), harness.requests.listing, times=None)
    for act in (lambda: provider.scan("d/"), lambda: provider.list_files("d/")):
        with pytest.raises(ProviderError) as caught:
            act()
        assert caught.value.kind == "integrity"


@SERVICES
def test_a_name_that_is_not_text_is_left_out_and_reported(harness, root):
    """A lone surrogate, which JSON can express and no disk can store. All other entries are shown."""
    root.plant({"d/a": b"1", "d/q.z": b"22", "d/q.zz/c": b"333"})
    provider = root.connect(max_retries=0)

    def halved(data):
        return data.replace(b"q.z", b"&#xD834;" if data.startswith(b"<") else b"\\ud834")

    rule = root.wired.fault(hostile.odd(hostile.body(halved)), when=harness.requests.listing, times=None)
    for act in (provider.scan, provider.scan_tree):
        with pytest.raises(IncompleteListing, match=r"not text: 'd/\\ud834") as caught:
            act("d/")
        assert [file.key for file in caught.value.page.files] == ["d/a"]
    with pytest.raises(IncompleteListing) as caught:
        provider.scan("d/", delimiter="/")
    assert ([file.key for file in caught.value.page.files], caught.value.page.prefixes) == (["d/a"], ())
    assert rule.hits


UNKNOWN = {
    "backblaze": (b'"action": "upload"', b'"action": "graft"'),
    "dropbox": (b'".tag": "file"', b'".tag": "mirror"'),
}


@only(HARNESSES, lambda harness: harness.service in UNKNOWN)
def test_an_entry_of_unknown_kind_is_reported(harness, root):
    """A service may add kinds. Skipping them would silently leave files out of a restore."""
    root.plant(TREE)
    provider = root.connect(max_retries=0)
    known, other = UNKNOWN[harness.service]

    def renewed(data):
        begin, end = entries_of(harness.service, data)[-1]
        assert known in data[begin:end]
        return data[:begin] + data[begin:end].replace(known, other) + data[end:]

    root.wired.fault(hostile.odd(hostile.body(renewed)), when=harness.requests.listing, times=None)
    with pytest.raises(IncompleteListing, match=other.decode().rpartition(" ")[2].strip('"')) as caught:
        provider.scan("d/")
    assert {file.key for file in caught.value.page.files} == {"d/a", "d/b"}


@SERVICES
def test_a_listing_and_an_object_of_different_sizes_restore_nothing(harness, root, tmp_path):
    """HEAD and read agree on a length, and the listing, also a fresh one, on another."""
    root.plant(TREE)
    target = tmp_path / "target"
    target.write_bytes(b"the user's older copy")

    def grown(data):
        for begin, end in reversed(entries_of(harness.service, data)):
            entry = data[begin:end]
            if re.search(rb'd/b["<]|"name": ?"b"', entry):
                entry = re.sub(rb'(<Size>|"contentLength": ?|"size": ?"?)\d+', rb"\g<1>5000", entry)
                data = data[:begin] + entry + data[end:]
        return data

    provider = root.connect(max_retries=0)
    rule = root.wired.fault(hostile.odd(hostile.body(grown)), harness.requests.listing, times=None)
    (listed,) = [file for file in provider.walk("d/") if file.key == "d/b"]
    assert listed.size_bytes == 5000
    with pytest.raises(Integrity):
        download(provider, "d/b", target, listed_bytes=listed.size_bytes)
    assert target.read_bytes() == b"the user's older copy"
    rule.release()
    download(provider, "d/b", target, listed_bytes=listed.size_bytes)
    assert target.read_bytes() == TREE["d/b"], "a fresh listing agrees: the object has changed since"
