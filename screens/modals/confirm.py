"""The question before something starts, with the safe answer preselected."""

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
_BUTTONS_A_ROW = 3
"""More do not fit into 80 columns."""


@dataclass(frozen=True)
class Fact:
    """One line of a question. `text` must have passed `safe`; it is wrapped, never cut."""

    label: str
    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True)
class Choice(Generic[T]):
    """An answer other than the safe one. The first has the key y and the second s, or a key of its own (l)."""

    label: str
    answer: T
    key: str = ""


@dataclass(frozen=True)
class Question(Generic[T]):
    title: str
    facts: Sequence[Fact]
    choices: Sequence[Choice[T]]
    keep: str = "Cancel"
    """The label of the safe answer."""
    danger: bool = False
    """Red, for an action that cannot be undone."""


class ConfirmScreen(ModalScreen[T | None]):
    """Dismisses with the chosen answer, or None for the safe one, which has the focus: Enter alone starts nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "cancel", "cancel", show=False),
        Binding("y", "key('y')", "the first answer", show=False),
        Binding("s", "key('s')", "the second answer", show=False),
        Binding("l", "key('l')", "the answer about links", show=False),
        Binding("f", "key('f')", "the answer that follows links", show=False),
        Binding("o", "key('o')", "the answer about owners", show=False),
        Binding("x", "key('x')", "the answer about rules", show=False),
        Binding("left", "app.focus_previous", "to the left", show=False),
        Binding("right", "app.focus_next", "to the right", show=False),
    ]
    KEYS: ClassVar[tuple[str, ...]] = ("y", "s")

    def __init__(self, question: Question[T]) -> None:
        super().__init__()
        self._question = question
        self._keys = [choice.key or self.KEYS[at] for at, choice in enumerate(question.choices)]

    def compose(self) -> ComposeResult:
        question = self._question
        with Vertical(classes="dialog danger" if question.danger else "dialog") as dialog:
            dialog.border_title = Content(question.title)
            for fact in question.facts:
                with Horizontal(classes="fact"):
                    yield Static(Content.styled(fit(fact.label, _LABEL_CELLS), STYLES[Tone.MUTED]), classes="label")
                    yield Static(Content.styled(fact.text, STYLES[fact.tone]), classes="text")
            buttons = [Button(Content(f"{question.keep}  esc"), id="cancel")]
            for at, choice in enumerate(question.choices):
                label = Content(f"{choice.label}  {self._keys[at]}")
                buttons.append(Button(label, id=f"choice-{at}", classes="act"))
            for start in range(0, len(buttons), _BUTTONS_A_ROW):
                yield Horizontal(*buttons[start : start + _BUTTONS_A_ROW], classes="buttons")

    def on_mount(self) -> None:
        self.query_one("#cancel", Button).focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "key" or parameters[0] in self._keys

    def action_cancel(self) -> None:
        self.dismiss(None)

    def action_key(self, key: str) -> None:
        self._choose(self._keys.index(key))

    def _choose(self, at: int) -> None:
        self.dismiss(self._question.choices[at].answer)

    @on(Button.Pressed)
    def _answer(self, event: Button.Pressed) -> None:
        name = event.button.id or "cancel"
        if name == "cancel":
            self.action_cancel()
        else:
            self._choose(int(name.removeprefix("choice-")))
