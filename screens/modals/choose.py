"""Choosing one of a few: which instance to browse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from backup.model.instances import InstanceInfo, InstanceState
from tui.text import fit, safe
from tui.theme import STYLES, Tone

_STATE_TONES = {
    InstanceState.FAILING: ("▲", Tone.WAITING),
    InstanceState.READY: ("●", Tone.PROVED),
    InstanceState.DISABLED: ("○", Tone.MUTED),
}


class InstanceOptions(OptionList):
    DEFAULT_CSS = "InstanceOptions { text-wrap: nowrap; text-overflow: ellipsis; }"


class ChooseInstance(ModalScreen[str | None]):
    """Dismisses with the name of the chosen instance, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss(None)", "close", show=False)]

    def __init__(self, instances: Sequence[InstanceInfo], current: str) -> None:
        super().__init__()
        self._instances = instances
        self._current = current

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "Browse which one?"
            dialog.border_subtitle = "↵ opens · esc closes"
            options = InstanceOptions(
                *(Option(self._line(info)) for info in self._instances), markup=False, compact=True
            )
            names = [info.name for info in self._instances]
            options.highlighted = names.index(self._current) if self._current in names else 0
            yield options

    def _line(self, info: InstanceInfo) -> Content:
        sign, tone = _STATE_TONES.get(info.state, ("▲", Tone.WAITING))
        return Content.assemble(
            (f"{sign} ", STYLES[tone]),
            (f"{fit(safe(info.name), 17)} ", STYLES[Tone.STRONG]),
            (fit(info.state.value, 12), STYLES[tone]),
            (safe(info.container), STYLES[Tone.MUTED]),
        )

    @on(OptionList.OptionSelected)
    def _choose(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._instances[event.option_index].name)
