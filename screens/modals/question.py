"""A question with two answers, the harmless one chosen beforehand."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static


class QuestionScreen(ModalScreen[bool]):
    """True when the person chose to `act`. `text` is drawn as it is: what came from outside must be safe already."""

    AUTO_FOCUS = "#stay"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "answer(False)", "no"),
        Binding("y", "answer(True)", "yes"),
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
    ]

    def __init__(self, title: str, text: Content, *, act: str, stay: str = "Back", danger: bool = False) -> None:
        super().__init__()
        self._title, self._text, self._act, self._stay = title, text, act, stay
        self._danger = danger

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog danger" if self._danger else "dialog") as dialog:
            dialog.border_title = Content(self._title)
            yield Static(self._text)
            with Horizontal(classes="buttons"):
                yield Button(Content(self._act), id="act", classes="act")
                yield Button(Content(self._stay), id="stay")

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "act")
