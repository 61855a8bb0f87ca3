"""The dialogue for an error that has no place on the screen beneath; it stays until the user closes it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from providers.contract.report import ErrorInfo
from tui.widgets.check_steps import explain


class ProblemScreen(ModalScreen[None]):
    CSS_PATH = Path(__file__).parent / "credentials/store.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q", "dismiss", "close", show=False)]

    def __init__(self, error: ErrorInfo) -> None:
        super().__init__()
        self._error = error

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog danger store") as dialog:
            dialog.border_title = "An error occurred"
            dialog.border_subtitle = "esc closes"
            yield Static(explain(self._error), classes="about plain")
