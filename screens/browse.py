"""The mode Browse: this machine and one instance, side by side. Transfers are counted and confirmed first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, ClassVar, TypeVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.getters import query_one

from backup.model.credentials import StoreState
from backup.model.instances import InstanceInfo
from backup.model.transfers import JobKind, Links, QueueSnapshot, TransferPlan
from backup.queries.questions import PlanDelete, PlanDownload, PlanUpload
from providers.contract.report import ErrorInfo
from providers.errors import ProviderError
from screens.modals.choose import ChooseInstance
from screens.modals.confirm import ConfirmScreen
from screens.modals.leave_out import LeaveOutScreen
from screens.modals.transfer_questions import TransferChoice, TransferWish, delete_question, transfer_question
from tui.remedies import advice
from tui.rows.places import LocalPlace, RemotePlace, home_folder
from tui.text import count, safe
from tui.widgets.bars import Mode
from tui.widgets.file_pane import FilePane
from tui.widgets.line_table import LineTable
from tui.widgets.mode_screen import ModeScreen

T = TypeVar("T")
_COUNTING = "counting"
_NO_DEFAULT = ErrorInfo(
    "configuration",
    "no provider is the default",
    "Press i to choose one.",
)


class BrowseScreen(ModeScreen):
    MODE = Mode.BROWSE
    CSS_PATH = "browse.tcss"
    AUTO_FOCUS = "#local LineTable"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("u", "upload", "upload"),
        Binding("d", "download", "download"),
        Binding("delete,x", "delete", "delete", key_display="del"),
        Binding("i", "instance", "provider"),
        Binding("tab,shift+tab", "other_pane", "other pane", show=False, priority=True),
    ]
    local = query_one("#local", FilePane)
    remote = query_one("#remote", FilePane)

    def __init__(self) -> None:
        super().__init__()
        self._finished_jobs: set[int] | None = None

    def compose_body(self) -> ComposeResult:
        with Horizontal():
            yield FilePane(("This folder is empty.",), id="local")
            yield FilePane(
                ("Nothing is stored here yet.", "Select files on the left,", "then u uploads them."), id="remote"
            )

    def on_mount(self) -> None:
        self.local.open(LocalPlace(home_folder()))

    # The instance on the right

    def instances_changed(self) -> None:
        if self.bridge.problem is not None:
            self.remote.fail(self.bridge.problem)
        place = self.remote.place
        known = self.bridge.instance(place.instance) if isinstance(place, RemotePlace) else None
        if known is None:
            self._open_default()
        elif isinstance(place, RemotePlace) and place.container != known.container:
            self._open_instance(known)
        elif self.remote.waits_for_store and self.bridge.store and self.bridge.store.state is StoreState.READY:
            self.remote.action_reload()

    def _open_default(self) -> None:
        """Open the instance that the command line would use. If there are several, the user chooses."""
        default = next((info for info in self.bridge.instances if info.is_default), None)
        if default is not None:
            self._open_instance(default)
        elif self.bridge.instances and self.bridge.problem is None:
            self.remote.fail(_NO_DEFAULT)

    def browse(self, name: str) -> None:
        """Open an instance in the right pane at once: the next key is meant for it. Other modes call this too."""
        info = self.bridge.instance(name)
        if info is not None:
            self._open_instance(info)
            self.set_focus(self.remote.table)

    def _open_instance(self, info: InstanceInfo) -> None:
        self.remote.open(RemotePlace(info.name, info.container))

    @work(exclusive=True, group="choose")
    async def action_instance(self) -> None:
        current = self.remote.place.instance if isinstance(self.remote.place, RemotePlace) else ""
        name = await self.app.push_screen_wait(ChooseInstance(self.bridge.instances, current))
        if name is not None:
            self.browse(name)

    # Changes by the queue

    def queue_changed(self, snapshot: QueueSnapshot) -> None:
        """Reload a pane after a job that touches it, but never while a long listing is half loaded."""
        finished = {job.id for job in snapshot.jobs if job.finished}
        before = finished if self._finished_jobs is None else self._finished_jobs
        self._finished_jobs = finished
        fresh = [job for job in snapshot.jobs if job.id in finished - before]
        for job in fresh:
            if job.error is not None and job.broken:
                words = safe(f"{job.title}: {job.error.message}. {advice(job.error)}")
                self.notify(words, severity="error", timeout=30, markup=False)
        place = self.remote.place
        here = place.instance if isinstance(place, RemotePlace) else ""
        if any(job.kind is not JobKind.DOWNLOAD and job.instance == here for job in fresh):
            self._look_again(self.remote)
        if any(job.kind is JobKind.DOWNLOAD for job in fresh):
            self._look_again(self.local)

    def _look_again(self, pane: FilePane) -> None:
        if pane.listing.next_token is None:
            pane.reload()

    # Transferring and deleting

    @work(exclusive=True, group="transfer")
    async def action_upload(self) -> None:
        source, target = self.local.place, self.remote.place
        entries = self.local.chosen
        if not isinstance(source, LocalPlace) or not isinstance(target, RemotePlace) or not self._any(entries, "left"):
            return
        name, paths, folder = target.instance, source.paths(entries), target.folder
        to = f"{target.owner} · {RemotePlace(name, target.container, folder).where}"

        def plan_with(how: TransferWish) -> PlanUpload:
            return PlanUpload(name, paths, folder, conflicts=how.conflicts, selection=how.selection)

        agreed = await self._agree(to, plan_with)
        if agreed is not None:
            how, plan = agreed
            queue = self.bridge.core.queue.queue_upload
            queue = partial(queue, conflicts=how.conflicts, selection=how.selection, plan=plan)
            await self._queue(self.local, self.bridge.call(queue, name, paths, folder))

    @work(exclusive=True, group="transfer")
    async def action_download(self) -> None:
        source, target = self.remote.place, self.local.place
        entries = self.remote.chosen
        if not isinstance(source, RemotePlace) or not isinstance(target, LocalPlace) or not self._any(entries, "right"):
            return
        name, keys, into = source.instance, source.keys(entries), target.folder

        def options(how: TransferWish) -> dict[str, Any]:
            return {"conflicts": how.conflicts, "links": how.links is Links.STORE, "owner": how.owner}

        agreed = await self._agree(target.where, lambda how: PlanDownload(name, keys, str(into), **options(how)))
        if agreed is not None:
            how, plan = agreed
            queue = partial(self.bridge.core.queue.queue_download, **options(how), plan=plan)
            await self._queue(self.remote, self.bridge.call(queue, name, keys, into))

    async def _agree(
        self, to: str, plan_with: Callable[[TransferWish], PlanUpload | PlanDownload]
    ) -> tuple[TransferWish, TransferPlan] | None:
        """The wishes of the user, and a plan counted with exactly those: each changed wish counts again."""
        how = TransferWish()
        plan: TransferPlan | None = None
        while True:
            if plan is None:
                counting = self.bridge.ask(plan_with(how))
                plan = await self._ask(self.remote, counting, _COUNTING)
            if plan is None:
                return None
            answer = await self.app.push_screen_wait(
                ConfirmScreen[TransferWish | TransferChoice](transfer_question(plan, to, how))
            )
            if answer is TransferChoice.START:
                return how, plan
            if answer is TransferChoice.LEAVE_OUT:
                rules = await self.app.push_screen_wait(LeaveOutScreen(how.exclude, how.include))
                answer = how if rules is None else how._replace(exclude=rules.exclude, include=rules.include)
            if not isinstance(answer, TransferWish):
                return None
            if answer != how:
                how, plan = answer, None

    @work(exclusive=True, group="transfer")
    async def action_delete(self) -> None:
        source, entries = self.remote.place, self.remote.chosen
        if self.local.has_focus_within:
            self.notify("Files on this machine cannot be deleted here. Tab: other pane.", severity="warning")
            return
        if not isinstance(source, RemotePlace) or not self._any(entries, "right"):
            return
        keys = source.keys(entries)
        plan = await self._ask(self.remote, self.bridge.ask(PlanDelete(source.instance, keys)), _COUNTING)
        if plan is None:
            return
        question = delete_question(plan, f"{source.owner} · {source.where}")
        if await self.app.push_screen_wait(ConfirmScreen[bool](question)):
            queue = partial(self.bridge.core.queue.queue_delete, plan=plan)
            await self._queue(self.remote, self.bridge.call(queue, source.instance, keys))

    def _any(self, entries: list[T], side: str) -> bool:
        if not entries:
            self.notify(f"Nothing is selected in the {side} pane.", severity="warning")
        return bool(entries)

    async def _ask(self, pane: FilePane, question: Awaitable[T], words: str) -> T | None:
        """The answer, or None after showing the error in the pane."""
        pane.busy(words)
        try:
            return await question
        except ProviderError as error:
            pane.fail(ErrorInfo.of(error))
            return None
        finally:
            pane.busy("")

    async def _queue(self, pane: FilePane, queueing: Awaitable[object]) -> None:
        chosen = len(pane.chosen)
        if await self._ask(pane, queueing, "queueing") is not None:
            pane.listing.marked.clear()
            pane.table.rows_changed()
            pane.show_borders()
            self.notify(f"{count(chosen, 'entry', 'entries')} queued. 3 shows the progress.")
            self.warn_of_worker()

    # Keys of both panes

    def action_other_pane(self) -> None:
        pane = self.remote if self.local.has_focus_within else self.local
        self.set_focus(pane.table)

    @on(FilePane.Stopped)
    def _stop_counting(self) -> None:
        self.workers.cancel_group(self, "transfer")

    @on(LineTable.Looked)
    def _keep(self, event: LineTable.Looked) -> None:
        event.stop()
