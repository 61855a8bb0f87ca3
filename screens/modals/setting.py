"""Dialogues for a single setting outside the form of a provider."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.dom import DOMNode
from textual.getters import query_one
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from backup.config.file import DEFAULT_HISTORY_DAYS, HISTORY_DAYS, MOST_HISTORY_DAYS
from backup.model.instances import InstanceInfo
from providers.settings import FieldKind, SettingField, parse_text
from tui.bridge import bridge_of
from tui.text import safe
from tui.widgets.field_row import FieldRow

LIMIT_FIELD = SettingField(
    name="max_bandwidth", kind=FieldKind.BYTES, label="At most", help="For example 2MiB or 500KiB. Empty: no limit.",
    placeholder="no limit", unit="bytes/s", required=False, advanced=False, optional=True, default=None, minimum=1024,
)  # fmt: skip
HISTORY_FIELD = SettingField(
    name=HISTORY_DAYS, kind=FieldKind.INTEGER, label="Keep for", help=f"Empty: {DEFAULT_HISTORY_DAYS} days.",
    placeholder=str(DEFAULT_HISTORY_DAYS), unit="days", required=False, advanced=False, optional=True,
    default=DEFAULT_HISTORY_DAYS, minimum=1, maximum=MOST_HISTORY_DAYS,
)  # fmt: skip


class SettingScreen(ModalScreen[str | None]):
    """Dismisses with a valid text ('' for the default), or with None if the setting stays as it is."""

    CSS_PATH = Path(__file__).parent / "setup/setup.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "cancel", show=False)]
    row = query_one(FieldRow)

    def __init__(self, title: str, field: SettingField, value: Any, words: str) -> None:
        """`words` explain the setting."""
        super().__init__()
        self._title = title
        self._field = field
        self._value = value
        self._words = words

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="setting") as dialog:
            dialog.border_title = Content(self._title)
            dialog.border_subtitle = "↵ saves · esc cancels"
            yield FieldRow(self._field, self._value)
            yield Static(Content(self._words), classes="quiet")

    def on_mount(self) -> None:
        self.row.control.focus()

    @on(Input.Submitted)
    def _entered(self) -> None:
        if self.row.check():
            self.dismiss(self.row.text.strip())


class LimitScreen(SettingScreen):
    """How fast an instance may send and receive."""

    def __init__(self, instance: str, bytes_per_s: int | None) -> None:
        words = "Upload and download together. It also applies to running transfers at once."
        super().__init__(f"Bandwidth of {safe(instance)}", LIMIT_FIELD, bytes_per_s, words)


def limit_of(info: InstanceInfo) -> int | None:
    limit = info.settings.get("max_bandwidth")
    return limit if isinstance(limit, int) else None


async def change_limit(node: DOMNode, info: InstanceInfo) -> None:
    """Ask for the limit of an instance, and set it. Call it in a worker. Raises ProviderError."""
    typed = await node.app.push_screen_wait(LimitScreen(info.name, limit_of(info)))
    if typed is not None:
        bridge = bridge_of(node)
        await bridge.call(bridge.core.instances.set_bandwidth, info.name, parse_text(LIMIT_FIELD, typed))
        bridge.instances_changed()


class HistoryScreen(SettingScreen):
    """How long finished transfers are kept."""

    def __init__(self, days: int) -> None:
        words = (
            "How long finished transfers stay in Activity. Older ones are removed once a day. Proofs of "
            "stored objects stays."
        )
        super().__init__("History", HISTORY_FIELD, None if days == DEFAULT_HISTORY_DAYS else days, words)
