"""A form made from the fields of a service. It takes values, and returns unparsed text and secrets, without any I/O."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import Collapsible, Input

from providers.secret import Secret
from providers.settings import SettingField
from tui.widgets.field_row import FieldRow, name_field

NAME_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAME_HELP: Final = "Its name, here and on the command line: letters, digits, . _ and -"
FIELD_BINDINGS: Final[list[BindingType]] = [
    Binding("tab", "app.focus_next", "next field", show=False, priority=True),
    Binding("shift+tab", "app.focus_previous", "previous field", show=False, priority=True),
]
"""For screens with a form. Without priority, keys typed ahead on a slow line would land in the previous field: a secret
in one that is not masked."""
LEFT_TO_THE_CHECK: Final = frozenset({"enabled"})
"""Fields that are not shown: a passed check sets them."""


class SettingsForm(VerticalScroll, can_focus=False):
    """Takes labels, help, units and checks from the fields. Advanced ones are folded away; secrets are masked.

    `values` are the settings of an instance, with the mask for a secret that is set; `taken` are names in use.
    """

    DEFAULT_CSS = """
    SettingsForm {
        height: 1fr;
        scrollbar-size-vertical: 1;
        & Collapsible {
            background: transparent; border: none; padding: 1 0 0 0; height: auto;
            &:focus-within { background-tint: $foreground 0%; }
            & > Contents { padding: 0; }
            & > CollapsibleTitle { padding: 0; color: $muted; }
            & > CollapsibleTitle:focus { background: $cursor-row; color: $foreground; }
        }
    }
    """
    BINDINGS: ClassVar = [
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
    ]

    class Edited(Message):
        """The user typed something."""

    class Submitted(Message):
        """Enter was pressed in a field."""

    def __init__(
        self,
        fields: Sequence[SettingField],
        values: Mapping[str, Any] | None = None,
        *,
        name: str = "",
        new: bool = True,
        taken: Collection[str] = (),
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        known = values or {}
        self._given_name = name
        self._taken = frozenset(taken)
        self._name_row = FieldRow(name_field(NAME_HELP), name) if new else None
        shown = [spec for spec in fields if spec.name not in LEFT_TO_THE_CHECK]
        self._rows = {spec.name: FieldRow(spec, known.get(spec.name, spec.default)) for spec in shown}

    def compose(self) -> ComposeResult:
        if self._name_row:
            yield self._name_row
        yield from (row for row in self._rows.values() if not row.spec.advanced)
        advanced = [row for row in self._rows.values() if row.spec.advanced]
        if advanced:
            with Collapsible(title=f"advanced · {len(advanced)} settings", collapsed_symbol="▸", expanded_symbol="▾"):
                yield from advanced

    @property
    def instance_name(self) -> str:
        return self._name_row.text.strip() if self._name_row else self._given_name

    @property
    def edited(self) -> bool:
        return any(row.edited for row in self._all_rows())

    def values(self) -> dict[str, str]:
        """The text of each changed field, without secrets."""
        return {name: row.text for name, row in self._rows.items() if row.edited and not row.spec.secret}

    def take_secrets(self) -> dict[str, Secret]:
        """The secrets typed since the last call. Their fields are cleared."""
        taken = {name: row.take_secret() for name, row in self._rows.items() if row.spec.secret}
        return {name: secret for name, secret in taken.items() if secret}

    def forget_secrets(self) -> None:
        """Reset the fields of secrets that were taken and not kept."""
        for row in self._rows.values():
            row.forget_secret()

    def check(self) -> bool:
        """Check all fields, show all problems, and focus the first. True if there are none."""
        self._check_name()
        wrong = [row for row in self._rows.values() if not row.check()]
        if self._name_row and self._name_row.has_class("-invalid"):
            wrong.insert(0, self._name_row)
        if wrong:
            self._go_to(wrong[0])
        return not wrong

    def has_field(self, field: str) -> bool:
        return field in self._rows

    def show_problem(self, field: str, problem: str) -> None:
        """Show a problem that was found elsewhere at its field, and focus it."""
        self._rows[field].show_problem(problem)
        self._go_to(self._rows[field])

    def set_text(self, field: str, text: str) -> None:
        """Fill in a field as if the user had typed it."""
        control = self._rows[field].control
        if isinstance(control, Input):
            control.value = text

    def focus_first(self) -> None:
        """Focus the first field that needs input, or else the first."""
        plain = [row for row in self._rows.values() if not row.spec.advanced]
        empty = (row for row in plain if row.spec.required and not row.text)
        first = next(empty, plain[0] if plain else self._name_row)
        if first:
            first.control.focus()

    def _all_rows(self) -> Iterator[FieldRow]:
        if self._name_row:
            yield self._name_row
        yield from self._rows.values()

    def _check_name(self) -> None:
        if self._name_row is None:
            return
        name = self.instance_name
        problem = ""
        if not NAME_PATTERN.fullmatch(name):
            problem = "Use letters, digits, . _ and -, starting with a letter or digit."
        elif name in self._taken:
            problem = "This name is in use: edit that provider, or choose another name."
        self._name_row.show_problem(problem)

    def _go_to(self, row: FieldRow) -> None:
        if row.spec.advanced:
            self.query_one(Collapsible).collapsed = False
        row.control.focus()

    @on(FieldRow.Edited)
    def _row_edited(self, event: FieldRow.Edited) -> None:
        event.stop()
        if self._name_row and self._name_row.has_class("-invalid"):
            self._check_name()
        self.post_message(self.Edited())

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Submitted())
