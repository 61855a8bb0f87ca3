"""Asking before something starts, with the safe answer preselected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from tui.text import fit
from tui.theme import STYLES, Tone

T = TypeVar("T")
_LABEL_CELLS = 12


@dataclass(frozen=True)
class Fact:
    """A line of a question. `text` must have passed `safe`; it is wrapped, never cut."""

    label: str
    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True)
class Choice(Generic[T]):
    """An answer besides the safe one: the first has the key y, the second s."""

    label: str
    answer: T


@dataclass(frozen=True)
class Question(Generic[T]):
    title: str
    facts: Sequence[Fact]
    choices: Sequence[Choice[T]]
    keep: str = "Cancel"
    """The label of the safe answer."""
    danger: bool = False
    """Red: what is done cannot be undone."""


class ConfirmScreen(ModalScreen[T | None]):
    """Dismisses with the chosen answer, or None for the safe one, which has the focus: Enter alone starts nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "cancel", "cancel", show=False),
        Binding("y", "choose(0)", "the first answer", show=False),
        Binding("s", "choose(1)", "the second answer", show=False),
        Binding("left", "app.focus_previous", "to the left", show=False),
        Binding("right", "app.focus_next", "to the right", show=False),
    ]
    KEYS: ClassVar[tuple[str, ...]] = ("y", "s")

    def __init__(self, question: Question[T]) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        question = self._question
        with Vertical(classes="dialog danger" if question.danger else "dialog") as dialog:
            dialog.border_title = Content(question.title)
            for fact in question.facts:
                with Horizontal(classes="fact"):
                    yield Static(Content.styled(fit(fact.label, _LABEL_CELLS), STYLES[Tone.MUTED]), classes="label")
                    yield Static(Content.styled(fact.text, STYLES[fact.tone]), classes="text")
            with Horizontal(classes="buttons"):
                yield Button(Content(f"{question.keep}  esc"), id="cancel")
                for at, choice in enumerate(question.choices):
                    yield Button(Content(f"{choice.label}  {self.KEYS[at]}"), id=f"choice-{at}", classes="act")

    def on_mount(self) -> None:
        self.query_one("#cancel", Button).focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "choose" or int(str(parameters[0])) < len(self._question.choices)

    def action_cancel(self) -> None:
        self.dismiss(None)

    def action_choose(self, at: int) -> None:
        self.dismiss(self._question.choices[at].answer)

    @on(Button.Pressed)
    def _answer(self, event: Button.Pressed) -> None:
        name = event.button.id or "cancel"
        if name == "cancel":
            self.action_cancel()
        else:
            self.action_choose(int(name.removeprefix("choice-")))
