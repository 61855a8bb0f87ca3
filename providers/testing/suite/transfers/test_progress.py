"""Progress: absolute, never decreasing, one call at a time, and the total only after the proof."""

from __future__ import annotations

import pytest

from providers.errors import ProviderError
from providers.testing.faults import Fault, Side
from providers.testing.harness import Harness, Root
from providers.testing.needs import WIRED, in_parts
from providers.testing.support import Progress, content, source
from providers.testing.transfers import download, upload

pytestmark = pytest.mark.usefixtures("learnt")


def assert_sound(calls: list[tuple[int, int]], total: int, *, whole: bool = True) -> None:
    done = [figure for figure, _ in calls]
    assert calls[0] == (0, total)
    assert {of for _, of in calls} == {total}
    assert done == sorted(done)
    assert all(0 <= figure <= total for figure in done)
    if whole:
        assert calls[-1] == (total, total)
        assert total == 0 or done.count(total) == 1, "the total was reported before the end"
    else:
        assert total not in done


@pytest.mark.few(2)
@pytest.mark.parametrize("parts", [0, 0.01, 1, 3.5])
@pytest.mark.parametrize("width", [1, 4])
def test_progress_of_uploads_and_downloads(harness: Harness, root: Root, parts: float, width: int) -> None:
    total = int(parts * harness.limits.part_bytes)
    provider = root.connect(connection_pool_size=width)
    path = source(root.tmp, content(total))
    up, down = Progress(), Progress()
    upload(provider, path, "x", progress=up)
    download(provider, "x", root.tmp / "target", progress=down)
    for progress in (up, down):
        assert_sound(progress.calls, total)
        assert parts < 3 or not in_parts(harness) or len(progress.calls) > 4, "hardly any figure on the way"


def test_the_total_is_reported_once_the_object_is_visible_and_proved(harness: Harness, root: Root) -> None:
    order = []
    data = content(2 * harness.limits.part_bytes)

    def watch(done: int, total: int) -> None:
        if done == total:
            order.append(("whole", root.stored() == {"x": data}))

    upload(
        root.connect(), source(root.tmp, data), "x", progress=watch, on_verify=lambda: order.append(("verify", False))
    )
    assert order == [("verify", False), ("whole", True)]
    target = root.tmp / "target"
    order.clear()
    download(
        root.connect(),
        "x",
        target,
        progress=lambda done, total: order.append(("whole", target.exists())) if done == total else None,
        on_verify=lambda: order.append(("verify", target.exists())),
    )
    assert order == [("verify", False), ("whole", True)]


@WIRED
def test_a_part_sent_again_is_not_counted_twice(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    wire = harness.requests
    root.wired.fault(Fault.reset(at=part // 2), when=wire.send_part(0))
    root.wired.fault(Fault.status(500), when=wire.send_part(2), times=2)
    progress = Progress()
    upload(root.connect(), source(root.tmp, content(3 * part)), "x", progress=progress)
    assert_sound(progress.calls, 3 * part)


@WIRED
def test_a_failed_upload_never_reports_the_total(harness: Harness, root: Root) -> None:
    part = harness.limits.part_bytes
    for when in (harness.requests.send_part(1), harness.requests.commit):
        rule = root.wired.fault(Fault.status(403), when=when, times=None)
        progress = Progress()
        with pytest.raises(ProviderError):
            upload(root.connect(), source(root.tmp, content(2 * part)), "x", progress=progress)
        assert_sound(progress.calls, 2 * part, whole=False)
        rule.release()


@WIRED
def test_stalled_bytes_are_not_counted(harness: Harness, root: Root) -> None:
    """Progress counts bytes sent; a part that was never begun is not included."""
    part = harness.limits.part_bytes
    provider = root.connect(connection_pool_size=1, max_retries=0, timeout=1)
    root.wired.fault(Fault.stall(Side.RESPONSE, at=None), when=harness.requests.send_part(1), times=None)
    progress = Progress()
    with pytest.raises(ProviderError):
        upload(provider, source(root.tmp, content(3 * part)), "x", progress=progress)
    sent = root.wired.body_bytes(harness.requests.sends)
    assert_sound(progress.calls, 3 * part, whole=False)
    assert progress.calls[-1][0] <= sent


def test_a_callback_that_fails_stops_the_transfer(harness: Harness, root: Root) -> None:
    class Odd(Exception):
        pass

    def watch(done: int, total: int) -> None:
        if done:
            raise Odd

    with pytest.raises(Odd):
        upload(root.connect(), source(root.tmp, content(3 * harness.limits.part_bytes)), "x", progress=watch)
    assert root.stored() == {} or not harness.limits.shows_whole_alone
    assert root.leftovers() == []
