"""The mode Providers: states, live checks, enabling, credentials, removing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from textual import events

from backup.model.credentials import StoreState, StoreStatus
from backup.model.instances import InstanceState
from providers.contract.report import ErrorInfo, StepName
from providers.errors import Conflict, Transient
from screens.browse import BrowseScreen
from tests.tui.scripted import (
    CHECKED_AT,
    KeyringGone,
    ScriptedCore,
    ScriptedQuestions,
    calls_of,
    failed,
    no_bucket,
    passed,
)
from tests.tui.standin import console, instance, screen_text, until
from tui.rows.places import RemotePlace

CANARY = "canary-5up3rs3cret"


async def sees(pilot: Any, *words: str) -> None:
    await until(pilot, lambda: all(word in screen_text(pilot.app) for word in words))


async def open_on_s3(pilot: Any, credentials: str = "in the credential store") -> None:
    await pilot.press("1")
    await sees(pilot, "Local disk", "AWS S3")
    await pilot.press("down")
    await sees(pilot, credentials)


@pytest.mark.parametrize("size", [(80, 24), (140, 42)])
async def test_states_have_a_sign_and_a_word(size: tuple[int, int]) -> None:
    core = ScriptedCore()
    trouble = ErrorInfo("configuration", "container: not set", "Set it.", "container")
    core.known_instances += [
        instance("minio", type="aws_s3", title="AWS S3", state=InstanceState.DISABLED, enabled=False),
        instance("half", type="aws_s3", title="AWS S3", state=InstanceState.INCOMPLETE, problem=trouble, container=""),
    ]
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=size) as pilot:
        await pilot.press("1")
        await sees(pilot, "● Local disk", "○ AWS S3  minio", "disabled · not check", "▲ AWS S3  half", "incomplete")
        await sees(pilot, "● ready · enabled", "no backup if on the same disk")
        await pilot.press("end")
        await sees(pilot, "container: not set", "→ Set it.", "not chosen yet")


async def test_services_without_an_instance_are_listed_and_can_be_set_up() -> None:
    core = ScriptedCore()
    core.known_instances = core.known_instances[:1]
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("1")
        await sees(pilot, "○ AWS S3", "not set up", "✖ Dropbox", "not usable: not inst")
        await pilot.press("down")
        await sees(pilot, "↵ sets it up")
        await pilot.press("enter")
        await sees(pilot, "Set up AWS S3", "2 settings")


async def test_a_check_is_live_and_recorded() -> None:
    core, questions = ScriptedCore(), ScriptedQuestions()
    questions.hold_after = StepName.AUTHENTICATE
    app = console(core, questions)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_on_s3(pilot)
        await sees(pilot, "none with these settings")
        await pilot.press("t")
        await sees(pilot, "✔ authenticate", "▸ container", "under way")
        await pilot.press("up")
        await until(pilot, lambda: "▸ container" not in screen_text(app))
        await pilot.press("down")
        await sees(pilot, "✔ authenticate", "▸ container")
        questions.release.set()
        await sees(pilot, "✔ write, read, delete", "✔ passed")
        assert calls_of(core, "record") == [("record", "aws_s3", True)]


async def test_a_failed_check_stays_and_says_why() -> None:
    core = ScriptedCore()
    app = console(core, ScriptedQuestions(no_bucket()))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_on_s3(pilot)
        await pilot.press("t")
        await sees(pilot, "✖ container", "The bucket does not exist", "✖ failed")
        await pilot.press("up", "down")
        await sees(pilot, "The bucket does not exist")
        assert calls_of(core, "record") == [("record", "aws_s3", False)]


async def test_the_steps_of_the_last_check_are_there_after_a_restart() -> None:
    core = ScriptedCore()
    report = no_bucket()
    core.known_instances[1] = msgspec.structs.replace(
        core.known_instances[1], checked_at=CHECKED_AT, check_ok=False, check_steps=report.steps
    )
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_on_s3(pilot)
        await sees(pilot, "▲ AWS S3", "✔ authenticate", "✖ container", "· list", "✖ The bucket does not exist")


async def test_a_check_that_cannot_be_asked_stays_too_and_esc_stops_one() -> None:
    questions = ScriptedQuestions(Transient("the child was lost"), passed())
    app = console(ScriptedCore(), questions)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_on_s3(pilot)
        await pilot.press("t")
        await sees(pilot, "the child was lost")
        questions.hold_after = StepName.REACH
        await pilot.press("t")
        await sees(pilot, "▸ authenticate", "esc stops it")
        await pilot.press("escape")
        await sees(pilot, "The check was stopped.")
        assert len(app.screen_stack) == 1


async def test_enabling_needs_a_passed_check_and_says_so() -> None:
    core = ScriptedCore()
    off = msgspec.structs.replace(core.known_instances[1], state=InstanceState.DISABLED, enabled=False)
    core.known_instances[1] = off
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_on_s3(pilot)
        await sees(pilot, "e enable")
        await pilot.press("e")
        await sees(pilot, "aws_s3 has not passed a check", "→ Check it first.", "esc dismisses")
        await pilot.press("escape")
        await until(pilot, lambda: "has not passed" not in screen_text(app))
        await pilot.press("t")
        await sees(pilot, "✔ passed")
        await pilot.press("e")
        await sees(pilot, "ready · enabled", "e disable")
        await pilot.press("e")
        await sees(pilot, "e enable")
        assert calls_of(core, "enable") == [("enable", "aws_s3", True), ("enable", "aws_s3", False)]


async def test_removing_asks_first_says_what_stays_and_preselects_cancel() -> None:
    core = ScriptedCore()
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_on_s3(pilot)
        await pilot.press("delete")
        await sees(pilot, "Remove aws_s3?", "every copy at photos", "nothing is deleted there")
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert calls_of(core, "remove") == []
        await pilot.press("delete")
        await sees(pilot, "Remove aws_s3?")
        await pilot.press("y")
        await until(pilot, lambda: calls_of(core, "remove") == [("remove", "aws_s3")])
        await until(pilot, lambda: app.bridge.instance("aws_s3") is None)


async def test_a_refused_removal_stays_on_the_screen() -> None:
    core = ScriptedCore()
    core.refusal = Conflict("aws_s3 has unfinished transfers", hint="Cancel them first.")
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_on_s3(pilot)
        await pilot.press("delete")
        await sees(pilot, "Remove aws_s3?")
        await pilot.press("y")
        await sees(pilot, "aws_s3 has unfinished transfers", "→ Cancel them first.")
        await pilot.press("up", "down")
        await sees(pilot, "unfinished transfers")


async def test_editing_opens_the_form_with_what_is_saved() -> None:
    core, questions = ScriptedCore(), ScriptedQuestions()
    settings = {"container": "photos", "region": "eu-central-1", "secret_key": "••••••"}
    core.known_instances[1] = msgspec.structs.replace(core.known_instances[1], settings=settings)
    app = console(core, questions)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_on_s3(pilot)
        await pilot.press("enter")
        await sees(pilot, "Change aws_s3", "eu-central-1", "set · leave empty to keep it")
        await pilot.press("end", *"2", "enter")
        await sees(pilot, "All five steps passed.")
        assert calls_of(questions, "probe_draft") == [("probe_draft", "aws_s3", {"container": "photos2"}, "aws_s3")]
        await pilot.press("enter")
        await sees(pilot, "The secret in the credential store stays as it is.")
        await pilot.press("enter")
        await sees(pilot, "aws_s3 is saved")
        assert calls_of(core, "save") == [("save", "aws_s3", "aws_s3", {"container": "photos2"}, True)]
        await pilot.press("escape")
        await sees(pilot, "✔ passed", "✔ write, read, delete")


async def test_browse_opens_the_instance_only_when_it_is_ready() -> None:
    core, questions = ScriptedCore(), ScriptedQuestions()
    app = console(core, questions)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_on_s3(pilot)
        await pilot.press("b")
        await until(pilot, lambda: app.current_mode == "browse")
        await until(pilot, lambda: ("list", "aws_s3", "", None) in questions.calls)


async def test_a_key_after_browse_acts_on_the_instance_that_opens() -> None:
    core = ScriptedCore()
    core.default = "local"
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_on_s3(pilot)
        for key in ("b", "tab"):
            app.post_message(events.Key(key, None))
        await until(pilot, lambda: app.current_mode == "browse")
        screen = app.screen
        assert isinstance(screen, BrowseScreen)
        assert isinstance(screen.remote.place, RemotePlace)
        assert screen.remote.place.instance == "aws_s3"
        await until(pilot, lambda: screen.local.has_focus_within)
        await pilot.pause()
        assert screen.local.has_focus_within


async def test_browse_of_a_disabled_instance_says_how_to_enable_it() -> None:
    core = ScriptedCore()
    off = msgspec.structs.replace(core.known_instances[1], state=InstanceState.DISABLED, enabled=False)
    core.known_instances[1] = off
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_on_s3(pilot)
        await pilot.press("b")
        await sees(pilot, "aws_s3 is disabled", "e enables it")
        assert app.current_mode == "providers"


async def test_credentials_go_to_the_store_and_nowhere_else() -> None:
    core = ScriptedCore()
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_on_s3(pilot)
        await pilot.press("c")
        await sees(pilot, "Credentials of aws_s3", "Access key id", "Secret access key", "Secret Service")
        assert "Bucket" not in screen_text(app)
        await pilot.press(*"AKIAY", "tab", *CANARY)
        assert CANARY not in screen_text(app)
        assert CANARY not in app.export_screenshot()
        await pilot.press("enter")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert core.calls == [("credentials", "aws_s3", "AKIAY", True, [])]


async def test_credentials_that_cannot_be_saved_show_the_reason_and_are_asked_again() -> None:
    core = ScriptedCore()
    core.store = StoreStatus(state=StoreState.LOCKED, backend="GNOME Keyring", hint="Unlock it first.")
    core.refusal = KeyringGone("the keyring is locked", hint="Unlock it, then try again.")
    app = console(core, ScriptedQuestions())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_on_s3(pilot, "▲ the keyring is locked · u opens")
        await sees(pilot, "keyring locked")
        await pilot.press("c")
        await sees(pilot, "▲ locked", "Unlock it first.")
        await pilot.press("tab", *CANARY, "enter")
        await sees(pilot, "the keyring is locked", "Nothing was saved")
        assert core.calls == []
        await pilot.press("escape")
        await until(pilot, lambda: "esc dismisses" not in screen_text(app))
        await pilot.press(*CANARY, "escape")
        await sees(pilot, "Close without saving?")
        await pilot.press("y")
        await until(pilot, lambda: len(app.screen_stack) == 1)


async def test_hostile_names_and_problems_are_drawn_as_plain_text() -> None:
    core = ScriptedCore()
    evil = "\x1b[2J[/]\u202e"
    problem = ErrorInfo("configuration", f"bad {evil}", evil, evil)
    core.known_instances[1] = instance(
        "aws_s3", title=evil, container=evil, state=InstanceState.INVALID, problem=problem, has_credentials=True,
        settings={"endpoint_url": evil, "region": evil},
    )  # fmt: skip
    app = console(core, ScriptedQuestions(failed(StepName.REACH, ErrorInfo("transient", evil, evil))))
    async with app.run_test(size=(140, 42)) as pilot:
        await pilot.press("1")
        await sees(pilot, r"\x1b[2J[/]\u202e")
        await pilot.press("down", "t")
        await sees(pilot, r"bad \x1b[2J[/]\u202e", "The service cannot be reached")
        await pilot.press("delete")
        await sees(pilot, "Remove aws_s3?")
        text = screen_text(app)
        assert not {"\x1b", "\u202e"} & set(text)
