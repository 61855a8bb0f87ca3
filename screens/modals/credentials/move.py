"""The move of credentials to another store: copy, read back and compare, switch; delete the old copies on request."""

from __future__ import annotations

import threading
from typing import ClassVar, Final

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Static

from backup.model.credentials import TITLES, MoveProgress, MoveResult, MoveStep, StoreBackend
from providers.contract.report import ErrorInfo
from providers.errors import Cancelled, ProviderError
from tui.bridge import bridge_of
from tui.text import count, fit, safe
from tui.theme import STYLES, Tone
from tui.widgets.bars import KeyBar
from tui.widgets.check_steps import explain

_STEPS: Final[dict[MoveStep, str]] = {
    MoveStep.COPY: "copy",
    MoveStep.COMPARE: "read back and compare",
    MoveStep.SWITCH: "switch to the new store",
    MoveStep.DELETE: "delete the old copies",
}
_TIMEOUT_S: Final = 600.0


class MoveCredentials(ModalScreen[None]):
    """Starts at once. With `leftovers`, an earlier move is done, and only its old copies are left to delete."""

    CSS_PATH = "store.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "delete", "delete the old copies"),
        Binding("escape", "leave", "stop"),
        Binding("escape", "leave_done", "close"),
    ]

    class Progressed(Message, bubble=False):
        def __init__(self, progress: MoveProgress) -> None:
            super().__init__()
            self.progress = progress

    def __init__(self, source: StoreBackend | None, to: StoreBackend, *, leftovers: bool = False) -> None:
        super().__init__()
        self._source, self._to = source, to
        self._leftovers = leftovers
        self._copies_left = leftovers
        self._stop = threading.Event()
        self._busy = False
        self._at: MoveProgress | None = None
        self._over: set[MoveStep] = {MoveStep.COPY, MoveStep.COMPARE, MoveStep.SWITCH} if leftovers else set()

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog store") as dialog:
            dialog.border_title = Content("Move the credentials")
            where = f"from  {TITLES[self._source]}\n" if self._source else ""
            yield Static(Content(f"{where}to    {TITLES[self._to]}"), classes="about")
            yield Static(self._lines(), id="steps")
            yield Static("", id="verdict", classes="outcome -there")
        yield KeyBar()

    def on_mount(self) -> None:
        if self._leftovers:
            self._ask_to_delete()
        else:
            self._move()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action:
            case "delete":
                return self._copies_left and not self._busy
            case "leave":
                return self._busy
            case "leave_done":
                return not self._busy
        return True

    # The move

    @work(exclusive=True)
    async def _move(self) -> None:
        bridge = bridge_of(self)
        self._set_busy(True)
        try:
            result: MoveResult = await bridge.call(
                bridge.core.credentials.move, self._to, on_progress=self._report, timeout_s=_TIMEOUT_S
            )
        except Cancelled:
            self._say("Stopped. Nothing is lost: the store in use is complete. m resumes.", Tone.WAITING)
        except ProviderError as error:
            self._fail(error)
        else:
            self._over |= {MoveStep.COPY, MoveStep.COMPARE, MoveStep.SWITCH}
            self._copies_left = result.copies_left
            if result.copies_left:
                self._ask_to_delete()
            else:
                self._say(f"{count(len(result.moved), 'credential')} moved; no old copies are left.", Tone.PROVED)
        finally:
            bridge.instances_changed()
            self._set_busy(False)

    @work(exclusive=True)
    async def action_delete(self) -> None:
        bridge = bridge_of(self)
        self._set_busy(True)
        try:
            gone = await bridge.call(
                bridge.core.credentials.remove_copies, on_progress=self._report, timeout_s=_TIMEOUT_S
            )
        except Cancelled:
            self._say("Stopped. Some old copies are left in the former store: m deletes them.", Tone.WAITING)
        except ProviderError as error:
            self._fail(error)
        else:
            self._copies_left = False
            self._over.add(MoveStep.DELETE)
            number = count(len(gone), "copy", "copies")
            self._say(f"{number} deleted: the former store holds no copies any more.", Tone.PROVED)
        finally:
            bridge.instances_changed()
            self._set_busy(False)

    def _ask_to_delete(self) -> None:
        self._say(
            "The new store is in use, and was verified. The former one still holds copies: y deletes them. "
            "esc keeps them for now.",
            Tone.WAITING,
        )

    def _report(self, progress: MoveProgress) -> None:
        """Called in the thread that moves. An exception here stops it between two credentials."""
        if self._stop.is_set():
            raise Cancelled("the move was stopped")
        self.post_message(self.Progressed(progress))

    @on(Progressed)
    def _progressed(self, event: Progressed) -> None:
        order, at = list(MoveStep), event.progress
        self._over |= set(order[: order.index(at.step)])
        self._at = at
        self._draw()

    # Drawing

    def _lines(self) -> Content:
        return Content("\n").join([self._line(step, words) for step, words in _STEPS.items()])

    def _line(self, step: MoveStep, words: str) -> Content:
        at = self._at
        if step in self._over:
            return Content.assemble(("✔ ", STYLES[Tone.PROVED]), (words, STYLES[Tone.PLAIN]))
        if at is not None and at.step is step and self._busy:
            now = f"{at.done} of {at.total}  {safe(at.key)}" if at.total else ""
            return Content.assemble(
                ("▸ ", STYLES[Tone.GOING]), (fit(words, 24), STYLES[Tone.STRONG]), (now, STYLES[Tone.GOING])
            )
        return Content.styled(f"· {words}", STYLES[Tone.MUTED])

    def _draw(self) -> None:
        self.query_one("#steps", Static).update(self._lines())

    def _say(self, words: str, tone: Tone) -> None:
        self.query_one("#verdict", Static).update(Content.styled(words, STYLES[tone]))

    def _fail(self, error: ProviderError) -> None:
        self.query_one("#verdict", Static).update(explain(ErrorInfo.of(error)))

    def _set_busy(self, busy: bool) -> None:
        self._busy = busy
        self._draw()
        self.refresh_bindings()

    # Leaving

    def action_leave(self) -> None:
        """Ask the thread to stop before the next credential. The dialogue stays until it has stopped."""
        self._stop.set()
        self._say("Stopping…", Tone.WAITING)

    def action_leave_done(self) -> None:
        self.dismiss(None)
