"""The first half of an import: the choice of a program and a file. Reading the file changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final, NamedTuple

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.getters import query_one
from textual.widgets import Button, Input, OptionList, Static
from textual.widgets.option_list import Option

from backup.credentials.importing.json_file import ImportFindings
from backup.instances.importing import USUAL_FILES, ImportSource
from providers.settings import FieldKind, SettingField
from screens.modals.asking import AskingDialog
from tui.bridge import bridge_of
from tui.theme import STYLES, Tone
from tui.widgets.field_row import FieldRow
from tui.widgets.settings_form import FIELD_BINDINGS

SOURCES: Final[dict[ImportSource, tuple[str, str]]] = {
    ImportSource.EARLIER_JSON: (
        "An earlier backup program (JSON)",
        "Its configuration file; its secrets can be blanked afterwards.",
    ),
    ImportSource.AWS: ("AWS profiles", "~/.aws/credentials, and the file config beside it."),
    ImportSource.RCLONE: ("rclone", "`rclone config dump` in a file; delete it afterwards."),
}
_FILE: Final = SettingField(
    name="file", kind=FieldKind.TEXT, label="File", help="The path on this machine; ~ is your home.",
    placeholder="", unit="", required=True, advanced=False, optional=False, default="",
)  # fmt: skip


class Reading(NamedTuple):
    """The findings, and the file that holds them."""

    source: ImportSource
    path: Path
    findings: ImportFindings


class ImportFrom(AskingDialog[Reading | None]):
    """Dismisses with the findings in the file, or with None."""

    BINDINGS: ClassVar[list[BindingType]] = [*FIELD_BINDINGS, Binding("escape", "leave", "cancel")]
    sources = query_one("#import-sources", OptionList)
    row = query_one(FieldRow)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog store") as dialog:
            dialog.border_title = "Import"
            about = "Imports providers; their secrets go straight to the store."
            yield Static(Content(about), classes="about")
            yield OptionList(*(Option(_words(source), id=source.value) for source in ImportSource), id="import-sources")
            yield FieldRow(_FILE, "")
            yield Static("", classes="outcome")
            with Horizontal(classes="buttons"):
                yield Button(Content("Cancel  esc"), id="leave")
                yield Button(Content("Read it  ↵"), id="look", classes="act")

    def on_mount(self) -> None:
        self.sources.highlighted = 0
        self.sources.focus()

    def focus_field(self) -> None:
        self.row.control.focus()

    @property
    def _source(self) -> ImportSource:
        return list(ImportSource)[self.sources.highlighted or 0]

    @on(OptionList.OptionHighlighted)
    def _source_changed(self) -> None:
        """Fill in the usual file of the program, unless the user typed another."""
        control = self.row.control
        if isinstance(control, Input) and control.value in ("", *USUAL_FILES.values()):
            control.value = USUAL_FILES.get(self._source, "")
            control.cursor_position = len(control.value)

    @on(OptionList.OptionSelected)
    def _source_chosen(self) -> None:
        self.focus_field()

    @on(Button.Pressed, "#look")
    @on(Input.Submitted)
    @work(exclusive=True)
    async def _look(self) -> None:
        text = self.row.text.strip()
        if not text:
            self.ask_for("File: type its path, then ↵.")
            return
        core, path = bridge_of(self).core, Path(text)
        if await self.attempt("Reading it…", core.instances.import_findings_in, self._source, path):
            self.dismiss(Reading(self._source, path, self.answer))

    @on(Button.Pressed, "#leave")
    def action_leave(self) -> None:
        self.dismiss(None)


def _words(source: ImportSource) -> Content:
    title, where = SOURCES[source]
    return Content.assemble((title, STYLES[Tone.STRONG]), (f"\n{where}", STYLES[Tone.MUTED]))
