"""The recovery kit on the screen: shown on request, stored nowhere, gone when it is closed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import ModalScreen
from textual.widgets import Static

from providers.secret import Secret
from screens.modals.confirm import Choice, Fact, Question
from screens.modals.qr_code import too_large
from tui.bridge import bridge_of
from tui.theme import STYLES, Tone
from tui.widgets.bars import KeyBar

WARNING = Question(
    "Show the recovery kit?",
    [
        Fact("shows", "every key in clear text and as QR codes, on this screen"),
        Fact("so", "anyone who sees it can read, change and delete these backups", Tone.WAITING),
        Fact("kept", "nowhere: it is gone when you close it"),
        Fact("for paper", "on the command line: credentials recovery-kit | lpr"),
    ],
    [Choice("Show it", True)],
    danger=True,
)
_BLOCKS = frozenset(" ▀▄█")


async def show_recovery_kit(node: DOMNode) -> None:
    """Show the kit with QR codes that fit the width of the terminal. Call it in a worker. Raises ProviderError."""
    bridge, app = bridge_of(node), node.app
    make, dark = bridge.core.credentials.recovery_kit, app.current_theme.dark
    kit = await bridge.call(make, columns=app.size.width - 1, dark_background=dark)
    await app.push_screen_wait(RecoveryKit(kit))


class RecoveryKit(ModalScreen[None]):
    """Cannot be in a screenshot (`SHOWS_SECRETS`) nor be selected for the clipboard."""

    CSS_PATH = "store.tcss"
    ALLOW_SELECT = False
    SHOWS_SECRETS: ClassVar[bool] = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "close"),
        Binding("up", "scroll(-1)", "up", show=False),
        Binding("down", "scroll(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown,space", "page(1)", "page down"),
        Binding("n", "next_code", "next QR code"),
    ]

    def __init__(self, kit: Secret) -> None:
        super().__init__()
        self._kit: Secret | None = kit
        self._codes = tuple(_codes(kit.reveal()))
        self._columns = max((len(line) for line in kit.reveal().split("\n") if set(line) <= _BLOCKS), default=0)

    def compose(self) -> ComposeResult:
        yield Static("", id="kit-note")
        with VerticalScroll(id="kit", can_focus=False):
            yield Static(Content(self._kit.reveal() if self._kit else ""), id="kit-text")
        yield KeyBar()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "next_code" or bool(self._codes)

    @on(events.Resize)
    def _fit(self) -> None:
        """Advise the user if the tallest code does not fit: a phone must see it whole."""
        note, (columns, lines) = self.query_one("#kit-note", Static), self.app.size
        tallest = max(self._codes, key=len, default=range(0))
        words = too_large(self._columns, len(tallest), columns, lines - 1) if tallest else ""
        note.update(Content.styled(words, STYLES[Tone.WAITING]))
        note.display = bool(words)

    def action_next_code(self) -> None:
        """Scroll to the next code; after the last one, to the first."""
        kit = self.query_one("#kit")
        top = next((code.start for code in self._codes if code.start > kit.scroll_y), self._codes[0].start)
        kit.scroll_to(y=top, animate=False)

    def action_scroll(self, lines: int) -> None:
        self.query_one("#kit").scroll_relative(y=lines, animate=False)

    def action_page(self, direction: int) -> None:
        kit = self.query_one("#kit")
        kit.scroll_relative(y=direction * max(1, kit.size.height - 2), animate=False)

    def action_close(self) -> None:
        self.forget()
        self.dismiss(None)

    def forget(self) -> None:
        """Remove the kit from the widget and the screen."""
        self._kit = None
        self.query_one("#kit-text", Static).update("")

    def on_unmount(self) -> None:
        self._kit = None


def _codes(page: str) -> Iterator[range]:
    """The lines of each QR code: lines that consist of blocks only."""
    drawn = [bool(line.strip()) and set(line) <= _BLOCKS for line in page.split("\n")]
    for is_code, lines in groupby(range(len(drawn)), drawn.__getitem__):
        if is_code:
            numbers = list(lines)
            yield range(numbers[0], numbers[-1] + 1)
