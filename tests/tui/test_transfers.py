"""The transfer table: every state in sign and words, and the keys that act on it."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from backup.model.transfers import ItemState, ItemView, JobKind, QueueTotals
from providers.contract.capabilities import Proof
from providers.contract.report import ErrorInfo
from providers.errors import Transient
from screens.modals.confirm import ConfirmScreen
from screens.transfers import TransfersScreen
from tests.tui.standin import StandInCore, console, item, job, screen_text, until
from tui.app import BackupConsole
from tui.rows.transfers import state_words
from tui.theme import Tone
from tui.widgets.item_details import details

SHA = "9f3c81" + "0" * 56 + "e1"
MIB = 2**20
QUOTA = ErrorInfo("quota", "the bucket is full", "Make room, then retry.", "QuotaExceeded")


def one_of_each() -> list[ItemView]:
    return [
        item(1, ItemState.RUNNING, size_bytes=100 * MIB, bytes_done=41 * MIB, rate_bytes_per_s=8.0 * MIB, left_s=126),
        item(2, ItemState.RUNNING, job_kind=JobKind.DOWNLOAD, size_bytes=10 * MIB, bytes_done=MIB, left_s=3),
        item(3, ItemState.RUNNING, bytes_done=1000, verifying=True),
        item(4, ItemState.WAITING, attempts=2, error=ErrorInfo("rate_limited", "slow down"), wait_until=1.8e9),
        item(5, ItemState.PAUSED, size_bytes=100 * MIB, bytes_done=88 * MIB),
        item(6, ItemState.QUEUED),
        item(7, ItemState.DONE, proof=Proof.MATCHED, sha256=SHA, elapsed_s=4.0, bytes_done=1000),
        item(8, ItemState.FAILED, error=QUOTA),
        item(9, ItemState.CANCELLED),
        item(11, ItemState.RUNNING, size_bytes=100 * MIB, bytes_done=64 * MIB, attempts=2),
        item(10, ItemState.SKIPPED, error=ErrorInfo("unsupported", "a symbolic link")),
    ]


def transfers(app: BackupConsole) -> TransfersScreen:
    screen = app.screen_stack[0]
    assert isinstance(screen, TransfersScreen)
    return screen


async def opened(pilot: Any, app: BackupConsole) -> TransfersScreen:
    await pilot.press("3")
    await until(pilot, lambda: isinstance(app.screen, TransfersScreen) and len(app.screen.table.rows) > 0)
    return transfers(app)


def line_of(app: BackupConsole, name: str) -> str:
    return next((line for line in screen_text(app).splitlines() if f" {name} " in line), "")


EXPECTED = {
    "file-1.bin": ("▲", ["41.0 / 100 MiB", "━", "41%", "8.00 MiB/s", "2:06"]),
    "file-2.bin": ("▼", ["1.00 / 10.0 MiB", "10%", "0:03"]),
    "file-3.bin": ("▲", ["all sent · verifying"]),
    "file-4.bin": ("◷", ["until ", "asked to slow down"]),
    "file-5.bin": ("‖", ["paused by you · p goes on"]),
    "file-6.bin": ("·", ["queued"]),
    "file-7.bin": ("✔", ["sha-256 9f3c81…e1 agrees · 4.0 s"]),
    "file-8.bin": ("✖", ["no space left · r to retry"]),
    "file-9.bin": ("✖", ["cancelled · r starts again"]),
    "file-11.bin": ("▲", ["trying again · attempt 2"]),
    "file-10.bin": ("–", ["skipped · a symbolic link"]),
}


@pytest.mark.parametrize("size", [(80, 24), (140, 42)])
async def test_every_state_has_its_sign_and_its_words(size: tuple[int, int]) -> None:
    core = StandInCore()
    core.items = one_of_each()
    app = console(core)
    async with app.run_test(size=size) as pilot:
        await opened(pilot, app)
        await until(pilot, lambda: all(line_of(app, name) for name in EXPECTED))
        for name, (sign, words) in EXPECTED.items():
            line = line_of(app, name)
            assert f"{sign} {name}" in line
            for word in words:
                assert word in line
        assert ("  TO  " in screen_text(app)) is (size[0] == 140)


@pytest.mark.parametrize("size", [(80, 24), (140, 42)])
async def test_a_waiting_item_says_until_when_in_local_time(size: tuple[int, int]) -> None:
    """With and without a pause that its service asked for."""
    half_past = time.mktime((2026, 11, 27, 14, 32, 59, 0, 0, -1))
    busy = ErrorInfo("rate_limited", "slow down")
    core = StandInCore()
    core.items = [
        item(1, ItemState.WAITING, attempts=2, error=busy, wait_until=half_past),
        item(2, ItemState.QUEUED, error=busy, wait_until=half_past),
        item(3, ItemState.QUEUED),
    ]
    app = console(core)
    async with app.run_test(size=size) as pilot:
        await opened(pilot, app)
        await until(pilot, lambda: all(line_of(app, f"file-{number}.bin") for number in (1, 2, 3)))
        assert "until 14:32 · " in line_of(app, "file-1.bin")
        assert "queued · until 14:32" in line_of(app, "file-2.bin")
        assert "until" not in line_of(app, "file-3.bin")


async def test_progress_moves_and_the_cursor_stays_on_its_transfer() -> None:
    core = StandInCore()
    core.items = one_of_each()
    app = console(core)
    async with app.run_test(size=(140, 42)) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("down", "down", "down", "down")
        moved = msgspec.structs.replace(core.items[0], bytes_done=83 * MIB)
        core.items = [core.items[4], moved, *core.items[1:4], *core.items[5:]]
        core.changed()
        await until(pilot, lambda: "83%" in line_of(app, "file-1.bin"))
        assert screen.table.cursor == 0
        assert screen.lower.border_title == "file-5.bin"


async def test_pause_and_resume() -> None:
    core = StandInCore()
    core.items = one_of_each()
    app = console(core)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("p")
        await until(pilot, lambda: ("pause", [1]) in core.calls)
        await pilot.press("down", "down", "down", "down", "p")
        await until(pilot, lambda: ("resume", [5]) in core.calls)


async def test_retry_takes_the_selection() -> None:
    core = StandInCore()
    core.items = one_of_each()
    app = console(core)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press(*["down"] * 7, "space", "space")
        await until(pilot, lambda: "2 selected" in screen_text(app))
        await pilot.press("r")
        await until(pilot, lambda: ("retry", [8, 9]) in core.calls)
        await until(pilot, lambda: "2 selected" not in screen_text(app))


async def test_cancel_says_what_is_kept_and_enter_alone_cancels_nothing() -> None:
    core = StandInCore()
    core.items = one_of_each()
    app = console(core)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        text = screen_text(app)
        for words in ("file-1.bin", "41.0 MiB transferred", "p pauses, and keeps"):
            assert words in text
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, ConfirmScreen))
        assert core.calls == []
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        core.items = [item(99, ItemState.RUNNING), *core.items]
        core.changed()
        await until(pilot, lambda: app.bridge.snapshot.item_count == 11)
        await pilot.press("y")
        await until(pilot, lambda: core.calls == [("cancel", [1])])


async def test_a_whole_job_is_selected_at_once() -> None:
    core = StandInCore()
    core.items = [item(number, job_id=1 + number % 2) for number in range(1000)]
    app = console(core)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("j")
        await until(pilot, lambda: "500 selected" in screen_text(app))
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert "500 transfers" in screen_text(app)
        await pilot.press("y")
        await until(pilot, lambda: core.calls == [("cancel", list(range(0, 1000, 2)))])


async def test_the_bandwidth_limit_changes_on_the_fly() -> None:
    core = StandInCore()
    core.items = one_of_each()
    app = console(core)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await until(pilot, lambda: bool(app.bridge.instances))
        await pilot.press("b")
        await until(pilot, lambda: "Bandwidth of aws_s3" in screen_text(app))
        await pilot.press(*"fast", "enter")
        await until(pilot, lambda: "fast" in screen_text(app))
        assert core.calls == []
        await pilot.press(*["backspace"] * 4, *"2MiB", "enter")
        await until(pilot, lambda: core.calls == [("bandwidth", "aws_s3", 2 * MIB)])
        await pilot.press("b")
        await until(pilot, lambda: "Bandwidth of aws_s3" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: core.calls[1:] == [("bandwidth", "aws_s3", None)])


async def test_details_show_the_error_in_full() -> None:
    core = StandInCore()
    core.items = one_of_each()
    app = console(core)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press(*["down"] * 7, "enter")
        await until(pilot, lambda: "the bucket is full (QuotaExceeded)" in screen_text(app))
        assert "Make room, then retry." in screen_text(app)
        await pilot.press("escape", "up", "enter")
        await until(pilot, lambda: SHA in screen_text(app))
        assert "the service's checksum matches ours" in screen_text(app)


async def test_thousands_of_items_are_fetched_by_window() -> None:
    core = StandInCore()
    core.items = [item(number) for number in range(5000)]
    app = console(core)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("end")
        await until(pilot, lambda: "file-4999.bin" in screen_text(app))
        core.items[4990] = item(4990, ItemState.FAILED, error=QUOTA)
        core.changed()
        await until(pilot, lambda: "no space left" in line_of(app, "file-4990.bin"))
        await pilot.press("pageup", *["pageup"] * 20)
        await until(pilot, lambda: screen.table.window[0] < 4700 and "  …" not in screen_text(app))


async def test_a_queue_that_does_not_answer_is_reported() -> None:
    class Broken(StandInCore):
        def _act(self, verb: str, item_ids: Any) -> int:
            raise Transient("the worker does not answer")

    core = Broken()
    core.items = one_of_each()
    app = console(core)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("p")
        await until(pilot, lambda: any("the worker does not answer" in each.message for each in app._notifications))


async def test_hostile_names_and_messages_are_escaped() -> None:
    core = StandInCore()
    name = "\x1b[2J[/]\u202ereversed.txt"
    error = ErrorInfo("transient", "\x1b]0;owned\x07 [bold]no[/] answer", "[/]\x9b31m", "[/]")
    core.items = [item(1, ItemState.FAILED, name=name, key=name, local_path=f"/srv/{name}", error=error)]
    app = console(core)
    async with app.run_test(size=(140, 42)) as pilot:
        await opened(pilot, app)
        await until(pilot, lambda: "\\x1b[2J[/]" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: "[bold]no[/] answer" in screen_text(app))
        await pilot.press("escape", "space", "up")
        assert all(character.isprintable() for character in screen_text(app).replace("\n", ""))


async def test_an_empty_queue_says_where_to_start() -> None:
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: "No transfers yet." in screen_text(app))
        await pilot.press("p", "x", "r", "j", "enter", "space")
        assert isinstance(app.screen, TransfersScreen)


async def test_the_strip_and_the_table_agree_on_totals() -> None:
    core = StandInCore()
    core.items = one_of_each()
    core.totals = QueueTotals(uploading=2, downloading=1, waiting=1, paused=1, queued=1205, failed=1, size_bytes=10)
    app = console(core)
    async with app.run_test(size=(140, 42)) as pilot:
        await opened(pilot, app)
        await until(pilot, lambda: "3 running · 1 waiting · 1 paused · 1,205 queued · 1 failed" in screen_text(app))
        assert "▲ 2 uploading ▼ 1 downloading" in screen_text(app)


def test_a_download_that_was_read_twice_claims_no_more() -> None:
    ended = item(1, ItemState.DONE, job_kind=JobKind.DOWNLOAD, proof=Proof.READ_TWICE, sha256=SHA)
    assert "read twice" in state_words(ended)[0]
    assert ("proof", "read twice; the service has no checksum", Tone.PROVED) in details(ended, 0.0)


async def test_a_job_that_broke_off_counts_whenever_it_was_queued() -> None:
    """Even if none of its transfers failed; a cancellation by the user is not an error."""
    now, gone = time.time(), ErrorInfo("transient", "the listing broke off", "Queue it again.")
    core = StandInCore()
    core.jobs = [
        job(3, title="letters", created_at=now - 60, broke_at=now - 30, error=ErrorInfo("cancelled", "as you wished")),
        job(2, title="photos", created_at=now - 9 * 86400, broke_at=now - 60, error=gone),
        job(1, title="music", created_at=now - 9 * 86400, broke_at=now - 2 * 86400, error=gone),
    ]
    core.totals = QueueTotals(verified=4, broken_jobs=1)
    app = console(core)
    async with app.run_test(size=(100, 40)) as pilot:
        await until(pilot, lambda: "broken jobs 1   verified 4" in screen_text(app))
        await pilot.press("3")
        await until(pilot, lambda: "photos: the listing broke off" in screen_text(app))
        assert "1 broken job" in screen_text(app)
        await pilot.press("escape")
        await until(pilot, lambda: "the listing broke off" not in screen_text(app))
        assert "as you wished" not in screen_text(app)


async def test_a_queue_that_cannot_be_read_does_not_look_empty() -> None:
    core = StandInCore()
    follow, broken = core.queue.follow, [True]

    def failing(*args: Any, **kwargs: Any) -> None:
        if broken:
            raise Transient("the journal is damaged: the file is empty", hint="Put a copy back.")
        follow(*args, **kwargs)

    core.follow = failing  # type: ignore[method-assign]
    app = console(core)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: "Put a copy back." in screen_text(app))
        shown = screen_text(app)
        assert "The queue cannot be read. the journal is damaged: the file is empty" in shown
        assert "No transfers yet" not in shown
        assert "no transfers under way" not in shown
        broken.clear()
        await until(pilot, lambda: "No transfers yet" in screen_text(app))
        assert "no transfers under way" in screen_text(app)


async def test_a_job_that_is_not_as_planned_is_shown_until_it_is_dismissed():
    core = StandInCore()
    error = ErrorInfo("conflict", "3 files planned, 2 found when it began", "Look at what is there now.")
    core.jobs = [job(7, title="photos", broke_at=time.time(), error=error)]
    app = console(core)
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: "photos: 3 files planned, 2 found when it began" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: "3 files planned" not in screen_text(app))


async def test_a_notice_of_builds_is_shown_once() -> None:
    app = console(StandInCore())
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("3")
        for _ in range(2):
            app.bridge._deliver(msgspec.structs.replace(app.bridge.snapshot, notice="The worker is another build"))
        await until(pilot, lambda: len(app._notifications) > 0)
        assert [note.message for note in app._notifications] == ["The worker is another build"]
