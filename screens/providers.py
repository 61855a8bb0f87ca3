"""The mode Providers: the configured instances, their state, and their last check."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.getters import query_one
from textual.widgets import OptionList

from backup.model.credentials import StoreState
from backup.model.instances import InstanceInfo, InstanceState
from backup.queries.questions import Probe
from providers.contract.report import CheckStep, ConnectionReport, ErrorInfo
from providers.errors import ProviderError
from screens.browse import BrowseScreen
from screens.modals.confirm import Choice, ConfirmScreen, Fact, Question
from screens.modals.credentials.open_store import open_store
from screens.modals.credentials.replace import ReplaceCredentials
from screens.modals.setup.draft import SetUp
from screens.modals.setup.screen import SetupScreen
from screens.modals.unfinished import UnfinishedScreen
from tui.text import safe
from tui.theme import Tone
from tui.widgets.bars import Mode
from tui.widgets.instance_detail import InstanceDetail
from tui.widgets.instance_list import InstanceList
from tui.widgets.mode_screen import ModeScreen


class ProvidersScreen(ModeScreen):
    MODE = Mode.PROVIDERS
    CSS_PATH = "providers.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "set_up", "set up"),
        Binding("t", "check", "check"),
        Binding("e", "set_enabled(True)", "enable"),
        Binding("e", "set_enabled(False)", "disable"),
        Binding("b", "browse", "browse"),
        Binding("c", "credentials", "credentials"),
        Binding("f", "unfinished", "unfinished"),
        Binding("delete", "remove", "remove"),
        Binding("escape", "dismiss_problem", "dismiss"),
        Binding("escape", "stop_check", "stop the check"),
    ]
    listing = query_one(InstanceList)
    detail = query_one(InstanceDetail)

    def __init__(self) -> None:
        super().__init__()
        self._reports: dict[str, ConnectionReport | ErrorInfo] = {}
        """The outcomes of checks since the console was opened."""
        self._checking = ""
        self._steps: list[CheckStep] = []

    def compose_body(self) -> ComposeResult:
        with Horizontal():
            yield InstanceList()
            yield InstanceDetail()

    @property
    def selected(self) -> InstanceInfo | None:
        """The instance under the cursor; None on a service without one."""
        return self.bridge.instance(self.listing.instance)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        info = self.selected if self.is_mounted else None
        match action:
            case "set_enabled":
                return info is not None and info.enabled is not parameters[0]
            case "check" | "remove" | "browse":
                return info is not None
            case "unfinished":
                return info is not None and info.usable
            case "credentials":
                return info is not None and info.has_credentials is not None
            case "stop_check":
                return bool(self._checking) and not self.problem.there
        return super().check_action(action, parameters)

    # Drawing

    def instances_changed(self) -> None:
        self.listing.show(self.bridge.instances, self.bridge.services)
        if self.bridge.problem is not None:
            self.problem.show(self.bridge.problem)
        self._draw_detail()

    @on(events.Resize)
    def _fit(self) -> None:
        self.call_after_refresh(self.instances_changed)

    @on(OptionList.OptionHighlighted, "#instances")
    def _draw_detail(self) -> None:
        info = self.selected
        services = {service.name: service for service in self.bridge.services}
        if info is None:
            self.detail.show_service(services.get(self.listing.service))
        else:
            service = services.get(info.type)
            outcome = self._reports.get(info.name, info.last_report)
            self.detail.show(info, service.container_word if service else "container", outcome, self.bridge.store)
            if info.name == self._checking:
                self.detail.show_running(self._steps)
        self.refresh_bindings()

    # Setting up and changing

    @on(OptionList.OptionSelected, "#instances")
    def action_edit(self) -> None:
        info = self.selected
        if info is None:
            self.action_set_up(self.listing.service)
        elif info.state is InstanceState.UNAVAILABLE and info.problem:
            self.complain(info.problem)
        else:
            self._open_set_up(SetupScreen(info))

    def action_set_up(self, service: str = "") -> None:
        self._open_set_up(SetupScreen(service=service))

    @work
    async def _open_set_up(self, screen: SetupScreen) -> None:
        done: SetUp | None = await self.app.push_screen_wait(screen)
        if done is None:
            return
        self._reports[done.name] = done.report
        self.listing.choose(done.name)
        self._draw_detail()
        if done.browse:
            self._browse(done.name)

    def action_browse(self) -> None:
        info = self.selected
        if info is not None and info.usable:
            self._browse(info.name)
        elif info is not None:
            fix = "e enables it, once t has passed." if info.state is InstanceState.DISABLED else "↵ edits it."
            self.complain(info.problem or ErrorInfo("configuration", f"{info.name} is {info.state.value}.", fix))

    def _browse(self, name: str) -> None:
        self.app.switch_mode(Mode.BROWSE)
        if isinstance(screen := self.app.screen, BrowseScreen):
            screen.browse(name)

    def action_unfinished(self) -> None:
        if info := self.selected:
            self.app.push_screen(UnfinishedScreen(info.name))

    @work
    async def action_credentials(self) -> None:
        info = self.selected
        service = next((each for each in self.bridge.services if info and each.name == info.type), None)
        if info is None or service is None:
            return
        if self.bridge.store is not None and self.bridge.store.state is not StoreState.READY:
            await open_store(self)
        if await self.app.push_screen_wait(ReplaceCredentials(info, service)):
            self._reports.pop(info.name, None)
            self.bridge.instances_changed()

    @work
    async def action_set_enabled(self, enabled: bool) -> None:
        if info := self.selected:
            await self.change(self.bridge.core.instances.set_enabled, info.name, enabled)

    @work
    async def action_remove(self) -> None:
        info = self.selected
        if info is None:
            return
        facts = [
            Fact("removes", "its settings, and its credentials from the store"),
            Fact("stays", f"every copy at {safe(info.container) or 'the service'}", Tone.PROVED),
            Fact("", "nothing is deleted there"),
        ]
        question = Question(f"Remove {safe(info.name)}?", facts, [Choice("Remove", True)], danger=True)
        if await self.app.push_screen_wait(ConfirmScreen(question)):
            self._reports.pop(info.name, None)
            await self.change(self.bridge.core.instances.remove, info.name)

    # Checking

    @work(exclusive=True, group="check")
    async def action_check(self) -> None:
        info = self.selected
        if info is None:
            return
        self._checking, self._steps = info.name, []
        self._reports.pop(info.name, None)
        self._draw_detail()
        try:
            report = await self.bridge.ask(Probe(info.name), self._step_done)
            self._reports[info.name] = report
            await self.bridge.call(self.bridge.core.instances.record_check, info.name, report)
            self.bridge.instances_changed()
        except ProviderError as error:
            self._reports[info.name] = ErrorInfo.of(error)
        finally:
            if self._checking == info.name:
                self._checking = ""
        self._draw_detail()

    def _step_done(self, step: CheckStep) -> None:
        self._steps.append(step)
        if self.listing.instance == self._checking:
            self.detail.steps.tell(step)

    def action_stop_check(self) -> None:
        self.workers.cancel_group(self, "check")
        self._reports[self._checking] = ErrorInfo("cancelled", "The check was stopped.", "t checks again.")
        self._checking = ""
        self._draw_detail()
