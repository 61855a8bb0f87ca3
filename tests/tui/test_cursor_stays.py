"""The cursor stays on its row in every list when rows change: a key must never act on another row."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from backup.model.credentials import CredentialFact, CredentialState, StoreState
from backup.model.instances import InstanceInfo, ServiceInfo
from backup.model.transfers import ItemKind, ItemState, LocalEntry, QueueTotals
from screens.activity import ActivityScreen
from screens.browse import BrowseScreen
from screens.transfers import TransfersScreen
from tests.tui.scripted import ScriptedCore, ScriptedQuestions, calls_of
from tests.tui.scripted_store import StoreScript
from tests.tui.standin import StandInCore, StandInQuestions, console, instance, item, screen_text, until
from tui.rows.files import FileRow, FileRows, SortBy
from tui.rows.transfers import TransferRows
from tui.widgets.instance_list import InstanceList
from tui.widgets.line_table import LineTable

SERVICES = [ServiceInfo(name=name, title=name, summary="") for name in ("aws_s3", "backblaze", "local")]
LOCAL = instance("local")
S3 = instance("aws_s3")
SECOND_S3 = instance("photos", type="aws_s3")


async def sees(pilot: Any, *words: str) -> None:
    await until(pilot, lambda: all(word in screen_text(pilot.app) for word in words))


@contextlib.asynccontextmanager
async def transfers(count: int) -> AsyncIterator[tuple[StandInCore, Pilot[None], TransfersScreen]]:
    """The screen Transfers with `count` waiting items."""
    core = StandInCore()
    core.items = [item(number) for number in range(1, count + 1)]
    app = console(core)
    async with app.run_test(size=(140, 42)) as pilot:
        await pilot.press("3")
        await sees(pilot, f"{count} queued")
        assert isinstance(app.screen, TransfersScreen)
        yield core, pilot, app.screen


async def arrives(core: StandInCore, pilot: Pilot[None], number: int) -> None:
    """Add one more item before all others."""
    core.items = [item(number), *core.items]
    core.changed()
    await sees(pilot, f"{len(core.items)} queued")


# Providers


class ListApp(App[None]):
    def compose(self) -> ComposeResult:
        yield InstanceList()


@pytest.mark.parametrize("known", [[LOCAL, S3], [S3, LOCAL]])
async def test_a_new_provider_gets_the_cursor_once_it_is_listed(known: list[InstanceInfo]) -> None:
    app = ListApp()
    async with app.run_test():
        listing = app.query_one(InstanceList)
        listing.show([LOCAL], SERVICES)
        listing.choose("service:aws_s3")
        listing.choose("aws_s3")  # it was saved; the list has not been read again yet
        listing.show([LOCAL], SERVICES)
        assert listing.service == "aws_s3"
        listing.show(known, SERVICES)
        assert listing.instance == "aws_s3"


async def test_a_provider_that_appears_late_does_not_take_the_cursor_from_a_row_chosen_since() -> None:
    app = ListApp()
    async with app.run_test() as pilot:
        listing = app.query_one(InstanceList)
        listing.show([LOCAL], SERVICES)
        listing.focus()
        listing.choose("aws_s3")
        await pilot.press("end")
        assert listing.service == "backblaze"
        listing.show([S3, LOCAL], SERVICES)
        assert listing.service == "backblaze"


async def test_the_cursor_stays_when_a_service_is_set_up_or_removed_elsewhere() -> None:
    app = ListApp()
    async with app.run_test():
        listing = app.query_one(InstanceList)
        listing.show([LOCAL], SERVICES)
        listing.choose("service:aws_s3")
        listing.show([SECOND_S3, LOCAL], SERVICES)
        assert listing.instance == "photos"
        listing.show([LOCAL], SERVICES)
        assert listing.service == "aws_s3"


async def test_delete_after_an_instance_arrived_asks_for_the_one_that_was_under_the_cursor() -> None:
    core = ScriptedCore()
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("1")
        await sees(pilot, "Local disk", "AWS S3")
        await pilot.press("down")
        await sees(pilot, "in the credential store")
        core.known_instances.insert(0, instance("older", title="Older"))
        app.bridge.instances_changed()
        await sees(pilot, "Older")
        await pilot.press("delete")
        await sees(pilot, "Remove aws_s3?")


# Credentials


def kept(key: str) -> CredentialFact:
    return CredentialFact(key=key, instances=(key,), state=CredentialState.SET)


async def test_the_cursor_stays_on_its_credential() -> None:
    core = StoreScript(vault=StoreState.READY)
    core.known_credentials = [kept("b"), kept("c")]
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await sees(pilot, "services ready")
        await pilot.press("5", "c")
        await sees(pilot, "2 credentials")
        core.known_credentials = [kept("a"), kept("b"), kept("c")]
        app.bridge.instances_changed()
        await sees(pilot, "3 credentials")
        await pilot.press("delete")
        await sees(pilot, "Delete b?")


# Transfers and Activity


async def test_a_transfer_keeps_a_moved_cursor_even_as_the_first() -> None:
    async with transfers(5) as (core, pilot, _):
        await pilot.press("down", "up")
        await arrives(core, pilot, 9)
        await pilot.press("p")
        await until(pilot, lambda: ("pause", [1]) in core.calls)


async def test_a_live_list_shows_its_top_until_the_cursor_is_moved() -> None:
    async with transfers(5) as (core, pilot, screen):
        await arrives(core, pilot, 9)
        await until(pilot, lambda: screen.lower.border_title == "file-9.bin")
        await pilot.press("down", "home")
        await arrives(core, pilot, 10)
        await until(pilot, lambda: screen.lower.border_title == "file-10.bin")


async def test_space_marks_the_transfer_under_the_cursor_at_the_time_of_the_press() -> None:
    async with transfers(5) as (core, pilot, screen):
        event = LineTable.MarkToggled(screen.table, 1)  # posted before, handled after the rows have moved
        await arrives(core, pilot, 9)
        screen.post_message(event)
        await sees(pilot, "1 selected")
        assert screen._rows.marked == {2}


async def test_the_cursor_returns_to_a_transfer_whose_window_is_reloaded() -> None:
    async with transfers(500) as (core, pilot, screen):
        await pilot.press("end")
        await until(pilot, lambda: screen.lower.border_title == "file-500.bin")
        await pilot.press("up")
        await arrives(core, pilot, 900)
        await until(pilot, lambda: screen.table.cursor == 499)
        await until(pilot, lambda: screen.lower.border_title == "file-499.bin")


async def test_the_cursor_stays_on_an_ended_item() -> None:
    core = ScriptedCore()
    core.items = [item(number, ItemState.FAILED, finished_at=1.7e9) for number in (1, 2, 3)]
    core.totals = QueueTotals(failed=3)
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        await sees(pilot, "3 of 3 ended")
        assert isinstance(app.screen, ActivityScreen)
        await pilot.press("down", "up")
        core.items = [item(9, ItemState.FAILED, finished_at=1.7e9), *core.items]
        core.totals = QueueTotals(failed=4)
        core.changed()
        await sees(pilot, "4 of 4 ended")
        await pilot.press("r")
        await until(pilot, lambda: bool(calls_of(core, "retry")))
        assert calls_of(core, "retry") == [("retry", [1])]


def test_transfers_are_found_by_their_id() -> None:
    core = StandInCore()
    core.items = [item(3), item(1)]
    rows = TransferRows()
    rows.take(core.queue.snapshot(), 0)
    assert [rows.key(0), rows.key(1), rows.key(2)] == [3, 1, None]
    assert [rows.row_of(3), rows.row_of(2)] == [0, None]


# Browse


@pytest.fixture
def stored() -> StandInQuestions:
    questions = StandInQuestions()
    questions.objects = {"local": {}, "aws_s3": {f"{number:04}": number + 1 for number in range(1500)}}
    return questions


@pytest.fixture
def browsed(monkeypatch: pytest.MonkeyPatch) -> StandInCore:
    monkeypatch.setenv("HOME", "/home/me")
    core = StandInCore()
    core.folders["/home/me"] = [LocalEntry(name="a", kind=ItemKind.FILE, size_bytes=1, modified_at=1.0)]
    return core


async def test_a_page_that_sorts_before_the_cursor_does_not_move_it(
    browsed: StandInCore, stored: StandInQuestions
) -> None:
    app = console(browsed, stored)
    async with app.run_test(size=(140, 42)) as pilot:
        await sees(pilot, "0000")
        screen = app.screen
        assert isinstance(screen, BrowseScreen)
        await until(pilot, lambda: len(screen.remote.listing.entries) == 1000)
        stored.gate = threading.Event()
        await pilot.press("tab", "o")
        await until(pilot, lambda: screen.remote.listing.order is SortBy.SIZE)
        await sees(pilot, "loading")
        chosen = screen.remote.chosen[0].name
        assert len(screen.remote.listing.entries) == 1000
        stored.gate.set()
        await until(pilot, lambda: len(screen.remote.listing.entries) == 1500)
        await pilot.pause()
        assert screen.remote.chosen[0].name == chosen


async def test_an_answer_does_not_bring_back_a_cursor_that_has_moved_on(
    browsed: StandInCore, stored: StandInQuestions
) -> None:
    stored.objects = {"local": {}, "aws_s3": {"a": 1, "b": 1, "c": 1}}
    app = console(browsed, stored)
    async with app.run_test(size=(140, 42)) as pilot:
        screen = app.screen
        assert isinstance(screen, BrowseScreen)
        await until(pilot, lambda: len(screen.remote.listing.entries) == 3)
        stored.gate = threading.Event()
        await pilot.press("tab", "r")
        await sees(pilot, "loading")
        await pilot.press("end")
        stored.objects = {"local": {}, "aws_s3": {"0": 1, "a": 1, "b": 1, "c": 1}}
        stored.gate.set()
        await until(pilot, lambda: len(screen.remote.listing.entries) == 4)
        assert screen.remote.chosen[0].name == "c"


async def test_the_cursor_stays_near_an_entry_that_is_gone(browsed: StandInCore, stored: StandInQuestions) -> None:
    stored.objects = {"local": {}, "aws_s3": {"a": 1, "b": 1, "c": 1}}
    app = console(browsed, stored)
    async with app.run_test(size=(140, 42)) as pilot:
        screen = app.screen
        assert isinstance(screen, BrowseScreen)
        await until(pilot, lambda: len(screen.remote.listing.entries) == 3)
        await pilot.press("tab", "end")
        stored.objects = {"local": {}, "aws_s3": {"a": 1, "b": 1}}
        await pilot.press("r")
        await until(pilot, lambda: len(screen.remote.listing.entries) == 2)
        assert screen.remote.chosen[0].name == "b"


def test_the_row_of_the_parent_folder_is_no_entry_of_that_name() -> None:
    listing = FileRows(has_parent=True, now=0.0)
    listing.add([FileRow("../", ItemKind.DIRECTORY), FileRow("a", ItemKind.FILE)], None)
    assert [listing.key(0), listing.key(1), listing.key(2), listing.key(3)] == ["", "../", "a", None]
    assert [listing.row_of(""), listing.row_of("../"), listing.row_of("b")] == [0, 1, None]
