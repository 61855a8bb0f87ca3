"""Credentials: where they are kept, what that protects against, and each of them: replace, test, delete. No reveal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.getters import query_one
from textual.widgets import Static

from backup.model import InstanceInfo, StoreState
from backup.store_model import CredentialFact, CredentialState, StoreBackend, StoreFacts
from providers.errors import ProviderError
from providers.report import ErrorInfo
from screens.modals.change_passphrase import ChangePassphrase
from screens.modals.confirm import Choice, ConfirmScreen, Fact, Question
from screens.modals.move_credentials import MoveCredentials
from screens.modals.recovery_kit import WARNING, RecoveryKit
from screens.modals.replace import ReplaceCredentials
from screens.modals.secret_dialog import Ended
from screens.modals.store_flow import choose_store, open_store
from tui.store_rows import COLUMNS, CredentialRows, store_content
from tui.text import count, safe
from tui.theme import Tone
from tui.widgets.frame import ModeScreen
from tui.widgets.line_table import LineTable
from tui.widgets.one_line import Mode
from tui.widgets.problem import Problem

_NO_CREDENTIALS = ("No credentials are kept, and none are missing.", "1, then s sets a service up.")


class CredentialsScreen(ModeScreen):
    """Stands over the mode Settings; Esc goes back to it."""

    MODE = Mode.SETTINGS
    CSS_PATH = "credentials.tcss"
    AUTO_FOCUS = "LineTable"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "replace", "replace"),
        Binding("t", "test", "test"),
        Binding("delete", "delete", "delete"),
        Binding("s", "choose", "store"),
        Binding("m", "finish_move", "finish the move"),
        Binding("k", "kit", "recovery kit"),
        Binding("l", "lock", "lock"),
        Binding("p", "passphrase", "passphrase"),
        Binding("escape", "dismiss_problem", "dismiss"),
        Binding("escape", "back", "back"),
    ]
    table = query_one(LineTable)
    problem = query_one(Problem)

    def __init__(self) -> None:
        super().__init__()
        self._facts: StoreFacts | None = None
        self._rows = CredentialRows((), 0.0)

    def compose_body(self) -> ComposeResult:
        with Vertical(id="store", classes="pane") as store:
            store.border_title = "Where secrets are kept"
            yield Static("", id="store-facts")
        yield Problem()
        with Vertical(id="credentials", classes="pane") as pane:
            pane.border_title = "Credentials"
            yield LineTable(COLUMNS)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        facts, fact = self._facts, self._chosen
        ready = facts is not None and facts.status.state is StoreState.READY
        match action:
            case "replace" | "test":
                return fact is not None and bool(fact.instances)
            case "delete":
                return fact is not None and fact.state is not CredentialState.MISSING
            case "lock":
                return ready
            case "passphrase":
                return facts is not None and facts.backend is StoreBackend.VAULT and ready
            case "finish_move":
                return facts is not None and facts.left_in is not None
            case "dismiss_problem":
                return self.is_mounted and self.problem.there
        return True

    @property
    def _chosen(self) -> CredentialFact | None:
        return self._rows.credential(self.table.cursor) if self.is_mounted else None

    # Drawing

    def instances_changed(self) -> None:
        self._ask()

    @work(exclusive=True, group="facts")
    async def _ask(self) -> None:
        try:
            self._facts = await self.bridge.call(self.bridge.service.store_facts)
        except ProviderError as error:
            self._complain(error)
        else:
            self._draw()

    @on(events.Resize)
    def _draw(self) -> None:
        if self._facts is None or not self.is_mounted:
            return
        static = self.query_one("#store-facts", Static)
        static.update(store_content(self._facts, max(20, self.size.width - 4)))
        self._rows = CredentialRows(self._facts.credentials, time.time())
        self.table.show(self._rows, cursor=self.table.cursor, note=() if len(self._rows) else _NO_CREDENTIALS)
        missing = sum(each.state is CredentialState.MISSING for each in self._facts.credentials)
        note = count(len(self._rows) - missing, "credential") + (f" · {missing} missing" if missing else "")
        self.query_one("#credentials").border_subtitle = Content(note)
        self.refresh_bindings()

    @on(LineTable.Looked)
    def _looked(self) -> None:
        self.refresh_bindings()

    # One credential

    @on(LineTable.Opened)
    @work(group="act")
    async def action_replace(self) -> None:
        info = self._instance()
        service = next((each for each in self.bridge.services if info and each.name == info.type), None)
        if info is None or service is None or not await self._opened():
            return
        if await self.app.push_screen_wait(ReplaceCredentials(info, service)):
            self.notify(f"{safe(info.name)}: replaced. t tests it.", markup=False)
            self.bridge.instances_changed()

    @work(group="act", exclusive=True)
    async def action_test(self) -> None:
        info = self._instance()
        if info is None or not await self._opened():
            return
        pane = self.query_one("#credentials")
        pane.border_title = Content(f"Credentials · testing {safe(info.name)}…")
        try:
            report = await self.bridge.questions.probe(info.name)
            await self.bridge.call(self.bridge.service.record_check, info.name, report)
        except ProviderError as error:
            self._complain(error)
        else:
            failed = next((step.error for step in report.steps if step.error), None)
            if failed is not None:
                self._complain(failed)
            else:
                self.notify(f"{safe(info.name)}: all five steps passed.", markup=False)
            self.bridge.instances_changed()
        finally:
            pane.border_title = "Credentials"

    @work(group="act")
    async def action_delete(self) -> None:
        fact = self._chosen
        if fact is None:
            return
        users = ", ".join(map(safe, fact.instances)) or "nothing"
        facts = [
            Fact("deletes", f"the credentials {safe(fact.key)} from the store; they cannot be brought back"),
            Fact("used by", users, Tone.WAITING if fact.instances else Tone.PLAIN),
            Fact("stays", "every copy at the service, and the key there: take it back at the service too"),
        ]
        question = Question(f"Delete {safe(fact.key)}?", facts, [Choice("Delete", True)], danger=True)
        if await self.app.push_screen_wait(ConfirmScreen(question)) and await self._opened():
            name = fact.instances[0] if fact.instances else fact.key
            await self._do(self.bridge.service.remove_credentials, name)

    def _instance(self) -> InstanceInfo | None:
        fact = self._chosen
        return self.bridge.instance(fact.instances[0]) if fact and fact.instances else None

    # The store

    async def _opened(self) -> bool:
        """Whether the store is ready, after the user was asked to open it where it is not."""
        if self._facts is not None and self._facts.status.state is StoreState.READY:
            return True
        return await open_store(self)

    @work(group="act", exclusive=True)
    async def action_choose(self) -> None:
        await choose_store(self)

    @work(group="act")
    async def action_finish_move(self) -> None:
        facts = self._facts
        if facts is not None and facts.left_in is not None and facts.backend is not None:
            await self.app.push_screen_wait(MoveCredentials(facts.left_in, facts.backend, leftovers=True))

    @work(group="act")
    async def action_passphrase(self) -> None:
        if await self.app.push_screen_wait(ChangePassphrase()) is Ended.DONE:
            self.notify("The vault opens with the new passphrase from now on.")

    @work(group="act")
    async def action_lock(self) -> None:
        await self._do(self.bridge.service.lock_store)

    @work(group="act")
    async def action_kit(self) -> None:
        if not await self.app.push_screen_wait(ConfirmScreen(WARNING)) or not await self._opened():
            return
        dark, columns = self.app.current_theme.dark, self.size.width - 1
        try:
            kit = await self.bridge.call(self.bridge.service.recovery_kit, columns=columns, dark_background=dark)
        except ProviderError as error:
            self._complain(error)
        else:
            await self.app.push_screen_wait(RecoveryKit(kit))

    async def _do(self, method: Callable[..., object], *arguments: Any) -> None:
        try:
            await self.bridge.call(method, *arguments)
        except ProviderError as error:
            self._complain(error)
        else:
            self.problem.dismiss()
            self.bridge.instances_changed()

    # Errors, leaving

    def _complain(self, error: ProviderError | ErrorInfo) -> None:
        self.problem.show(error)
        self.refresh_bindings()

    def action_dismiss_problem(self) -> None:
        self.problem.dismiss()
        self.refresh_bindings()

    def action_back(self) -> None:
        self.app.pop_screen()
