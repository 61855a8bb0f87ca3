"""The five steps of a check, and the text below them."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult

from providers.contract.report import CheckStep, ErrorInfo, StepName, StepState
from tests.tui.scripted import failed, no_bucket, passed
from tests.tui.standin import screen_text, until
from tui.theme import THEMES
from tui.widgets.check_steps import CheckSteps, explain


class StepsApp(App[None]):
    def __init__(self) -> None:
        super().__init__()
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = THEMES[0].name

    def compose(self) -> ComposeResult:
        yield CheckSteps(container_word="bucket")


async def test_steps_arrive_one_by_one() -> None:
    app = StepsApp()
    async with app.run_test(size=(80, 24)) as pilot:
        steps = app.query_one(CheckSteps)
        steps.begin()
        await until(pilot, lambda: "▸ reach" in screen_text(app))
        steps.tell(CheckStep(name=StepName.REACH, state=StepState.OK, detail="s3.example.net", elapsed_s=0.048))
        await until(pilot, lambda: "▸ authenticate" in screen_text(app))
        first = screen_text(app).splitlines()[0]
        assert first.startswith("✔ reach")
        assert "s3.example.net" in first
        assert first.endswith("48 ms")
        assert "· write, read, delete" in screen_text(app)


async def test_a_passed_check_says_so_and_a_late_step_changes_nothing() -> None:
    app = StepsApp()
    async with app.run_test(size=(80, 24)) as pilot:
        steps = app.query_one(CheckSteps)
        steps.begin()
        steps.tell(passed().steps[0])
        steps.finish(passed())
        await until(pilot, lambda: "All five steps passed." in screen_text(app))
        assert screen_text(app).count("✔") == 5
        assert "▸" not in screen_text(app)


async def test_a_failure_says_what_happened_why_and_how_to_fix_it() -> None:
    app = StepsApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.query_one(CheckSteps).finish(no_bucket())
        await until(pilot, lambda: "→ Check the name." in screen_text(app))
        text = screen_text(app)
        assert "The bucket does not exist" in text
        assert "✖ container" in text
        assert "there is no bucket 'photos'" in text
        assert "· list" in text


async def test_hostile_server_messages_are_shown_escaped() -> None:
    hostile = "\x1b]52;c;aGk=\x07 \x1b[2J [bold red]x[/] [/] \u202e\x9b31m\n\ud800"
    error = ErrorInfo("permission", hostile, hostile, hostile)
    app = StepsApp()
    async with app.run_test(size=(140, 42)) as pilot:
        steps = app.query_one(CheckSteps)
        steps.finish(failed(StepName.LIST, error))
        await until(pilot, lambda: "may not list" in screen_text(app))
        steps.begin()
        steps.tell(CheckStep(name=StepName.REACH, state=StepState.OK, detail=hostile))
        await until(pilot, lambda: "✔ reach" in screen_text(app))
        text = screen_text(app)
        assert r"\x1b]52;c;aGk=" in text
        assert not {"\x1b", "\x07", "\x9b", "\u202e", "\ud800"} & set(text)


async def test_narrow_steps_keep_names_signs_and_times() -> None:
    app = StepsApp()
    async with app.run_test(size=(36, 12)) as pilot:
        app.query_one(CheckSteps).show(passed())
        await until(pilot, lambda: "✔ write, read, delete" in screen_text(app))
        assert screen_text(app).splitlines()[4].endswith("50 ms")


@pytest.mark.parametrize(
    ("kind", "step", "words"),
    [
        ("authentication", StepName.AUTHENTICATE, "The key was not accepted"),
        ("transient", StepName.REACH, "The service cannot be reached"),
        ("not_found", StepName.CONTAINER, "The bucket does not exist"),
        ("permission", StepName.CONTAINER, "may not use this bucket"),
        ("permission", StepName.WRITE_READ_DELETE, "may not write, read or delete"),
        ("quota", StepName.WRITE_READ_DELETE, "No space left"),
    ],
)
def test_each_cause_looks_different(kind: str, step: StepName, words: str) -> None:
    shown = explain(ErrorInfo(kind, "why", "fix"), step, container_word="bucket").plain
    assert words in shown
    assert shown.endswith("why\n→ fix")
