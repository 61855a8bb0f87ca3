"""How fast an instance may send and receive, taken up by running transfers at once."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.getters import query_one
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from providers.settings import FieldKind, SettingField, parse_text
from tui.text import safe
from tui.widgets.field_row import FieldRow

LIMIT_FIELD = SettingField(
    name="max_bandwidth", kind=FieldKind.BYTES, label="At most", help="For example 2MiB or 500KiB. Empty: no limit.",
    placeholder="no limit", unit="bytes/s", required=False, advanced=False, optional=True, default=None, minimum=1024,
)  # fmt: skip


class Unlimited(Enum):
    """Tells 'no limit' from 'nothing was decided'."""

    UNLIMITED = 0


class LimitScreen(ModalScreen[int | Unlimited | None]):
    """Dismisses with bytes per second, UNLIMITED, or None when it was left as it is."""

    CSS_PATH = Path(__file__).parent / "setup/setup.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "leave it", show=False)]
    row = query_one(FieldRow)

    def __init__(self, instance: str, bytes_per_s: int | None) -> None:
        super().__init__()
        self._instance = instance
        self._bytes_per_s = bytes_per_s

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="limit") as dialog:
            dialog.border_title = Content(f"Bandwidth of {safe(self._instance)}")
            dialog.border_subtitle = "↵ sets it · esc leaves it"
            yield FieldRow(LIMIT_FIELD, self._bytes_per_s)
            yield Static(Content("Up and down together; transfers under way take it up at once."), classes="quiet")

    def on_mount(self) -> None:
        self.row.control.focus()

    @on(Input.Submitted)
    def _entered(self) -> None:
        if self.row.check():
            found = parse_text(LIMIT_FIELD, self.row.text)
            self.dismiss(Unlimited.UNLIMITED if found is None else found)
