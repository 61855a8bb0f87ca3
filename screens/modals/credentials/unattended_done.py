"""The outcome of setting up unattended jobs: files written, the verdict of systemd, and commands left to run."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import ModalScreen
from textual.widgets import Static

from backup.credentials.unattended.setup import Made
from screens.modals.credentials.unattended import TITLES, ChooseWay, Unattended
from tui.bridge import bridge_of
from tui.text import safe
from tui.theme import STYLES, Tone
from tui.widgets.bars import KeyBar


async def set_up_jobs(node: DOMNode) -> None:
    """Run the set-up, from the choice of a way to the outcome. Call it in a worker. Raises ProviderError."""
    bridge, app = bridge_of(node), node.app
    way = await app.push_screen_wait(ChooseWay(await bridge.call(bridge.core.credentials.unattended_ways)))
    made = await app.push_screen_wait(Unattended(way)) if way else None
    if made is not None:
        await app.push_screen_wait(UnattendedMade(made))


class UnattendedMade(ModalScreen[None]):
    """Files written, the verdict of systemd, and commands left to run."""

    CSS_PATH = "store.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy", "copy the commands"),
        Binding("up", "scroll(-1)", "up", show=False),
        Binding("down", "scroll(1)", "down", show=False),
        Binding("escape,enter,q", "dismiss(None)", "close"),
    ]

    def __init__(self, made: Made) -> None:
        super().__init__()
        self._made = made

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog wide store", can_focus=False, id="made") as dialog:
            dialog.border_title = "Set up"
            yield Static(_outcome(self._made))
        yield KeyBar()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "copy" or bool(self._made.commands)

    def action_copy(self) -> None:
        """Copy the commands. They hold no secret: the key goes through a pipe."""
        self.app.copy_to_clipboard("\n".join(self._made.commands) + "\n")
        self.notify("The commands are in the clipboard, if your terminal supports that.")

    def action_scroll(self, lines: int) -> None:
        self.query_one("#made").scroll_relative(y=lines, animate=False)


def _outcome(made: Made) -> Content:
    """What is set up now, what is left to do, and notes."""
    lines = [Content.styled(f"✔ {TITLES[made.setup.variant]}: {made.setup.protects}", STYLES[Tone.PROVED])]
    lines += [Content(f"  {state.value}: {safe(str(path))}") for path, state in made.written.items()]
    says = safe(made.verdict.says)
    if made.verdict.ok:
        lines.append(Content("  systemd-analyze verify finds nothing wrong"))
    elif says:
        lines.append(Content.styled(f"▲ {says}", STYLES[Tone.WAITING]))
    if made.commands:
        lines.append(Content.styled("\nNow run, in a shell:", STYLES[Tone.STRONG]))
        lines += [Content.assemble(("$ ", STYLES[Tone.WAITING]), safe(command)) for command in made.commands]
    lines += [Content.styled(f"\n{note}", STYLES[Tone.MUTED]) for note in made.setup.notes]
    return Content("\n").join(lines)
