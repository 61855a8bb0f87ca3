"""Data the service has is not sent again, and data it lacks is never claimed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from providers.contract.cancel import CancelToken
from providers.contract.upload import SavedUpload
from providers.engine.unfinished import abandon
from providers.errors import Cancelled, NotFound, Transient, Unsupported
from providers.testing.faults import Fault, Side
from providers.testing.harness import Harness, Root
from providers.testing.needs import WIRED, needs, resumes
from providers.testing.support import DownloadMemory, Memory, Progress, content, gone, source
from providers.testing.transfers import download, upload

pytestmark = [pytest.mark.usefixtures("learnt"), needs(resumes)]
PARTS = 4


def break_off(root: Root, path: Path, memory: Memory, at: int, **values: Any) -> None:
    """Upload until `at` bytes have moved, then stop like a killed process, over a connection that is closed."""
    provider = root.connect(**values)
    cancel = CancelToken()
    with pytest.raises(Cancelled):
        upload(
            provider, path, "x", cancel=cancel, checkpoint=memory, progress=Progress(at, lambda done: cancel.cancel())
        )
    provider.close()


@pytest.mark.parametrize("width", [1, 3])
def test_another_process_resumes(harness: Harness, root: Root, width: int) -> None:
    part = harness.limits.part_bytes
    data = content(PARTS * part + 99)
    path = source(root.tmp, data)
    memory = Memory()
    break_off(root, path, memory, 3 * part - part // 2, connection_pool_size=width)
    done = {receipt.index for receipt in memory.receipts}
    assert root.stored() == {}

    progress = Progress()
    result = upload(root.connect(connection_pool_size=width), path, "x", checkpoint=memory, progress=progress)
    assert result.resumed_bytes >= len(done) * part
    assert root.stored() == {"x": data}
    assert root.leftovers() == []
    assert memory.load() is None
    assert progress.calls[0] == (0, len(data))
    assert progress.calls[-1] == (len(data), len(data))
    if width == 1:
        assert done == {0, 1}


def test_the_intent_is_written_before_anything_is_created(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    before = []

    def look(saved: SavedUpload) -> None:
        if saved.token is None:
            before.append((root.leftovers(), root.stored()))

    memory = Memory(look)
    upload(root.connect(connection_pool_size=1), source(root.tmp, content(2 * part)), "x", checkpoint=memory)
    assert before == [([], {})]
    assert memory.history == ["intent", "token", "part 0", "part 1", "clear"]


def test_confirmed_parts_are_those_the_server_has(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    path = source(root.tmp, content(PARTS * part))
    memory = Memory()
    break_off(root, path, memory, 2 * part + part // 2, connection_pool_size=1)
    saved = memory.load()
    assert saved is not None
    receipts = root.connect().open_upload(saved.request, token=memory.token).confirmed()
    assert [receipt.index for receipt in receipts] == [0, 1]
    assert [receipt.size_bytes for receipt in receipts] == [part, part]


@WIRED
def test_finished_parts_are_not_sent_again(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    data = content(PARTS * part)
    path = source(root.tmp, data)
    memory = Memory()
    wire = harness.requests
    # A part sent by PUT is sent once more if a kept connection dies.
    rule = root.wired.fault(Fault.reset(at=part // 2), when=wire.send_part(2), times=2)
    with pytest.raises(Transient):
        upload(root.connect(connection_pool_size=1, max_retries=0), path, "x", checkpoint=memory)
    assert root.leftovers() != []
    lost = rule.hits
    root.wired.clear_faults()

    upload(root.connect(connection_pool_size=1), path, "x", checkpoint=memory)
    assert root.stored() == {"x": data}
    sent = {index: root.wired.count(wire.send_part(index)) for index in range(PARTS)}
    assert sent == {0: 1, 1: 1, 2: lost + 1, 3: 1}
    assert root.wired.count(wire.begin) == 1


@WIRED
def test_parts_whose_reply_was_lost_are_found(harness: Harness, root: Root) -> None:
    """The reply to a part is lost with the process: the server has the part, our checkpoint does not."""
    part = harness.limits.part_bytes
    data = content(3 * part)
    path = source(root.tmp, data)
    memory = Memory()
    wire = harness.requests
    # A part sent by PUT is sent once more if a kept connection dies.
    rule = root.wired.fault(Fault.lost_reply(), when=wire.send_part(1), times=2)
    with pytest.raises(Transient):
        upload(root.connect(connection_pool_size=1, max_retries=0), path, "x", checkpoint=memory)
    assert [receipt.index for receipt in memory.receipts] == [0]

    sent = rule.hits
    result = upload(root.connect(connection_pool_size=1), path, "x", checkpoint=memory)
    assert result.resumed_bytes == 2 * part
    assert root.wired.count(wire.send_part(1)) == sent
    assert root.stored() == {"x": data}


def test_an_expired_session_starts_again(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    data = content(PARTS * part)
    path = source(root.tmp, data)
    memory = Memory()
    break_off(root, path, memory, 2 * part + 1, connection_pool_size=1)
    saved = memory.load()
    assert saved is not None
    root.expire()
    with pytest.raises(NotFound):
        root.connect().open_upload(saved.request, token=memory.token).confirmed()
    result = upload(root.connect(), path, "x", checkpoint=memory)
    assert result.resumed_bytes == 0
    assert root.stored() == {"x": data}
    assert root.leftovers() == []


def test_a_changed_file_starts_again(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    path = source(root.tmp, content(PARTS * part))
    memory = Memory()
    break_off(root, path, memory, 2 * part + 1)
    data = content(PARTS * part, seed=2)
    path.write_bytes(data)
    result = upload(root.connect(), path, "x", checkpoint=memory)
    assert result.resumed_bytes == 0
    assert root.stored() == {"x": data}
    assert root.leftovers() == []


def test_a_lost_token_is_found_by_its_key(harness: Harness, root: Root) -> None:
    """Killed between creating the session and saving its token.

    If the service lists no sessions, it discards the lost one itself, and the upload starts again.
    """
    part = harness.limits.part_bytes
    data = content(PARTS * part)
    path = source(root.tmp, data)
    memory = Memory()
    break_off(root, path, memory, 2 * part + 1, connection_pool_size=1)
    saved = memory.load()
    assert saved is not None
    memory.save(msgspec.structs.replace(saved, token=None, receipts=()))
    found = harness.limits.lists_unfinished
    result = upload(root.connect(connection_pool_size=1), path, "x", checkpoint=memory)
    assert result.resumed_bytes == (2 * part if found else 0)
    assert root.stored() == {"x": data}
    assert bool(root.leftovers()) is not found


def test_pending_uploads_are_those_of_this_key_only(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    path = source(root.tmp, content(PARTS * part))
    memory = Memory()
    break_off(root, path, memory, part)
    provider = root.connect()
    found = provider.pending_uploads("x")
    expected = [("x", memory.token)] if harness.limits.lists_unfinished else []
    assert [(pending.key, pending.token) for pending in found] == expected
    assert provider.pending_uploads("x2") == []
    assert provider.pending_uploads("y") == []


def test_an_abandoned_upload_leaves_nothing(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    path = source(root.tmp, content(PARTS * part))
    memory = Memory()
    break_off(root, path, memory, 2 * part)
    abandon(root.connect(), memory, CancelToken())
    assert memory.load() is None
    assert root.leftovers() == []
    assert root.stored() == {}


def test_a_small_upload_leaves_nothing_to_resume(root: Root) -> None:
    memory = Memory()
    upload(root.connect(), source(root.tmp, content(1000)), "x", checkpoint=memory)
    assert memory.load() is None
    assert root.leftovers() == []


def test_a_download_resumes(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    data = content(PARTS * part + 5)
    upload(root.connect(), source(root.tmp, data), "x")
    target = root.tmp / "target.bin"
    memory = DownloadMemory()
    cancel = CancelToken()
    watch = Progress(3 * part - part // 2, lambda done: cancel.cancel())
    with pytest.raises(Cancelled):
        download(root.connect(connection_pool_size=1), "x", target, cancel=cancel, checkpoint=memory, progress=watch)
    assert not target.exists()
    saved = memory.load()
    assert saved is not None
    assert len(saved.done) == 2

    if root.proxy:
        root.proxy.wait_idle()
        root.proxy.forget()
    result = download(root.connect(), "x", target, checkpoint=memory)
    assert result.resumed_bytes == 2 * part
    assert target.read_bytes() == data
    assert memory.load() is None
    assert gone(root.tmp, but=("target.bin", "source.bin")) == []
    if root.proxy:
        fetched = sum(request.reply_bytes for request in root.proxy.requests if harness.requests.read(request))
        assert fetched == len(data) - 2 * part


def test_a_download_of_a_changed_object_starts_again(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    root.plant({"x": content(3 * part)})
    target = root.tmp / "target.bin"
    memory = DownloadMemory()
    cancel = CancelToken()
    watch = Progress(2 * part, lambda done: cancel.cancel())
    with pytest.raises(Cancelled):
        download(root.connect(), "x", target, cancel=cancel, checkpoint=memory, progress=watch)
    data = content(3 * part, seed=2)
    root.plant({"x": data})
    result = download(root.connect(), "x", target, checkpoint=memory)
    assert result.resumed_bytes == 0
    assert target.read_bytes() == data
    assert gone(root.tmp, but=("target.bin",)) == []


@WIRED
def test_a_broken_range_continues_where_it_broke(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    data = content(part)
    root.plant({"x": data})
    root.wired.fault(Fault.reset(Side.RESPONSE, at=part // 2), when=harness.requests.read)
    download(root.connect(), "x", root.tmp / "target.bin")
    assert (root.tmp / "target.bin").read_bytes() == data
    again = [request for request in root.wired.requests if harness.requests.read(request)][-1]
    assert again.reply_bytes < part


def test_a_session_of_another_machine_is_neither_adopted_nor_removed(harness: Harness, root: Root) -> None:
    """Both have the same key. We were killed before we had our token, perhaps before any request was sent."""
    part = harness.limits.part_bytes
    for name in ("a", "b"):
        (root.tmp / name).mkdir()
    theirs = source(root.tmp / "a", content(PARTS * part, seed=3))
    ours = source(root.tmp / "b", content(PARTS * part, seed=4))
    memory, their_memory = Memory(), Memory()
    break_off(root, ours, memory, part, connection_pool_size=1)
    saved = memory.load()
    assert saved is not None
    root.expire()
    break_off(root, theirs, their_memory, 2 * part + 1, connection_pool_size=1)
    begun = root.leftovers()
    memory.save(msgspec.structs.replace(saved, token=None, receipts=(), strangers=()))
    upload(root.connect(connection_pool_size=1), ours, "x", checkpoint=memory)
    assert root.stored() == {"x": ours.read_bytes()}
    assert root.leftovers() == begun
    result = upload(root.connect(connection_pool_size=1), theirs, "x", checkpoint=their_memory)
    assert result.resumed_bytes == 2 * part
    if harness.limits.lists_unfinished:
        assert root.leftovers() == []


def test_unfinished_uploads_are_listed_with_age_and_size_and_removed_on_request(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    path = source(root.tmp, content(PARTS * part))
    memory = Memory()
    break_off(root, path, memory, 2 * part)
    provider = root.connect()
    if not harness.limits.lists_unfinished:
        with pytest.raises(Unsupported, match="lists no unfinished uploads"):
            provider.unfinished_uploads()
        return
    root.plant({"other": b"1"})
    (found,) = provider.unfinished_uploads()
    assert memory.token is not None
    assert 0 < found.started_at < time.time() + 3600  # moto always says 2010
    assert found.size_bytes is not None
    assert found.size_bytes >= sum(receipt.size_bytes for receipt in memory.receipts)
    provider.discard_unfinished(found)
    assert provider.unfinished_uploads() == []
    assert root.leftovers() == []
    provider.discard_unfinished(found)  # already gone
    assert root.stored() == {"other": b"1"}
