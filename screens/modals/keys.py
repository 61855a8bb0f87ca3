"""The dialogue of `?`: the keys that work now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from textual.app import App, ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.scroll_view import ScrollView
from textual.widgets import Static

from tui.text import fit
from tui.theme import STYLES, Tone
from tui.widgets.bars import KeyBar


class KeyLine(NamedTuple):
    key: str
    does: str


def key_lines(screen: Screen[Any]) -> list[KeyLine]:
    """The keys that work on `screen` now: first those of the footer, last those that move around."""

    def rank(each: tuple[str, ActiveBinding]) -> int:
        _, active = each
        moves = isinstance(active.node, ScrollView)
        return 0 if active.binding.show else 3 if moves else 2 if isinstance(active.node, App) else 1

    return [
        KeyLine(KeyBar.SIGNS.get(key, key), active.binding.description)
        for key, active in sorted(screen.active_bindings.items(), key=rank)
        if active.binding.description and not active.binding.system and active.binding.action != "screen.copy_text"
    ]


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
