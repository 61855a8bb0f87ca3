"""The mode Transfers."""

from __future__ import annotations

from tui.widgets.frame import ModeScreen
from tui.widgets.one_line import Mode


class TransfersScreen(ModeScreen):
    MODE = Mode.TRANSFERS
