"""The form that replaces the credentials of an instance: the pair and the other secrets of its service."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.getters import query_one
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from backup.model.credentials import StoreState
from backup.model.instances import InstanceInfo, ServiceInfo
from providers.contract.authorization import Grant
from providers.errors import ProviderError
from screens.modals.authorize import AuthorizeScreen
from screens.modals.confirm import Choice, ConfirmScreen, Fact, Question
from tui.bridge import bridge_of
from tui.rows.stores import store_words
from tui.text import safe
from tui.widgets.bars import KeyBar
from tui.widgets.problem import Problem
from tui.widgets.settings_form import FIELD_BINDINGS, SettingsForm


class ReplaceCredentials(ModalScreen[bool]):
    """Dismisses with True if something was saved. Secrets are masked and go straight to the credential store."""

    CSS_PATH = "../setup/setup.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*FIELD_BINDINGS, Binding("escape", "leave", "cancel")]
    form = query_one(SettingsForm)
    problem = query_one(Problem)

    def __init__(self, info: InstanceInfo, service: ServiceInfo) -> None:
        super().__init__()
        self._info = info
        self._service = service
        self._user_field, self._password_field = service.credential_pair or ("username", "password")
        self._fields = [spec for spec in service.fields if spec.secret or spec.name == self._user_field]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="setup") as dialog:
            dialog.border_title = Content(f"Credentials of {safe(self._info.name)}")
            yield SettingsForm(self._fields, self._info.settings, name=self._info.name, new=False)
            yield Static("", id="store", classes="quiet")
            yield Problem()
            if self._service.authorized:
                yield Button(Content("Authorise in a browser"), id="authorize-button")
            yield Button(Content("Save"), id="keep")
        yield KeyBar()

    def on_mount(self) -> None:
        self.form.focus_first()
        status = bridge_of(self).store
        if status is not None and status.state is StoreState.READY:
            place = safe(status.backend)
            self.query_one("#store", Static).update(Content(f"Saved to: {place}. Check again afterwards."))
        elif status is not None:
            self.query_one("#store", Static).update(store_words(status))

    @on(SettingsForm.Submitted)
    @on(Button.Pressed, "#keep")
    def _keep(self) -> None:
        if self.form.check():
            self._save()

    @on(Button.Pressed, "#authorize-button")
    @work(exclusive=True)
    async def _authorize(self) -> None:
        """Authorise with the typed values, and save them together with the grant."""
        typed, secrets = self.form.values(), self.form.take_secrets()
        screen = AuthorizeScreen(self._service, typed, secrets, instance=self._info.name)
        grant: Grant | None = await self.app.push_screen_wait(screen)
        if grant is None:
            self.form.forget_secrets()
            return
        bridge = bridge_of(self)
        try:
            await bridge.call(
                bridge.core.instances.save,
                self._info.name,
                self._info.type,
                {**typed, **grant.values},
                {**secrets, **grant.secrets},
                expires_at=grant.expires_at,
            )
        except ProviderError as error:
            self.problem.show(error)
        else:
            self.dismiss(True)

    @work(exclusive=True)
    async def _save(self) -> None:
        username = self.form.values().get(self._user_field)
        secrets = self.form.take_secrets()
        if username is None and not secrets:
            self.dismiss(False)
            return
        bridge = bridge_of(self)
        password = secrets.pop(self._password_field, None)
        try:
            await bridge.call(bridge.core.credentials.set, self._info.name, username, password, secrets)
        except ProviderError as error:
            self.problem.show(error)
            self.query_one("#store", Static).update(Content("Nothing was saved. Type the secret again to retry."))
            self.form.forget_secrets()
        else:
            self.dismiss(True)

    @work
    async def action_leave(self) -> None:
        if self.problem.there:
            self.problem.dismiss()
            return
        if self.form.edited:
            lost = Fact("", "What you typed is discarded; nothing was saved.")
            question = Question("Close without saving?", [lost], [Choice("Close", True)])
            if not await self.app.push_screen_wait(ConfirmScreen(question)):
                return
        self.dismiss(False)
