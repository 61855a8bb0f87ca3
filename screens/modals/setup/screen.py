"""The set-up flow: choose a service, fill in the form, check the connection, store the secret, save.

Nothing is stored before the last step.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import ClassVar, Final, TypeVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.getters import query_one
from textual.screen import ModalScreen
from textual.widgets import Button, ContentSwitcher, OptionList

from backup.model.instances import InstanceInfo, ServiceInfo
from providers.contract.report import ErrorInfo
from providers.errors import InvalidConfiguration, ProviderError
from screens.modals.confirm import Choice, ConfirmScreen, Fact, Question
from screens.modals.setup.draft import SetUp, SetupDraft
from screens.modals.setup.pages import CheckPage, DonePage, ServicePage, SetupPage
from screens.modals.setup.settings_page import SettingsPage
from screens.modals.setup.store_page import KeepPage
from tui.bridge import bridge_of
from tui.widgets.bars import KeyBar
from tui.widgets.settings_form import FIELD_BINDINGS, SettingsForm
from tui.widgets.step_trail import StepTrail

T = TypeVar("T")

_ORDER: Final = list(SetupPage)


class SetupScreen(ModalScreen[SetUp | None]):
    """Sets up a new instance, or changes `instance`. `service` skips the choice of a service."""

    CSS_PATH = "setup.tcss"
    AUTO_FOCUS = ""  # a page without a field stays without focus when a question over it ends
    BINDINGS: ClassVar[list[BindingType]] = [
        *FIELD_BINDINGS,
        Binding("enter", "keep", "continue"),
        Binding("enter", "save", "save and enable"),
        Binding("enter", "finish(True)", "browse"),
        Binding("r", "check", "check again"),
        Binding("u", "open_store", "open the store"),
        Binding("r", "ask_store", "refresh"),
        Binding("c", "create", "create it"),
        Binding("l", "choose", "choose another"),
        Binding("b", "back", "back"),
        Binding("escape", "leave", "cancel"),
    ]
    pages = query_one(ContentSwitcher)
    settings_page = query_one(SettingsPage)
    check_page = query_one(CheckPage)
    keep_page = query_one(KeepPage)

    def __init__(self, instance: InstanceInfo | None = None, *, service: str = "") -> None:
        super().__init__()
        self._instance = instance
        self._wanted = instance.type if instance else service
        self._draft: SetupDraft | None = None
        self._busy = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="setup") as dialog:
            dialog.border_title = "Set up a service"
            yield StepTrail([page.value for page in _ORDER])
            with ContentSwitcher(initial=SetupPage.SERVICE.value):
                yield from (page() for page in (ServicePage, SettingsPage, CheckPage, KeepPage, DonePage))
        yield KeyBar()

    async def on_mount(self) -> None:
        services = bridge_of(self).services
        self.query_one(ServicePage).show(services)
        found = next((each for each in services if each.name == self._wanted and not each.unavailable), None)
        if found:
            await self._open_form(found)
        else:
            self._go_to(SetupPage.SERVICE)

    @property
    def page(self) -> SetupPage:
        return SetupPage(self.pages.current or SetupPage.SERVICE)

    @property
    def draft(self) -> SetupDraft:
        assert self._draft is not None, "no service is chosen yet"
        return self._draft

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The keys that each page has."""
        page, idle = self.page, not self._busy
        match action:
            case "keep" | "check" | "create" | "choose":
                return idle and page is SetupPage.CHECK and self.draft.allows(action)
            case "save" | "ask_store" | "open_store":
                keep = self.keep_page
                return idle and page is SetupPage.KEEP and not keep.busy and keep.can_save is (action == "save")
            case "finish":
                return page is SetupPage.DONE
            case "back":
                return page in (SetupPage.CHECK, SetupPage.KEEP)
        return True

    def _go_to(self, page: SetupPage) -> None:
        self.pages.current = page.value
        self.query_one(StepTrail).show(_ORDER.index(page))
        if page is SetupPage.SERVICE:
            self.query_one(ServicePage).focus()
        elif page is SetupPage.SETTINGS:
            self.settings_page.focus_first()
        else:
            self.set_focus(None)
        self.refresh_bindings()

    # Service and settings

    @on(OptionList.OptionSelected, "#service")
    async def _service_chosen(self, event: OptionList.OptionSelected) -> None:
        await self._open_form(next(each for each in bridge_of(self).services if each.name == event.option_id))

    async def _open_form(self, service: ServiceInfo) -> None:
        bridge = bridge_of(self)
        self._draft = SetupDraft(bridge, service, self._instance)
        self.query_one("#setup").border_title = Content(self._draft.title)
        await self.settings_page.open(self._draft, {info.name for info in bridge.instances})
        self._go_to(SetupPage.SETTINGS)

    @on(SettingsForm.Submitted)
    @on(Button.Pressed, "#check")
    def _form_submitted(self) -> None:
        if self.settings_page.take():
            self.action_check()

    # Check and container

    @work(exclusive=True, group="setup")
    async def action_check(self) -> None:
        self.check_page.begin(self.draft.service.container_word)
        self._go_to(SetupPage.CHECK)
        report = await self._try(self.draft.check(self.check_page.steps.tell))
        if report is not None:
            self.check_page.steps.finish(report)
            self.check_page.say_what_next(self.draft)

    @work(exclusive=True, group="setup")
    async def action_create(self) -> None:
        self.check_page.say(f"Creating the {self.draft.service.container_word}…")
        if await self._try(self.draft.create_container()):
            self.action_check()

    @work(exclusive=True, group="setup")
    async def action_choose(self) -> None:
        names = await self._try(self.draft.containers())
        if names is not None:
            self.check_page.choose_from(names)

    async def _try(self, asking: Awaitable[T]) -> T | None:
        """The answer, with the keys locked during the call. If it fails, None, and the error is shown on the page."""
        self._set_busy(True)
        try:
            return await asking
        except ProviderError as error:
            self.check_page.steps.fail(ErrorInfo.of(error))
            self.check_page.say_what_next(self.draft)
            if isinstance(error, InvalidConfiguration) and self.settings_page.has_field(error.field):
                self._go_to(SetupPage.SETTINGS)
                self.settings_page.complain(error)
            return None
        finally:
            self._set_busy(False)

    def _set_busy(self, busy: bool) -> None:
        self._busy = busy
        self.refresh_bindings()

    @on(OptionList.OptionSelected, "#choices")
    def _container_chosen(self, event: OptionList.OptionSelected) -> None:
        if event.option_id:
            self.settings_page.set_text("container", event.option_id)
            self._form_submitted()

    # Secrets, saving, leaving

    def action_keep(self) -> None:
        self._go_to(SetupPage.KEEP)
        if self.draft.secrets:
            self.keep_page.ask_store()
        else:
            self.keep_page.show_no_secret(kept=bool(self._instance and self._instance.has_credentials))

    def action_ask_store(self) -> None:
        self.keep_page.ask_store()

    def action_open_store(self) -> None:
        self.keep_page.open_store()

    @on(KeepPage.Changed)
    def _keep_changed(self) -> None:
        self.refresh_bindings()

    @on(KeepPage.Opened)
    @work(exclusive=True, group="setup")
    async def action_save(self) -> None:
        self._set_busy(True)
        try:
            info = await self.draft.save()
            self.query_one(DonePage).show(info.name, info.location or info.container)
            self._go_to(SetupPage.DONE)
        except ProviderError as error:
            self.keep_page.show_error(ErrorInfo.of(error))
        finally:
            self._set_busy(False)

    def action_back(self) -> None:
        self.workers.cancel_group(self, "setup")
        self._go_to(SetupPage.SETTINGS)

    def action_finish(self, browse: bool) -> None:
        self.dismiss(self.draft.outcome(browse=browse))

    @work
    async def action_leave(self) -> None:
        if self.page is SetupPage.DONE:
            self.action_finish(False)
            return
        draft = self._draft
        if self.settings_page.edited or (draft and (draft.secrets or draft.report)):
            lost = Fact("", "What you typed is discarded; nothing was stored.")
            leave = ConfirmScreen(Question("Cancel the set-up?", [lost], [Choice("Discard", True)]))
            if not await self.app.push_screen_wait(leave):
                return
        self.dismiss(None)
