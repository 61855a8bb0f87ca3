"""The mode Activity."""

from __future__ import annotations

from tui.widgets.frame import ModeScreen
from tui.widgets.one_line import Mode


class ActivityScreen(ModeScreen):
    MODE = Mode.ACTIVITY
