"""A lost answer after a completed request is detected: neither repeated blindly nor reported as a failure."""

from __future__ import annotations

from contextlib import suppress

import pytest

from providers.errors import ProviderError
from providers.testing.faults import Fault, SeenRequest
from providers.testing.harness import Harness, Root
from providers.testing.needs import WIRED, needs, resumes
from providers.testing.support import Memory, content, source
from providers.testing.transfers import download, keys, upload

pytestmark = pytest.mark.usefixtures("learnt")


@WIRED
@pytest.mark.parametrize("only_if_absent", [False, True])
@pytest.mark.parametrize("remembered", [False, True])
def test_lost_reply_to_the_commit(harness: Harness, root: Root, only_if_absent: bool, remembered: bool) -> None:
    part = harness.limits.part_bytes
    data = content(3 * part)
    wire = harness.requests
    rule = root.wired.fault(Fault.lost_reply(), when=wire.commit)
    memory = Memory() if remembered else None
    result = upload(root.connect(), source(root.tmp, data), "x", only_if_absent=only_if_absent, checkpoint=memory)
    assert rule.hits == 1
    assert result.remote.size_bytes == len(data)
    assert result.replaced is False
    assert root.stored() == {"x": data}
    assert root.wired.count(wire.send_part(None)) == 3
    assert root.wired.count(wire.begin) == 1
    assert root.leftovers() == []
    assert memory is None or memory.load() is None


@WIRED
def test_lost_reply_to_the_commit_over_an_older_object(harness: Harness, root: Root) -> None:
    """An object that existed before must not be taken for the one that was sent."""
    part = harness.limits.part_bytes
    root.plant({"x": content(2 * part, seed=2)})
    data = content(2 * part)
    root.wired.fault(Fault.reset(at=0), when=harness.requests.commit)
    result = upload(root.connect(), source(root.tmp, data), "x")
    assert root.stored() == {"x": data}
    assert result.replaced is True


@WIRED
def test_lost_commit_over_an_identical_object(harness: Harness, root: Root) -> None:
    """The stored object is identical, so the two cannot be told apart; no unfinished upload may remain."""
    data = content(2 * harness.limits.part_bytes)
    upload(root.connect(), source(root.tmp, data), "x")
    root.wired.fault(Fault.reset(at=0), when=harness.requests.commit, times=None)
    upload(root.connect(max_retries=1), source(root.tmp, data), "x")
    assert root.stored() == {"x": data}
    assert root.leftovers() == []


@WIRED
@pytest.mark.parametrize("only_if_absent", [False, True])
def test_lost_reply_to_an_object_in_one_request(harness: Harness, root: Root, only_if_absent: bool) -> None:
    wire = harness.requests
    provider = root.connect()
    data = content(50_000)
    root.wired.forget()
    rule = root.wired.fault(Fault.lost_reply(), when=wire.send_whole)
    upload(provider, source(root.tmp, data), "x", only_if_absent=only_if_absent)
    assert rule.hits == 1
    assert root.stored() == {"x": data}
    assert root.wired.count(wire.send_whole) <= 2


@WIRED
def test_lost_reply_to_a_part(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    data = content(3 * part)
    rule = root.wired.fault(Fault.lost_reply(), when=harness.requests.send_part(1))
    upload(root.connect(), source(root.tmp, data), "x")
    assert rule.hits == 1
    assert root.stored() == {"x": data}
    assert root.wired.count(harness.requests.send_part(1)) <= 2
    assert root.wired.count(harness.requests.send_part(None)) <= 4


@WIRED
@pytest.mark.parametrize("remembered", [False, True])
def test_lost_reply_to_the_begin_request(harness: Harness, root: Root, remembered: bool) -> None:
    """The unknown session must not remain at the service, where it costs money, unless the service lists none: then the
    service itself discards it."""
    part = harness.limits.part_bytes
    data = content(2 * part)
    rule = root.wired.fault(Fault.lost_reply(), when=harness.requests.begin)
    upload(root.connect(), source(root.tmp, data), "x", checkpoint=Memory() if remembered else None)
    assert rule.hits == 1
    assert root.stored() == {"x": data}
    assert len(root.leftovers()) <= (0 if harness.limits.lists_unfinished else 1)


@WIRED
def test_lost_reply_to_a_delete(harness: Harness, root: Root) -> None:
    root.plant({"x": b"1", "y": b"2"})
    provider = root.connect()
    rule = root.wired.fault(Fault.lost_reply(), when=harness.requests.remove)
    assert provider.delete("x") is True
    assert rule.hits == 1
    assert set(root.stored()) == {"y"}


@WIRED
def test_lost_reply_to_a_read(harness: Harness, root: Root) -> None:
    root.plant({"x": content(1000)})
    provider = root.connect()
    for when in (harness.requests.listing, harness.requests.read):
        rule = root.wired.fault(Fault.lost_reply(), when=when)
        assert keys(provider) == {"x"}
        download(provider, "x", root.tmp / "target")
        assert rule.hits == 1


@WIRED
@needs(resumes)
@pytest.mark.parametrize("committed", [False, True])
def test_a_session_with_a_lost_token_is_removed_by_the_process_that_completes_the_upload(
    harness: Harness, root: Root, committed: bool
) -> None:
    """Three processes: one loses the answer, one stops midway through or right after a session of its own, one
    completes that."""
    part = harness.limits.part_bytes
    data = content(3 * part)
    path, memory, wire = source(root.tmp, data), Memory(), harness.requests
    lost = root.wired.fault(Fault.lost_reply(), when=wire.begin)
    with pytest.raises(ProviderError):
        upload(root.connect(max_retries=0), path, "x", checkpoint=memory)
    assert lost.hits == 1
    seen: list[bool] = []

    def after_commit(request: SeenRequest) -> bool:
        known = bool(seen)
        if wire.commit(request):
            seen.append(True)
        return known

    broken = root.wired.fault(Fault.refuse(), when=after_commit if committed else wire.send_part(2), times=None)
    with suppress(ProviderError):
        upload(root.connect(max_retries=0), path, "x", checkpoint=memory)
    assert seen or broken.hits
    broken.release()
    upload(root.connect(), path, "x", checkpoint=memory)
    assert root.stored() == {"x": data}
    assert len(root.leftovers()) <= (0 if harness.limits.lists_unfinished else 1)
    assert memory.load() is None
