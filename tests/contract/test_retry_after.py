"""A wait requested by a service is accepted up to an hour, from both forms of Retry-After and from its bodies."""

from __future__ import annotations

import json

import pytest

from providers.errors import ProviderError, RateLimited
from providers.testing.faults import Fault
from providers.testing.suite.service.test_retry_after import *  # noqa: F403
from providers.testing.suite.service.test_retry_after import HOUR_S
from providers.testing.transfers import keys
from tests.contract.harnesses import HARNESSES, only


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
