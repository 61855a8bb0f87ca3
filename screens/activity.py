"""The mode Activity: ended items, newest first, with their proof or the reason why they failed."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.getters import query_one

from backup.model.transfers import ItemState, ItemView, QueueSnapshot
from providers.errors import ProviderError
from screens.modals.item import open_item
from tui.rows.history import COLUMNS, WIDE_COLUMNS, HistoryRows, still_open
from tui.text import count, safe
from tui.widgets.bars import Mode
from tui.widgets.item_table import ItemPane, ItemTable
from tui.widgets.line_table import LineTable
from tui.widgets.mode_screen import ModeScreen
from tui.widgets.problem import Problem

_WINDOW_ROWS = 200
_EMPTY_NOTE = ("Nothing has ended yet.", "Finished uploads, downloads and deletions appear here, with their proof.")


class ActivityScreen(ModeScreen):
    MODE = Mode.ACTIVITY
    CSS_PATH = "activity.tcss"
    AUTO_FOCUS = "LineTable"
    VERTICAL_BREAKPOINTS = [(0, "-low"), (34, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "retry", "retry"),
        Binding("escape", "dismiss_problem", "dismiss"),
    ]
    table = query_one(LineTable)
    pane = query_one("#history", Vertical)
    lower = query_one(ItemPane)

    def __init__(self) -> None:
        super().__init__()
        self._rows = HistoryRows()
        self._wanted_rows = _WINDOW_ROWS
        self._seen: tuple[int, int] | None = None
        """Numbers of all items and of open ones when the rows were last loaded."""
        self._loading = False

    def compose_body(self) -> ComposeResult:
        with Vertical(id="history", classes="pane") as pane:
            pane.border_title = "Activity"
            yield Problem()
            yield ItemTable(COLUMNS, WIDE_COLUMNS)
        yield ItemPane("ended")

    def on_mount(self) -> None:
        self.table.show(self._rows, note=_EMPTY_NOTE)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "retry":
            item = self._item
            return item is not None and item.state in (ItemState.FAILED, ItemState.CANCELLED)
        return super().check_action(action, parameters)

    @property
    def _item(self) -> ItemView | None:
        return self._rows.item(self.table.cursor) if self.is_mounted else None

    # Loading: again when an item has ended, and further when the cursor comes near the last row

    def queue_changed(self, snapshot: QueueSnapshot) -> None:
        state = (snapshot.item_count, still_open(snapshot.totals))
        if state != self._seen and not self._loading:
            self._seen = state
            self._load(snapshot)

    @on(LineTable.Looked)
    def _look(self, event: LineTable.Looked) -> None:
        self._show_details()
        if event.index + 1 >= self._wanted_rows and self._rows.total > self._wanted_rows:
            self._wanted_rows += _WINDOW_ROWS
            self._load(self.bridge.snapshot)

    @work(group="history")
    async def _load(self, snapshot: QueueSnapshot) -> None:
        """Load all windows down to the furthest visible row. Ids identify rows that moved in between."""
        self._loading = True
        first = still_open(snapshot.totals)
        windows: list[QueueSnapshot] = []
        try:
            for offset in range(first, first + self._wanted_rows, _WINDOW_ROWS):
                windows.append(
                    await self.bridge.call(self.bridge.core.queue.snapshot, offset=offset, limit=_WINDOW_ROWS)
                )
        except ProviderError as error:
            self.complain(error)
        finally:
            self._loading = False
        self._show(windows)
        self.queue_changed(self.bridge.snapshot)

    def _show(self, windows: list[QueueSnapshot]) -> None:
        self._rows.take(windows)
        shown = len(self._rows)
        self.table.rows_changed(note=() if shown else _EMPTY_NOTE)
        loaded = f"{shown:,} of {count(self._rows.total, 'ended', 'ended')}"
        self.pane.border_subtitle = Content(loaded if shown else "")
        self._show_details()

    def _show_details(self) -> None:
        self.lower.show(self._item)
        self.refresh_bindings()

    # Acting

    @on(LineTable.Opened)
    def _open(self, event: LineTable.Opened) -> None:
        open_item(self, self._rows, event.key)

    @work(group="act")
    async def action_retry(self) -> None:
        item = self._item
        if item is None:
            return
        try:
            await self.bridge.call(self.bridge.core.queue.retry, [item.id])
        except ProviderError as error:
            self.complain(error)
        else:
            self.notify(f"{safe(item.name)} is queued again.", markup=False)
