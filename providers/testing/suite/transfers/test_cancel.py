"""A cancelled transfer stops within a second, even if no byte moves, and is never retried."""

from __future__ import annotations

import functools
import threading
import time

import pytest

from providers.contract.cancel import CancelToken
from providers.contract.context import ProviderContext
from providers.contract.throttle import cancellable_sleep
from providers.errors import Cancelled, ProviderError
from providers.testing.faults import Fault, Side, any_request
from providers.testing.harness import Harness, Root
from providers.testing.needs import WIRED, in_parts, needs, obeys_bandwidth
from providers.testing.support import Memory, Progress, content, gone, source
from providers.testing.transfers import Running, download, upload

SOON_S = 1.0


def test_cancel_before_the_start(root: Root) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        upload(root.connect(), source(root.tmp, content(1000)), "x", cancel=cancel)
    assert root.stored() == {}
    root.plant({"y": b"1"})
    with pytest.raises(Cancelled):
        download(root.connect(), "y", root.tmp / "target", cancel=cancel)
    assert gone(root.tmp, but=("source.bin",)) == []


@needs(in_parts)
@pytest.mark.parametrize("width", [1, 4])
def test_cancel_in_the_middle_of_an_upload(harness: Harness, root: Root, width: int) -> None:
    part = harness.limits.part_bytes
    cancel = CancelToken()
    pulled = []

    def pull(done: int) -> None:
        pulled.append(time.monotonic())
        cancel.cancel()

    with pytest.raises(Cancelled):
        upload(
            root.connect(connection_pool_size=width),
            source(root.tmp, content(5 * part)),
            "x",
            cancel=cancel,
            progress=Progress(part, pull),
        )
    assert time.monotonic() - pulled[0] < SOON_S
    assert root.stored() == {}
    assert root.leftovers() == []


@WIRED
@pytest.mark.parametrize("at", [0, 0.2])
@pytest.mark.parametrize("width", [1, 3])
def test_cancel_while_parts_stall(harness: Harness, root: Root, at: float, width: int) -> None:
    wire = harness.requests
    provider = root.ready(connection_pool_size=width)
    at_byte = int(at * harness.limits.part_bytes)
    rule = root.wired.fault(Fault.stall(at=at_byte), when=wire.send_part(None), times=None)
    cancel, memory = CancelToken(), Memory()
    path = source(root.tmp, content(4 * harness.limits.part_bytes))
    running = Running(lambda: upload(provider, path, "x", cancel=cancel, checkpoint=memory))
    rule.wait_held(harness.width(width))
    assert isinstance(running.cancelled_within(cancel, SOON_S), Cancelled)
    rule.wait_let_go(2)
    assert root.wired.count(wire.send_part(None)) == harness.width(width), "tried again after it was cancelled"


@WIRED
def test_cancel_while_a_reply_stalls(harness: Harness, root: Root) -> None:
    wire = harness.requests
    provider = root.ready()
    path = source(root.tmp, content(2 * harness.limits.part_bytes))
    for when in (wire.begin, wire.send_part(1), wire.commit):
        rule = root.wired.fault(Fault.stall(Side.RESPONSE, at=None), when=when)
        cancel = CancelToken()
        running = Running(functools.partial(upload, provider, path, "x", cancel=cancel))
        rule.wait_held()
        assert isinstance(running.cancelled_within(cancel, SOON_S), Cancelled)
        rule.wait_let_go(2)


@WIRED
@pytest.mark.parametrize("at", [None, 0])
def test_cancel_while_a_small_upload_stalls(harness: Harness, root: Root, at: int | None) -> None:
    wire = harness.requests
    provider = root.ready()
    rule = root.wired.fault(Fault.stall(Side.REQUEST if at == 0 else Side.RESPONSE, at=at), when=wire.send_whole)
    cancel = CancelToken()
    path = source(root.tmp, content(100_000))
    running = Running(lambda: upload(provider, path, "x", cancel=cancel))
    rule.wait_held()
    assert isinstance(running.cancelled_within(cancel, SOON_S), Cancelled)
    rule.wait_let_go(2)
    assert root.wired.count(wire.send_whole) == 1


@WIRED
@pytest.mark.parametrize("at", [None, 0, 500_000])
def test_cancel_while_a_download_stalls(harness: Harness, root: Root, at: int | None) -> None:
    root.plant({"x": content(2_000_000)})
    rule = root.wired.fault(Fault.stall(Side.RESPONSE, at=at), when=harness.requests.read, times=None)
    cancel = CancelToken()
    provider = root.connect(upload_chunk_size=8 << 20)
    running = Running(lambda: download(provider, "x", root.tmp / "target", cancel=cancel))
    rule.wait_held()
    assert isinstance(running.cancelled_within(cancel, SOON_S), Cancelled)
    rule.wait_let_go(2)
    assert root.wired.count(harness.requests.read) == 1
    assert gone(root.tmp) == []


@WIRED
@pytest.mark.parametrize("width", [3])
def test_cancel_while_several_ranges_stall(harness: Harness, root: Root, width: int) -> None:
    root.plant({"x": content(4 * harness.limits.part_bytes)})
    rule = root.wired.fault(Fault.stall(Side.RESPONSE, at=100_000), when=harness.requests.read, times=None)
    cancel = CancelToken()
    provider = root.connect(connection_pool_size=width)
    running = Running(lambda: download(provider, "x", root.tmp / "target", cancel=cancel))
    rule.wait_held(width)
    assert isinstance(running.cancelled_within(cancel, SOON_S), Cancelled)
    rule.wait_let_go(2)


@WIRED
def test_cancel_while_the_very_first_request_stalls(harness: Harness, root: Root) -> None:
    """Before anything has begun there is no session to interrupt."""
    root.plant({"x": content(1000)})
    path = source(root.tmp, content(1000))
    for call in (
        lambda provider, cancel: upload(provider, path, "y", cancel=cancel),
        lambda provider, cancel: download(provider, "x", root.tmp / "target", cancel=cancel),
    ):
        provider = root.connect()
        rule = root.wired.fault(Fault.stall(Side.RESPONSE, at=None), when=any_request)
        cancel = CancelToken()
        running = Running(functools.partial(call, provider, cancel))
        rule.wait_held()
        assert isinstance(running.cancelled_within(cancel, SOON_S), Cancelled)
        rule.release()


@WIRED
def test_cancel_while_waiting_for_a_retry(harness: Harness, root: Root) -> None:
    waits: list[float] = []
    began = threading.Event()

    def waiting(seconds: float, error: ProviderError) -> None:
        waits.append(seconds)
        began.set()

    context = ProviderContext(sleep=cancellable_sleep, uniform=lambda low, high: high)
    provider = root.ready(context=context, retry_delay=60)
    root.wired.fault(Fault.status(500), when=harness.requests.sends, times=None)
    cancel = CancelToken()
    path = source(root.tmp, content(1000))
    running = Running(lambda: upload(provider, path, "x", cancel=cancel, on_wait=waiting))
    assert began.wait(10)
    assert isinstance(running.cancelled_within(cancel, SOON_S), Cancelled)
    assert waits == [60]


@needs(obeys_bandwidth)
def test_cancel_while_the_bandwidth_limit_delays_it(harness: Harness, root: Root) -> None:
    data = content(2 * harness.limits.part_bytes)
    cancel = CancelToken()
    moved = threading.Event()
    provider = root.connect(context=ProviderContext(), max_bandwidth=1024)
    path = source(root.tmp, data)
    progress = Progress(1, lambda done: moved.set())
    running = Running(lambda: upload(provider, path, "x", cancel=cancel, progress=progress))
    assert moved.wait(15)
    assert isinstance(running.cancelled_within(cancel, SOON_S), Cancelled)
    assert root.stored() == {}


@needs(in_parts)
def test_cancelling_the_context_stops_the_guide_s_operations(harness: Harness, root: Root) -> None:
    context = ProviderContext()
    provider = root.connect(context=context)
    with pytest.raises(Cancelled):
        provider.upload(
            source(root.tmp, content(4 * harness.limits.part_bytes)),
            "x",
            Progress(1, lambda done: context.cancel.cancel()),
        )
    assert root.stored() == {}
