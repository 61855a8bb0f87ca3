"""The credential store, and its credentials: replace, test or delete them. No secret is ever shown."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import ClassVar, Final

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.getters import query_one
from textual.widgets import Static

from backup.model.credentials import CredentialFact, CredentialState, StoreBackend, StoreFacts, StoreState
from backup.model.instances import InstanceInfo
from backup.queries.questions import Probe
from providers.contract.report import ErrorInfo
from providers.errors import ProviderError
from screens.modals.confirm import Choice, ConfirmScreen, Fact, Question
from screens.modals.credentials.import_found import import_providers
from screens.modals.credentials.move import MoveCredentials
from screens.modals.credentials.new_passphrase_dialogs import ChangePassphrase
from screens.modals.credentials.open_store import choose_store, open_store
from screens.modals.credentials.recovery_kit import WARNING, show_recovery_kit
from screens.modals.credentials.replace import ReplaceCredentials
from screens.modals.credentials.secret_dialog import Ended
from screens.modals.credentials.store_details import StoreDetails
from screens.modals.credentials.unattended_done import set_up_jobs
from tui.rows.credentials import COLUMNS, CredentialRows, store_content
from tui.text import count, safe
from tui.theme import Tone
from tui.widgets.bars import Mode
from tui.widgets.line_table import LineTable
from tui.widgets.mode_screen import ModeScreen
from tui.widgets.problem import Problem

_NO_CREDENTIALS = (
    "No credentials are stored, and none are missing.",
    "1, then s sets up a service. i imports providers from other programs.",
)
_NEEDS_VAULT: Final = ErrorInfo(
    "unsupported", "only the vault opens for unattended jobs", "s moves credentials to the vault."
)


class CredentialsScreen(ModeScreen):
    """Covers the mode Settings; Esc goes back to it."""

    MODE = Mode.SETTINGS
    CSS_PATH = "credentials.tcss"
    AUTO_FOCUS = "LineTable"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "replace", "replace"),
        Binding("t", "test", "test"),
        Binding("delete", "delete", "delete"),
        Binding("s", "choose", "store"),
        Binding("m", "finish_move", "finish the move"),
        Binding("i", "import", "import"),
        Binding("j", "jobs", "jobs"),
        Binding("k", "kit", "kit"),
        Binding("p", "passphrase", "passphrase"),
        Binding("l", "lock", "lock"),
        Binding("w", "details", "store details"),
        Binding("escape", "dismiss_problem", "dismiss"),
        Binding("escape", "back", "back"),
    ]
    table = query_one(LineTable)

    def __init__(self) -> None:
        super().__init__()
        self._rows = CredentialRows((), 0.0)
        self._facts: StoreFacts | None = None

    def compose_body(self) -> ComposeResult:
        with Vertical(id="store", classes="pane") as store:
            store.border_title = "Where secrets are kept"
            store.border_subtitle = "w shows details"
            yield Static("", id="store-facts")
        yield Problem()
        with Vertical(id="credentials", classes="pane") as pane:
            pane.border_title = "Credentials"
            yield LineTable(COLUMNS)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        fact, store = self._chosen, self._facts
        match action:
            case "lock":
                return self._ready
            case "passphrase":
                return store is not None and store.backend is StoreBackend.VAULT and self._ready
            case "finish_move":
                return store is not None and store.left_in is not None
            case "replace" | "test":
                return fact is not None and bool(fact.instances)
            case "delete":
                return fact is not None and fact.state is not CredentialState.MISSING
        return super().check_action(action, parameters)

    @property
    def _chosen(self) -> CredentialFact | None:
        return self._rows.credential(self.table.cursor) if self.is_mounted else None

    @property
    def _ready(self) -> bool:
        return self._facts is not None and self._facts.status.state is StoreState.READY

    async def _opened(self) -> bool:
        """Whether the store is ready, after asking the user to open it if needed."""
        return self._ready or await open_store(self)

    # Drawing

    def instances_changed(self) -> None:
        self._ask()

    @work(exclusive=True, group="facts")
    async def _ask(self) -> None:
        try:
            self._facts = await self.bridge.call(self.bridge.core.credentials.facts)
        except ProviderError as error:
            self.complain(error)
        else:
            self._draw()

    @on(events.Resize)
    def _draw(self) -> None:
        if self._facts is None or not self.is_mounted:
            return
        static = self.query_one("#store-facts", Static)
        static.update(store_content(self._facts, max(20, self.size.width - 4)))
        self._rows = CredentialRows(self._facts.credentials, time.time())
        self.table.show(self._rows, note=() if len(self._rows) else _NO_CREDENTIALS)
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
            report = await self.bridge.ask(Probe(info.name))
            await self.bridge.call(self.bridge.core.instances.record_check, info.name, report)
        except ProviderError as error:
            self.complain(error)
        else:
            failed = next((step.error for step in report.steps if step.error), None)
            if failed is not None:
                self.complain(failed)
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
            Fact("deletes", f"the credentials {safe(fact.key)} from the store; this cannot be undone"),
            Fact("used by", users, Tone.WAITING if fact.instances else Tone.PLAIN),
            Fact("stays", "every copy at the service, and the key itself: revoke it at the service too"),
        ]
        question = Question(f"Delete {safe(fact.key)}?", facts, [Choice("Delete", True)], danger=True)
        if await self.app.push_screen_wait(ConfirmScreen(question)) and await self._opened():
            name = fact.instances[0] if fact.instances else fact.key
            await self.change(self.bridge.core.credentials.remove, name)

    def _instance(self) -> InstanceInfo | None:
        fact = self._chosen
        return self.bridge.instance(fact.instances[0]) if fact and fact.instances else None

    # The store

    @work(group="act", exclusive=True)
    async def action_choose(self) -> None:
        await choose_store(self)

    @work(group="act")
    async def action_finish_move(self) -> None:
        store = self._facts
        if store is not None and store.left_in is not None and store.backend is not None:
            await self.app.push_screen_wait(MoveCredentials(store.left_in, store.backend, leftovers=True))

    @work(group="act")
    async def action_details(self) -> None:
        if self._facts is not None:
            await self.app.push_screen_wait(StoreDetails(self._facts))

    @work(group="act")
    async def action_import(self) -> None:
        await import_providers(self)

    @work(group="act")
    async def action_jobs(self) -> None:
        if self._facts is not None and self._facts.backend is not StoreBackend.VAULT:
            self.complain(_NEEDS_VAULT)
        else:
            await self._run(set_up_jobs(self))

    @work(group="act")
    async def action_kit(self) -> None:
        if await self.app.push_screen_wait(ConfirmScreen(WARNING)) and await self._opened():
            await self._run(show_recovery_kit(self))

    @work(group="act")
    async def action_passphrase(self) -> None:
        if await self.app.push_screen_wait(ChangePassphrase()) is Ended.DONE:
            self.notify("From now on, the vault opens with the new passphrase.")

    @work(group="act")
    async def action_lock(self) -> None:
        await self.change(self.bridge.core.credentials.lock)

    async def _run(self, dialogue: Awaitable[None]) -> None:
        try:
            await dialogue
        except ProviderError as error:
            self.complain(error)

    def action_back(self) -> None:
        self.app.pop_screen()
