"""A table of transfers, and the pane with the details of the one under the cursor."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.getters import query_one

from backup.model.transfers import ItemView
from tui.rows.row_model import Column
from tui.text import cut_middle, safe
from tui.widgets.item_details import ItemDetails
from tui.widgets.line_table import LineTable

_WIDE_CELLS: Final = 120


class ItemTable(LineTable):
    """A table of transfers, with `wide_columns` on a terminal of 120 columns or more."""

    FOLLOWS_TOP = True
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "open", "details")]

    def __init__(self, columns: Sequence[Column], wide_columns: Sequence[Column], *, selectable: bool = False) -> None:
        super().__init__(columns, selectable=selectable)
        self._narrow, self._wide = columns, wide_columns

    def on_resize(self) -> None:
        self.show_columns(self._wide if self.app.size.width >= _WIDE_CELLS else self._narrow)


class ItemPane(VerticalScroll, can_focus=False):
    """The details of one item. Has the class `-shown` while there is one."""

    details = query_one(ItemDetails)

    def __init__(self, id: str) -> None:
        super().__init__(id=id, classes="pane")

    def compose(self) -> ComposeResult:
        yield ItemDetails(markup=False)

    def show(self, item: ItemView | None) -> None:
        self.set_class(item is not None, "-shown")
        if item is not None:
            self.border_title = Content(cut_middle(safe(item.name), max(8, self.app.size.width - 10)))
            self.details.show(item, time.time())
