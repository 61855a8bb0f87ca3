"""The dialogue in which the user chooses one of a few options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from backup.model.instances import InstanceInfo, InstanceState
from tui.text import fit, safe
from tui.theme import STYLES, Tone

T = TypeVar("T")
_STATE_TONES = {
    InstanceState.FAILING: ("▲", Tone.WAITING),
    InstanceState.READY: ("●", Tone.PROVED),
    InstanceState.DISABLED: ("○", Tone.MUTED),
}


class ChooseScreen(ModalScreen[T | None], Generic[T]):
    """Dismisses with the value of the chosen option, or with None."""

    CSS_PATH = Path(__file__).parent / "choose.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "cancel", show=False)]
    KEYS: ClassVar[str] = "↵ selects · esc cancels"

    def __init__(self, title: str, choices: Sequence[tuple[T, Content]], *, at: int = 0, note: str = "") -> None:
        """The option `at` is highlighted."""
        super().__init__()
        self._title, self._note = title, note
        self._choices, self._at = choices, at

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog choose") as dialog:
            dialog.border_title = self._title
            dialog.border_subtitle = self.KEYS
            options = OptionList(*(Option(words) for _, words in self._choices), markup=False, compact=True)
            options.highlighted = self._at
            yield options
            if self._note:
                yield Static(Content(self._note), classes="note")

    @on(OptionList.OptionSelected)
    def _choose(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._choices[event.option_index][0])


class ChooseInstance(ChooseScreen[str]):
    """Dismisses with the name of the instance to browse."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("q", "dismiss(None)", "close", show=False)]
    KEYS: ClassVar[str] = "↵ opens · esc closes"

    def __init__(self, instances: Sequence[InstanceInfo], current: str) -> None:
        names = [info.name for info in instances]
        at = names.index(current) if current in names else 0
        super().__init__("Browse which provider?", [(info.name, _instance_line(info)) for info in instances], at=at)


def _instance_line(info: InstanceInfo) -> Content:
    sign, tone = _STATE_TONES.get(info.state, ("▲", Tone.WAITING))
    return Content.assemble(
        (f"{sign} ", STYLES[tone]),
        (f"{fit(safe(info.name), 17)} ", STYLES[Tone.STRONG]),
        (fit(info.state.value, 12), STYLES[tone]),
        (safe(info.container), STYLES[Tone.MUTED]),
    )
