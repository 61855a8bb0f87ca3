"""Every standard setting has an effect."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from providers.contract.cancel import CancelToken
from providers.contract.context import ProviderContext
from providers.contract.throttle import cancellable_sleep
from providers.errors import InvalidConfiguration, NotFound, RateLimited, Transient, Unsupported
from providers.testing.faults import Fault, Side, When
from providers.testing.harness import Harness, Root
from providers.testing.needs import WIRED, in_parts, needs, obeys_bandwidth
from providers.testing.support import FakeTime, Memory, Progress, content, source
from providers.testing.transfers import Running, download, read, upload

pytestmark = pytest.mark.usefixtures("learnt")
MIB = 1 << 20


@needs(obeys_bandwidth)
def test_max_bandwidth_holds_within_a_tenth_over_ten_seconds(harness: Harness, root: Root) -> None:
    times = FakeTime()
    context = ProviderContext(clock=times.clock, sleep=times.sleep)
    rate = MIB
    provider = root.connect(context=context, max_bandwidth=rate, connection_pool_size=1)
    path = source(root.tmp, content(10 * rate))

    began, verified = times.clock(), []
    upload(provider, path, "x", on_verify=lambda: verified.append(times.clock()))
    assert verified[0] - began == pytest.approx(10, rel=0.1)

    began = times.clock()
    verified.clear()
    download(provider, "x", root.tmp / "target", on_verify=lambda: verified.append(times.clock()))
    assert verified[0] - began == pytest.approx(10, rel=0.1)


@needs(obeys_bandwidth)
def test_max_bandwidth_in_real_time(harness: Harness, root: Root) -> None:
    """Several connections share the limit, and it can be changed during the transfer.

    Of two seconds' worth, a quarter of a second may go at once after a pause, and as much again as the last piece.
    """
    slept, verified = [], []

    def sleep(seconds: float, cancel: CancelToken) -> None:
        slept.append(seconds)
        cancellable_sleep(seconds, cancel)

    rate, least_s = 4 * MIB, 1.5
    provider = root.connect(context=ProviderContext(sleep=sleep), max_bandwidth=rate, connection_pool_size=3)
    path = source(root.tmp, content(2 * rate))
    began = time.monotonic()

    def verify() -> None:
        verified.append(time.monotonic())
        provider.limiter.rate_bytes_per_s = None

    upload(provider, path, "x", on_verify=verify)
    assert least_s - 0.05 < verified[0] - began < 2 * least_s + 2
    assert slept
    slept.clear()
    download(provider, "x", root.tmp / "target")
    assert slept == []


@WIRED
def test_timeout(harness: Harness, root: Root) -> None:
    """A different timeout gives a different wait."""
    root.plant({"x": content(1000)})
    for timeout in (1, 2):
        provider = root.connect(max_retries=0, timeout=timeout)
        rule = root.wired.fault(Fault.stall(Side.RESPONSE, at=None), when=harness.requests.read, times=None)
        began = time.monotonic()
        with pytest.raises(Transient):
            read(provider, "x", 0, 10)
        assert timeout - 0.1 < time.monotonic() - began < timeout + 1.5
        rule.release()


@WIRED
@pytest.mark.parametrize("width", [1, 3])
def test_connection_pool_size(harness: Harness, root: Root, width: int) -> None:
    wire = harness.requests
    part = harness.limits.part_bytes
    provider = root.connect(connection_pool_size=width)
    path = source(root.tmp, content(5 * part))

    def at_once(call: Callable[[], object], requests: When, count: int) -> None:
        """Requests wait until as many are running as the settings say."""
        root.wired.forget()
        rule = root.wired.fault(Fault.stall(), when=requests, times=None)
        running = Running(call)
        rule.wait_held(count)
        rule.release()
        running.result()
        assert root.wired.peak_parallel(requests) == count

    at_once(lambda: upload(provider, path, "x"), wire.send_part(None), harness.width(width))
    at_once(
        lambda: download(provider, "x", root.tmp / "target"),
        lambda request: wire.read(request) and request.method != "HEAD",
        width,
    )
    assert root.wired.open_connections <= 2 * width + 2


@needs(in_parts)
def test_upload_chunk_size_as_the_checkpoint_sees_it(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    for wanted in (part, part + 4096, 2 * part):
        memory = Memory()
        provider = root.connect(upload_chunk_size=wanted, connection_pool_size=1)
        chunk = provider.capabilities.part_size_bytes(3 * wanted, wanted)
        assert chunk == wanted or harness.capabilities.part_multiple_bytes > 1
        upload(provider, source(root.tmp, content(2 * chunk + 7)), "x", checkpoint=memory)
        assert memory.part_sizes == [chunk, chunk, 7]


@WIRED
def test_upload_chunk_size_as_the_server_sees_it(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    wanted = part + 123_456
    provider = root.connect(upload_chunk_size=wanted)
    chunk = provider.capabilities.part_size_bytes(3 * wanted, wanted)
    upload(provider, source(root.tmp, content(2 * chunk + 7)), "x")
    sent = [request.body_bytes for request in root.wired.requests if harness.requests.send_part(None)(request)]
    assert sorted(sent) == [7, chunk, chunk]


@WIRED
@pytest.mark.parametrize("retries", [0, 1, 3])
def test_max_retries(harness: Harness, root: Root, retries: int) -> None:
    root.plant({"x": b"1"})
    provider = root.connect(max_retries=retries)
    root.wired.fault(Fault.status(503), when=harness.requests.listing, times=None)
    with pytest.raises(RateLimited):
        provider.list_files()
    assert root.wired.count(harness.requests.listing) == retries + 1


@WIRED
def test_retry_delay_doubles_with_full_jitter(harness: Harness, root: Root) -> None:
    times, spans = FakeTime(), []

    def uniform(low: float, high: float) -> float:
        spans.append((low, high))
        return high / 2

    provider = root.connect(context=ProviderContext(sleep=times.sleep, uniform=uniform), max_retries=8, retry_delay=0.5)
    root.wired.fault(Fault.status(500), when=harness.requests.listing, times=None)
    with pytest.raises(Transient):
        provider.list_files()
    assert spans == [(0, 0.5), (0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (0, 32), (0, 60)]
    assert times.slept == [high / 2 for _, high in spans]


def test_encryption_is_refused_and_nothing_is_sent(harness: Harness, root: Root) -> None:
    provider = root.connect(encryption_enabled=True, encryption_key="k", encryption_salt="s")
    path = source(root.tmp, content(1000))
    for call in (lambda: provider.upload(path, "x"), lambda: upload(provider, path, "x", checkpoint=Memory())):
        with pytest.raises(Unsupported, match="encryption_enabled"):
            call()
    assert root.stored() == {}
    assert root.leftovers() == []
    assert root.proxy is None or root.proxy.requests == ()


def test_encryption_is_refused_and_nothing_is_fetched(harness: Harness, root: Root) -> None:
    """The stored object may be ciphertext; as a file it would be wrong but verified."""
    upload(root.connect(), source(root.tmp, content(1000)), "x")
    asked = len(root.proxy.requests) if root.proxy else 0
    provider = root.connect(encryption_enabled=True, encryption_key="k", encryption_salt="s")
    target = root.tmp / "fetched"
    target.write_bytes(b"mine")
    for call in (
        lambda: provider.download("x", target),
        lambda: download(provider, "x", target),
    ):
        with pytest.raises(Unsupported, match="encryption_enabled"):
            call()
    assert target.read_bytes() == b"mine"
    assert [path.name for path in root.tmp.iterdir() if path.name.startswith(".")] == []
    assert root.proxy is None or len(root.proxy.requests) == asked


def test_container(root: Root) -> None:
    """Two containers are separate: objects in one do not show in the other."""
    other = root.other_container()
    provider = root.connect()
    upload(provider, source(root.tmp, b"1"), "x")
    with pytest.raises(NotFound):
        root.connect(**other).stat("x")
    assert root.connect(**other).list_files() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_retries", -1),
        ("retry_delay", "soon"),
        ("upload_chunk_size", 1),
        ("connection_pool_size", 0),
        ("max_bandwidth", 10),
    ],
)
def test_an_invalid_value_is_named(root: Root, name: str, value: Any) -> None:
    with pytest.raises(InvalidConfiguration, match=name) as caught:
        root.connect(**{name: value})
    assert caught.value.field == name


@needs(obeys_bandwidth)
def test_progress_moves_in_small_steps_under_a_bandwidth_limit(harness: Harness, root: Root) -> None:
    times = FakeTime()
    provider = root.connect(
        context=ProviderContext(clock=times.clock, sleep=times.sleep), max_bandwidth=MIB, connection_pool_size=1
    )
    progress = Progress()
    size = min(2 * MIB, 8 * harness.limits.part_bytes)
    upload(provider, source(root.tmp, content(size)), "x", progress=progress)
    steps = [later - earlier for (earlier, _), (later, _) in zip(progress.calls, progress.calls[1:], strict=False)]
    assert max(steps[:-1]) <= MIB / 4
