"""The mode Settings."""

from __future__ import annotations

from tui.widgets.frame import ModeScreen
from tui.widgets.one_line import Mode


class SettingsScreen(ModeScreen):
    MODE = Mode.SETTINGS
