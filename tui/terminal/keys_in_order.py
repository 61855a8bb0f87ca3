"""Keys mean what they meant to whoever typed them, however many arrive in one read."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Final

from textual import events
from textual.app import App
from textual.dom import DOMNode
from textual.driver import Driver
from textual.message import Message
from textual.widget import MountError
from textual.widgets import Input

from tui.terminal.driver import terminal_driver

_LOOK_S: Final = 0.25
_LOOKS: Final = 20
"""How often we look whether a key still is under way, and after how many looks the next one goes out all the same.

Looks are counted, not seconds: while the machine stands still nobody looks, and the key gets its time.
"""


class KeyHandled(Message):
    """Follows a key on its way up: when the app gets it, the key has done all that it does."""


class KeysInOrder(App[None]):
    """An app that hands out one key at a time.

    Textual forwards each key to what has the focus at that moment, while bindings run later, after the key has
    bubbled up. Of "name, Tab, secret" in one read (a paste, `tmux send-keys`, a slow line) the secret would land in
    the field of the name, in clear; of "Ctrl+U, text" the text would be erased. What an Input takes in as text is
    handled where it is forwarded to, and need not be waited for.
    """

    def __init__(self) -> None:
        super().__init__()
        self._typed_ahead: deque[events.Key | events.Paste] = deque()
        self._key_under_way: KeyHandled | None = None

    def get_driver_class(self) -> type[Driver]:
        return terminal_driver()

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded:
            self._typed_ahead.append(event)
            await self._hand_out()
        else:
            await super().on_event(event)

    async def on_key_handled(self, message: KeyHandled) -> None:
        await self._handled(message)

    async def _hand_out(self) -> None:
        while self._typed_ahead and self._key_under_way is None:
            event = self._typed_ahead.popleft()
            target = self.focused or self.screen
            await super().on_event(event)
            is_text = isinstance(event, events.Paste) or event.is_printable
            if not event.is_forwarded or (is_text and isinstance(target, Input)):
                continue
            follower = KeyHandled().set_sender(target)  # from the app itself it would not bubble up to it
            if target.post_message(follower):
                self._key_under_way = follower
                self._look_later(follower, target, _LOOKS)

    def _look_later(self, follower: KeyHandled, target: DOMNode, looks: int) -> None:
        self.set_timer(_LOOK_S, partial(self._look, follower, target, looks - 1))

    async def _look(self, follower: KeyHandled, target: DOMNode, looks: int) -> None:
        """A widget that has gone takes the answer with it; one that answers nothing holds up no other key for ever."""
        if follower is not self._key_under_way:
            return
        if looks and target.is_attached:
            self._look_later(follower, target, looks)
        else:
            await self._handled(follower)

    async def _handled(self, message: KeyHandled) -> None:
        if message is self._key_under_way:
            self._key_under_way = None
            await self._hand_out()

    def clear_selection(self) -> None:
        """Nothing is selected before the first screen is up. Textual asks for that screen even so, when an Input is
        mounted: from Python 3.12 on this comes too early, as its tasks begin at once, and the Input would be dead."""
        if self.screen_stack:
            super().clear_selection()

    def _handle_exception(self, error: Exception) -> None:
        if not (self._exit and isinstance(error, MountError)):  # who leaves needs no form that was about to open
            super()._handle_exception(error)
