"""Nothing is visible under its final name before it is complete."""

from __future__ import annotations

import pytest

from providers.contract.cancel import CancelToken
from providers.errors import Cancelled
from providers.testing.harness import Harness, Root
from providers.testing.needs import needs, shows_whole_alone
from providers.testing.support import Memory, Progress, content, gone, source
from providers.testing.transfers import download, keys, upload


@needs(shows_whole_alone)
def test_an_upload_shows_when_it_is_complete(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    provider = root.connect()
    seen = []
    data = content(3 * part)
    watch = Progress(2 * part, lambda done: seen.append((root.stored(), keys(root.connect()))))
    upload(provider, source(root.tmp, data), "x", progress=watch)
    assert seen == [({}, set())]
    assert root.stored() == {"x": data}


@needs(shows_whole_alone)
def test_the_older_object_stays_until_the_new_one_is_complete(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    root.plant({"x": b"older"})
    seen = []
    data = content(3 * part)
    watch = Progress(2 * part, lambda done: seen.append(root.stored()))
    upload(root.connect(), source(root.tmp, data), "x", progress=watch)
    assert seen == [{"x": b"older"}]
    assert root.stored() == {"x": data}


@needs(shows_whole_alone)
@pytest.mark.parametrize("remembered", [False, True])
def test_a_cancelled_upload_shows_nothing(harness: Harness, root: Root, remembered: bool) -> None:
    part = harness.limits.part_bytes
    cancel = CancelToken()
    root.plant({"x": b"older"})
    watch = Progress(2 * part, lambda done: cancel.cancel())
    memory = Memory() if remembered else None
    with pytest.raises(Cancelled):
        upload(
            root.connect(), source(root.tmp, content(4 * part)), "x", cancel=cancel, progress=watch, checkpoint=memory
        )
    assert root.stored() == {"x": b"older"}
    assert keys(root.connect()) == {"x"}
    assert bool(root.leftovers()) is remembered


@needs(shows_whole_alone)
def test_an_aborted_session_leaves_nothing(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    cancel = CancelToken()
    memory = Memory()
    provider = root.connect()
    watch = Progress(part, lambda done: cancel.cancel())
    with pytest.raises(Cancelled):
        upload(provider, source(root.tmp, content(3 * part)), "x", cancel=cancel, progress=watch, checkpoint=memory)
    saved = memory.load()
    assert saved is not None
    session = root.connect().open_upload(saved.request, token=memory.token)
    session.abort()
    session.abort()
    assert root.stored() == {}
    assert root.leftovers() == []


def test_a_download_shows_when_it_is_complete(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    data = content(3 * part)
    root.plant({"x": data})
    target = root.tmp / "target.bin"
    target.write_bytes(b"older")
    seen = []
    watch = Progress(2 * part, lambda done: seen.append(target.read_bytes()))
    result = download(root.connect(), "x", target, progress=watch)
    assert seen == [b"older"]
    assert target.read_bytes() == data
    assert result.replaced is True
    assert gone(root.tmp, but=("target.bin",)) == []


def test_a_cancelled_download_leaves_only_the_untouched_target(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    root.plant({"x": content(3 * part)})
    target = root.tmp / "target.bin"
    target.write_bytes(b"older")
    cancel = CancelToken()
    with pytest.raises(Cancelled):
        download(root.connect(), "x", target, cancel=cancel, progress=Progress(part, lambda done: cancel.cancel()))
    assert target.read_bytes() == b"older"
    assert gone(root.tmp, but=("target.bin",)) == []
