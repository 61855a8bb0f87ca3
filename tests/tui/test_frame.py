"""The frame around every mode, and the end of the console."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from backup.instances.plain_secrets import Adoption
from backup.model.credentials import StoreState, StoreStatus
from backup.model.transfers import QueueTotals
from backup.queries.questions import OnStep, Probe
from providers.contract.cancel import CancelToken
from providers.contract.report import CheckStep, ErrorInfo, StepName, StepState
from providers.errors import Cancelled, ProviderError, Transient
from tests.tui.scripted import ScriptedQuestions
from tests.tui.standin import StandInCore, StandInQuestions, console, screen_text, until
from tui.bridge import paint_interval_s

MODES = {"1": "providers", "3": "transfers", "4": "activity", "5": "settings"}


async def test_the_frame_shows_host_store_services_and_modes() -> None:
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "services ready" in screen_text(app))
        await until(pilot, lambda: "keyring ready" in screen_text(app))
        first, second, *_ = screen_text(app).splitlines()
        assert first.startswith(f" ◆ homeserver-backup  on {app.bridge.host}")
        assert "2 of 2 services ready" in first
        assert second.split() == ["1", "Providers", "2", "Browse", "3", "Transfers", "4", "Activity", "5", "Settings"]


@pytest.mark.few(2)
@pytest.mark.parametrize(("key", "mode"), list(MODES.items()))
async def test_digits_switch_modes(key: str, mode: str) -> None:
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        assert app.current_mode == "browse"
        await pilot.press(key)
        await until(pilot, lambda: app.current_mode == mode)


async def test_a_click_on_a_mode_switches() -> None:
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.click("ModeBar", offset=(screen_text(app).splitlines()[1].index("Transfers"), 0))
        await until(pilot, lambda: app.current_mode == "transfers")


@pytest.mark.parametrize(
    ("trouble", "shown"),
    [
        (
            ErrorInfo("worker", "the worker (process 7) was stopped by a signal", "Go on: kill -CONT 7", "stopped"),
            "◷ 3 unfinished, the worker (process 7) was stopped by a signal   Go on: kill -CONT 7",
        ),
        (
            ErrorInfo("worker", "the worker waits for room on the disk of /state", "Make room.", "waits_for_room"),
            "◷ 3 unfinished, the worker waits for disk space   Make room.",
        ),
    ],
)
async def test_the_strip_says_why_the_worker_is_blocked(trouble: ErrorInfo, shown: str) -> None:
    core = StandInCore()
    app = console(core)
    async with app.run_test(size=(140, 42)) as pilot:
        core.totals = QueueTotals(uploading=1, queued=2, size_bytes=9, done_bytes=1, worker_trouble=trouble)
        core.changed()
        await until(pilot, lambda: shown in screen_text(app))
        assert "starting" not in screen_text(app)
        core.totals = QueueTotals(verified=3, worker_trouble=trouble)
        core.changed()
        await until(pilot, lambda: "no transfers under way" in screen_text(app))


async def test_the_strip_follows_the_queue_in_every_mode() -> None:
    core = StandInCore()
    app = console(core)
    async with app.run_test(size=(140, 42)) as pilot:
        await until(pilot, lambda: "no transfers under way" in screen_text(app))
        core.totals = QueueTotals(
            uploading=3, size_bytes=1000, done_bytes=410, rate_bytes_per_s=4e7, left_s=126, verified=128, failed=1
        )
        core.changed()
        await until(pilot, lambda: "▲ 3 uploading 41%" in screen_text(app))
        strip = screen_text(app).splitlines()[-2]
        for fact in ("38.1 MiB/s", "left 2:06", "verified 128", "failed 1"):
            assert fact in strip
        await pilot.press("4")
        await until(pilot, lambda: "41%" in screen_text(app).splitlines()[-2])


async def test_the_state_of_the_store_is_shown_in_words() -> None:
    core = StandInCore()
    core.store = StoreStatus(state=StoreState.HUNG, backend="Secret Service")
    app = console(core)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "keyring does not answer" in screen_text(app))


async def test_question_mark_shows_the_keys_and_escape_closes() -> None:
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("question_mark")
        await until(pilot, lambda: "transfers go on" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: "esc closes" not in screen_text(app))


async def test_quitting_says_that_transfers_go_on_and_ends_the_child(capsys: pytest.CaptureFixture[str]) -> None:
    core, questions = StandInCore(), StandInQuestions()
    core.totals = QueueTotals(uploading=2, queued=1)
    app = console(core, questions)
    app.command = "./backup-venv"
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.bridge.snapshot.totals.uploading == 2)
        await pilot.press("q")
    shown = " ".join(capsys.readouterr().err.split())
    assert "3 transfers go on in the background. See them: ./backup-venv transfers list" in shown
    assert questions.closed
    assert core.calls == []


def ends_with_help(line: str, width: int) -> bool:
    return line.endswith("? keys") and len(line) <= width


async def test_the_footer_keeps_the_help_key_however_narrow_it_gets() -> None:
    app = console()
    async with app.run_test(size=(140, 24)) as pilot:
        for width in (140, 80, 60, 40, 20):
            await pilot.resize_terminal(width, 24)
            await until(pilot, lambda width=width: ends_with_help(screen_text(app).splitlines()[-1], width))  # type: ignore[misc]


async def test_a_click_on_a_key_presses_it() -> None:
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "? keys" in screen_text(app))
        await pilot.click("KeyBar", offset=(screen_text(app).splitlines()[-1].index("? keys"), 0))
        await until(pilot, lambda: "esc closes" in screen_text(app))


async def test_a_call_that_fails_or_hangs_comes_back_as_an_error_to_show() -> None:
    app = console()
    release = threading.Event()
    async with app.run_test(size=(80, 24)):
        with pytest.raises(ProviderError, match="ZeroDivisionError"):
            await app.bridge.call(lambda: 1 // 0)
        with pytest.raises(Transient, match="no answer within"):
            await app.bridge.call(release.wait, timeout_s=0.05)
        release.set()
        assert await app.bridge.call(divmod, 7, 2) == (3, 1)


class HangingQuestions(ScriptedQuestions):
    """A check that stops after its first step, until it is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.given_up = threading.Event()

    def ask(self, question: Any, on_step: OnStep | None = None, *, cancel: CancelToken | None = None) -> Any:
        if not isinstance(question, Probe):
            return super().ask(question, on_step, cancel=cancel)
        assert on_step
        assert cancel
        on_step(CheckStep(name=StepName.REACH, state=StepState.OK))
        with cancel.calling(self.given_up.set):
            assert self.given_up.wait(10)
        on_step(CheckStep(name=StepName.LIST, state=StepState.OK))
        raise Cancelled("stopped on request")


async def test_a_question_does_not_block_the_screens_and_is_cancelled_with_its_caller() -> None:
    questions = HangingQuestions()
    app = console(questions=questions)
    async with app.run_test() as pilot:
        steps: list[tuple[StepName, bool]] = []
        ours = threading.current_thread()
        asking = asyncio.create_task(
            app.bridge.ask(Probe("local"), lambda step: steps.append((step.name, threading.current_thread() is ours)))
        )
        await until(pilot, lambda: steps == [(StepName.REACH, True)])
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await app.bridge.call(questions.given_up.wait, 5)
        await pilot.pause()
        assert steps == [(StepName.REACH, True)]  # what comes later is reported to nobody


def test_progress_is_painted_once_a_second_under_ssh() -> None:
    assert paint_interval_s({"SSH_CONNECTION": "10.0.0.1 5 10.0.0.2 22"}) == 1.0
    assert paint_interval_s({}) == 0.25


async def test_progress_waits_for_a_slow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    core = StandInCore()
    app = console(core)
    backlog = [9]
    monkeypatch.setattr(app.bridge, "_terminal_backlog", lambda: backlog[0])
    async with app.run_test(size=(80, 24)) as pilot:
        core.totals = QueueTotals(failed=7)
        core.changed()
        for _ in range(5):
            await pilot.pause(0.02)
        assert app.bridge.snapshot.totals.failed == 0
        backlog[0] = 0
        await until(pilot, lambda: app.bridge.snapshot.totals.failed == 7)


async def test_secrets_found_in_the_configuration_file_are_reported_at_the_start() -> None:
    core = StandInCore()
    problem = ErrorInfo("credential_store", "the keyring is locked [/]")
    core.adoption = Adoption(moved=("aws_s3.secret_key",), left=("nas.password",), problem=problem)
    app = console(core)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: "aws_s3.secret_key" in screen_text(app))
        await until(pilot, lambda: "nas.password" in screen_text(app))
        assert "is locked [/])" in screen_text(app)
    assert core.closed
