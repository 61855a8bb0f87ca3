"""The mode Settings: places of secrets and files, bandwidth of each instance, length of the history, theme."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.getters import query_one
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from backup.model.instances import InstanceInfo
from providers.contract.report import ErrorInfo
from providers.errors import ProviderError
from providers.settings import parse_text
from screens.modals.setting import HISTORY_FIELD, HistoryScreen, change_limit, limit_of
from tui.rows.stores import line, store_words
from tui.text import count, fit, rate, safe
from tui.theme import STYLES, THEMES, Tone
from tui.widgets.bars import Mode
from tui.widgets.mode_screen import ModeScreen
from tui.widgets.problem import Problem

_PLACES: Final = (
    ("settings", "config_file"),
    ("state", "state_dir"),
    ("logs", "logs_dir"),
    ("local disk", "local_storage"),
)


class LimitList(OptionList):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "select", "limit")]


class SettingsScreen(ModeScreen):
    MODE = Mode.SETTINGS
    CSS_PATH = "settings.tcss"
    AUTO_FOCUS = "#limits"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "app.credentials", "credentials"),
        Binding("k", "ask_store", "refresh"),
        Binding("t", "next_theme", "next theme"),
        Binding("h", "history", "history"),
        Binding("escape", "dismiss_problem", "dismiss"),
    ]
    limits = query_one("#limits", OptionList)

    def compose_body(self) -> ComposeResult:
        with VerticalScroll(can_focus=False, id="settings"):
            yield Problem()
            yield from self._section("secrets", "Secrets")
            limits = LimitList(id="limits", classes="pane", compact=True)
            limits.border_title = "Bandwidth"
            yield limits
            yield from self._section("places", "This console")

    def _section(self, id: str, title: str) -> ComposeResult:
        static = Static("", id=id, classes="pane")
        static.border_title = title
        yield static

    def __init__(self) -> None:
        super().__init__()
        self._places: tuple[Content, ...] = ()
        self._history_days: int | None = None

    def on_mount(self) -> None:
        self._show_places()
        self._ask_places()

    def instances_changed(self) -> None:
        bridge = self.bridge
        asking = Content.styled("asking…", STYLES[Tone.GOING])
        self.query_one("#secrets", Static).update(store_words(bridge.store) if bridge.store else asking)
        kept = self.limits.highlighted or 0
        self.limits.clear_options()
        self.limits.add_options(Option(_limit_line(info), id=info.name) for info in bridge.instances)
        if bridge.instances:
            self.limits.highlighted = min(kept, len(bridge.instances) - 1)
        if bridge.problem is not None:
            self.complain(bridge.problem)

    @work(exclusive=True, group="places")
    async def _ask_places(self) -> None:
        try:
            self._history_days = await self.bridge.call(self.bridge.core.history_days)
            status: dict[str, Any] = await self.bridge.call(self.bridge.core.status)
        except ProviderError as error:
            self.complain(error)
            return
        if problem := status.get("problem"):
            self.complain(ErrorInfo(**problem))
        places = status["paths"]
        version = line("version", str(status["version"]), Tone.MUTED)
        self._places = (*(line(label, str(places[key])) for label, key in _PLACES), version)
        self._show_places()

    def _show_places(self) -> None:
        until = ("  until you quit the console", STYLES[Tone.MUTED])
        theme = Content.assemble(line("theme", self.app.theme), until)
        days = self._history_days
        history = () if days is None else (line("history", f"kept for {count(days, 'day')}"),)
        self.query_one("#places", Static).update(Content("\n").join([theme, *history, *self._places]))

    def action_ask_store(self) -> None:
        self.bridge.store = None
        self.instances_changed()
        self.bridge.instances_changed()

    # Bandwidth

    @on(OptionList.OptionSelected, "#limits")
    @work(exclusive=True, group="limit")
    async def _limit(self, event: OptionList.OptionSelected) -> None:
        info = self.bridge.instance(event.option_id or "")
        if info is None:
            return
        try:
            await change_limit(self, info)
        except ProviderError as error:
            self.complain(error)

    # History

    @work(exclusive=True, group="history")
    async def action_history(self) -> None:
        if self._history_days is None:
            return
        typed = await self.app.push_screen_wait(HistoryScreen(self._history_days))
        if typed is None:
            return
        days = parse_text(HISTORY_FIELD, typed)
        text = "" if days is None else str(days)
        try:
            self._history_days = await self.bridge.call(self.bridge.core.set_history_days, text)
        except ProviderError as error:
            self.complain(error)
        else:
            self._show_places()

    # Look

    def action_next_theme(self) -> None:
        names = [theme.name for theme in THEMES]
        at = names.index(self.app.theme) if self.app.theme in names else -1
        self.app.theme = names[(at + 1) % len(names)]
        self._show_places()


def _limit_line(info: InstanceInfo) -> Content:
    limit = limit_of(info)
    words = ("no limit", STYLES[Tone.MUTED]) if limit is None else (f"at most {rate(limit)}", STYLES[Tone.WAITING])
    return Content.assemble((fit(safe(info.name), 20), STYLES[Tone.PLAIN]), "  ", words)
