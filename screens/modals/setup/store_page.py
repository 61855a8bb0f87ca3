"""The page of the set-up flow that shows where the secret will be kept: an existing store, or a new vault."""

from __future__ import annotations

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.getters import query_one
from textual.message import Message
from textual.widgets import Button, Static

from backup.model.credentials import StoreBackend, StoreChoice, StoreState, StoreStatus
from providers.contract.report import ErrorInfo
from providers.errors import ProviderError
from screens.modals.credentials.new_passphrase_dialogs import LOST
from screens.modals.credentials.open_store import choose_store, open_store
from screens.modals.setup.pages import NOTHING_STORED, SetupPage
from tui.bridge import bridge_of
from tui.rows.stores import detail_words, store_noun, store_words
from tui.text import cut_middle, safe
from tui.theme import STYLES, Tone
from tui.widgets.check_steps import explain
from tui.widgets.new_passphrase import NewPassphrase


class KeepPage(VerticalScroll, can_focus=False):
    """`can_save` is true once there is a store; `busy` while it is asked. `Changed` follows each change."""

    words = query_one("#keep-words", Static)
    offer = query_one("#keep-vault", Vertical)
    passphrase = query_one(NewPassphrase)

    class Changed(Message):
        """`can_save` or `busy` has changed."""

    class Opened(Message):
        """The store was made ready here for this secret, so that it can be saved at once."""

    def __init__(self) -> None:
        super().__init__(id=SetupPage.KEEP.value)
        self.can_save = False
        self.busy = False

    def compose(self) -> ComposeResult:
        yield Static("", id="keep-words")
        with Vertical(id="keep-vault"):
            yield NewPassphrase()
            yield Button(Content("Another store"), id="other-store")

    def on_mount(self) -> None:
        self.offer.display = False

    @work(exclusive=True)
    async def ask_store(self) -> None:
        """Show the existing store, or offer to create one."""
        bridge = bridge_of(self)
        self.offer.display = False
        self.words.update(Content.styled("Asking the credential store…", STYLES[Tone.GOING]))
        self._set(busy=True, can_save=False)
        try:
            status = await bridge.call(bridge.core.credentials.status, timeout_s=5)
            choices = () if status.state is StoreState.READY else await bridge.call(bridge.core.credentials.choices)
        except ProviderError as error:
            self.show_error(ErrorInfo.of(error))
        else:
            self._show(status, choices)

    def _show(self, status: StoreStatus, choices: tuple[StoreChoice, ...]) -> None:
        in_use = next((each for each in choices if each.in_use), None)
        vault = next((each for each in choices if each.backend is StoreBackend.VAULT and each.can_create), None)
        if vault is not None and (in_use is None or in_use.backend is StoreBackend.VAULT):
            self._offer_vault(vault, status)
        else:
            self._show_store(status)
        self._set(busy=False, can_save=status.state is StoreState.READY)

    def _show_store(self, status: StoreStatus) -> None:
        if status.state is StoreState.READY:
            head = f"The secret goes to the {store_noun(status)}, and nowhere else."
            foot = "The settings go to the configuration file, without any secret."
        else:
            head = "The secret cannot be stored now: u opens the store, or chooses another."
            foot = f"Nothing is saved: a secret is never written to a plain file. {NOTHING_STORED}"
        self._draw(head, store_words(status), foot)

    def _offer_vault(self, vault: StoreChoice, status: StoreStatus) -> None:
        why = f"Why not a keyring: it {detail_words(status.detail)}.\n" if status.detail else ""
        self.words.update(
            Content.assemble(
                ("Create a vault for the secret: type a passphrase twice.", STYLES[Tone.STRONG]),
                (f"\nOne encrypted file: {cut_middle(safe(vault.path), 52)}\n", STYLES[Tone.PLAIN]),
                (f"{why}{LOST}", STYLES[Tone.MUTED]),
            )
        )
        self.offer.display = True
        self.passphrase.focus_first()

    def show_no_secret(self, *, kept: bool) -> None:
        """`kept`: the store holds one already."""
        head = "The secret in the credential store stays as it is." if kept else "There is no secret to store."
        body = "" if kept else "The check passed without one, so nothing goes to the store. "
        self.offer.display = False
        self._draw(head, Content(f"{body}The settings go to the configuration file."), "")
        self._set(busy=False, can_save=True)

    def show_error(self, error: ErrorInfo) -> None:
        self.offer.display = False
        foot = Content.styled("Nothing has been saved.", STYLES[Tone.MUTED])
        self.words.update(Content("\n\n").join([explain(error), foot]))
        self._set(busy=False, can_save=False)

    def _draw(self, head: str, body: Content, foot: str) -> None:
        parts = [Content.styled(head, STYLES[Tone.STRONG]), body]
        if foot:
            parts.append(Content.styled(foot, STYLES[Tone.MUTED]))
        self.words.update(Content("\n\n").join(parts))

    def _set(self, *, busy: bool, can_save: bool) -> None:
        self.busy, self.can_save = busy, can_save
        self.post_message(self.Changed())

    # Making the store ready

    @on(NewPassphrase.Chosen)
    @work(exclusive=True)
    async def _create(self) -> None:
        bridge, secret = bridge_of(self), self.passphrase.take()
        self.offer.display = False
        self.words.update(Content.styled("Creating the vault…", STYLES[Tone.GOING]))
        self._set(busy=True, can_save=False)
        try:
            await bridge.call(bridge.core.credentials.create, secret, StoreBackend.VAULT, timeout_s=60)
        except ProviderError as error:
            self.show_error(ErrorInfo.of(error))
        else:
            self._opened()

    @on(Button.Pressed, "#other-store")
    @work(exclusive=True)
    async def _choose(self) -> None:
        if await choose_store(self):
            self._opened()
        else:
            self.ask_store()

    @work(exclusive=True)
    async def open_store(self) -> None:
        if await open_store(self):
            self._opened()
        else:
            self.ask_store()

    def _opened(self) -> None:
        bridge_of(self).instances_changed()
        self._set(busy=False, can_save=True)
        self.post_message(self.Opened())
