"""A wait requested by a service is accepted up to an hour, from both forms of Retry-After and from its bodies."""

from __future__ import annotations

import pytest

from providers.contract.context import ProviderContext
from providers.errors import RateLimited
from providers.testing.faults import Fault
from providers.testing.harness import Harness, Root
from providers.testing.needs import WIRED
from providers.testing.support import FakeTime, content, source
from providers.testing.transfers import keys, upload

DATE = "Fri, 27 Nov 2026 10:00:00 GMT"
HOUR_S = 3600.0
WAITS: list[tuple[str, str, float | None]] = [
    ("7", DATE, 7.0),
    ("7.5", DATE, 7.5),
    ("0", DATE, 0.0),
    ("Fri, 27 Nov 2026 10:00:30 GMT", DATE, 30.0),
    ("Fri, 27 Nov 2026 09:00:00 GMT", DATE, 0.0),
    ("Fri Nov 27 10:00:30 2026", DATE, 30.0),
    ("100000000", DATE, HOUR_S),
    ("9" * 400, DATE, HOUR_S),
    ("9" * 5000, DATE, HOUR_S),
    ("Fri, 31 Dec 9999 23:59:59 GMT", DATE, HOUR_S),
    ("Fri, 27 Nov 2026 10:00:30 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", HOUR_S),
    ("Fri, 31 Dec 9999 23:59:59 GMT", "", HOUR_S),
    ("Fri, 31 Dec 9999 23:59:59 GMT", "never", HOUR_S),
    *((value, DATE, None) for value in (
        "inf", "Infinity", "nan", "1e12", "-5", "+5", "5s", "5, 7", "soon", "", "0x10", "1_000", "5 5", "\xb2", "None",
        "Fri, 32 Dec 2026 10:00:00 GMT", "Fri, 31 Dec 99999 23:59:59 GMT", "Fri, 31 Dec 9999 99:99:99 GMT",
    )),
]  # fmt: skip


@WIRED
def test_retry_after_is_accepted_up_to_an_hour(harness: Harness, root: Root) -> None:
    provider = root.connect(max_retries=0)
    keys(provider)
    for value, date, expected in WAITS:
        for status in (429, 503):
            headers = {"Retry-After": value, **({"Date": date} if date else {})}
            root.wired.fault(Fault.status(status, headers=headers), when=harness.requests.listing)
            with pytest.raises(RateLimited) as caught:
                keys(provider)
            assert caught.value.retry_after_s == expected, (value, date)


@WIRED
def test_a_repeated_retry_after_is_bounded(harness: Harness, root: Root) -> None:
    provider = root.connect(max_retries=0)
    keys(provider)
    for first, second in (("5", "100000000"), ("100000000", "5"), ("inf", "nan")):
        answer = f"HTTP/1.1 429 Slow\r\nRetry-After: {first}\r\nRetry-After: {second}\r\nConnection: close\r\n\r\n"
        root.wired.fault(Fault.say(answer.encode()), when=harness.requests.listing)
        with pytest.raises(RateLimited) as caught:
            keys(provider)
        told_s = caught.value.retry_after_s
        assert told_s is None or 0 <= told_s <= HOUR_S


@WIRED
def test_no_wait_of_a_transfer_is_longer_than_an_hour(harness: Harness, root: Root) -> None:
    times = FakeTime()
    provider = root.ready(context=ProviderContext(sleep=times.sleep))
    root.wired.fault(Fault.status(503, headers={"Retry-After": "100000000"}), when=harness.requests.send_whole, times=2)
    upload(provider, source(root.tmp, content(1000)), "x")
    assert len(times.slept) == 2
    assert max(times.slept) <= HOUR_S
