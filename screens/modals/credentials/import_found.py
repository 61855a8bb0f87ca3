"""The second half of an import: the findings without their secrets, the user's choice, and the outcome."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.dom import DOMNode
from textual.getters import query_one
from textual.widgets import Button, SelectionList, Static
from textual.widgets.selection_list import Selection

from backup.credentials.importing.json_file import Imported, ImportFindings
from backup.instances.importing import Applied, ImportSource, Saved
from screens.modals.asking import AskingDialog
from screens.modals.confirm import Choice, ConfirmScreen, Fact, Question
from screens.modals.credentials.import_from import ImportFrom, Reading
from screens.modals.credentials.open_store import open_store
from tui.bridge import bridge_of
from tui.text import count, cut_middle, safe
from tui.theme import STYLES, Tone


async def import_providers(node: DOMNode) -> None:
    """Run an import from the choice of a file to the outcome. Call it in a worker."""
    reading = await node.app.push_screen_wait(ImportFrom())
    if reading is not None:
        await node.app.push_screen_wait(ImportFound(reading))


class ImportFound(AskingDialog[None]):
    TIMEOUT_S = 300.0
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "take", "import these", priority=True),
        Binding("escape", "leave", "cancel"),
    ]
    found = query_one(SelectionList)

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self._reading = reading
        self._under_way = self._over = False

    def compose(self) -> ComposeResult:
        findings = self._reading.findings
        with Vertical(classes="dialog store") as dialog:
            dialog.border_title = Content(f"Found in {self._file}")
            with VerticalScroll(can_focus=False, classes="pages"):
                yield Static(_head(findings), classes="about")
                yield SelectionList[str](
                    *(Selection(self._words(each), each.source, initial_state=True) for each in findings.instances)
                )
                yield Static(_notes(findings), id="notes", classes="about")
            yield Static("", classes="outcome")
            with Horizontal(classes="buttons"):
                yield Button(Content("Cancel  esc"), id="leave")
                yield Button(Content("Import  ↵"), id="take", classes="act")

    @property
    def _file(self) -> str:
        return cut_middle(safe(str(self._reading.path)), 44)

    def _words(self, found: Imported) -> Content:
        title = next((each.title for each in bridge_of(self).services if each.name == found.service), found.service)
        secrets = f" · {', '.join(map(safe, found.secrets))}, not shown" if found.secrets else " · no secret"
        return Content.assemble(
            (safe(found.source), STYLES[Tone.STRONG]),
            (f"  {safe(title)}", STYLES[Tone.PLAIN]),
            (secrets, STYLES[Tone.MUTED]),
        )

    def on_mount(self) -> None:
        some = bool(self._reading.findings.instances)
        self.found.display = self.query_one("#take").display = some
        self.query_one("#notes").display = bool(_notes(self._reading.findings))
        self.focus_field()

    def focus_field(self) -> None:
        (self.found if self.found.display else self.query_one("#leave")).focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Enter presses a focused button instead."""
        return action != "take" or not isinstance(self.focused, Button)

    @on(Button.Pressed, "#take")
    @work
    async def action_take(self) -> None:
        if self._over or self._under_way:
            return
        self._under_way = True
        try:
            await self._take([each for each in self._reading.findings.instances if each.source in self.found.selected])
        finally:
            self._under_way = False

    async def _take(self, chosen: list[Imported]) -> None:
        """Open the store, ask about the secrets in the file, then import everything in one call."""
        if not chosen:
            self.ask_for("Nothing is selected: space selects.")
            return
        secrets = any(each.secrets for each in chosen)
        if secrets and not await open_store(self):
            self.ask_for("The store is not open: nothing was imported.")
            return
        bridge, reading = bridge_of(self), self._reading
        blank = secrets and reading.source is ImportSource.EARLIER_JSON and await self._asked_to_blank(chosen)
        sources, blank_in = [each.source for each in chosen], reading.path if blank else None
        apply = bridge.core.instances.apply_import
        done = await self.attempt("Importing…", apply, reading.findings, sources, blank_in=blank_in)
        bridge.instances_changed()
        if done:
            self._show_outcome(self.answer)

    async def _asked_to_blank(self, chosen: list[Imported]) -> bool:
        """A question of its own, since the file belongs to another program."""
        facts = [
            Fact("file", safe(str(self._reading.path))),
            Fact(
                "empties", f"the secrets of {', '.join(safe(each.source) for each in chosen)}, once the store has them"
            ),
            Fact("why", "anyone who can read that file has them", Tone.WAITING),
            Fact("stays", "everything else in it; but its program no longer works with these providers"),
        ]
        question = Question(
            "Blank the secrets in the file?", facts, [Choice("Blank them", True)], keep="Keep them", danger=True
        )
        agreed = await self.app.push_screen_wait(ConfirmScreen(question))
        return agreed is True

    def _show_outcome(self, applied: Applied) -> None:
        self._over = True
        self.found.display = self.query_one("#notes").display = self.query_one("#take").display = False
        self.query_one(".dialog").border_title = Content(f"Imported from {self._file}")
        self.query_one("#leave", Button).label = Content("Close  esc")
        self.query_one("Static.about", Static).update(_outcome(applied))
        self.focus_field()

    @on(Button.Pressed, "#leave")
    def action_leave(self) -> None:
        if not self._busy:
            self.dismiss(None)


def _head(findings: ImportFindings) -> Content:
    if not findings.instances:
        return Content.styled("Nothing that this program can import.", STYLES[Tone.WAITING])
    return Content("Nothing is changed yet. Existing providers are never changed. space deselects one.")


def _notes(findings: ImportFindings) -> Content:
    """Notes on the findings, and what is left out."""
    lines = [
        (f"· {safe(each.source)}: {safe(note)}", Tone.WAITING) for each in findings.instances for note in each.notes
    ]
    lines += [(f"· {safe(each.source)} is skipped: {safe(each.reason)}", Tone.MUTED) for each in findings.skipped]
    return Content("\n").join([Content.styled(words, STYLES[tone]) for words, tone in lines])


def _outcome(applied: Applied) -> Content:
    lines = [line for each in applied.saved for line in _saved(each)]
    if applied.blanked:
        lines.append(Content.styled("✔ their secrets in the file are blank now", STYLES[Tone.PROVED]))
    lines.append(Content.styled("Disabled until checked: 1 Providers, t checks, e enables.", STYLES[Tone.WAITING]))
    return Content("\n").join(lines)


def _saved(saved: Saved) -> Iterator[Content]:
    secrets = f" · {count(len(saved.secrets), 'secret')} in the store" if saved.secrets else ""
    other = "" if saved.name == saved.source else f" as {safe(saved.name)}"
    yield Content.assemble((f"✔ {safe(saved.source)}", STYLES[Tone.PROVED]), f"{other}{secrets}")
    for note in saved.notes:
        yield Content.styled(f"  {safe(note)}", STYLES[Tone.MUTED])
