"""One setting as a row: label, control, unit; below, the problem, or the help while the row has the focus."""

from __future__ import annotations

from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.css.query import NoMatches
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Checkbox, Input, Label, Select, Static

from providers.errors import InvalidConfiguration
from providers.secret import Secret
from providers.settings import FieldKind, SettingField, parse_text
from tui.remedies import advice
from tui.text import safe
from tui.widgets.secret_input import SecretInput

KEEP = "set · leave empty to keep it"


def value_text(spec: SettingField, value: Any) -> str:
    """A value as a user would type it; `parse_text` returns the same value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if spec.kind is FieldKind.BYTES and isinstance(value, int):
        for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
            if value and value % factor == 0:
                return f"{value // factor}{unit}"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def says_no_more(error: InvalidConfiguration) -> bool:
    """Whether its advice is only to correct the setting, which goes without saying in a form."""
    return not error.hint and error.remedies == InvalidConfiguration.remedies


def problem_of(spec: SettingField, text: str) -> str:
    """The problem with `text`, for the note of the row; empty if there is none."""
    try:
        parse_text(spec, text)
    except InvalidConfiguration as error:
        cause = error.message.removeprefix(f"{spec.name}: ")
        return cause if says_no_more(error) else f"{cause}. {advice(error)}"
    return ""


class OnOff(Checkbox):
    """Shows its state as a word too, not by colour alone."""

    BUTTON_INNER = "✔"

    def __init__(self, value: bool) -> None:
        super().__init__("yes" if value else "no", value, compact=True)

    def watch_value(self) -> None:
        super().watch_value()
        self.label = "yes" if self.value else "no"


class FieldRow(Vertical):
    """Shows a problem when the field is left, and hides it as soon as it is fixed: nothing turns red during the first
    typing."""

    DEFAULT_CSS = """
    FieldRow {
        height: auto;
        &:focus-within { background: transparent; }  /* without a rule on itself Textual does not look again */
        & > .line { height: 1; }
        & .label { width: 20; color: $muted; }
        &:focus-within .label { color: $primary; }
        & .unit { width: auto; color: $muted; padding: 0 0 0 1; }
        & .note { display: none; color: $muted; padding: 0 0 0 21; height: auto; }
        &:focus-within .note { display: block; }
        &.-invalid .label { color: $error; }
        &.-invalid .note { display: block; color: $error; }
        & Input.-textual-compact {
            width: 1fr; padding: 0 1; background: $panel; color: $foreground;
            & > .input--placeholder { color: $muted; }
            &:focus { background: $cursor-row; background-tint: $foreground 0%; }
        }
        & Select.-textual-compact {
            width: 1fr;
            & > SelectCurrent { background: $panel; padding: 0 1; }
            &:focus > SelectCurrent { background: $cursor-row; background-tint: $foreground 0%; }
        }
        & OnOff {
            background: transparent;
            &:focus { border: none; background-tint: $foreground 0%; }
            & > .toggle--button { color: $panel; background: $panel; }
            &.-on > .toggle--button { color: $success; background: $panel; }
        }
    }
    """

    class Edited(Message):
        """The user changed the row. The message does not hold the value."""

    def __init__(self, spec: SettingField, value: Any) -> None:
        super().__init__(id=f"field-{spec.name}")
        self.spec = spec
        self.initial = value_text(spec, value)
        self._kept = spec.secret and bool(value)
        self._taken = False
        self.control = self._make_control()

    def compose(self) -> ComposeResult:
        with Horizontal(classes="line"):
            yield Label(safe(self.spec.label), classes="label", markup=False)
            yield self.control
            if unit := self._unit():
                yield Label(unit, classes="unit", markup=False)
        yield Static(self._help, classes="note", markup=False)

    @property
    def _help(self) -> str:
        return safe(self.spec.help)

    def _make_control(self) -> Widget:
        spec = self.spec
        placeholder = self._placeholder()
        match spec.kind:
            case FieldKind.SECRET:
                return SecretInput(placeholder=placeholder, compact=True)
            case FieldKind.BOOLEAN:
                return OnOff(self.initial == "true")
            case FieldKind.CHOICE:
                chosen = self.initial if self.initial in spec.choices else spec.choices[0]
                options = [(Content(safe(choice)), choice) for choice in spec.choices]
                return Select(options, value=chosen, allow_blank=False, compact=True)
        return Input(self.initial, placeholder=placeholder, compact=True, select_on_focus=False)

    def _placeholder(self) -> str:
        if self._kept or self._taken:
            return KEEP
        nothing = "none" if self.spec.kind is FieldKind.BYTES and self.spec.optional else ""
        return safe(self.spec.placeholder) or nothing

    def _unit(self) -> str:
        if self.spec.kind is FieldKind.BYTES:
            return "per second" if self.spec.unit.endswith("/s") else ""
        return safe(self.spec.unit)

    @property
    def text(self) -> str:
        """The text of the row, unparsed; always empty for a secret."""
        match self.control:
            case SecretInput():
                return ""
            case Input(value=value):
                return value
            case OnOff(value=on):
                return "true" if on else "false"
            case Select(value=chosen):
                return str(chosen)
        raise TypeError(self.control)

    @property
    def edited(self) -> bool:
        if isinstance(self.control, SecretInput):
            return self.control.filled
        return self.text != self.initial

    def take_secret(self) -> Secret | None:
        """The typed secret, once. The row then shows that it is set."""
        if not isinstance(self.control, SecretInput) or not self.control.filled:
            return None
        self._taken = True
        secret = self.control.take()
        self.control.placeholder = self._placeholder()
        return secret

    def forget_secret(self) -> None:
        """Show that the secret from `take_secret` was not kept."""
        if isinstance(self.control, SecretInput):
            self._taken = False
            self.control.placeholder = self._placeholder()

    def check(self) -> bool:
        """Show the problem of the row, if there is one. True if there is none."""
        self.show_problem(self._problem())
        return not self.has_class("-invalid")

    def show_problem(self, problem: str) -> None:
        """Turn the row red and show `problem`; an empty one brings back the help."""
        self.set_class(bool(problem), "-invalid")
        try:
            self.query_one(".note", Static).update(safe(problem) or self._help)
        except NoMatches:
            return  # not composed yet

    def _problem(self) -> str:
        if not isinstance(self.control, SecretInput):
            return problem_of(self.spec, self.text)
        if self.spec.required and not (self._kept or self._taken or self.control.filled):
            return "must not be empty"
        return ""

    @on(Input.Changed)
    @on(Select.Changed)
    @on(Checkbox.Changed)
    def _control_changed(self, event: Message) -> None:
        event.stop()
        if self.has_class("-invalid"):
            self.check()
        self.post_message(self.Edited())

    @on(Input.Blurred)
    def _left(self, event: Message) -> None:
        event.stop()
        if self.edited and self.text:
            self.check()


def name_field(help: str) -> SettingField:
    """The row for the name of the instance, which is not a setting."""
    return SettingField(
        name="instance-name", kind=FieldKind.TEXT, label="Name", help=help, placeholder="", unit="", required=True,
        advanced=False, optional=False, default="",
    )  # fmt: skip
