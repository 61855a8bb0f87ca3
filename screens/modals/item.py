"""One transfer in full."""

from __future__ import annotations

import time
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
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
