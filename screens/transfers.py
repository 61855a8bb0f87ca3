"""The mode Transfers: a live table of every transfer, with progress, rate, proof, or the reason why it waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from textwrap import wrap
from typing import ClassVar

import msgspec
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.getters import query_one

from backup.model.transfers import BROKEN_SHOWN_S, FINAL_STATES, ItemState, ItemView, QueueSnapshot
from providers.errors import ProviderError
from screens.modals.confirm import ConfirmScreen
from screens.modals.item import open_item
from screens.modals.setting import change_limit
from screens.modals.transfer_questions import cancel_question
from tui.remedies import advice
from tui.rows.transfers import COLUMNS, WIDE_COLUMNS, TransferRows, facts
from tui.text import count, safe
from tui.widgets.bars import Mode
from tui.widgets.item_table import ItemPane, ItemTable
from tui.widgets.line_table import LineTable
from tui.widgets.mode_screen import ModeScreen
from tui.widgets.problem import Problem

_WINDOW_ROWS = 200
_EMPTY_NOTE = ("No transfers yet.", "2 goes to Browse: u uploads and d downloads what you select.")


class TransfersScreen(ModeScreen):
    MODE = Mode.TRANSFERS
    CSS_PATH = "transfers.tcss"
    AUTO_FOCUS = "LineTable"
    VERTICAL_BREAKPOINTS = [(0, "-low"), (34, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "pause"),
        Binding("x,delete", "cancel", "cancel", key_display="x"),
        Binding("r", "retry", "retry"),
        Binding("j", "mark_job", "whole job"),
        Binding("b", "limit", "limit"),
        Binding("escape", "unmark", "clear the selection", show=False),
    ]
    table = query_one(LineTable)
    pane = query_one("#transfers", Vertical)
    lower = query_one(ItemPane)

    def __init__(self) -> None:
        super().__init__()
        self._rows = TransferRows()
        self._asked: tuple[int, int] | None = None
        self._shown: set[int] = set()
        """Jobs whose errors were already shown."""

    def compose_body(self) -> ComposeResult:
        yield Problem()
        with Vertical(id="transfers", classes="pane") as pane:
            pane.border_title = "Transfers"
            yield ItemTable(COLUMNS, WIDE_COLUMNS, selectable=True)
        yield ItemPane("details")

    def on_mount(self) -> None:
        self.table.show(self._rows, note=_EMPTY_NOTE)

    # Snapshots of the queue

    def queue_changed(self, snapshot: QueueSnapshot) -> None:
        self._show_job_errors(snapshot)
        self._take(snapshot, 0)
        self._fetch_what_is_in_view(again=True)

    def _show_job_errors(self, snapshot: QueueSnapshot) -> None:
        """Show why a job is incomplete or differs from its plan: no single transfer shows that."""
        for job in snapshot.jobs:
            recent = time.time() - (job.broke_at or 0) < BROKEN_SHOWN_S
            if job.error is not None and job.broken and recent and job.id not in self._shown and not self.problem.there:
                self._shown.add(job.id)
                self.problem.show(msgspec.structs.replace(job.error, message=f"{job.title}: {job.error.message}"))

    def _take(self, snapshot: QueueSnapshot, offset: int) -> None:
        self._rows.take(snapshot, offset)
        self.table.rows_changed(note=() if snapshot.item_count else self._note)
        self._show_border()
        self._show_details()

    @property
    def _note(self) -> tuple[str, ...]:
        """The text of an empty table: an unreadable queue must not look like an empty one."""
        problem = self.bridge.queue_problem
        if problem is None:
            return _EMPTY_NOTE
        text = f"The queue cannot be read. {problem.message}. {advice(problem)}"
        return tuple(wrap(safe(text), max(20, self.size.width - 8), break_long_words=True))

    def _show_border(self) -> None:
        selected = f"{len(self._rows.marked):,} selected · " if self._rows.marked else ""
        self.pane.border_subtitle = Content(selected + facts(self.bridge.snapshot))

    def _select(self, marked: set[int]) -> None:
        self._rows.marked = marked
        self.table.rows_changed()
        self._show_border()

    @on(LineTable.Looked)
    def _look(self) -> None:
        self._fetch_what_is_in_view()
        self._show_details()

    def _fetch_what_is_in_view(self, *, again: bool = False) -> None:
        """Load rows beyond the window that each snapshot holds."""
        first, last = self.table.window
        beyond = last > _WINDOW_ROWS and again
        if self._asked is None and (beyond or self._rows.missing(first, last)):
            offset = max(0, first - _WINDOW_ROWS // 4)
            self._asked = (first, last)
            self.run_worker(self._fetch(offset), group="window")

    async def _fetch(self, offset: int) -> None:
        try:
            snapshot = await self.bridge.call(self.bridge.core.queue.snapshot, offset=offset, limit=_WINDOW_ROWS)
        except ProviderError as error:
            self._warn(error)
            return
        finally:
            self._asked = None
        self._take(snapshot, offset)

    def _show_details(self) -> None:
        self.lower.show(self._rows.item(self.table.cursor))

    # Selection

    @on(LineTable.MarkToggled)
    def _mark(self, event: LineTable.MarkToggled) -> None:
        if isinstance(event.key, int):
            self._select(self._rows.marked ^ {event.key})

    @work(group="act")
    async def action_mark_job(self) -> None:
        item = self._rows.item(self.table.cursor)
        if item is None:
            return
        try:
            whole = await self.bridge.call(self.bridge.core.queue.item_ids, item.job_id)
        except ProviderError as error:
            self._warn(error)
        else:
            self._select(self._rows.marked | set(whole))

    def action_unmark(self) -> None:
        if self.problem.there:
            self.problem.dismiss()
        else:
            self._select(set())

    def _chosen(self) -> list[ItemView]:
        """The loaded ones of the selected items, or else the item under the cursor."""
        if self._rows.marked:
            rows = (self._rows.row_of(item_id) for item_id in self._rows.marked)
            return [item for row in rows if row is not None and (item := self._rows.item(row))]
        item = self._rows.item(self.table.cursor)
        return [] if item is None else [item]

    def _chosen_ids(self) -> list[int]:
        return sorted(self._rows.marked) or [item.id for item in self._chosen()]

    # Actions

    @on(LineTable.Opened)
    def _open(self, event: LineTable.Opened) -> None:
        open_item(self, self._rows, event.key)

    @work(group="act")
    async def action_pause(self) -> None:
        """Resume the paused ones of the selection; if none is paused, pause all."""
        chosen, core = self._chosen(), self.bridge.core
        if any(item.state is ItemState.PAUSED for item in chosen):
            await self._act(core.queue.resume, self._chosen_ids(), "resumed")
        else:
            await self._act(core.queue.pause, self._chosen_ids(), "paused: sent parts are kept")

    @work(group="act")
    async def action_retry(self) -> None:
        await self._act(self.bridge.core.queue.retry, self._chosen_ids(), "queued again")

    @work(group="act")
    async def action_cancel(self) -> None:
        ids = self._chosen_ids()
        open_items = [item for item in self._chosen() if item.state not in FINAL_STATES]
        if not open_items:
            self.notify("There is nothing to cancel: it has already ended.", severity="warning")
        elif await self.app.push_screen_wait(ConfirmScreen[bool](cancel_question(open_items, len(ids)))):
            await self._act(self.bridge.core.queue.cancel, ids, "cancelled")

    @work(group="act", exclusive=True)
    async def action_limit(self) -> None:
        """Change the limit of the instance that the transfer under the cursor uses."""
        item = self._rows.item(self.table.cursor)
        info = self.bridge.instance(item.instance) if item is not None else None
        if info is None:
            self.notify("Select a transfer first: the limit is that of its provider.", severity="warning")
            return
        try:
            await change_limit(self, info)
        except ProviderError as error:
            self._warn(error)

    def _warn(self, error: ProviderError) -> None:
        self.notify(f"{safe(error.message)} {safe(advice(error))}", severity="error", timeout=30, markup=False)

    async def _act(self, function: Callable[[Iterable[int]], int], ids: list[int], words: str) -> None:
        try:
            number = await self.bridge.call(function, ids)
        except ProviderError as error:
            self._warn(error)
            return
        self._select(set())
        self.warn_of_worker()
        if number:
            self.notify(f"{count(number, 'transfer')} {words}.")
        else:
            self.notify("That has no effect in this state. ↵ shows why.", severity="warning")
