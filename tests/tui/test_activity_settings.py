"""The modes Activity and Settings."""

from __future__ import annotations

import time
from typing import Any

from backup.model.credentials import StoreState, StoreStatus
from backup.model.transfers import ItemState, QueueTotals
from providers.contract.capabilities import Proof
from providers.contract.report import ErrorInfo
from providers.errors import InvalidConfiguration, Transient
from tests.tui.scripted import ScriptedCore, ScriptedQuestions, calls_of
from tests.tui.standin import console, instance, item, screen_text, until
from tui.rows.history import HistoryRows


async def sees(pilot: Any, *words: str) -> None:
    await until(pilot, lambda: all(word in screen_text(pilot.app) for word in words))


def ended(number: int, **changes: Any) -> Any:
    facts: dict[str, Any] = {"finished_at": time.time() - number, "sha256": "9f3c81" + "0" * 56 + "e1"}
    return item(number, ItemState.DONE, **(facts | {"proof": Proof.MATCHED, "bytes_done": 1000} | changes))


async def test_activity_shows_only_ended_items_with_proof_and_time() -> None:
    core = ScriptedCore()
    failure = ErrorInfo("quota", "507 full", "Make room.")
    core.items = [
        item(1, ItemState.RUNNING, name="going.bin"),
        item(2, ItemState.QUEUED, name="queued.bin"),
        ended(3, name="proved.tar"),
        item(4, ItemState.FAILED, name="evil\x1b[2J[/].log", finished_at=time.time(), error=failure),
    ]
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(140, 42)) as pilot:
        await pilot.press("4")
        await sees(pilot, "proved.tar", "sha-256 9f3c81…e1 agrees", "today", r"evil\x1b[2J[/].log", "2 of 2 ended")
        assert "going.bin" not in screen_text(app)
        assert "queued.bin" not in screen_text(app)
        await sees(pilot, "the service's checksum matches ours")
        await pilot.press("down")
        await sees(pilot, "507 full", "→ Make room.", "r retry")
        await pilot.press("r")
        await until(pilot, lambda: calls_of(core, "retry") == [("retry", [4])])


async def test_activity_says_when_there_is_nothing_and_follows_the_queue() -> None:
    core = ScriptedCore()
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        await sees(pilot, "Nothing has ended yet.")
        core.items = [ended(1, name="first.tar")]
        core.changed()
        await sees(pilot, "first.tar", "1 of 1 ended")
        await pilot.press("enter")
        await sees(pilot, "esc closes", "9f3c81" + "0" * 20)


async def test_activity_loads_more_when_the_cursor_comes_near_the_end() -> None:
    core = ScriptedCore()
    core.items = [ended(number) for number in range(1, 451)]
    core.totals = QueueTotals(verified=450)
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        await sees(pilot, "200 of 450 ended")
        await pilot.press("end")
        await sees(pilot, "400 of 450 ended")
        await pilot.press("end")
        await sees(pilot, "450 of 450 ended")


async def test_an_error_of_the_queue_stays_until_it_is_dismissed() -> None:
    core = ScriptedCore()

    def refuse(item_ids: Any, jobs: Any = ()) -> int:
        raise Transient("the journal is busy", hint="Try again.")

    core.retry = refuse  # type: ignore[method-assign]
    core.items = [item(1, ItemState.CANCELLED, finished_at=time.time())]
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        await sees(pilot, "r retry")
        await pilot.press("r")
        await sees(pilot, "the journal is busy", "→ Try again.", "esc dismisses")
        await pilot.press("escape")
        await until(pilot, lambda: "journal is busy" not in screen_text(app))


def test_history_leaves_out_items_that_moved_into_the_window() -> None:
    core = ScriptedCore()
    core.items = [item(1, ItemState.QUEUED), ended(2), ended(3)]
    rows = HistoryRows()
    rows.take([core.queue.snapshot(offset=0, limit=2), core.queue.snapshot(offset=1, limit=2)])
    assert [each.id for each in rows.items] == [2, 3]
    assert rows.total == 2
    assert rows.item(2) is None


# Settings


async def test_settings_say_where_things_are_and_what_the_store_does() -> None:
    app = console(ScriptedCore(), ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("5")
        await sees(pilot, "Secret Service", "✔ ready", "from a stolen copy", "not from root on this machine")
        await sees(pilot, "/srv/config_file", "/srv/state_dir", "/srv/logs_dir", "0.1.0")


async def test_an_unusable_store_is_shown_with_its_fix_and_asked_again() -> None:
    core = ScriptedCore()
    core.store = StoreStatus(state=StoreState.UNAVAILABLE, backend="", detail="no session bus", hint="Log in again.")
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("5")
        await sees(pilot, "✖ none available", "no session bus", "Log in again.")
        assert "from a stolen copy" not in screen_text(app)
        core.store = StoreStatus(state=StoreState.READY, backend="Secret Service")
        await pilot.press("k")
        await sees(pilot, "✔ ready")


async def test_the_bandwidth_limit_of_an_instance() -> None:
    core = ScriptedCore()
    core.known_instances[1] = instance("aws_s3", settings={"max_bandwidth": 2 * 2**20})
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("5")
        await sees(pilot, "at most 2.00 MiB/s", "no limit")
        await pilot.press("down", "enter")
        await sees(pilot, "Bandwidth of aws_s3", "2MiB")
        await pilot.press("ctrl+a", "ctrl+k", *"12", "enter")
        await sees(pilot, "must be at least 1024")
        await pilot.press("ctrl+a", "ctrl+k", *"500KiB", "enter")
        await until(pilot, lambda: calls_of(core, "bandwidth") == [("bandwidth", "aws_s3", 512000)])
        await until(pilot, lambda: len(app.screen_stack) == 1)
        await pilot.press("enter")
        await sees(pilot, "Bandwidth of aws_s3")
        await pilot.press("ctrl+a", "ctrl+k", "enter")
        await until(pilot, lambda: calls_of(core, "bandwidth")[-1] == ("bandwidth", "aws_s3", None))
        await until(pilot, lambda: len(app.screen_stack) == 1)
        await pilot.press("enter")
        await sees(pilot, "Bandwidth of aws_s3")
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert len(calls_of(core, "bandwidth")) == 2


async def test_a_refused_limit_and_a_broken_configuration_stay_on_the_screen() -> None:
    core = ScriptedCore()

    def refuse(name: str, bytes_per_s: int | None) -> None:
        raise InvalidConfiguration("config.json: line 3 is not JSON", hint="Repair it.")

    core.set_bandwidth = refuse  # type: ignore[method-assign]
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("5")
        await sees(pilot, "no limit")
        await pilot.press("enter")
        await sees(pilot, "Bandwidth of")
        await pilot.press(*"1MiB", "enter")
        await sees(pilot, "line 3 is not JSON", "→ Repair it.")
        await pilot.press("escape")
        await until(pilot, lambda: "line 3" not in screen_text(app))


async def test_how_long_the_history_is_kept() -> None:
    core = ScriptedCore()
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("5")
        await sees(pilot, "kept for 90 days")
        await pilot.press("h")
        await sees(pilot, "How long finished transfers stay", "Empty: 90 days.", " 90 ", "days")
        for wrong, words in (("0", "must be at least 1"), ("36501", "at most 36500"), ("x", "is not a whole number")):
            await pilot.press("ctrl+a", "ctrl+k", *wrong, "enter")
            await sees(pilot, words)
        await pilot.press("ctrl+a", "ctrl+k", *"30", "enter")
        await sees(pilot, "kept for 30 days")
        await pilot.press("h")
        await sees(pilot, "Keep for", " 30 ")
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        await pilot.press("h")
        await sees(pilot, "Keep for")
        await pilot.press("ctrl+a", "ctrl+k", "enter")
        await sees(pilot, "kept for 90 days")
        assert calls_of(core, "history") == [("history", "30"), ("history", "")]


async def test_a_refused_history_stays_on_the_screen() -> None:
    core = ScriptedCore()

    def refuse(text: str) -> int:
        raise InvalidConfiguration("config.json: line 3 is not JSON", hint="Repair it.")

    core.set_history_days = refuse  # type: ignore[method-assign]
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("5")
        await sees(pilot, "kept for 90 days")
        await pilot.press("h")
        await sees(pilot, "Keep for")
        await pilot.press("7", "enter")
        await sees(pilot, "line 3 is not JSON", "→ Repair it.", "kept for 90 days")


async def test_the_theme_changes() -> None:
    app = console(ScriptedCore(), ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("5")
        await sees(pilot, "homeserver-dark")
        await pilot.press("t")
        await sees(pilot, "homeserver-light")
        assert app.theme == "homeserver-light"
