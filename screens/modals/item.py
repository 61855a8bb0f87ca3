"""The dialogue with all details of one transfer."""

from __future__ import annotations

import time
from collections.abc import Hashable
from typing import ClassVar, Protocol

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import ModalScreen

from backup.model.transfers import ItemView
from tui.text import cut_middle, safe
from tui.widgets.item_details import ItemDetails


class ItemScreen(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q", "dismiss", "close", show=False)]

    def __init__(self, item: ItemView) -> None:
        super().__init__()
        self._item = item

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog wide") as dialog:
            dialog.border_title = Content(cut_middle(safe(self._item.name), 60))
            dialog.border_subtitle = "esc closes"
            yield ItemDetails(markup=False)

    def on_mount(self) -> None:
        self.query_one(ItemDetails).show(self._item, time.time())


class _Items(Protocol):
    def row_of(self, key: Hashable) -> int | None: ...

    def item(self, row: int) -> ItemView | None: ...


def open_item(node: DOMNode, items: _Items, key: Hashable) -> None:
    """Show the item of an opened row, if it is still there."""
    row = items.row_of(key)
    item = None if row is None else items.item(row)
    if item is not None:
        node.app.push_screen(ItemScreen(item))
