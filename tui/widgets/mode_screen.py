"""The frame of every mode: title bar, mode bar, body, transfer strip, key bar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.getters import query_one
from textual.screen import Screen

from backup.model.credentials import StoreState
from backup.model.transfers import QueueSnapshot
from providers.contract.report import ErrorInfo
from providers.errors import ProviderError
from tui.bridge import Bridge, InstancesChanged, QueueChanged, bridge_of
from tui.remedies import advice
from tui.rows.stores import store_noun
from tui.text import safe
from tui.widgets.bars import KeyBar, Mode, ModeBar, TitleBar
from tui.widgets.problem import Problem
from tui.widgets.transfer_strip import TransferStrip


class ModeScreen(Screen[None]):
    """Base of the five modes. A subclass sets MODE, yields its body, and may override `queue_changed` and
    `instances_changed`."""

    MODE: ClassVar[Mode]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "to the next or previous part", show=False),
        Binding("shift+tab", "app.focus_previous", "to the next or previous part", show=False),
        Binding("u,U", "app.open_store(True)", "unlock"),
        Binding("u,U", "app.open_store(False)", "open the credential store", show=False),
    ]
    DEFAULT_CSS = """
    ModeScreen { background: $background; }
    ModeScreen > #body { height: 1fr; background: $background; }
    """
    title_bar = query_one(TitleBar)
    strip = query_one(TransferStrip)
    problem = query_one(Problem)
    """Only in modes whose body has one."""

    def __init__(self) -> None:
        super().__init__()
        self._seen_version = -1

    def compose(self) -> ComposeResult:
        yield TitleBar()
        yield ModeBar(self.MODE)
        with Container(id="body"):
            yield from self.compose_body()
        yield TransferStrip()
        yield KeyBar()

    def compose_body(self) -> ComposeResult:
        """The widgets between the mode bar and the transfer strip."""
        yield from ()

    def queue_changed(self, snapshot: QueueSnapshot) -> None:
        """Called with each new snapshot while this mode is visible, and when it becomes visible again."""

    def instances_changed(self) -> None:
        """Called when instances, services or the credential store have changed, also while this mode was hidden."""

    @property
    def bridge(self) -> Bridge:
        return bridge_of(self)

    def warn_of_worker(self) -> None:
        """Warn that a command is recorded, but that no worker carries it out yet."""
        silent = self.bridge.core.queue.trouble
        if silent is not None:
            words = f"Recorded, but not running yet: {safe(silent.message)}. {safe(advice(silent))}"
            self.notify(words, severity="warning", timeout=30, markup=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "dismiss_problem" or (self.is_mounted and self.problem.there)

    def complain(self, error: ProviderError | ErrorInfo) -> None:
        self.problem.show(error)
        self.refresh_bindings()

    def action_dismiss_problem(self) -> None:
        self.problem.dismiss()
        self.refresh_bindings()

    async def change(self, method: Callable[..., object], *arguments: Any) -> None:
        """Let the core change instances or credentials. Failure shows the error; success hides an earlier one."""
        try:
            await self.bridge.call(method, *arguments)
        except ProviderError as error:
            self.complain(error)
        else:
            self.problem.dismiss()
            self.bridge.instances_changed()

    @on(QueueChanged)
    def _show_queue(self, event: QueueChanged) -> None:
        self._show_strip()
        self.queue_changed(event.snapshot)

    def _show_strip(self) -> None:
        store = self.bridge.store
        locked = store_noun(store) if store is not None and store.state is StoreState.LOCKED else ""
        self.strip.show(self.bridge.snapshot.totals, locked, self.bridge.queue_problem)

    @on(InstancesChanged)
    def _show_instances(self) -> None:
        bridge = self.bridge
        self._seen_version = bridge.version
        self.title_bar.show(bridge.host, bridge.store, bridge.ready_services, len(bridge.services))
        self._show_strip()
        self.refresh_bindings()
        self.instances_changed()

    @on(events.ScreenResume)
    def _catch_up(self) -> None:
        self.post_message(QueueChanged(self.bridge.snapshot))
        if self._seen_version != self.bridge.version:
            self.post_message(InstancesChanged())
        self.refresh_bindings()  # changes below a dialogue were not drawn

    @on(ModeBar.Chosen)
    def _switch(self, event: ModeBar.Chosen) -> None:
        self.app.switch_mode(event.mode)
