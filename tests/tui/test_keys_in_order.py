"""Keys that arrive in one read have the same effect as one by one."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import ClassVar

import pytest
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.keys import _character_to_key
from textual.message import Message
from textual.widgets import Input

from tests.terminal.terminal import Terminal
from tests.tui.standin import until
from tui.terminal.keys_in_order import KeysInOrder
from tui.widgets.secret_input import SecretInput


class Form(KeysInOrder):
    """Two fields, nested as deep as in the real forms."""

    def __init__(self) -> None:
        super().__init__()
        self.submitted: list[str] = []

    def compose(self) -> ComposeResult:
        with Vertical(), Vertical(), Vertical():
            yield Input(id="name")
            yield SecretInput(id="secret")

    @property
    def typed(self) -> tuple[str, str]:
        return self.query_one("#name", Input).value, self.query_one("#secret", Input).value

    def on_secret_input_submitted(self, event: SecretInput.Submitted) -> None:
        self.submitted.append(event.input.id or "")


NAMED = {"\x15": "ctrl+u", "\x7f": "backspace", "\t": "tab", "\x01": "home", "\x0b": "ctrl+k", "\r": "enter"}


def burst(app: KeysInOrder, text: str) -> None:
    """Send all keys at once, as Textual's parser does after one read."""
    for character in text:
        key = NAMED.get(character) or _character_to_key(character)
        app.post_message(events.Key(key, character))


@pytest.mark.few(3)
@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("wrong\x15right", "right"),
        ("abcdef\x7f\x7fXY", "abcdXY"),
        ("ab\x7fc\x7f\x7fde", "de"),
        ("world\x01hello ", "hello world"),
        ("abc\x01X\x0bY", "XY"),
        ("\x15\x15\x7f\x7fafter nothing", "after nothing"),
        ("x" * 30 + "\x7f" * 30 + "y", "y"),
    ],
)
@pytest.mark.parametrize("field", ["name", "secret"])
async def test_editing_keys_and_text_apply_in_the_order_typed(typed: str, name: str, field: str) -> None:
    app = Form()
    async with app.run_test() as pilot:
        app.query_one(f"#{field}", Input).focus()
        await pilot.pause()
        burst(app, typed)
        await until(pilot, lambda: app.query_one(f"#{field}", Input).value == name)


async def test_text_after_a_tab_goes_into_the_next_field() -> None:
    app = Form()
    async with app.run_test() as pilot:
        app.query_one("#name", Input).focus()
        await pilot.pause()
        burst(app, "ada\tcanary-secret\r")
        await until(pilot, lambda: app.submitted == ["secret"])
        assert app.typed == ("ada", "canary-secret")


async def test_a_paste_keeps_its_place_between_keys() -> None:
    app = Form()
    async with app.run_test() as pilot:
        app.query_one("#name", Input).focus()
        await pilot.pause()
        burst(app, "ada\t")
        app.post_message(events.Paste("pasted"))
        burst(app, "\x7f!")
        await until(pilot, lambda: app.typed == ("ada", "paste!"))


async def test_a_key_whose_widget_is_removed_blocks_no_other_key() -> None:
    app = Form()
    async with app.run_test() as pilot:
        app.query_one("#name", Input).focus()
        await pilot.pause()
        app.post_message(events.Key("backspace", "\x7f"))
        await app.query_one("#name", Input).remove()
        app.query_one("#secret", Input).focus()
        burst(app, "later")
        await until(pilot, lambda: app.query_one("#secret", Input).value == "later")


class BusyPane(Vertical):
    """Blocks for longer than a key may take, then works in small steps, like an overloaded machine."""

    class Work(Message):
        pass

    async def on_busy_pane_work(self) -> None:
        for block_s in (0, 1.1, 0):  # the loop is blocked while the key is handled
            time.sleep(block_s)  # noqa: ASYNC251
            for _ in range(100):
                await asyncio.sleep(0)


class FormInBusyPane(Form):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("tab", "app.focus_next")]

    def compose(self) -> ComposeResult:
        with BusyPane():
            yield Input(id="name")
            yield SecretInput(id="secret")


async def test_keys_keep_their_order_on_a_machine_that_is_suspended() -> None:
    app = FormInBusyPane()
    async with app.run_test() as pilot:
        app.query_one("#name", Input).focus()
        await pilot.pause()
        app.query_one(BusyPane).post_message(BusyPane.Work())
        burst(app, "\tsecret")
        await until(pilot, lambda: "".join(app.typed) == "secret")
        assert app.typed == ("", "secret")


def test_in_the_real_console_one_write_fills_one_filter(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    with Terminal([sys.executable, "-m", "tests.tui.ending"], environment=environment) as terminal:
        terminal.wait_for("no transfers under way")
        terminal.press("/wrong\x15right\x7f\x7f\x7f\x7fiver")
        terminal.wait_for("river")
        terminal.press("ctrl+q")
        assert terminal.wait_exit() == 0
