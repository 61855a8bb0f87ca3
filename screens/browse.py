"""The mode Browse."""

from __future__ import annotations

from tui.widgets.frame import ModeScreen
from tui.widgets.one_line import Mode


class BrowseScreen(ModeScreen):
    MODE = Mode.BROWSE
