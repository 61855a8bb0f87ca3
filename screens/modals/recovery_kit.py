"""The recovery kit on the screen: shown on request, kept nowhere, gone when it is closed."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from providers.secret import Secret
from screens.modals.confirm import Choice, Fact, Question
from tui.theme import Tone
from tui.widgets.one_line import KeyBar

WARNING = Question(
    "Show the recovery kit?",
    [
        Fact("shows", "every key in clear, as text and as QR codes, on this screen"),
        Fact("so", "whoever sees it can read, change and delete these backups", Tone.WAITING),
        Fact("kept", "nowhere: it leaves the screen when it is closed"),
        Fact("for paper", "on the command line: credentials recovery-kit | lpr"),
    ],
    [Choice("Show it", True)],
    danger=True,
)


class RecoveryKit(ModalScreen[None]):
    """Takes no part in screenshots (`SHOWS_SECRETS`) and cannot be selected for the clipboard."""

    CSS_PATH = "store.tcss"
    ALLOW_SELECT = False
    SHOWS_SECRETS: ClassVar[bool] = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "close"),
        Binding("up", "scroll(-1)", "up", show=False),
        Binding("down", "scroll(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown,space", "page(1)", "page down"),
    ]

    def __init__(self, kit: Secret) -> None:
        super().__init__()
        self._kit: Secret | None = kit

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="kit", can_focus=False):
            yield Static(Content(self._kit.reveal() if self._kit else ""), id="kit-text")
        yield KeyBar()

    def action_scroll(self, lines: int) -> None:
        self.query_one("#kit").scroll_relative(y=lines, animate=False)

    def action_page(self, direction: int) -> None:
        kit = self.query_one("#kit")
        kit.scroll_relative(y=direction * max(1, kit.size.height - 2), animate=False)

    def action_close(self) -> None:
        self.forget()
        self.dismiss(None)

    def forget(self) -> None:
        """Nothing of it stays in a widget or on the screen."""
        self._kit = None
        self.query_one("#kit-text", Static).update("")

    def on_unmount(self) -> None:
        self._kit = None
