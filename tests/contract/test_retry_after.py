"""A wait requested by a service is accepted up to an hour, from both forms of Retry-After and from its bodies."""

from __future__ import annotations

import json

import pytest

from providers.contract.context import ProviderContext
from providers.errors import ProviderError, RateLimited
from providers.testing.faults import Fault
from providers.testing.needs import WIRED
from providers.testing.support import FakeTime, content, source
from providers.testing.transfers import keys, upload
from tests.contract.harnesses import HARNESSES, only

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
def test_retry_after_is_accepted_up_to_an_hour(harness, root):
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
def test_a_repeated_retry_after_is_bounded(harness, root):
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
def test_no_wait_of_a_transfer_is_longer_than_an_hour(harness, root):
    times = FakeTime()
    provider = root.ready(context=ProviderContext(sleep=times.sleep))
    root.wired.fault(Fault.status(503, headers={"Retry-After": "100000000"}), when=harness.requests.send_whole, times=2)
    upload(provider, source(root.tmp, content(1000)), "x")
    assert len(times.slept) == 2
    assert max(times.slept) <= HOUR_S


@only(HARNESSES, lambda harness: harness.service == "dropbox")
def test_the_wait_in_a_dropbox_body_is_bounded_too(harness, root):
    provider = root.connect(max_retries=0)
    keys(provider)
    reported: list[tuple[str, float | None]] = [
        ("5", 5.0),
        ("5.5", 5.5),
        ("1e12", HOUR_S),
        (str(10**30), HOUR_S),
        ("Infinity", HOUR_S),
        ("1e999", HOUR_S),
    ]
    reported += [(text, None) for text in ("-5", "NaN", "true", '"5"', '"inf"', "null", "[]", "{}")]
    for value, expected in reported:
        body = '{"error_summary": "too_many_requests/", "error": {"reason": {".tag": "x"}, "retry_after": %s}}' % value  # noqa: UP031
        root.wired.fault(Fault.status(429, body), when=harness.requests.listing)
        with pytest.raises(RateLimited) as caught:
            keys(provider)
        assert caught.value.retry_after_s == expected, value
    root.wired.fault(Fault.status(429, body.replace("{}", "9"), retry_after_s=3), when=harness.requests.listing)
    with pytest.raises(RateLimited) as caught:
        keys(provider)
    assert caught.value.retry_after_s == 3


LASTS = ["-5", "NaN", "Infinity", "1e999", str(10**400), "true", '"x"', "[]", "null"]


@only(HARNESSES, lambda harness: harness.service in ("dropbox", "google_drive"))
def test_a_token_with_an_absurd_lifetime_causes_no_foreign_error(harness, root):
    """The token is used, or refused as unusable."""
    root.plant({"x": b"1"})
    path = "/oauth2/token" if harness.service == "dropbox" else "/token"
    seen = set()
    for lasts in LASTS:

        def respell(reply, lasts=lasts):
            reported = json.dumps({**json.loads(reply.body), "expires_in": 0})
            return reply.holding(reported.replace('"expires_in": 0', f'"expires_in": {lasts}'))

        rule = root.wired.fault(Fault.rewrite(respell), when=lambda request: request.path == path, times=None)
        seen.add(outcome(root.connect(max_retries=0)))
        rule.release()
    assert "x" in seen
    assert seen <= {"x", "configuration"}


def outcome(provider):
    try:
        return "".join(keys(provider))
    except ProviderError as error:
        return error.kind
