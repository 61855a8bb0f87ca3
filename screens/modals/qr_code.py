"""A QR code over the whole terminal, for a phone. If it does not fit, a note says how to see it."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from backup.system import qr
from tui.theme import STYLES, Tone
from tui.widgets.bars import KeyBar

BLACK_ON_WHITE = "#ffffff on #000000"
"""The blocks are the light modules: readable in every theme."""


def too_large(columns: int, lines: int, room_columns: int, room_lines: int) -> str:
    """Advice for a code of that size; empty if it fits."""
    if columns <= room_columns and lines <= room_lines:
        return ""
    return (
        f"The code is {columns} x {lines}, the window {room_columns} x {room_lines}: a smaller font (Ctrl and - "
        "in most terminals) or a larger window helps."
    )


class QrScreen(ModalScreen[None]):
    """Only for texts that hold no secret."""

    CSS_PATH = "qr_code.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q,ctrl+g", "dismiss(None)", "close"),
        Binding("up", "scroll(-1)", "up", show=False),
        Binding("down", "scroll(1)", "down", show=False),
        Binding("pageup", "scroll(-10)", "page up", show=False),
        Binding("pagedown,space", "scroll(10)", "page down", show=False),
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._rows = qr.rows(text)

    def compose(self) -> ComposeResult:
        yield Static("", id="qr-note")
        with VerticalScroll(id="qr", can_focus=False):
            yield Static(Content.styled("\n".join(self._rows), BLACK_ON_WHITE), id="qr-code")
        yield KeyBar()

    @on(events.Resize)
    def _fit(self) -> None:
        columns, lines = self.app.size
        note = too_large(len(self._rows[0]), len(self._rows), columns, lines - 1)
        static = self.query_one("#qr-note", Static)
        static.update(Content.styled(note, STYLES[Tone.WAITING]))
        static.display = bool(note)

    def action_scroll(self, lines: int) -> None:
        self.query_one("#qr").scroll_relative(y=lines, animate=False)
