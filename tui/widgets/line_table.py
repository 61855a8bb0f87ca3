"""The table of all modes. It draws only visible lines, so that its row model may hold a million rows."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.rows.row_model import GAP_CELLS, SIGN_CELLS, Cell, Column, NoRows, Rows, Span, layout
from tui.text import cell_len, cut_end, cut_middle
from tui.theme import Tone


class LineTable(ScrollView, can_focus=True, inherit_bindings=False):
    """Draws `columns` and `rows`, and owns the cursor, but not the selection. `rows_changed` repaints only differences.

    The cursor stays on its row, identified by its key, when rows are added or removed around it.
    """

    FOLLOWS_TOP: ClassVar[bool] = False
    """Whether to keep the first row in view until the user moves the cursor: for live lists."""

    class RowMessage(Message):
        """`key` is that of the row at `index` when the message was sent. Another row may be there by now."""

        def __init__(self, table: LineTable, index: int) -> None:
            super().__init__()
            self.table = table
            self.index = index
            self.key = table.rows.key(index)

        @property
        def control(self) -> LineTable:
            return self.table

    class Opened(RowMessage):
        """Enter or a double click on a row."""

    class MarkToggled(RowMessage):
        """Space on a row, or a click on its sign."""

    class HeaderClicked(RowMessage):
        """`index` is that of the column; `key` has no meaning."""

    class Looked(RowMessage):
        """Other rows came into view, or the cursor moved. `index` is the last visible row."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LineTable.Looked) and message.table is self.table

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "one line up or down", show=False),
        Binding("down", "move(1)", "one line up or down", show=False),
        Binding("pageup", "page(-1)", "one page up or down", show=False),
        Binding("pagedown", "page(1)", "one page up or down", show=False),
        Binding("home", "edge(0)", "to the first or last row", show=False),
        Binding("end", "edge(1)", "to the first or last row", show=False),
        Binding("enter", "open", "open", show=False),
        Binding("space", "mark", "select"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "line-table--head",
        "line-table--cursor",
        "line-table--cursor-quiet",
        *(f"line-table--{tone}" for tone in Tone),
    }
    DEFAULT_CSS = """
    LineTable {
        height: 1fr; overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1; background: $background;
        & > .line-table--head { color: $muted; }
        & > .line-table--cursor { background: $cursor-row; }
        & > .line-table--cursor-quiet { background: $cursor-quiet; }
        & > .line-table--plain { color: $foreground; }
        & > .line-table--strong { color: $foreground; text-style: bold; }
        & > .line-table--muted { color: $muted; }
        & > .line-table--going { color: $primary; }
        & > .line-table--proved { color: $success; }
        & > .line-table--waiting { color: $warning; }
        & > .line-table--failed { color: $error; }
        & > .line-table--folder { color: $secondary; }
        & > .line-table--track { color: $track; }
    }
    """
    cursor: reactive[int] = reactive(0, repaint=False)

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        selectable: bool = False,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._selectable = selectable
        self._columns = tuple(columns)
        self._rows: Rows = NoRows()
        self._key: Hashable | None = None
        """The key of the row under the cursor; kept while that row is not loaded."""
        self._moved = False
        self._note: tuple[str, ...] = ()
        self._painted: dict[int, tuple[Span, tuple[Cell, ...]]] = {}
        self._styles: dict[tuple[str, bool], Style] = {}

    # Contents

    @property
    def rows(self) -> Rows:
        return self._rows

    @property
    def window(self) -> tuple[int, int]:
        """The visible rows: the first, and one past the last."""
        first = int(self.scroll_offset.y)
        return first, min(len(self._rows), first + max(0, self.size.height - 1))

    @property
    def _width(self) -> int:
        """Width without the scroll bar, in cells."""
        return self.scrollable_content_region.width

    def show(self, rows: Rows, *, cursor: int | None = None, note: Sequence[str] = ()) -> None:
        """Show other rows. `note` is drawn below the last one, and explains why there are so few."""
        self._rows = rows
        self.rows_changed(note=note, cursor=cursor)

    def show_columns(self, columns: Sequence[Column]) -> None:
        self._columns = tuple(columns)
        self._painted.clear()
        self.refresh()

    def rows_changed(self, *, note: Sequence[str] | None = None, cursor: int | None = None) -> None:
        """Repaint the rows that look different after the model has changed.

        Without `cursor`, the cursor stays on its row, or near its old position if that row is gone.
        """
        if note is not None and tuple(note) != self._note:
            self._note = tuple(note)
            self.refresh()
        count = len(self._rows)
        if count + 1 != self.virtual_size.height:
            self.virtual_size = Size(self.size.width, count + 1)
            self.refresh()
        self.cursor = max(0, min(count - 1, self._held_row() if cursor is None else cursor))
        self._hold()
        widths = layout(self._columns, self._width)
        first, last = self.window
        for index in range(first, last):
            if self._painted.get(index) != self._look(index, widths):
                self._refresh_row(index)
        self._painted = {index: look for index, look in self._painted.items() if first <= index < last}
        self.post_message(self.Looked(self, last - 1))

    # Cursor

    def _held_row(self) -> int:
        if self.FOLLOWS_TOP and not self._moved:
            return 0
        if self._key is None or self._rows.key(self.cursor) == self._key:
            return self.cursor
        row = self._rows.row_of(self._key)
        return self.cursor if row is None else row

    def _hold(self) -> None:
        """Keep the cursor on the row that it is on now. If that row is not loaded, keep looking for the earlier one."""
        key = self._rows.key(self.cursor)
        if key is not None or not len(self._rows):
            self._key = key

    def _move(self, row: int) -> None:
        """Move the cursor for the user."""
        self._moved = True
        self._key = None
        self.cursor = row
        self._hold()

    def validate_cursor(self, cursor: int) -> int:
        return max(0, min(len(self._rows) - 1, cursor))

    def watch_cursor(self, old: int, new: int) -> None:
        if old != new:
            self._refresh_row(old)
            self._refresh_row(new)
        self._bring_into_view()
        self.post_message(self.Looked(self, self.window[1] - 1))

    def _bring_into_view(self) -> None:
        visible = self.size.height - 1
        top = int(self.scroll_offset.y)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, immediate=True)
        elif visible > 0 and self.cursor >= top + visible:
            self.scroll_to(y=self.cursor - visible + 1, animate=False, immediate=True)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.post_message(self.Looked(self, self.window[1] - 1))

    def action_move(self, step: int) -> None:
        self._move(self.cursor + step)

    def action_page(self, direction: int) -> None:
        self._move(self.cursor + direction * max(1, self.size.height - 2))

    def action_edge(self, last: int) -> None:
        self._move(len(self._rows) - 1 if last else 0)
        self._moved = bool(last)

    def action_open(self) -> None:
        if len(self._rows):
            self.post_message(self.Opened(self, self.cursor))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._selectable or action != "mark"

    def action_mark(self) -> None:
        """Mark the row under the cursor and move down at once: keys typed ahead are meant for the next rows."""
        if len(self._rows):
            marked = self.cursor
            self._move(marked + 1)
            self.post_message(self.MarkToggled(self, marked))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y == 0:
            self.post_message(self.HeaderClicked(self, self._column_at(offset.x)))
            return
        index = offset.y - 1 + int(self.scroll_offset.y)
        if index < len(self._rows):
            self._move(index)
            if offset.x < SIGN_CELLS and self._selectable:
                self.post_message(self.MarkToggled(self, index))
            elif event.chain == 2:
                self.post_message(self.Opened(self, index))

    def _column_at(self, x: int) -> int:
        right = SIGN_CELLS
        for index, width in enumerate(layout(self._columns, self._width)):
            right += width + GAP_CELLS if width else 0
            if x < right:
                return index
        return len(self._columns) - 1

    # Drawing

    def on_resize(self) -> None:
        self._painted.clear()
        self._bring_into_view()
        self.refresh()

    def on_focus(self) -> None:
        self._refresh_row(self.cursor)

    def on_blur(self) -> None:
        self._refresh_row(self.cursor)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()

    def _refresh_row(self, index: int) -> None:
        self.refresh_lines(index + 1)

    def _look(self, index: int, widths: Sequence[int]) -> tuple[Span, tuple[Cell, ...]]:
        return self._rows.sign(index), tuple(self._rows.cells(index, widths))

    def render_line(self, y: int) -> Strip:
        width = self._width
        widths = layout(self._columns, width)
        if y == 0:
            return self._head(widths).adjust_cell_length(width, self.rich_style)
        index = y - 1 + int(self.scroll_offset.y)
        if index >= len(self._rows):
            note = index - len(self._rows) - 1
            text = self._note[note] if 0 <= note < len(self._note) else ""
            segments = [Segment(" " * SIGN_CELLS + cut_end(text, width - SIGN_CELLS), self._style("muted"))]
            return Strip(segments).adjust_cell_length(width, self.rich_style)
        look = self._painted[index] = self._look(index, widths)
        under_cursor = index == self.cursor
        style = self._style("plain", under_cursor=under_cursor)
        return Strip(self._segments(look, widths, under_cursor)).adjust_cell_length(width, style)

    def _head(self, widths: Sequence[int]) -> Strip:
        style = self._style("head")
        titles = [
            Segment(_fitted(column.title, width, column.right), style)
            for column, width in zip(self._columns, widths, strict=True)
            if width
        ]
        return Strip([Segment(" " * SIGN_CELLS, style), *_separated(titles, style)])

    def _segments(
        self, look: tuple[Span, tuple[Cell, ...]], widths: Sequence[int], under_cursor: bool
    ) -> list[Segment]:
        (sign, tone), cells = look
        blank = self._style("plain", under_cursor=under_cursor)
        segments = [Segment(_fitted(sign, SIGN_CELLS, False), self._style(tone, under_cursor=under_cursor))]
        at, started = 0, False
        for cell in cells:
            covered = [width for width in widths[at : at + cell.columns] if width]
            right = self._columns[at].right and cell.columns == 1
            at += cell.columns
            if not covered:
                continue
            if started:
                segments.append(Segment(" " * GAP_CELLS, blank))
            started = True
            width = sum(covered) + GAP_CELLS * (len(covered) - 1)
            segments += self._cell_segments(cell, width, right, under_cursor)
        return segments

    def _cell_segments(self, cell: Cell, width: int, right: bool, under_cursor: bool) -> list[Segment]:
        segments: list[Segment] = []
        left = width
        for text, tone in cell.spans:
            cut = cut_middle(text, left) if cell.middle else cut_end(text, left)
            left -= cell_len(cut)
            segments.append(Segment(cut, self._style(tone, under_cursor=under_cursor)))
        filler = Segment(" " * left, self._style("plain", under_cursor=under_cursor))
        return [filler, *segments] if right else [*segments, filler]

    def _style(self, tone: str, *, under_cursor: bool = False) -> Style:
        """Muted text is drawn plain under the cursor, where it would be too faint."""
        found = self._styles.get((tone, under_cursor))
        if found is None or under_cursor:
            name = Tone.PLAIN if under_cursor and tone == Tone.MUTED else tone
            found = self.rich_style + self.get_component_rich_style(f"line-table--{name}", partial=True)
            if under_cursor:
                row = "line-table--cursor" if self.has_focus else "line-table--cursor-quiet"
                found += self.get_component_rich_style(row, partial=True)
            self._styles[tone, under_cursor] = found
        return found


def _fitted(text: str, width: int, right: bool) -> str:
    cut = cut_end(text, width)
    filler = " " * (width - cell_len(cut))
    return filler + cut if right else cut + filler


def _separated(segments: Sequence[Segment], style: Style) -> list[Segment]:
    joined: list[Segment] = []
    for segment in segments:
        joined += [segment, Segment(" " * GAP_CELLS, style)]
    return joined[:-1]
