"""The set-up flow: choose, fill in, check, keep, save. Nothing is stored before the end."""

from __future__ import annotations

from typing import Any

import pytest
from textual import events
from textual.widgets import Input

from backup.model.credentials import StoreState, StoreStatus
from providers.contract.report import ErrorInfo, StepName
from providers.errors import InvalidConfiguration, Transient
from screens.modals.setup.screen import SetupScreen
from tests.tui.scripted import (
    KeyringGone,
    ScriptedCore,
    ScriptedQuestions,
    calls_of,
    failed,
    no_bucket,
    passed,
)
from tests.tui.standin import console, screen_text, until
from tui.app import BackupConsole
from tui.widgets.field_row import FieldRow
from tui.widgets.settings_form import SettingsForm

CANARY = "canary-5up3rs3cret"
SIZES = [(80, 24), (140, 42)]


async def sees(pilot: Any, *words: str) -> None:
    await until(pilot, lambda: all(word in screen_text(pilot.app) for word in words))


async def open_s3_form(pilot: Any) -> None:
    await pilot.press("1")
    await sees(pilot, "set up")
    await pilot.press("s")
    await sees(pilot, "1 service", "Amazon S3")
    await pilot.press("down", "enter")
    await sees(pilot, "2 settings", "Bucket")
    await until(pilot, lambda: focused_field(pilot.app) == "container")


def focused_field(app: BackupConsole) -> str:
    row = app.focused.parent.parent if isinstance(app.focused, Input) and app.focused.parent else None
    return (row.id or "").removeprefix("field-") if row else ""


async def fill_in(pilot: Any) -> None:
    """Fill in as if typed; `test_the_secret_is_in_no_screenshot_text_or_repr` really types."""
    for name, text in (("container", "photos"), ("access_key", "AKIAX"), ("secret_key", CANARY)):
        control = pilot.app.screen.query_one(f"#field-{name}", FieldRow).control
        assert isinstance(control, Input)
        control.value = text
        control.cursor_position = len(text)
    await pilot.press("enter")


@pytest.mark.parametrize("size", SIZES)
async def test_the_whole_flow(size: tuple[int, int]) -> None:
    core, questions = ScriptedCore(), ScriptedQuestions()
    app = console(core, questions)
    async with app.run_test(size=size) as pilot:
        await open_s3_form(pilot)
        await fill_in(pilot)
        await sees(pilot, "All five steps passed.", "Nothing has been stored yet.")
        assert core.calls == []
        await pilot.press("enter")
        await sees(pilot, "4 secrets", "Secret Service", "from a stolen copy of your files")
        assert core.calls == []
        await pilot.press("enter")
        await sees(pilot, "aws_s3_2 is saved, checked and enabled.")
        values = {"container": "photos", "access_key": "AKIAX"}
        assert core.calls == [("save", "aws_s3_2", "aws_s3", values, True), ("record", "aws_s3_2", True)]
        assert core.secrets["aws_s3_2"]["secret_key"].reveal() == CANARY
        assert questions.asked_secrets == [{"secret_key": CANARY}]
        await until(pilot, lambda: app.bridge.instance("aws_s3_2") is not None)
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "browse")
        await until(pilot, lambda: ("list", "aws_s3_2", "", None) in questions.calls)


async def test_keys_typed_ahead_land_in_their_own_field() -> None:
    app = console(ScriptedCore(), ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_s3_form(pilot)
        for key in [*"photos", "tab", *"AKIAX", "tab", *CANARY]:
            app.post_message(events.Key(key, None if key == "tab" else key))
        await until(pilot, lambda: focused_field(app) == "secret_key")
        await sees(pilot, "•" * len(CANARY))
        form = app.screen.query_one(SettingsForm)
        assert form.values() == {"container": "photos", "access_key": "AKIAX"}
        assert form.take_secrets()["secret_key"].reveal() == CANARY


async def test_unavailable_services_are_listed_with_the_reason_and_cannot_be_chosen() -> None:
    app = console(ScriptedCore(), ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("1")
        await sees(pilot, "set up")
        await pilot.press("s")
        await sees(pilot, "Dropbox", "not usable here: not installed: dropbox")
        await pilot.press("end", "enter")
        await sees(pilot, "2 settings")
        assert "Dropbox" not in screen_text(app)


async def test_a_failed_check_says_why_and_is_repeated_after_an_edit_without_typing_the_secret_again() -> None:
    error = ErrorInfo("authentication", "\x1b[31mSignatureDoesNotMatch", "Check the secret key.")
    core = ScriptedCore()
    questions = ScriptedQuestions(failed(StepName.AUTHENTICATE, error), passed())
    app = console(core, questions)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_s3_form(pilot)
        await fill_in(pilot)
        await sees(pilot, "The key was not accepted", r"\x1b[31mSignatureDoesNotMatch", "→ Check the secret key.")
        await sees(pilot, "Nothing has been stored yet.")
        await pilot.press("enter")
        assert calls_of(core, "save") == []
        await pilot.press("b")
        await sees(pilot, "2 settings", "set · leave empty to keep it")
        await until(pilot, lambda: focused_field(app) == "container")
        await pilot.press("end", *"2", "enter")
        await sees(pilot, "All five steps passed.")
        assert questions.asked_secrets[-1] == {"secret_key": CANARY}
        assert calls_of(questions, "probe_draft")[-1][2]["container"] == "photos2"


async def test_check_again_with_r() -> None:
    down = failed(StepName.REACH, ErrorInfo("transient", "refused", "Check the network."))
    questions = ScriptedQuestions(down, passed())
    app = console(ScriptedCore(), questions)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_s3_form(pilot)
        await fill_in(pilot)
        await sees(pilot, "The service cannot be reached")
        await pilot.press("r")
        await sees(pilot, "All five steps passed.")
        assert len(calls_of(questions, "probe_draft")) == 2


async def test_steps_are_live_and_esc_while_checking_asks_before_leaving() -> None:
    questions = ScriptedQuestions()
    questions.hold_after = StepName.REACH
    core = ScriptedCore()
    app = console(core, questions)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_s3_form(pilot)
        await fill_in(pilot)
        await sees(pilot, "✔ reach", "▸ authenticate")
        await pilot.press("escape")
        await sees(pilot, "Cancel the set-up?", "What you typed is discarded")
        await pilot.press("escape")
        await sees(pilot, "▸ authenticate")
        questions.release.set()
        await sees(pilot, "All five steps passed.")
        await pilot.press("escape")
        await sees(pilot, "Cancel the set-up?")
        await pilot.press("y")
        await until(pilot, lambda: not isinstance(app.screen, SetupScreen) and len(app.screen_stack) == 1)
        assert core.calls == []


@pytest.mark.parametrize("passes", [True, False])
async def test_declining_to_cancel_keeps_the_input(passes: bool) -> None:
    down = failed(StepName.REACH, ErrorInfo("transient", "refused", "Check the network."))
    app = console(ScriptedCore(), ScriptedQuestions(passed() if passes else down))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_s3_form(pilot)
        await fill_in(pilot)
        await sees(pilot, "All five steps passed." if passes else "b goes back")
        await pilot.press("escape")
        await sees(pilot, "Cancel the set-up?")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))
        assert app.focused is None
        await pilot.press("enter")
        await sees(pilot, "4 secrets" if passes else "3 check", "Secret Service" if passes else "b goes back")
        await pilot.press("b")
        await sees(pilot, "photos", "AKIAX")


async def test_back_while_checking_stops_the_check() -> None:
    questions = ScriptedQuestions()
    questions.hold_after = StepName.REACH
    app = console(ScriptedCore(), questions)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_s3_form(pilot)
        await fill_in(pilot)
        await sees(pilot, "▸ authenticate")
        await pilot.press("b")
        await sees(pilot, "2 settings")
        questions.hold_after = None
        await pilot.press("enter")
        await sees(pilot, "All five steps passed.")


async def test_esc_leaves_at_once_when_nothing_was_typed() -> None:
    app = console(ScriptedCore(), ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_s3_form(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)


async def test_a_missing_bucket_can_be_created() -> None:
    questions = ScriptedQuestions(no_bucket(), passed())
    app = console(ScriptedCore(), questions)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_s3_form(pilot)
        await fill_in(pilot)
        await sees(pilot, "The bucket does not exist", "c creates the bucket")
        await pilot.press("c")
        await sees(pilot, "All five steps passed.")
        assert calls_of(questions, "create_draft_container") == [("create_draft_container", "photos")]


async def test_another_bucket_can_be_chosen_and_hostile_names_cannot() -> None:
    questions = ScriptedQuestions(no_bucket(), passed())
    questions.known_containers = ["evil\x1b[2J", "[/]", "attic"]
    app = console(ScriptedCore(), questions)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_s3_form(pilot)
        await fill_in(pilot)
        await sees(pilot, "The bucket does not exist")
        await pilot.press("l")
        await sees(pilot, r"evil\x1b[2J", "[/]", "attic")
        await pilot.press("end", "enter")
        await sees(pilot, "All five steps passed.")
        assert calls_of(questions, "probe_draft")[-1][2]["container"] == "attic"


async def test_a_setting_that_the_check_refuses_is_shown_at_its_field() -> None:
    questions = ScriptedQuestions(InvalidConfiguration("endpoint_url: not an address", field="endpoint_url"))
    app = console(ScriptedCore(), questions)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_s3_form(pilot)
        await fill_in(pilot)
        await sees(pilot, "2 settings", "not an address")
        await until(pilot, lambda: focused_field(app) == "endpoint_url")


async def test_an_error_while_asking_the_store_stays_on_the_screen() -> None:
    app = console(ScriptedCore(), ScriptedQuestions(Transient("the child was lost", hint="Try again.")))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_s3_form(pilot)
        await fill_in(pilot)
        await sees(pilot, "the child was lost", "→ Try again.", "Nothing has been stored yet.")


async def test_without_a_usable_store_nothing_is_saved_and_the_fix_is_shown() -> None:
    core = ScriptedCore()
    core.known_instances.pop()
    core.store = StoreStatus(state=StoreState.LOCKED, backend="GNOME Keyring", hint="Unlock it, then refresh.")
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_s3_form(pilot)
        await fill_in(pilot)
        await sees(pilot, "All five steps passed.")
        await pilot.press("enter")
        await sees(pilot, "The secret cannot be stored now", "locked", "Unlock it, then refresh.", "Nothing is saved")
        await pilot.press("enter")
        assert core.calls == []
        core.store = StoreStatus(state=StoreState.READY, backend="GNOME Keyring")
        await pilot.press("r")
        await sees(pilot, "The secret goes to the keyring")
        await pilot.press("enter")
        await sees(pilot, "is saved, checked and enabled")


async def test_a_store_that_fails_while_saving_shows_a_lasting_error() -> None:
    core = ScriptedCore()
    core.refusal = KeyringGone("the keyring went away", hint="Log in again.")
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_s3_form(pilot)
        await fill_in(pilot)
        await sees(pilot, "All five steps passed.")
        await pilot.press("enter")
        await sees(pilot, "The secret goes to the keyring")
        await pilot.press("enter")
        await sees(pilot, "the keyring went away", "→ Log in again.", "Nothing has been saved.")
        assert calls_of(core, "save") == []
        await pilot.press("r")
        await sees(pilot, "The secret goes to the keyring")
        await pilot.press("enter")
        await sees(pilot, "is saved, checked and enabled")
        assert core.secrets["aws_s3_2"]["secret_key"].reveal() == CANARY


async def test_keys_from_the_sdks_own_chain_need_no_store() -> None:
    core = ScriptedCore()
    core.store = StoreStatus(state=StoreState.UNAVAILABLE, backend="")
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_s3_form(pilot)
        await pilot.press(*"photos", "enter")
        await sees(pilot, "All five steps passed.")
        await pilot.press("enter")
        await sees(pilot, "There is no secret to store.")
        await pilot.press("enter")
        await sees(pilot, "is saved, checked and enabled")
        assert calls_of(core, "save") == [("save", "aws_s3_2", "aws_s3", {"container": "photos"}, True)]


async def test_the_secret_is_in_no_screenshot_text_or_repr() -> None:
    core, questions = ScriptedCore(), ScriptedQuestions()
    app = console(core, questions)
    seen: list[str] = []

    def look() -> None:
        seen.extend([screen_text(app), app.export_screenshot(), repr(app.screen), repr(vars(app.screen))])
        if isinstance(app.screen, SetupScreen) and app.screen._draft is not None:
            seen.append(repr(app.screen._draft))

    async with app.run_test(size=(140, 42)) as pilot:
        await open_s3_form(pilot)
        await pilot.press(*"photos", "tab", *"AKIAX", "tab", *CANARY)
        look()
        await pilot.press("enter")
        await sees(pilot, "All five steps passed.")
        look()
        await pilot.press("enter")
        await sees(pilot, "The secret goes to the keyring")
        look()
        await pilot.press("enter")
        await sees(pilot, "is saved")
        look()
        assert app.clipboard == ""
    assert len(seen) >= 16
    assert all(CANARY not in text for text in seen)
