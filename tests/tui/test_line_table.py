"""The table, which draws rows on demand."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from typing import Any

from textual.app import App, ComposeResult

from tests.tui.standin import screen_text, until
from tui.rows.row_model import Cell, Column, Span, layout
from tui.theme import DARK, Tone
from tui.widgets.line_table import LineTable

NAME = Column(title="NAME", width=20, grows=True)
SIZE = Column(title="SIZE", width=9, right=True)
TO = Column(title="TO", width=20, drops=1)
TIME = Column(title="MODIFIED", width=12, right=True, drops=2)


class Numbers:
    """`count` rows, made on demand; `asked` counts the requests."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked: list[int] = []
        self.suffix: dict[int, str] = {}

    def __len__(self) -> int:
        return self.count

    def key(self, index: int) -> Hashable | None:
        return index if 0 <= index < self.count else None

    def row_of(self, key: Hashable) -> int | None:
        return key if isinstance(key, int) and key < self.count else None

    def sign(self, index: int) -> Span:
        return ("●" if index == 2 else " ", Tone.WAITING)

    def cells(self, index: int, widths: Sequence[int]) -> Sequence[Cell]:
        self.asked.append(index)
        return [Cell.of(f"row {index}{self.suffix.get(index, '')}"), Cell.of(f"{index} B", Tone.MUTED)]


class TableApp(App[None]):
    def __init__(self, rows: Any) -> None:
        super().__init__()
        self.register_theme(DARK)
        self.theme = DARK.name
        self.rows = rows
        self.seen: list[tuple[str, int]] = []

    def compose(self) -> ComposeResult:
        yield LineTable([NAME, SIZE], selectable=True)

    def on_mount(self) -> None:
        self.query_one(LineTable).show(self.rows)
        self.query_one(LineTable).focus()

    def on_line_table_opened(self, event: LineTable.Opened) -> None:
        self.seen.append(("opened", event.index))

    def on_line_table_mark_toggled(self, event: LineTable.MarkToggled) -> None:
        self.seen.append(("marked", event.index))


def test_columns_drop_in_their_order_before_the_name_is_cut() -> None:
    columns = [NAME, TO, SIZE, TIME]
    assert layout(columns, 100) == (51, 20, 9, 12)
    assert layout(columns, 60) == (33, 0, 9, 12)
    assert layout(columns, 40) == (27, 0, 9, 0)
    assert layout(columns, 20) == (7, 0, 9, 0)


async def test_a_million_rows_scroll_like_ten() -> None:
    rows = Numbers(1_000_000)
    app = TableApp(rows)
    async with app.run_test(size=(60, 20)) as pilot:
        table = app.query_one(LineTable)
        await until(pilot, lambda: "row 18" in screen_text(app))
        started = time.perf_counter()
        await pilot.press("end")
        await until(pilot, lambda: "row 999999" in screen_text(app))
        await pilot.press("pageup", "pageup")
        assert table.cursor == 999_999 - 2 * 18
        await pilot.press("home")
        await until(pilot, lambda: "row 0 " in screen_text(app))
        assert time.perf_counter() - started < 2
        assert len(set(rows.asked)) < 200


async def test_only_rows_that_look_different_are_repainted() -> None:
    rows = Numbers(1000)
    app = TableApp(rows)
    async with app.run_test(size=(60, 20)) as pilot:
        table = app.query_one(LineTable)
        await until(pilot, lambda: "row 18" in screen_text(app))
        painted: list[int] = []
        render_line = table.render_line

        def spy(y: int) -> Any:
            painted.append(y)
            return render_line(y)

        table.render_line = spy  # type: ignore[method-assign]
        rows.suffix[5] = " changed"
        table.rows_changed()
        await until(pilot, lambda: "row 5 changed" in screen_text(app))
        assert set(painted) == {6}


async def test_keys_and_mouse_open_and_mark() -> None:
    app = TableApp(Numbers(50))
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.press("down", "down", "space", "space", "enter")
        await pilot.click(LineTable, offset=(10, 8))
        await pilot.click(LineTable, offset=(0, 4))
        await pilot.click(LineTable, offset=(10, 9), times=2)
        await pilot.pause()
        assert app.seen == [("marked", 2), ("marked", 3), ("opened", 4), ("marked", 3), ("opened", 8)]


async def test_the_cursor_stays_in_view_and_in_range_when_rows_vanish_or_the_window_shrinks() -> None:
    rows = Numbers(100)
    app = TableApp(rows)
    async with app.run_test(size=(60, 20)) as pilot:
        table = app.query_one(LineTable)
        await pilot.press("end")
        await pilot.resize_terminal(60, 8)
        await until(pilot, lambda: "row 99" in screen_text(app))
        rows.count = 3
        table.rows_changed()
        await pilot.pause()
        assert table.cursor == 2
        rows.count = 0
        table.rows_changed(note=["This folder is empty."])
        await until(pilot, lambda: "This folder is empty." in screen_text(app))
        await pilot.press("down", "enter", "space")
        assert app.seen == []


class Wide(Numbers):
    def cells(self, index: int, widths: Sequence[int]) -> Sequence[Cell]:
        return [Cell.of("写真" * 30 + ".jpg", middle=True), Cell.of("1 B")]


async def test_wide_characters_keep_the_columns_in_line() -> None:
    app = TableApp(Wide(3))
    async with app.run_test(size=(40, 10)) as pilot:
        await until(pilot, lambda: ".jpg" in screen_text(app))
        table = app.query_one(LineTable)
        assert {table.render_line(y).cell_length for y in range(1, 4)} == {40}
        assert all(table.render_line(y).text.endswith("1 B") for y in range(1, 4))
