"""Forms made from the settings of real services; masked secrets."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import pytest
from textual import events, on
from textual.app import App, ComposeResult
from textual.widgets import Collapsible, Input, Select, Static

from providers import registry
from providers.secret import MASK
from providers.settings import FieldKind, SettingField, describe, parse_text
from tests.tui.standin import screen_text
from tui.theme import THEMES
from tui.widgets.field_row import KEEP, FieldRow, OnOff, problem_of, value_text
from tui.widgets.secret_input import SecretInput
from tui.widgets.settings_form import SettingsForm

CANARY = "canary-5up3rs3cret"


def fields_of(service: str) -> tuple[SettingField, ...]:
    cls = registry.spec(service).settings
    assert cls is not None
    return describe(cls)


class FormApp(App[None]):
    def __init__(self, service: str, values: dict[str, Any] | None = None, **options: Any) -> None:
        super().__init__()
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = THEMES[0].name
        self._make = partial(SettingsForm, fields_of(service), values, **options)
        self.heard: list[object] = []

    def compose(self) -> ComposeResult:
        yield self._make()

    @property
    def form(self) -> SettingsForm:
        return self.query_one(SettingsForm)

    def on_settings_form_submitted(self) -> None:
        self.heard.append("submitted")

    def row(self, name: str) -> FieldRow:
        return self.query_one(f"#field-{name}", FieldRow)

    def input(self, name: str) -> Input:
        control = self.row(name).control
        assert isinstance(control, Input)
        return control


@pytest.mark.parametrize("service", ["local", "aws_s3"])
async def test_every_field_of_a_service_is_asked_for_except_enabled(service: str) -> None:
    app = FormApp(service, name=service)
    async with app.run_test(size=(80, 24)):
        asked = {row.spec.name for row in app.query(FieldRow)}
        assert asked == {field.name for field in fields_of(service)} - {"enabled"} | {"instance-name"}


async def test_advanced_fields_are_folded_away_and_a_problem_unfolds_them() -> None:
    app = FormApp("aws_s3", name="aws_s3")
    async with app.run_test(size=(80, 24)) as pilot:
        assert "Retries" not in screen_text(app)
        assert "advanced · 16 settings" in screen_text(app)
        app.input("container").value = "photos"
        app.input("max_retries").value = "99"
        assert not app.form.check()
        await pilot.pause()
        await pilot.pause()
        assert not app.query_one(Collapsible).collapsed
        assert "must be at most 20" in screen_text(app)
        assert app.focused is app.input("max_retries")


async def test_kinds_get_their_controls_and_defaults() -> None:
    app = FormApp("aws_s3", name="aws_s3")
    async with app.run_test(size=(80, 24)):
        assert isinstance(app.row("encryption_enabled").control, OnOff)
        assert isinstance(app.row("addressing_style").control, Select)
        assert isinstance(app.row("secret_key").control, SecretInput)
        assert app.input("upload_chunk_size").value == "100MiB"
        assert app.input("timeout").value == "300"
        assert app.form.values() == {}


async def test_help_shows_below_the_field_in_focus_only() -> None:
    app = FormApp("aws_s3", name="aws_s3")
    async with app.run_test(size=(80, 24)) as pilot:
        app.form.focus_first()
        await pilot.pause()
        await pilot.pause()
        assert app.focused is app.input("container")
        assert "Name of the bucket" in screen_text(app)
        assert "Where the bucket lives" not in screen_text(app)


async def test_the_form_returns_only_changed_values() -> None:
    app = FormApp("aws_s3", {"container": "photos", "region": "eu-central-1", "max_retries": 7}, name="x", new=False)
    async with app.run_test(size=(80, 24)) as pilot:
        assert [row.spec.name for row in app.query(FieldRow) if row.edited] == []
        app.input("region").value = ""
        app.input("max_bandwidth").value = "2MiB"
        toggle = app.row("encryption_enabled").control
        assert isinstance(toggle, OnOff)
        toggle.toggle()
        await pilot.pause()
        assert app.form.edited
        assert app.form.values() == {"region": "", "max_bandwidth": "2MiB", "encryption_enabled": "true"}


async def test_complains_on_leaving_a_field_and_forgives_while_typing() -> None:
    app = FormApp("aws_s3", name="aws_s3")
    async with app.run_test(size=(80, 24)) as pilot:
        app.query_one(Collapsible).collapsed = False
        app.input("timeout").focus()
        await pilot.press("end", "x")
        assert not app.row("timeout").has_class("-invalid")
        await pilot.press("tab")
        await pilot.pause()
        assert app.row("timeout").has_class("-invalid")
        await pilot.press("shift+tab", "end", "backspace")
        await pilot.pause()
        assert not app.row("timeout").has_class("-invalid")


@pytest.mark.few(2)
@pytest.mark.parametrize("name", ["", "-x", "with space", "ä", "a" * 65, "taken"])
async def test_an_invalid_name_is_refused_at_its_field(name: str) -> None:
    app = FormApp("local", name=name, taken={"taken"})
    async with app.run_test(size=(80, 24)) as pilot:
        app.input("container").value = "/mnt/disk"
        assert not app.form.check()
        assert app.row("instance-name").has_class("-invalid")
        app.input("instance-name").value = "good.name-1"
        await pilot.pause()
        assert app.form.check()
        assert app.form.instance_name == "good.name-1"


async def test_required_field_and_enter() -> None:
    app = FormApp("local", name="local_2")
    async with app.run_test(size=(80, 24)) as pilot:
        assert not app.form.check()
        assert "must not be empty" in str(app.row("container").query_one(".note", Static).content)
        app.input("container").focus()
        await pilot.press(*"/mnt", "enter")
        await pilot.pause()
        assert app.heard == ["submitted"]
        assert app.form.check()


async def test_a_problem_found_elsewhere_is_shown_at_its_field_as_plain_text() -> None:
    app = FormApp("local", name="local_2")
    async with app.run_test(size=(80, 24)) as pilot:
        assert not app.form.has_field("nothing")
        app.form.show_problem("container", "no \x1b[2J [bold]such[/] \u202e folder")
        await pilot.pause()
        await pilot.pause()
        assert r"no \x1b[2J [bold]such[/] \u202e folder" in screen_text(app)


@pytest.mark.parametrize("service", ["local", "aws_s3"])
def test_every_default_survives_the_form(service: str) -> None:
    for field in fields_of(service):
        text = value_text(field, field.default)
        if field.secret or (field.required and not text):
            continue
        assert parse_text(field, text) == field.default, field.name
        assert problem_of(field, text) == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [("1KiB", "at least 65536"), ("6GiB", "at most 5368709120"), ("much", "is not a size. Write"), ("64KiB", "")],
)
def test_sizes_are_checked_with_their_limits(text: str, problem: str) -> None:
    field = next(each for each in fields_of("aws_s3") if each.name == "upload_chunk_size")
    assert problem in problem_of(field, text)
    assert bool(problem) == bool(problem_of(field, text))


# Secrets


async def test_a_secret_is_masked_taken_once_and_shown_as_set() -> None:
    app = FormApp("aws_s3", {"secret_key": MASK}, name="x", new=False)
    async with app.run_test(size=(80, 24)) as pilot:
        field = app.input("secret_key")
        assert field.placeholder == KEEP
        field.focus()
        await pilot.press(*CANARY)
        await pilot.pause()
        assert CANARY not in screen_text(app)
        assert CANARY not in app.export_screenshot()
        assert "secret_key" not in app.form.values()
        assert app.form.edited
        taken = app.form.take_secrets()
        assert taken["secret_key"].reveal() == CANARY
        assert field.value == ""
        assert app.form.take_secrets() == {}


async def test_a_secret_that_was_not_saved_is_not_shown_as_set() -> None:
    app = FormApp("aws_s3", name="x")
    async with app.run_test(size=(80, 24)):
        app.input("secret_key").value = CANARY
        app.form.take_secrets()
        assert app.input("secret_key").placeholder == KEEP
        app.form.forget_secrets()
        assert app.input("secret_key").placeholder == ""


class SecretApp(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def compose(self) -> ComposeResult:
        yield SecretInput()

    @on(Input.Changed)
    @on(Input.Submitted)
    @on(Input.Blurred)
    def hear(self, event: Input.Changed) -> None:
        self.heard += [repr(event), str(event), event.value, repr(event.input)]


async def test_no_message_of_a_secret_input_holds_its_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    app = SecretApp()
    async with app.run_test() as pilot:
        field = app.query_one(SecretInput)
        field.focus()
        await pilot.press(*CANARY, "enter")
        app.set_focus(None)
        await pilot.pause()
        assert len(app.heard) >= 4 * (len(CANARY) + 2)
        heard = "\n".join(app.heard) + caplog.text
        assert CANARY not in heard
        assert CANARY[:5] not in heard
        assert field.filled


@pytest.mark.few(2)
@pytest.mark.parametrize("key", ["ctrl+c", "ctrl+x", "super+c"])
async def test_copying_and_cutting_put_nothing_into_the_clipboard(key: str) -> None:
    app = SecretApp()
    async with app.run_test() as pilot:
        field = app.query_one(SecretInput)
        field.focus()
        await pilot.press(*CANARY, "shift+home", key)
        await pilot.pause()
        assert app.clipboard == ""
        assert field.value == CANARY
        field.select_all()
        field.action_copy()
        field.action_cut()
        assert app.clipboard == ""
        assert field.take().reveal() == CANARY


async def test_pasting_works_and_takes_the_first_line() -> None:
    app = SecretApp()
    async with app.run_test() as pilot:
        field = app.query_one(SecretInput)
        field.focus()
        field.post_message(events.Paste(f"{CANARY}\nrest"))
        await pilot.pause()
        secret = field.take()
        assert secret.reveal() == CANARY
        assert CANARY not in repr(secret)
        assert field.value == ""


class HostileApp(FormApp):
    def __init__(self) -> None:
        super().__init__("local")

    def compose(self) -> ComposeResult:
        yield FieldRow(
            SettingField(
                name="x", kind=FieldKind.CHOICE, label="[/]", help="[b]x[/] \x1b[2J", placeholder="", unit="[/x]",
                required=False, advanced=False, optional=False, default="", choices=("[red]", "\x9b1m"),
            ),
            "",
        )  # fmt: skip


async def test_text_of_a_plug_in_is_drawn_as_plain_text() -> None:
    app = HostileApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.query_one(FieldRow).control.focus()
        await pilot.press("enter")
        await pilot.pause()
        await pilot.pause()
        text = screen_text(app)
        assert "[/]" in text
        assert r"\x9b1m" in text
        assert "\x9b" not in text
        assert "\x1b" not in text
