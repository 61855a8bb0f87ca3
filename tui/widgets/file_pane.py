"""One half of the browser: a place, its loaded entries, and an error that stays until it is dismissed."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.getters import query_one
from textual.message import Message
from textual.widgets import Input, Static

from backup.model.credentials import StoreState
from providers.contract.listing import INCOMPLETE_HINT
from providers.contract.report import ErrorInfo
from providers.errors import Integrity, ProviderError
from tui.bridge import bridge_of
from tui.errors import error_content, needs_store
from tui.rows.files import FileRow, FileRows, SortBy, columns
from tui.rows.places import BrowsePlace, Load
from tui.text import cell_len, cut_middle, safe
from tui.widgets.line_table import LineTable

_AHEAD_ROWS = 200
"""The next page is loaded when the last visible row is this near to the end."""
_BIG_LISTING = 20_000
"""More entries than this are sorted and filtered in a thread."""
_CURED_IN_SETTINGS = frozenset({"authentication", "configuration", "credential_store", "permission"})


class Prompt(Input):
    """The line for a filter or a place. Returns the focus to the table beside it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "accept", priority=True),
        Binding("escape", "leave", "cancel", priority=True),
    ]

    class Left(Message):
        """Escape: no filter, no other place."""

    def action_leave(self) -> None:
        self._hand_back()
        self.post_message(self.Left())

    async def action_submit(self) -> None:
        self._hand_back()
        await super().action_submit()

    def _hand_back(self) -> None:
        """At once, since these keys have priority: later keys are meant for the table."""
        self.display = False
        self.screen.set_focus(self.query_ancestor(FilePane).table)


class FilePane(Vertical):
    """`open` shows a place. Loading never blocks and can be stopped; late answers are dropped."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("backspace", "up", "to the parent folder", show=False),
        # Priority bindings move the focus at once: later keys are text, not keys of this screen.
        Binding("slash", "filter", "filter", priority=True),
        Binding("g", "go_to", "go to", priority=True),
        Binding("o", "order", "order", show=False),
        Binding("r", "reload", "reload", show=False),
        Binding("ctrl+a", "mark_all", "select all", show=False),
        Binding("escape", "stop", "stop, or dismiss", show=False),
    ]
    DEFAULT_CSS = """
    FilePane { width: 1fr; height: 1fr; }
    FilePane > .notice { display: none; height: auto; max-height: 60%; padding: 0 1; background: $surface; }
    FilePane > .notice.shown { display: block; }
    FilePane > Prompt { display: none; }
    """
    table = query_one(LineTable)
    notice = query_one(".notice", Static)
    prompt = query_one(Input)

    class Arrived(Message):
        """A page, or the reason why there is none. `ticket` identifies the question; `first` starts a new listing."""

        def __init__(
            self, ticket: int, *, first: bool, load: Load | None = None, error: ErrorInfo | None = None
        ) -> None:
            super().__init__()
            self.ticket, self.first, self.load, self.error = ticket, first, load, error

    class Stopped(Message):
        """The user wants to stop what `busy` shows."""

    def __init__(self, empty_note: tuple[str, ...], *, id: str) -> None:
        super().__init__(id=id, classes="pane")
        self.place: BrowsePlace | None = None
        self.listing = FileRows(has_parent=False, now=time.time())
        self._empty_note = empty_note
        self._ticket = 0
        self._busy = ""
        self._land_on = ""
        self._filtering = True
        self._error: ErrorInfo | None = None
        self._asked_at_version = 0
        """Instances and store, as the bridge knew them when the last question was sent."""

    def compose(self) -> ComposeResult:
        yield LineTable(columns(SortBy.NAME), selectable=True)
        yield Static(classes="notice", markup=False)
        yield Prompt(compact=True)

    # Going to a place

    def open(self, place: BrowsePlace, *, land_on: str = "") -> None:
        """Show another place, with the cursor on the entry `land_on`."""
        self.place = place
        self.listing = FileRows(has_parent=place.parent is not None, now=time.time(), order=self.listing.order)
        self._land_on = land_on
        self.put_away()
        self.table.show(self.listing, cursor=0)
        self._ask(None)

    def reload(self) -> None:
        """Load the same place again. The old entries stay until the answer comes; cursor and selection are kept."""
        if self.place is None:
            return
        if self.listing.entries:
            self._ask(None)
        else:
            self.open(self.place, land_on=self._land_on)

    def _ask(self, token: str | None) -> None:
        if self.place is None:
            return
        self._ticket += 1
        self._asked_at_version = bridge_of(self).version
        self.busy("loading")
        # Not the coroutine itself: one that is replaced before it starts would print a warning into the terminal.
        fetch: Callable[[], Awaitable[None]] = partial(self._fetch, self.place, token, self._ticket)
        self.run_worker(fetch, group="load", exclusive=True)

    async def _fetch(self, place: BrowsePlace, token: str | None, ticket: int) -> None:
        try:
            load = await place.load(bridge_of(self), token)
            self.post_message(self.Arrived(ticket, first=token is None, load=load))
        except ProviderError as error:
            self.post_message(self.Arrived(ticket, first=token is None, error=ErrorInfo.of(error)))

    @on(Arrived)
    def _take(self, event: Arrived) -> None:
        if event.ticket != self._ticket or self.place is None:
            return
        self.busy("")
        if event.load is None:
            if event.error is not None and self._is_out_of_date(event.error):
                self._ask(None if event.first else self.listing.next_token)
            elif event.error is not None:
                self.fail(event.error)
            return
        self.put_away()
        before = self.listing
        if event.first:
            self.listing = FileRows(has_parent=self.place.parent is not None, now=time.time(), order=before.order)
            self.listing.needle = before.needle
        self.listing.add(event.load.entries, event.load.next_token)
        self.listing.left_out += event.load.left_out
        self.listing.incomplete |= bool(event.load.unread)
        if event.first:
            self.listing.marked = {each.name: each for each in self.listing.entries if each.name in before.marked}
        cursor = self.listing.index_of(self._land_on) if self._land_on else None
        self._land_on = ""
        self.table.show(self.listing, cursor=cursor, note=self._note())
        self.show_borders()
        if event.load.unread:
            why = f"this listing is incomplete: {event.load.unread}"
            self._tell(ErrorInfo(Integrity.kind, why, INCOMPLETE_HINT))

    def _is_out_of_date(self, error: ErrorInfo) -> bool:
        """Whether the store was opened after the question was sent."""
        bridge = bridge_of(self)
        ready = bridge.store is not None and bridge.store.state is StoreState.READY
        return needs_store(error) and ready and bridge.version != self._asked_at_version

    def _note(self) -> tuple[str, ...]:
        if self.listing.view or self.listing.next_token is not None:
            return ()
        return (f"Nothing here matches “{safe(self.listing.needle)}”.",) if self.listing.needle else self._empty_note

    # Borders and notice

    def busy(self, words: str) -> None:
        """Show in the border what is under way; an empty text when it is over."""
        self._busy = words
        self.show_borders()

    def fail(self, error: ErrorInfo) -> None:
        """Show an error until it is dismissed or an answer comes. Until then, no further page is loaded."""
        self._error = error
        self.busy("")
        self._tell(error)

    def _tell(self, error: ErrorInfo) -> None:
        elsewhere = "\n1 goes to Providers, where it is set up" if error.kind in _CURED_IN_SETTINGS else ""
        if needs_store(error):
            elsewhere = "\nU opens the credential store"
        self.notice.update(error_content(error, f"r try again   esc dismiss{elsewhere}"))
        self.notice.add_class("shown")

    @property
    def waits_for_store(self) -> bool:
        """Whether the error shown is a credential store that was not ready."""
        return self._error is not None and needs_store(self._error)

    def put_away(self) -> None:
        self._error = None
        self.notice.remove_class("shown")

    def show_borders(self) -> None:
        if self.place is None:
            return
        room = self.size.width - 2
        where = cut_middle(self.place.where, max(8, room - cell_len(self.place.owner) - 2))
        self.border_title = Content(f"{self.place.owner}  {where}")
        facts = f"{self._busy}… esc stops" if self._busy else "" if self._error else self.listing.facts()
        self.border_subtitle = Content(cut_middle(facts, max(4, room)))

    def on_resize(self) -> None:
        self.show_borders()

    # Keys and mouse

    @property
    def chosen(self) -> list[FileRow]:
        return self.listing.chosen(self.table.cursor)

    @on(LineTable.Looked)
    def _load_more(self, event: LineTable.Looked) -> None:
        near = event.index >= len(self.listing) - _AHEAD_ROWS
        if near and self.listing.next_token is not None and not self._busy and self._error is None:
            self._ask(self.listing.next_token)

    @on(LineTable.Opened)
    def _enter(self, event: LineTable.Opened) -> None:
        row = self.listing.row_of(event.key)
        entry = None if row is None else self.listing.entry(row)
        if event.key == "":
            self.action_up()
        elif entry is not None and self.place is not None and entry.name.endswith("/"):
            self.open(self.place.child(entry))

    @on(LineTable.MarkToggled)
    def _mark(self, event: LineTable.MarkToggled) -> None:
        self.listing.toggle(event.key)
        self.table.rows_changed()
        self.show_borders()

    @on(LineTable.HeaderClicked)
    async def _order_by(self, event: LineTable.HeaderClicked) -> None:
        await self._arrange(list(SortBy)[event.index], self.listing.needle)

    async def action_order(self) -> None:
        await self._arrange(self.listing.order.following, self.listing.needle)

    async def _arrange(self, order: SortBy, needle: str) -> None:
        listing = self.listing
        entry = listing.entry(self.table.cursor)
        if len(listing.entries) > _BIG_LISTING:
            await bridge_of(self).call(listing.arrange, order, needle)
        else:
            listing.arrange(order, needle)
        if listing is self.listing:
            self.table.show_columns(columns(order))
            self.table.show(listing, cursor=listing.index_of(entry.name) if entry else 0, note=self._note())
            self.show_borders()

    def action_up(self) -> None:
        if self.place is not None and self.place.parent is not None:
            self.open(self.place.parent, land_on=self.place.name_in_parent)

    def action_reload(self) -> None:
        self.put_away()
        self.reload()

    def action_mark_all(self) -> None:
        self.listing.marked = {entry.name: entry for entry in self.listing.view}
        self.table.rows_changed()
        self.show_borders()

    async def action_stop(self) -> None:
        """Close one thing at a time, the topmost first."""
        if self._busy:
            self._ticket += 1
            self.workers.cancel_group(self, "load")
            self.post_message(self.Stopped())
            self.busy("")
        elif self.notice.has_class("shown"):
            self.put_away()
            self.show_borders()
        elif self.listing.needle:
            await self._arrange(self.listing.order, "")
        else:
            self.listing.marked.clear()
            self.table.rows_changed()
            self.show_borders()

    # The line for a filter or a place

    def action_filter(self) -> None:
        self._ask_for(filtering=True, text=self.listing.needle, placeholder="filter the loaded entries")

    def action_go_to(self) -> None:
        if self.place is not None:
            hint = "a folder/, or the beginning of names"
            self._ask_for(filtering=False, text=self.place.text, placeholder=hint)

    def _ask_for(self, *, filtering: bool, text: str, placeholder: str) -> None:
        self._filtering = False
        self.prompt.value = text
        self._filtering = filtering
        self.prompt.placeholder = placeholder
        self.prompt.display = True
        self.screen.set_focus(self.prompt)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return not (action in ("filter", "go_to") and self.prompt.has_focus)

    @on(Input.Changed)
    async def _filter(self, event: Input.Changed) -> None:
        event.stop()
        if self._filtering:
            await self._arrange(self.listing.order, event.value)

    @on(Prompt.Left)
    async def _leave(self) -> None:
        await self._arrange(self.listing.order, "")

    @on(Input.Submitted)
    def _submit(self, event: Input.Submitted) -> None:
        event.stop()
        if not self._filtering and self.place is not None:
            self.open(self.place.typed(event.value))
