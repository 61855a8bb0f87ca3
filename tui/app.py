"""The console: five modes, the keys that work everywhere, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterable
from typing import Any, Final

import rich
from rich.segment import Segments
from rich.text import Text
from rich.traceback import Traceback
from textual import on, work
from textual.app import SystemCommand
from textual.binding import Binding
from textual.screen import ModalScreen, Screen

from backup.core.core import Core
from backup.model.credentials import StoreState
from backup.queries.client import QuestionsClient
from backup.system.paths import Paths
from screens.activity import ActivityScreen
from screens.browse import BrowseScreen
from screens.credentials import CredentialsScreen
from screens.modals.credentials.open_store import open_store
from screens.modals.keys import KeysScreen, key_lines
from screens.providers import ProvidersScreen
from screens.settings import SettingsScreen
from screens.transfers import TransfersScreen
from tui.bridge import Bridge, StoreLocked
from tui.terminal.keys_in_order import KeysInOrder
from tui.terminal.loss import LOOK_EVERY_S, has_terminal, terminal_is_gone
from tui.text import count, safe
from tui.theme import THEMES
from tui.widgets.bars import Mode

_LOG: Final = logging.getLogger(__name__)


class BackupConsole(KeysInOrder):
    TITLE = "homeserver-backup"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    DEFAULT_MODE = Mode.BROWSE
    MODES = {  # noqa: RUF012 - the shape that Textual asks for
        Mode.PROVIDERS: ProvidersScreen,
        Mode.BROWSE: BrowseScreen,
        Mode.TRANSFERS: TransfersScreen,
        Mode.ACTIVITY: ActivityScreen,
        Mode.SETTINGS: SettingsScreen,
    }
    BINDINGS = [  # noqa: RUF012
        *(Binding(mode.key, f"app.switch_mode('{mode}')", "switch to a mode", show=False) for mode in Mode),
        Binding("q", "quit", "quit; transfers go on", show=False),
        Binding("ctrl+q", "quit", "quit; transfers go on", show=False, priority=True),
        Binding("question_mark", "show_keys", "keys", key_display="?"),
    ]

    def __init__(self, core: Core, questions: QuestionsClient, *, interval_s: float | None = None) -> None:
        super().__init__()
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = THEMES[0].name
        self.bridge = Bridge(self, core, questions, interval_s=interval_s)
        self.command = self.TITLE
        """The command that opened the console, for hints about the command line."""

    def on_mount(self) -> None:
        """Before anything is painted: as soon as the console is visible, a signal may end it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGHUP, signal.SIGTERM):
            loop.add_signal_handler(number, self._leave_on_signal)

    def on_ready(self) -> None:
        if has_terminal():
            self.set_interval(LOOK_EVERY_S, lambda: self.exit() if terminal_is_gone() else None)
        self.bridge.start()

    async def on_unmount(self) -> None:
        await self.bridge.close()

    def _leave_on_signal(self) -> None:
        """Restore the terminal and end the child. Textual by itself would do neither."""
        self.exit()

    async def action_quit(self) -> None:
        totals = self.bridge.snapshot.totals
        under_way = totals.active + totals.queued + totals.waiting
        if not under_way:
            self.exit()
            return
        words = "1 transfer goes on" if under_way == 1 else f"{count(under_way, 'transfer')} go on"
        self.exit(message=Text(f"{words} in the background. See them: {safe(self.command)} transfers list"))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Every mode can open the store: the key is called 'unlock' while the store is locked."""
        if action != "open_store":
            return True
        state = self.bridge.store.state if self.bridge.store else StoreState.READY
        return state is StoreState.LOCKED if parameters[0] else state not in (StoreState.READY, StoreState.LOCKED)

    @on(StoreLocked)
    def _store_locked(self) -> None:
        """Ask once. A user who is busy in a dialogue sees it in the title bar."""
        if not isinstance(self.screen, ModalScreen):
            self.action_open_store(True)

    @work(exclusive=True, group="store")
    async def action_open_store(self, locked: bool) -> None:
        await open_store(self)

    async def action_credentials(self) -> None:
        await self.switch_mode(Mode.SETTINGS)
        if not isinstance(self.screen, CredentialsScreen):
            await self.push_screen(CredentialsScreen())

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        yield from super().get_system_commands(screen)
        yield SystemCommand("Credentials", "The credential store and its credentials", self.action_credentials)

    def deliver_screenshot(self, *args: Any, **kwargs: Any) -> str | None:
        """Refuse while secrets are on the screen."""
        if any(getattr(screen, "SHOWS_SECRETS", False) for screen in self.screen_stack):
            self.bell()
            return None
        return super().deliver_screenshot(*args, **kwargs)

    def action_show_keys(self) -> None:
        self.push_screen(KeysScreen(key_lines(self.screen)))

    def _fatal_error(self) -> None:
        """Print the crash report without local variables, which may hold secrets."""
        _LOG.exception("the console stopped")
        report = Traceback(show_locals=False, width=None, suppress=[rich])
        self.bell()
        self._exit_renderables.append(Segments(self.console.render(report, self.console.options)))
        self._close_messages_no_wait()


def run(paths: Paths, *, command: str) -> int:
    """Run the console and return its exit code. `command` is the command that opened it."""
    app = BackupConsole(Core(paths), QuestionsClient(paths))
    app.command = command
    app.run()
    return app.return_code or 0
