"""Odd answers, allowed and forbidden, for every HTTP service."""

from __future__ import annotations

from dataclasses import replace

import pytest

from providers.errors import Integrity, PermissionDenied, ProviderError, Transient
from providers.testing.faults import Fault, any_request
from providers.testing.harness import Operation
from providers.testing.needs import WIRED
from providers.testing.support import content, gone, source
from providers.testing.transfers import download, keys, run, upload

pytestmark = WIRED
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
INTERIM = HINTS + b"HTTP/1.1 102 Processing\r\n\r\n"


def test_interim_answers_change_nothing(harness, root):
    """Two before each answer: if one were taken for the answer, every later answer would be off by one."""
    root.plant({"there": content(1000)})
    provider = root.connect(max_retries=0)
    rule = root.wired.fault(Fault.rewrite(lambda reply: replace(reply, interim=INTERIM)), times=None)
    part = harness.limits.part_bytes
    data = content(2 * part + 1)
    upload(provider, source(root.tmp, data), "parts")
    upload(provider, source(root.tmp, content(10)), "one")
    download(provider, "there", root.tmp / "target")
    assert keys(provider) == {"there", "parts", "one"}
    assert provider.delete("one") is True
    rule.release()
    assert (root.tmp / "target").read_bytes() == content(1000)
    assert root.stored() == {"there": content(1000), "parts": data}


NO_ANSWERS = {
    "interim without end": HINTS * 100,
    "101": HINTS + b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "gzip, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\n",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
}


def test_an_invalid_answer_is_no_success(harness, root):
    root.plant({"there": content(1000)})
    provider = root.connect(max_retries=0)
    for name, answer in NO_ANSWERS.items():
        for operation in Operation:
            bodiless = name == "half a body"  # for HEAD that is a valid answer
            when = (lambda request: request.method != "HEAD") if bodiless else any_request
            rule = root.wired.fault(Fault.say(answer), when=when, times=None)
            with pytest.raises((Transient, Integrity)):
                run(operation, harness, root, provider)
            rule.release()
    assert root.stored() == {"there": content(1000)}
    assert gone(root.tmp, but=("source.bin",)) == []


def test_a_status_outside_200_to_299_is_no_success(harness, root):
    root.plant({"there": content(1000)})
    provider = root.connect(max_retries=0)
    body = b'{"id": "a", "access_token": "a", "files": [], "entries": []}'
    for status in (300, 304, 305, 399, 600):
        sent = b"" if status == 304 else body
        answer = f"HTTP/1.1 {status} Odd\r\nContent-Length: {len(sent)}\r\n\r\n".encode() + sent
        for operation in Operation:
            rule = root.wired.fault(Fault.say(answer), times=None)
            with pytest.raises(ProviderError):
                run(operation, harness, root, provider)
            rule.release()
    assert root.stored() == {"there": content(1000)}


def test_a_refusal_after_an_interim_answer_is_a_refusal(harness, root):
    root.plant({"there": content(1000)})
    provider = root.ready(max_retries=0)
    keys(provider)
    refusal = HINTS + b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    root.wired.fault(Fault.say(refusal), when=harness.requests.remove, times=None)
    with pytest.raises(PermissionDenied):
        provider.delete("there")
    assert set(root.stored()) == {"there"}
