"""`?`: the keys of where you are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.text import fit
from tui.theme import STYLES, Tone


class KeyLine(NamedTuple):
    key: str
    does: str


class KeysScreen(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,enter", "dismiss", "close", show=False),
    ]

    def __init__(self, lines: Sequence[KeyLine]) -> None:
        super().__init__()
        self._lines = lines

    def compose(self) -> ComposeResult:
        by_word: dict[str, list[str]] = {}
        for key, does in self._lines:
            by_word.setdefault(does, []).append(key)
        rows = [
            Content.assemble((fit(" ".join(keys), 18), "bold $accent"), (does, STYLES[Tone.PLAIN]))
            for does, keys in by_word.items()
        ]
        with VerticalScroll(classes="dialog") as dialog:
            dialog.border_title = "Keys"
            dialog.border_subtitle = "esc closes"
            yield Static(Content("\n").join(rows))
