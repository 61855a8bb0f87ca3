"""The position in a sequence of steps: ✔ done — 2 current — 3 to come."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widget import Widget

from tui.theme import STYLES, Tone


class StepTrail(Widget):
    DEFAULT_CSS = "StepTrail { height: 1; }"

    def __init__(self, steps: Sequence[str]) -> None:
        super().__init__()
        self._steps = steps
        self._at = 0

    def show(self, at: int) -> None:
        """`at` counts from 0; the steps before it are done."""
        self._at = at
        self.refresh()

    def render(self) -> Content:
        last = len(self._steps) - 1
        pieces = []
        for number, step in enumerate(self._steps):
            if number < self._at or number == self._at == last:
                pieces.append(Content.styled(f"✔ {step}", STYLES[Tone.PROVED]))
            elif number == self._at:
                pieces.append(Content.styled(f"{number + 1} {step}", f"bold {STYLES[Tone.GOING]}"))
            else:
                pieces.append(Content.styled(f"{number + 1} {step}", STYLES[Tone.MUTED]))
        dash = Content.styled(" — " if self.size.width < 70 else "  —  ", STYLES[Tone.TRACK])
        return dash.join(pieces)
