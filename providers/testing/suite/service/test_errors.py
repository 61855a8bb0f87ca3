"""Each kind of failure has its error class; no SDK exception and no secret gets through."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator

import pytest

from providers.contract.context import ProviderContext
from providers.errors import Authentication, NotFound, ProviderError, RateLimited, Transient
from providers.testing.faults import Fault, Side
from providers.testing.harness import Harness, Operation, Root, Trouble
from providers.testing.needs import WIRED, Case, cases, checks_credentials, needs
from providers.testing.support import FakeTime, Memory, Progress, content, gone, source
from providers.testing.transfers import download, keys, run, upload


def assert_safe(root: Root, error: ProviderError) -> None:
    """Neither the displayed nor the logged error reveals a secret, and all of its classes are ours."""
    assert type(error).__module__ == "providers.errors"
    shown = "".join(traceback.format_exception(error)) + f"{error!r}{error}{error.hint}{error.remedies}{error.code}"
    assert not any(secret in shown for secret in root.secrets)


def every_trouble(harness: Harness) -> Iterator[Case]:
    for trouble in harness.troubles:
        for operation in sorted(trouble.on, key=lambda item: item.value):
            yield f"{trouble.name}-{operation.value}", (trouble, operation)


@cases(("trouble", "operation"), every_trouble)
def test_each_failure_has_its_error_class(harness: Harness, root: Root, trouble: Trouble, operation: Operation) -> None:
    """From the first request on."""
    root.plant({"there": content(1000)})
    provider = root.connect(max_retries=0)
    with trouble.inject(root), pytest.raises(ProviderError) as caught:
        run(operation, harness, root, provider)
    error = caught.value
    assert type(error) is trouble.expected
    assert error.message
    assert error.hint or error.remedies
    advice = f"{error.hint} {' '.join(remedy.action for remedy in error.remedies)}"
    assert trouble.says.lower() in f"{error.message} {advice}".lower()
    assert_safe(root, error)
    assert set(root.stored()) == {"there"}
    assert gone(root.tmp, but=("source.bin", "small-disk")) == []
    assert root.leftovers() == []


def troubles_of_parts(harness: Harness) -> list[Case]:
    return [(trouble.name, (trouble,)) for trouble in harness.troubles if Operation.UPLOAD_PARTS in trouble.on]


@pytest.mark.few(8)
@WIRED
@cases(("trouble",), troubles_of_parts)
def test_a_failure_in_the_middle_has_its_error_class(harness: Harness, root: Root, trouble: Trouble) -> None:
    """After the first part; everything begun is removed once the service answers again."""
    part = harness.limits.part_bytes
    provider = root.ready(max_retries=0, connection_pool_size=1)
    stack = []

    def begin(sent: int) -> None:
        inside = trouble.inject(root)
        inside.__enter__()
        stack.append(inside)

    memory = Memory()
    try:
        with pytest.raises(ProviderError) as caught:
            upload(
                provider, source(root.tmp, content(2 * part)), "new", progress=Progress(part, begin), checkpoint=memory
            )
    finally:
        for inside in stack:
            inside.__exit__(None, None, None)
    assert type(caught.value) is trouble.expected
    assert_safe(root, caught.value)
    assert root.stored() == {}

    data = content(2 * part)
    result = upload(root.connect(), root.tmp / "source.bin", "new", checkpoint=memory)
    assert root.stored() == {"new": data}
    assert result.sha256
    if trouble.expected is not NotFound:  # the unfinished upload is gone with the container
        assert root.leftovers() == []


@needs(checks_credentials)
def test_a_wrong_secret_is_refused_by_a_server_that_checks(harness: Harness, root: Root) -> None:
    provider = root.connect(**harness.wrong_credentials)
    for operation in Operation:
        with pytest.raises(Authentication) as caught:
            run(operation, harness, root, provider)
        assert_safe(root, caught.value)
        shown = "".join(traceback.format_exception(caught.value))
        assert not any(value in shown for value in harness.wrong_credentials.values())


@pytest.mark.few(3)
@WIRED
@pytest.mark.parametrize("when", ["begin", "part", "commit", "whole", "read", "listing", "remove"])
@pytest.mark.parametrize(
    "fault",
    [Fault.reset(), Fault.reset(Side.RESPONSE, at=None), Fault.status(503), Fault.status(500)],
    ids=["reset in the request", "reset before the reply", "503", "500"],
)
def test_one_failure_is_retried_and_forgotten(harness: Harness, root: Root, when: str, fault: Fault) -> None:
    part = harness.limits.part_bytes
    wire = harness.requests
    root.plant({"there": b"1", "y": b"1"})
    provider = root.ready()
    request = {
        "begin": wire.begin,
        "part": wire.send_part(1),
        "commit": wire.commit,
        "whole": wire.send_whole,
        "read": wire.read,
        "listing": wire.listing,
        "remove": wire.remove,
    }[when]
    rule = root.wired.fault(fault, when=request)
    data = content(2 * part if when in ("begin", "part", "commit") else 1000)
    match when:
        case "read":
            assert download(provider, "there", root.tmp / "target").sha256
        case "listing":
            assert keys(provider) == {"there", "y"}
        case "remove":
            assert provider.delete("y")
            assert set(root.stored()) == {"there"}
        case _:
            upload(provider, source(root.tmp, data), "new")
            assert root.stored()["new"] == data
    assert rule.hits == 1
    begun_twice = when == "begin" and not harness.limits.lists_unfinished
    assert len(root.leftovers()) <= (1 if begun_twice else 0)


@WIRED
@pytest.mark.parametrize("status", [429, 503])
def test_a_requested_wait_is_kept(harness: Harness, root: Root, status: int) -> None:
    times = FakeTime()
    context = ProviderContext(sleep=times.sleep, uniform=lambda low, high: high)
    provider = root.ready(context=context)
    root.wired.fault(Fault.status(status, retry_after_s=17), when=harness.requests.sends, times=2)
    waits = []
    upload(
        provider,
        source(root.tmp, content(1000)),
        "x",
        on_wait=lambda seconds, error: waits.append((seconds, type(error))),
    )
    assert waits == [(17, RateLimited), (17, RateLimited)]
    assert times.slept == [17, 17]


@WIRED
def test_a_lasting_failure_is_retried_as_often_as_configured(harness: Harness, root: Root) -> None:
    times = FakeTime()
    context = ProviderContext(sleep=times.sleep, uniform=lambda low, high: high)
    provider = root.ready(context=context, max_retries=4, retry_delay=3)
    root.wired.fault(Fault.status(500), when=harness.requests.sends, times=None)
    root.wired.forget()
    with pytest.raises(Transient):
        upload(provider, source(root.tmp, content(1000)), "x")
    assert times.slept == [3, 6, 12, 24]
    assert root.wired.count(harness.requests.sends) == 5


@WIRED
@pytest.mark.parametrize("side", list(Side))
def test_a_stall_ends_by_its_timeout(harness: Harness, root: Root, side: Side) -> None:
    provider = root.ready(max_retries=0, timeout=1)
    wire = harness.requests
    path = source(root.tmp, content(harness.limits.part_bytes * 2))
    at = 1000 if side is Side.REQUEST else None
    rule = root.wired.fault(Fault.stall(side, at=at), when=wire.send_part(0), times=None)
    started = time.monotonic()
    with pytest.raises(Transient):
        upload(provider, path, "x")
    elapsed_s = time.monotonic() - started
    rule.wait_let_go(2)
    assert 0.9 < elapsed_s < 4


@WIRED
def test_a_download_that_stalls_ends_by_its_timeout(harness: Harness, root: Root) -> None:
    root.plant({"x": content(1_000_000)})
    provider = root.connect(max_retries=0, timeout=1)
    root.wired.fault(Fault.stall(Side.RESPONSE, at=100_000), when=harness.requests.read, times=None)
    started = time.monotonic()
    with pytest.raises(Transient):
        download(provider, "x", root.tmp / "target")
    assert 0.9 < time.monotonic() - started < 4
    assert gone(root.tmp) == []


@WIRED
def test_slow_is_not_stalled(harness: Harness, root: Root) -> None:
    """`timeout` is the time without a byte moving, not the total time."""
    data = content(250_000)
    root.plant({"x": data})
    provider = root.connect(max_retries=0, timeout=1)
    root.wired.fault(Fault.slow(150_000, Side.RESPONSE), when=harness.requests.read)
    started = time.monotonic()
    download(provider, "x", root.tmp / "target")
    assert time.monotonic() - started > 1.3
    assert (root.tmp / "target").read_bytes() == data


@WIRED
@pytest.mark.parametrize("at", [0, 1, 99_999])
def test_a_truncated_reply_is_never_a_success(harness: Harness, root: Root, at: int) -> None:
    data = content(100_000)
    root.plant({"x": data})
    provider = root.connect(max_retries=0)
    rule = root.wired.fault(Fault.truncate(at), when=harness.requests.read, times=None)
    with pytest.raises(Transient):
        download(provider, "x", root.tmp / "target")
    assert gone(root.tmp) == []
    rule.release()
    download(provider, "x", root.tmp / "target")
    assert (root.tmp / "target").read_bytes() == data


NO_LISTINGS: list[str | bytes] = [
    "<html><body>It works!</body></html>",
    '{"a":' * 100_000,
    "[" * 100_000,
    b"\xff\xfe\x00",
    "null",
    "",
    "{}",
    '{"files": [{}], "entries": [{}]}',
    '{"files": 5, "entries": 5}',
    "<ListBucketResult><Contents/></ListBucketResult>",
]


@WIRED
def test_a_web_page_is_no_listing(harness: Harness, root: Root) -> None:
    """Nor is any other text that is not the service's."""
    provider = root.connect(max_retries=0)
    for page in NO_LISTINGS:
        rule = root.wired.fault(Fault.status(200, page), when=harness.requests.listing, times=None)
        with pytest.raises(ProviderError) as caught:
            provider.list_files()
        assert not isinstance(caught.value, NotFound)
        assert_safe(root, caught.value)
        rule.release()


@WIRED
@pytest.mark.parametrize("known", [False, True])
def test_empty_success_answers_do_nothing(harness: Harness, root: Root, known: bool) -> None:
    """Every request succeeds with an empty answer: nothing is done, and no foreign error gets through."""
    root.plant({"there": content(1000)})
    provider = root.ready(max_retries=0) if known else root.connect(max_retries=0)
    for page in ("{}", '"text"', "<a/>", ""):
        rule = root.wired.fault(Fault.status(200, page), times=None)
        for operation in Operation:
            if operation is Operation.DELETE and known:
                continue  # for some services, success is the whole answer
            with pytest.raises(ProviderError) as caught:
                run(operation, harness, root, provider)
            assert_safe(root, caught.value)
        rule.release()
    assert gone(root.tmp, but=("source.bin",)) == []


@WIRED
def test_hostile_text_of_a_server_stays_short_and_on_one_line(harness: Harness, root: Root) -> None:
    """The server's text may be shown, but neither long nor on several lines."""
    body = f"<Error><Code>{'A' * 100_000}</Code><Message>{'boo ' * 100_000}\x1b[2J</Message></Error>"
    root.wired.fault(Fault.status(400, body), when=harness.requests.listing, times=None)
    with pytest.raises(ProviderError) as caught:
        root.connect(max_retries=0).list_files()
    assert len(caught.value.message) < 2000
    assert len(caught.value.code) < 200
