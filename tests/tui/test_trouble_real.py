"""Failures of a real server in the console: each cause has its own message and fix."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from backup.core.core import Core
from backup.model.transfers import ItemState
from backup.queries.client import QuestionsClient
from backup.system.paths import Paths
from providers.testing.fault_proxy import FaultProxy
from providers.testing.faults import Fault, any_request
from screens.modals.confirm import ConfirmScreen
from tests.cli.conftest import s3_instance, write_config
from tests.processes import stop_worker
from tests.servers import s3_errors
from tests.servers.s3_requests import put_object
from tests.servers.s3_server import ACCESS_KEY, SECRET_KEY, S3Server
from tests.tui.standin import screen_text, until
from tui.app import BackupConsole


class Words(NamedTuple):
    """The expected texts: what happened, why, and how to fix it."""

    happened: str
    why: str
    fix: str


TROUBLE = {
    "wrong_key": Words("The key was not accepted", "SignatureDoesNotMatch", "Check secret_key"),
    "wrong_region": Words("A setting is missing or wrong", "lives in eu-central-1", "Set region to eu-central-1"),
    "wrong_bucket": Words("The bucket does not exist", "no-such-bucket does not exist", "create the bucket"),
    "down": Words("The connection was refused", "refuses the connection", "Check that the service runs"),
    "stalled": Words("The connection has stalled", "no byte has moved for 1 s", "Check the network and firewalls"),
    "skewed": Words("The clock is wrong", "the clock of this machine is", "timedatectl set-ntp true"),
}
FAULTS = {
    "wrong_region": s3_errors.authorization_header_malformed("eu-central-1"),
    "stalled": Fault.stall(),
    "skewed": s3_errors.request_time_too_skewed(),
}


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def in_trouble(
    paths: Paths, rclone_s3: S3Server, rclone_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Configure an instance for each failure, with keys from an AWS profile. Returns the user's home."""
    home = paths.config_dir.parent.parent
    (home / ".aws").mkdir(parents=True)
    profiles = {"good": SECRET_KEY, "bad": "wrong-" + SECRET_KEY}
    (home / ".aws" / "credentials").write_text(
        "".join(
            f"[{name}]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {secret}\n"
            for name, secret in profiles.items()
        )
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    bucket = rclone_s3.new_bucket()
    common: dict[str, Any] = {"port": rclone_proxy.port, "profile": "good", "timeout": 1}
    instances = {name: s3_instance(rclone_s3, bucket, **common) for name in TROUBLE}
    instances["wrong_key"]["profile"] = "bad"
    instances["wrong_bucket"]["container"] = "no-such-bucket"
    instances["down"]["endpoint_url"] = f"http://127.0.0.1:{closed_port()}"
    write_config(paths, **instances, fine=s3_instance(rclone_s3, bucket, **{**common, "timeout": 300}))
    yield home
    assert stop_worker(paths)


def flat(pilot: Any) -> str:
    """The text of the right pane and the lines around it, joined, so that wrapped sentences are found."""
    lines = (line.rpartition("││")[2] for line in screen_text(pilot.app).splitlines())
    return " ".join(" ".join(lines).replace("│", " ").split())


async def sees(pilot: Any, *words: str) -> str:
    await until(pilot, lambda: all(word in flat(pilot) for word in words), timeout_s=40)
    return flat(pilot)


async def choose(pilot: Any, name: str) -> None:
    """Select the instance `name` in Providers."""
    await pilot.press("1")
    await sees(pilot, "LAST CHECK")
    pilot.app.screen.listing.choose(name)
    await until(pilot, lambda: pilot.app.screen.selected.name == name)


async def test_six_causes_have_six_messages_each_with_its_fix(
    paths: Paths, in_trouble: Path, rclone_proxy: FaultProxy
) -> None:
    """The whole message fits on 80 columns and 24 lines, in a check and in the browser."""
    assert len({words.happened for words in TROUBLE.values()}) == len(TROUBLE)
    app = BackupConsole(Core(paths), QuestionsClient(paths))
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "services ready")
        for name, words in TROUBLE.items():
            if name in FAULTS:
                rclone_proxy.fault(FAULTS[name], any_request, times=None)
            await choose(pilot, name)
            await pilot.press("t")
            checked = await sees(pilot, *words, "✖ failed just now")
            await pilot.press("b")
            await until(pilot, lambda: app.current_mode == "browse")
            listed = await sees(pilot, name, *words, "r try again")
            others = [other.happened for other in TROUBLE.values() if other != words]
            assert not any(other in shown for other in others for shown in (checked, listed))
            assert SECRET_KEY not in checked + listed
            rclone_proxy.clear_faults()


async def test_a_stalled_call_can_be_stopped_within_a_second(
    paths: Paths, in_trouble: Path, rclone_proxy: FaultProxy
) -> None:
    """Esc stops a check and a listing, x an upload; the time limit in the settings is 300 s."""
    (in_trouble / "film.bin").write_bytes(b"f" * 200_000)
    app = BackupConsole(Core(paths), QuestionsClient(paths))
    took_s: dict[str, float] = {}

    async def stopped(what: str, *keys: str, gone: Any) -> None:
        began = time.monotonic()
        await pilot.press(*keys)
        await until(pilot, gone, timeout_s=20)
        took_s[what] = time.monotonic() - began

    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "services ready")
        stall = rclone_proxy.fault(Fault.stall(), any_request, times=None)
        await choose(pilot, "fine")
        await pilot.press("t")
        stall.wait_held()
        await stopped("check", "escape", gone=lambda: "The check was stopped." in flat(pilot))
        await pilot.press("b")
        await sees(pilot, "loading… esc stops")
        await stopped("listing", "escape", gone=lambda: "esc stops" not in flat(pilot))
        rclone_proxy.clear_faults()

        stall = rclone_proxy.fault(Fault.stall(at=1000), put_object("film.bin"), times=None)
        await pilot.press("r", "tab", "end", "u")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen), timeout_s=20)
        await pilot.press("y", "3")
        stall.wait_held(timeout_s=40)
        await sees(pilot, "▲ film.bin")
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await stopped("upload", "y", gone=lambda: "cancelled · r starts again" in flat(pilot))
        stall.wait_let_go()
        states = [item.state for item in app.bridge.core.queue.snapshot().items]
        assert states == [ItemState.CANCELLED]
    # A second each is promised; a loaded machine may take several, and 300 would be the setting.
    assert max(took_s.values()) < 10, took_s
