"""Small parts of the core: limiter, retry, settings, secrets, errors, windows, capabilities."""

from __future__ import annotations

import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from providers import settings
from providers.contract.cancel import CancelToken
from providers.contract.capabilities import Capabilities
from providers.contract.retry import RetryPolicy
from providers.contract.throttle import Limiter
from providers.errors import (
    Cancelled,
    InvalidConfiguration,
    ProviderError,
    RateLimited,
    Transient,
    from_wire,
)
from providers.secret import Secret
from providers.settings import ProviderSettings
from tests.providers.memory import MemorySettings

CANARY = "canary-7f3a"


class Clock:
    """A clock that moves only during sleep."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float, cancel: CancelToken) -> None:
        self.now += seconds


@hypothesis_settings(deadline=None)
@given(rate=st.integers(2_000, 10**9), grain=st.integers(1, 300_000))
def test_the_limiter_holds_its_rate_within_ten_percent_over_ten_seconds(rate: int, grain: int) -> None:
    clock = Clock()
    limiter = Limiter(rate, clock=clock, sleep=clock.sleep)
    grain = limiter.grain_bytes(grain)
    grain = max(grain, rate // 500)  # keeps the number of steps bounded
    moved = 0
    while clock.now < 10:
        limiter.take(grain, CancelToken())
        moved += grain
    assert 0.9 * rate * 10 <= moved <= 1.1 * rate * 10 + 2 * grain


def test_the_limiter_holds_its_rate_in_real_time() -> None:
    """Three threads share it. Never faster; slower on a busy machine, but within bounds in one of three runs."""
    rate, seconds, spans = 4 * 2**20, 2, list[float]()
    while len(spans) < 3 and not (spans and spans[-1] <= 1.1 * seconds):
        limiter, cancel = Limiter(rate), CancelToken()
        began = time.monotonic()
        with ThreadPoolExecutor(3) as threads:
            for done in [threads.submit(limiter.take, 65536, cancel) for _ in range(seconds * rate // 65536)]:
                done.result()
        spans.append(time.monotonic() - began)
    assert 0.9 * seconds <= min(spans) <= 1.1 * seconds


def test_a_pause_allows_a_burst_of_at_most_a_quarter_second() -> None:
    clock = Clock()
    limiter = Limiter(1000, clock=clock, sleep=clock.sleep)
    clock.now = 100.0
    for _ in range(10):
        limiter.take(100, CancelToken())
    limiter.take(1, CancelToken())
    assert clock.now >= 100.74


def test_a_limit_changes_while_it_is_used() -> None:
    clock = Clock()
    limiter = Limiter(100, clock=clock, sleep=clock.sleep)
    limiter.take(1000, CancelToken())
    limiter.rate_bytes_per_s = None
    limiter.take(10**9, CancelToken())
    assert clock.now == 0.0


def test_cancel_wakes_a_wait_and_calls_back_once() -> None:
    cancel = CancelToken()
    called: list[str] = []
    with cancel.calling(lambda: called.append("in")):
        cancel.cancel()
        cancel.cancel()
    with cancel.calling(lambda: called.append("late")):
        pass
    assert called == ["in", "late"]
    with pytest.raises(Cancelled):
        cancel.wait(60)


def test_retry_after_is_obeyed_and_capped() -> None:
    policy = RetryPolicy(3, 1.0, uniform=lambda low, high: high)
    assert policy.delay_s(0, RateLimited("slow", retry_after_s=7.0)) == 7.0
    assert policy.delay_s(0, RateLimited("slow", retry_after_s=1e9)) == 3600.0
    assert [policy.delay_s(n, Transient("x")) for n in (0, 1, 2, 10)] == [1.0, 2.0, 4.0, 60.0]


def test_jitter_is_drawn_from_the_whole_interval() -> None:
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return low

    assert RetryPolicy(3, 2.0, uniform=uniform).delay_s(2, Transient("x")) == 0.0
    assert drawn == [(0.0, 8.0)]


@hypothesis_settings(deadline=None)
@given(size=st.integers(0, 5 * 2**40), wanted=st.integers(1, 2**31))
def test_part_sizes_keep_to_the_limits(size: int, wanted: int) -> None:
    s3 = Capabilities(min_part_bytes=5 * 2**20, max_part_bytes=5 * 2**30, max_parts=10_000)
    part = s3.part_size_bytes(size, wanted)
    assert 5 * 2**20 <= part <= 5 * 2**30
    assert part * 10_000 >= size


def test_part_sizes_are_multiples_if_the_service_requires_it() -> None:
    drive = Capabilities(part_multiple_bytes=256 * 1024)
    assert drive.part_size_bytes(10**9, 300_000) == 512 * 1024


def test_a_secret_is_shown_nowhere() -> None:
    secret = Secret(CANARY)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>20}", repr({"a": secret}), "%s" % (secret,)]  # noqa: UP031
    assert not any(CANARY in text for text in shown)
    assert secret.reveal() == CANARY
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_a_bad_secret_is_not_repeated_in_the_error() -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        settings.check(MemorySettings, "password", [CANARY])
    assert CANARY not in str(caught.value)
    assert caught.value.field == "password"


def test_settings_repr_holds_no_secret() -> None:
    assert CANARY not in repr(settings.load(MemorySettings, {"password": CANARY}))


def test_errors_cross_a_process_boundary() -> None:
    error = from_wire("configuration", "region: wrong", hint="Set it.", code="region")
    assert isinstance(error, InvalidConfiguration)
    assert error.field == "region"
    for kind in ("authentication", "transient", "integrity", "quota"):
        assert from_wire(kind, "m").kind == kind
    assert type(from_wire("unheard-of", "m")) is ProviderError
    again = pickle.loads(pickle.dumps(RateLimited("slow", retry_after_s=3.0)))
    assert again.retry_after_s == 3.0


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("upload_chunk_size", "64MiB", 64 * 2**20),
        ("upload_chunk_size", "100 MB", 100_000_000),
        ("max_bandwidth", "2MB/s", 2_000_000),
        ("max_bandwidth", "none", None),
        ("max_retries", "0", 0),
        ("timeout", "1.5", 1.5),
        ("enabled", "yes", True),
        ("container", "  photos ", "photos"),
    ],
)
def test_typed_text_becomes_a_value(name: str, text: str, value: object) -> None:
    assert settings.parse(MemorySettings, name, text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("max_retries", "-1"),
        ("max_retries", "many"),
        ("timeout", "0"),
        ("upload_chunk_size", "10"),
        ("upload_chunk_size", "big"),
        ("enabled", "perhaps"),
        ("max_bandwidth", "5"),
        ("no_such", "x"),
    ],
)
def test_a_bad_value_names_its_field(name: str, text: str) -> None:
    with pytest.raises(InvalidConfiguration, match=name):
        settings.parse(MemorySettings, name, text)


def test_username_and_password_map_onto_a_services_own_pair(tmp_path: Path) -> None:
    from providers.aws_s3.settings import Settings

    loaded = settings.load(Settings, {"username": "AKIA", "password": CANARY, "container": "b"})
    assert (loaded.access_key, loaded.secret_key) == ("AKIA", Secret(CANARY))


def test_the_guides_whole_structure_is_accepted() -> None:
    guide = {
        "enabled": False, "credentials_key": "new_provider", "container": "homeserver-backups",
        "container_type": "bucket", "username": "", "password": "", "api_key": "", "secret_key": "",
        "region": "us-east-1", "max_retries": 3, "retry_delay": 1.0, "timeout": 300, "max_bandwidth": None,
        "upload_chunk_size": 104857600, "encryption_enabled": False, "encryption_key": None,
        "encryption_salt": None, "connection_pool_size": 5, "somebody_elses": 1,
    }  # fmt: skip
    loaded = settings.load(ProviderSettings, guide)
    assert loaded.container == "homeserver-backups"
    assert loaded.upload_chunk_size == 100 * 2**20
    assert loaded.max_bandwidth is None


@pytest.mark.parametrize(
    ("requested", "believed"),
    [(7, 7.0), (0, 0.0), (1e12, 3600.0), (float("inf"), 3600.0), (float("nan"), None), (-1.0, None), (None, None)],
)
def test_no_error_requests_a_wait_of_more_than_an_hour(requested: float | None, believed: float | None) -> None:
    """Whoever creates it: errors of a plug-in pass through here too."""
    assert RateLimited("slow", retry_after_s=requested).retry_after_s == believed
    assert pickle.loads(pickle.dumps(Transient("x", retry_after_s=requested))).retry_after_s == believed
