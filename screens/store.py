"""What can be done with the credential store as a whole. The screen of credentials is one of these, with its table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from textual import work
from textual.binding import Binding, BindingType
from textual.getters import query_one

from backup.model.credentials import StoreBackend, StoreFacts, StoreState
from providers.contract.report import ErrorInfo
from providers.errors import ProviderError
from screens.modals.confirm import ConfirmScreen
from screens.modals.credentials.import_found import import_providers
from screens.modals.credentials.move import MoveCredentials
from screens.modals.credentials.new_passphrase_dialogs import ChangePassphrase
from screens.modals.credentials.open_store import choose_store, open_store
from screens.modals.credentials.recovery_kit import WARNING, RecoveryKit
from screens.modals.credentials.secret_dialog import Ended
from screens.modals.credentials.store_details import StoreDetails
from screens.modals.credentials.unattended_done import set_up_jobs
from tui.widgets.mode_screen import ModeScreen
from tui.widgets.problem import Problem

_NEEDS_VAULT = ErrorInfo(
    "unsupported", "only the vault opens for jobs without you", "s takes credentials to the vault."
)


STORE_BINDINGS: Final[list[BindingType]] = [
    Binding("s", "choose", "store"),
    Binding("m", "finish_move", "finish the move"),
    Binding("i", "import", "import"),
    Binding("j", "jobs", "jobs"),
    Binding("k", "kit", "kit"),
    Binding("p", "passphrase", "passphrase"),
    Binding("l", "lock", "lock"),
    Binding("w", "details", "store in full"),
    Binding("escape", "dismiss_problem", "dismiss"),
    Binding("escape", "back", "back"),
]


class StoreScreen(ModeScreen):
    """A subclass has a Problem, puts STORE_BINDINGS behind its own, and sets `_facts` once they are known."""

    problem = query_one(Problem)

    def __init__(self) -> None:
        super().__init__()
        self._facts: StoreFacts | None = None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        facts = self._facts
        ready = facts is not None and facts.status.state is StoreState.READY
        match action:
            case "lock":
                return ready
            case "passphrase":
                return facts is not None and facts.backend is StoreBackend.VAULT and ready
            case "finish_move":
                return facts is not None and facts.left_in is not None
            case "dismiss_problem":
                return self.is_mounted and self.problem.there
        return True

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
    async def action_details(self) -> None:
        if self._facts is not None:
            await self.app.push_screen_wait(StoreDetails(self._facts))

    @work(group="act")
    async def action_import(self) -> None:
        await import_providers(self)

    @work(group="act")
    async def action_jobs(self) -> None:
        if self._facts is not None and self._facts.backend is not StoreBackend.VAULT:
            self._complain(_NEEDS_VAULT)
            return
        try:
            await set_up_jobs(self)
        except ProviderError as error:
            self._complain(error)

    @work(group="act")
    async def action_passphrase(self) -> None:
        if await self.app.push_screen_wait(ChangePassphrase()) is Ended.DONE:
            self.notify("The vault opens with the new passphrase from now on.")

    @work(group="act")
    async def action_lock(self) -> None:
        await self._do(self.bridge.core.credentials.lock)

    @work(group="act")
    async def action_kit(self) -> None:
        if not await self.app.push_screen_wait(ConfirmScreen(WARNING)) or not await self._opened():
            return
        dark, columns = self.app.current_theme.dark, self.size.width - 1
        try:
            kit = await self.bridge.call(
                self.bridge.core.credentials.recovery_kit, columns=columns, dark_background=dark
            )
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
