"""The dialogue for the rules that choose files of an upload."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Static

from backup.files.filters import Filter, patterns_of
from backup.model.transfers import Selection
from providers.contract.report import ErrorInfo
from providers.errors import InvalidConfiguration
from tui.widgets.check_steps import explain

_HELP = (
    "Separate patterns by commas. * matches any part of a name, ** of a path. "
    "A / at the end: folders only; at the start: only at the top."
)


class LeaveOutScreen(ModalScreen[Selection | None]):
    """Dismisses with a Selection that has the new rules, or with None if they stay as they are."""

    CSS_PATH = Path(__file__).parent / "credentials/store.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "cancel", show=False)]

    def __init__(self, exclude: Sequence[str], include: Sequence[str]) -> None:
        super().__init__()
        self._exclude, self._include = exclude, include

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog store") as dialog:
            dialog.border_title = "Rules for files in folders"
            dialog.border_subtitle = "tab next line · ↵ counts again · esc cancels"
            yield Static(Content(_HELP), classes="about")
            with Horizontal(classes="field"):
                yield Label("leave out")
                yield _line("exclude", self._exclude, "*.tmp, cache/")
            with Horizontal(classes="field"):
                yield Label("take only")
                yield _line("include", self._include, "empty: all files")
            yield Static("", classes="outcome")

    @on(Input.Submitted)
    def _entered(self) -> None:
        exclude, include = (patterns_of(self.query_one(f"#{name}", Input).value) for name in ("exclude", "include"))
        rules = Selection(exclude=exclude, include=include)
        try:
            Filter(rules)
        except InvalidConfiguration as error:
            outcome = self.query_one(".outcome", Static)
            outcome.update(explain(ErrorInfo.of(error)))
            outcome.add_class("-there")
        else:
            self.dismiss(rules)


def _line(name: str, patterns: Sequence[str], placeholder: str) -> Input:
    return Input(", ".join(patterns), placeholder=placeholder, id=name, compact=True)
