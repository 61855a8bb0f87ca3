"""The dialogue that authorises a service: an address for a browser on any machine, and a field for the result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.getters import query_one
from textual.screen import ModalScreen
from textual.style import Style
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from backup.model.instances import ServiceInfo
from backup.queries.authorizations import BegunAuthorization
from backup.queries.questions import AuthorizeBegin, AuthorizeEnd, AuthorizeFinish, AuthorizeMethods, AuthorizePoll
from backup.system import qr
from providers.contract import authorization
from providers.contract.authorization import Answer, Authorization, Grant, Method
from providers.errors import ProviderError
from providers.secret import Secret
from screens.modals.qr_code import BLACK_ON_WHITE, QrScreen
from tui.bridge import bridge_of
from tui.text import safe
from tui.theme import STYLES, Tone
from tui.widgets.bars import KeyBar
from tui.widgets.problem import Problem

_NO_BROWSER = "Open it in any browser, on any machine."


class AuthorizeScreen(ModalScreen[Grant | None]):
    """Dismisses with the grant, and keeps nothing. The flow itself runs in the child that talks to services.

    `values` and `secrets` come from a form, and override those of the saved `instance`.
    """

    CSS_PATH = "authorize.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+y", "copy_address", "copy the address", priority=True),
        Binding("ctrl+g", "show_code", "QR code", priority=True),
        Binding("ctrl+r", "begin", "start again", priority=True),
        Binding("escape", "leave", "cancel"),
    ]
    words = query_one("#authorize-words", Static)
    code = query_one("#authorize-qr", Static)
    methods = query_one("#authorize-methods", OptionList)
    pasted = query_one("#authorize-pasted", Input)
    problem = query_one(Problem)

    def __init__(
        self, service: ServiceInfo, values: Mapping[str, str], secrets: Mapping[str, Secret], *, instance: str = ""
    ) -> None:
        super().__init__()
        self._service = service
        self._values, self._secrets, self._instance = dict(values), dict(secrets), instance
        self._ways: tuple[Method, ...] = ()
        self._method = ""
        self._begun: BegunAuthorization | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="authorize") as dialog:
            dialog.border_title = Content(f"Authorise {safe(self._service.title)}")
            with VerticalScroll(can_focus=False):
                yield OptionList(id="authorize-methods", compact=True)
                yield Static("", id="authorize-words")
                yield Input(id="authorize-pasted", compact=True)
                yield Problem()
                yield Static("", id="authorize-qr")
        yield KeyBar()

    def on_mount(self) -> None:
        self.pasted.display = self.methods.display = False
        self._ask_ways()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action:
            case "copy_address" | "show_code":
                return self._begun is not None
            case "begin":
                return bool(self._method)
        return True

    # Choice of a flow

    @work(exclusive=True, group="authorize")
    async def _ask_ways(self) -> None:
        try:
            self._ways = await bridge_of(self).ask(AuthorizeMethods(self._service.name))
        except ProviderError as error:
            self.problem.show(error)
            return
        if len(self._ways) == 1:
            self._method = self._ways[0].name
            self.action_begin()
            return
        self.methods.add_options(_option(way) for way in self._ways)
        self.methods.display = True
        self.methods.action_first()
        self.methods.focus()

    @on(OptionList.OptionSelected, "#authorize-methods")
    def _way_chosen(self, event: OptionList.OptionSelected) -> None:
        self._method = event.option_id or ""
        self.methods.display = False
        self.action_begin()

    # The flow

    @work(exclusive=True, group="authorize")
    async def action_begin(self) -> None:
        """Get a new address, which makes the previous one invalid."""
        await self._end()
        self.problem.dismiss()
        self.pasted.display = False
        self.code.update("")
        self.words.update(Content.styled("Asking the service…", STYLES[Tone.GOING]))
        try:
            draft = (self._service.name, self._values, self._secrets, self._instance)
            begun = await bridge_of(self).ask(AuthorizeBegin(*draft, self._method))
            self._begun = begun
            self._show(begun.authorization)
            if begun.authorization.answer is Answer.NOTHING:
                self._grant(await self._polled(begun))
        except ProviderError as error:
            self._complain(error)

    async def _polled(self, begun: BegunAuthorization) -> Grant:
        step = begun.authorization
        while step.expires_at is None or time.time() < step.expires_at:
            await asyncio.sleep(step.interval_s)
            grant = await bridge_of(self).ask(AuthorizePoll(begun.flow))
            if grant is not None:
                return grant
        raise authorization.expired(self._service.title)

    @on(Input.Submitted, "#authorize-pasted")
    def _brought_back(self, event: Input.Submitted) -> None:
        text, begun = event.value, self._begun
        if text.strip() and begun is not None:
            self.pasted.value = ""
            self._finish(begun, text)

    @work(exclusive=True, group="authorize")
    async def _finish(self, begun: BegunAuthorization, text: str) -> None:
        try:
            self._grant(await bridge_of(self).ask(AuthorizeFinish(begun.flow, text)))
        except ProviderError as error:
            self._complain(error)

    def _grant(self, grant: Grant) -> None:
        """Finish, also while another screen, such as the QR code, is shown over this one."""
        while self.app.screen is not self:
            self.app.pop_screen()
        self.dismiss(grant)

    async def _end(self) -> None:
        begun, self._begun = self._begun, None
        if begun is not None:
            try:
                await bridge_of(self).ask(AuthorizeEnd(begun.flow))
            except ProviderError as error:
                self.log.warning(f"an authorisation could not be ended: {error}")

    # Drawing

    def _show(self, step: Authorization) -> None:
        parts = [Content(f"{safe(step.instructions)} {_NO_BROWSER}")]
        if step.command:
            parts.append(Content.styled(safe(step.command), STYLES[Tone.STRONG]))
        parts.append(_link(step.address))
        if step.user_code:
            parts.append(Content.assemble("code  ", (safe(step.user_code), STYLES[Tone.STRONG])))
        self.words.update(Content("\n\n").join(parts))
        self._draw_code(step.address)
        takes_text = not step.user_code
        self.pasted.placeholder = "the code" if step.answer is Answer.CODE else "the address on which the browser ends"
        self.pasted.display = takes_text
        if takes_text:
            self.pasted.focus()
        self.refresh_bindings()

    @on(events.Resize)
    def _resized(self) -> None:
        if self._begun is not None:
            self._draw_code(self._begun.authorization.address)

    def _draw_code(self, address: str) -> None:
        """Show the QR code beside the text if there is room for both; otherwise a key shows it."""
        rows = qr.rows(address)
        columns, lines = self.app.size
        if len(rows[0]) > columns - 8 or len(rows) > lines - 16:
            self.code.update(Content.styled("ctrl+g shows the address as a QR code.", STYLES[Tone.MUTED]))
        else:
            self.code.update(Content.styled("\n".join(rows), BLACK_ON_WHITE))

    def action_show_code(self) -> None:
        if self._begun is not None:
            self.app.push_screen(QrScreen(self._begun.authorization.address))

    def _complain(self, error: ProviderError) -> None:
        self.problem.show(error)
        self.refresh_bindings()

    def action_copy_address(self) -> None:
        """Copy the address, which holds no secret."""
        if self._begun is not None:
            self.app.copy_to_clipboard(self._begun.authorization.address)

    @work(exclusive=True, group="authorize")
    async def action_leave(self) -> None:
        await self._end()
        self.dismiss(None)


def _option(way: Method) -> Option:
    prompt = Content.assemble((safe(way.title), STYLES[Tone.STRONG]), "\n", (safe(way.help), STYLES[Tone.MUTED]))
    return Option(prompt, id=way.name)


def _link(address: str) -> Content:
    """Show the address as text to select, and as a link if the terminal supports links."""
    plain = safe(address)
    if plain != address or not address.startswith(("https://", "http://")):
        return Content(plain)
    return Content.styled(plain, Style(link=address))
