"""The dialogue with everything about the store, uncut, and the slots that open the vault."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.getters import query_one
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from backup.model.credentials import SlotFact, StoreFacts
from providers.errors import ProviderError
from screens.modals.asking import AskingDialog
from screens.modals.confirm import Choice, ConfirmScreen, Fact, Question
from screens.modals.credentials.new_passphrase_dialogs import AddPassphrase
from screens.modals.credentials.open_store import open_store
from screens.modals.credentials.passphrase_dialogs import RenewKey
from screens.modals.credentials.secret_dialog import Ended
from tui.bridge import bridge_of
from tui.rows.credentials import store_in_full
from tui.text import safe, when
from tui.theme import STYLES, Tone
from tui.widgets.bars import KeyBar


class StoreDetails(AskingDialog[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "add", "add a passphrase"),
        Binding("delete", "remove", "remove this one"),
        Binding("n", "renew", "new key"),
        Binding("pageup", "page(-1)", "page up", show=False, priority=True),
        Binding("pagedown", "page(1)", "page down", priority=True),
        Binding("escape,q", "leave", "close"),
    ]
    slots = query_one("#slots", OptionList)

    def __init__(self, facts: StoreFacts) -> None:
        super().__init__()
        self._facts = facts

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide store") as dialog:
            dialog.border_title = "Where secrets are kept"
            with VerticalScroll(can_focus=False, classes="pages", id="in-full"):
                yield Static("", id="sentences")
            yield Static("It opens with", id="slots-title")
            yield OptionList(id="slots", compact=True)
            yield Static("", classes="outcome")
        yield KeyBar()

    def on_mount(self) -> None:
        self._draw()
        self.focus_field()
        self.call_after_refresh(self._fit)

    def focus_field(self) -> None:
        if self._facts.slots:
            self.slots.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return {"remove": len(self._facts.slots) > 1, "add": self._is_vault, "renew": self._is_vault}.get(action, True)

    @property
    def _is_vault(self) -> bool:
        return bool(self._facts.slots)

    def _draw(self) -> None:
        facts = self._facts
        self._fit()
        self.slots.clear_options()
        self.slots.add_options(Option(_slot(each), id=each.id) for each in facts.slots)
        self.slots.display = self.query_one("#slots-title").display = bool(facts.slots)
        self.slots.highlighted = 0 if facts.slots else None
        self.refresh_bindings()

    @on(events.Resize)
    def _fit(self) -> None:
        width = self.query_one("#in-full").size.width - 1
        self.query_one("#sentences", Static).update(store_in_full(self._facts, width))

    @work(group="remove")
    async def action_remove(self) -> None:
        at = self.slots.highlighted
        if at is None or self._busy:
            return
        slot = self._facts.slots[at]
        facts = [
            Fact("removes", _name(slot)),
            Fact("so", "it no longer opens this vault; jobs that used it wait until you unlock", Tone.WAITING),
            Fact("stays", "the other slots, and all credentials"),
        ]
        question = Question("Remove this slot?", facts, [Choice("Remove", True)], danger=True)
        if not await self.app.push_screen_wait(ConfirmScreen(question)) or not await open_store(self):
            return
        bridge = bridge_of(self)
        if await self.attempt("Removing it…", bridge.core.credentials.remove_slot, slot.id):
            await self._look_again()
            bridge.instances_changed()

    @work(group="add")
    async def action_add(self) -> None:
        if await open_store(self) and await self.app.push_screen_wait(AddPassphrase()) is Ended.DONE:
            self.notify("The vault opens with that passphrase too.")
            await self._look_again()

    @work(group="renew")
    async def action_renew(self) -> None:
        if await open_store(self) and await self.app.push_screen_wait(RenewKey()) is Ended.DONE:
            self.notify("The vault has a new key.")
            await self._look_again()

    async def _look_again(self) -> None:
        bridge = bridge_of(self)
        try:
            self._facts = await bridge.call(bridge.core.credentials.facts)
        except ProviderError as error:
            self.fail(error)
        else:
            self._draw()

    def action_page(self, direction: int) -> None:
        pages = self.query_one("#in-full")
        pages.scroll_relative(y=direction * max(1, pages.size.height - 1), animate=False)

    @on(OptionList.OptionSelected)
    def action_leave(self) -> None:
        if not self._busy:
            self.dismiss(None)


def _name(slot: SlotFact) -> str:
    return safe(slot.label) or slot.kind


def _slot(slot: SlotFact) -> Content:
    return Content.assemble(
        (_name(slot), STYLES[Tone.PLAIN]),
        (f" · made {when(slot.created_at)}", STYLES[Tone.MUTED]),
    )
