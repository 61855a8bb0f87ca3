"""The dialogue that lists and removes what unfinished uploads have left at a provider."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.getters import query_one
from textual.screen import ModalScreen
from textual.widgets import Static

from backup.model.unfinished import Needed, Unfinished
from backup.queries.questions import FindUnfinished, RemoveUnfinished
from backup.system.text import age
from providers.contract.report import ErrorInfo
from providers.errors import ProviderError
from screens.modals.confirm import Choice, ConfirmScreen, Fact, Question
from tui.bridge import bridge_of
from tui.rows.unfinished import COLUMNS, UnfinishedRows
from tui.text import count, safe, size
from tui.theme import STYLES, Tone
from tui.widgets.bars import KeyBar
from tui.widgets.check_steps import explain
from tui.widgets.line_table import LineTable

_ABOUT = "Parts of uploads that never finished. They may cost money, and listings do not show them."


class UnfinishedScreen(ModalScreen[None]):
    CSS_PATH = Path(__file__).parent / "unfinished.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("delete,x", "remove", "remove", key_display="del"),
        Binding("r", "look", "refresh"),
        Binding("escape,q", "dismiss", "close"),
    ]
    table = query_one(LineTable)

    def __init__(self, instance: str) -> None:
        super().__init__()
        self._instance = instance
        self._rows = UnfinishedRows()

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide") as dialog:
            dialog.border_title = Content(f"Unfinished uploads at {safe(self._instance)}")
            yield Static(Content.styled(_ABOUT, STYLES[Tone.MUTED]))
            yield LineTable(COLUMNS, selectable=True)
            yield Static("", id="outcome")
        yield KeyBar()

    def on_mount(self) -> None:
        self.action_look()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "remove" or bool(self._rows)

    @work(exclusive=True, group="unfinished")
    async def action_look(self) -> None:
        await self._look()

    async def _look(self, problem: ErrorInfo | None = None) -> None:
        self._say(Content.styled("looking", STYLES[Tone.GOING]))
        bridge = bridge_of(self)
        found: list[Unfinished] = []
        try:
            found = await bridge.ask(FindUnfinished(self._instance, await self._needed()))
        except ProviderError as error:
            problem = ErrorInfo.of(error)
        self._rows = UnfinishedRows(found)
        self.table.show(self._rows)
        if problem is not None:
            self._say(explain(problem))
        else:
            held = sum(one.upload.size_bytes or 0 for one in found)
            words = f"{count(len(found), 'unfinished upload')} · {size(held)}" if found else "No unfinished uploads."
            self._say(Content.styled(words, STYLES[Tone.STRONG if found else Tone.PROVED]))
        self.refresh_bindings()

    async def _needed(self) -> list[Needed]:
        bridge = bridge_of(self)
        return Needed.of(await bridge.call(bridge.core.queue.begun_uploads))

    @work(exclusive=True, group="unfinished")
    async def action_remove(self) -> None:
        rows = self._rows
        chosen = [rows.found[index] for index in sorted(rows.marked) or [self.table.cursor] if index < len(rows)]
        going = [one for one in chosen if one.needed_by is None]
        if not going:
            if chosen:
                self._say(explain(_kept(chosen)))
            return
        if not await self.app.push_screen_wait(ConfirmScreen(_question(self._instance, going, len(chosen)))):
            return
        self._say(Content.styled("removing", STYLES[Tone.GOING]))
        problem: ErrorInfo | None = None
        for one in going:
            try:
                await bridge_of(self).ask(RemoveUnfinished(self._instance, one.upload, await self._needed()))
            except ProviderError as error:
                problem = problem or ErrorInfo.of(error)
        await self._look(problem)

    @on(LineTable.MarkToggled)
    def _mark(self, event: LineTable.MarkToggled) -> None:
        self._rows.marked ^= {event.index}
        self.table.rows_changed()

    def _say(self, words: Content) -> None:
        self.query_one("#outcome", Static).update(words)


def _kept(chosen: Sequence[Unfinished]) -> ErrorInfo:
    one = chosen[0]
    hint = "Cancel that transfer: the worker then removes it."
    return ErrorInfo("conflict", f"transfer {one.needed_by} will resume {one.upload.key}", hint)


def _question(instance: str, going: Sequence[Unfinished], chosen: int) -> Question[bool]:
    held = sum(one.upload.size_bytes or 0 for one in going)
    names = ", ".join(safe(one.upload.key) for one in going[:3]) + (", …" if len(going) > 3 else "")
    begun = (
        f"{age(min(one.age_s for one in going if one.age_s is not None))} ago{' or more' if len(going) > 1 else ''}"
        if all(one.age_s is not None for one in going)
        else "the service does not report when"
    )
    facts = [
        Fact("what", f"{count(len(going), 'unfinished upload')} · {size(held)}", Tone.STRONG),
        Fact("of", names),
        Fact("begun", begun, Tone.WAITING),
        Fact("note", "a program that is still uploading one must start again", Tone.WAITING),
    ]
    if chosen > len(going):
        facts.append(Fact("kept", f"{chosen - len(going):,} that transfers of this program will resume", Tone.MUTED))
    return Question(f"Remove at {safe(instance)}?", facts, [Choice("Remove", True)], danger=True)
