"""The set-up of unattended jobs: how a timer, cron or a boot service opens the vault, and the units that run them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Input, Static

from backup.credentials.unattended.setup import KeySupply, Made, WantedSetup, words_of
from backup.credentials.unattended.units import Variant
from providers.errors import Conflict, ProviderError
from providers.settings import FieldKind, SettingField
from screens.modals.asking import AskingDialog
from screens.modals.choose import ChooseScreen
from screens.modals.confirm import Choice, ConfirmScreen, Fact, Question
from screens.modals.credentials.open_store import open_store
from tui.bridge import bridge_of
from tui.text import safe
from tui.theme import STYLES, Tone
from tui.widgets.field_row import FieldRow
from tui.widgets.settings_form import FIELD_BINDINGS

TITLES: Final = {
    Variant.SYSTEMD_CREDENTIAL: "systemd credential",
    Variant.KEY_FILE: "Key file (0600)",
    Variant.PASSWORD_COMMAND: "password_command",
}
AT_TIMES, AT_BOOT = "at set times (system timer)", "after each boot (user service)"


def _field(name: str, label: str, help: str, *, default: str = "", choices: tuple[str, ...] = ()) -> SettingField:
    kind = FieldKind.CHOICE if choices else FieldKind.TEXT
    return SettingField(
        name=name, kind=kind, label=label, help=help, placeholder="", unit="", required=False, advanced=False,
        optional=False, default=default, choices=choices,
    )  # fmt: skip


_KEY_FILE: Final = _field("key_file", "Key file", "Created for you alone. Empty: vault.key in the state folder.")
_COMMAND: Final = _field("command", "Command", "Prints the passphrase: pass show backup. Tried now, without a shell.")
_FOLDER: Final = _field("folder", "Unit folder", "For systemd units. Empty: none (cron needs none).")
_LINGER: Final = "A user service starts at boot only with linger."
_RUNS: Final = _field("runs", "Run", _LINGER, choices=(AT_TIMES, AT_BOOT))
_AT: Final = _field("at", "Times", "In the syntax of systemd.time: daily, Mon 03:00, hourly.", default="daily")
_JOB_HELP: Final = "transfers wait runs the queue; or: upload /srv --provider NAME."
_JOB: Final = _field("job", "Job", _JOB_HELP, default="transfers wait")
_NEEDED_FOLDER: Final = _field("folder", "Unit folder", "For systemd units; one reads the credential.")
FIELDS: Final[dict[Variant, Sequence[SettingField]]] = {
    Variant.SYSTEMD_CREDENTIAL: (_NEEDED_FOLDER, _AT, _JOB),
    Variant.KEY_FILE: (_KEY_FILE, _FOLDER, _RUNS, _AT, _JOB),
    Variant.PASSWORD_COMMAND: (_COMMAND, _FOLDER, _RUNS, _AT, _JOB),
}


class ChooseWay(ChooseScreen[KeySupply]):
    """The ways to open the vault, each with what it protects against."""

    def __init__(self, ways: Sequence[KeySupply]) -> None:
        super().__init__("What opens the vault for unattended jobs", [(way, _words(way)) for way in ways])


class Unattended(AskingDialog[Made | None]):
    """The settings of the chosen way. Dismisses with what was made."""

    BINDINGS: ClassVar[list[BindingType]] = [*FIELD_BINDINGS, Binding("escape", "leave", "cancel")]

    def __init__(self, way: KeySupply) -> None:
        super().__init__()
        self._way = way

    def compose(self) -> ComposeResult:
        way = self._way
        with Vertical(classes="dialog store") as dialog:
            dialog.border_title = Content(TITLES[way.variant])
            with VerticalScroll(can_focus=False, classes="pages"):
                yield Static(Content(way.protects), classes="about")
                for field in FIELDS[way.variant]:
                    yield FieldRow(field, way.set_up if field in (_KEY_FILE, _COMMAND) else field.default)
                yield Static("", classes="outcome")
            with Horizontal(classes="buttons"):
                yield Button(Content("Cancel  esc"), id="leave")
                yield Button(Content("Set up  ↵"), id="act", classes="act")

    def on_mount(self) -> None:
        self.focus_field()

    def focus_field(self) -> None:
        self.query(FieldRow).first().control.focus()

    def _text(self, field: SettingField) -> str:
        rows = self.query(f"#field-{field.name}").results(FieldRow)
        return next((row.text.strip() for row in rows), "")

    def _wanted(self, *, replace: bool) -> WantedSetup:
        key_file, folder = self._text(_KEY_FILE), self._text(_FOLDER)
        return WantedSetup(
            variant=self._way.variant,
            key_file=Path(key_file) if key_file else None,
            password_command=words_of(self._text(_COMMAND), "password_command"),
            folder=Path(folder) if folder else None,
            resume=self._text(_RUNS) == AT_BOOT,
            on_calendar=self._text(_AT) or _AT.default,
            job=words_of(self._text(_JOB) or _JOB.default, "job"),
            replace=replace,
        )

    @on(Button.Pressed, "#act")
    @on(Input.Submitted)
    @work(group="act")
    async def _act(self) -> None:
        if self._busy:
            return
        if self._way.variant is Variant.SYSTEMD_CREDENTIAL and not self._text(_FOLDER):
            self.ask_for("Unit folder: name one; a unit reads the credential.")
        elif await open_store(self):
            await self._set_up(replace=False)
        else:
            self.ask_for("Open the vault once, to create a key for it.")

    async def _set_up(self, *, replace: bool) -> None:
        bridge = bridge_of(self)
        try:
            wanted = self._wanted(replace=replace)
        except ProviderError as error:
            self.fail(error)
            return
        if await self.attempt("Setting it up…", bridge.core.credentials.set_up_unattended, wanted):
            bridge.instances_changed()
            self.dismiss(self.answer)
        elif isinstance(self.refusal, Conflict) and not replace and await self._asked_to_replace(self.refusal):
            await self._set_up(replace=True)

    async def _asked_to_replace(self, conflict: Conflict) -> bool:
        facts = [Fact("there", safe(conflict.message)), Fact("loses", "changes made to them by hand", Tone.WAITING)]
        question = Question("Replace the units?", facts, [Choice("Replace", True)], danger=True)
        agreed = await self.app.push_screen_wait(ConfirmScreen(question))
        return agreed is True

    @on(Button.Pressed, "#leave")
    def action_leave(self) -> None:
        if not self._busy:
            self.dismiss(None)


def _words(way: KeySupply) -> Content:
    set_up = f"  set up: {safe(way.set_up)}" if way.set_up else ""
    return Content.assemble(
        (TITLES[way.variant], STYLES[Tone.STRONG]),
        (set_up, STYLES[Tone.PROVED]),
        (f"\n{way.protects}\n", STYLES[Tone.MUTED]),
    )
