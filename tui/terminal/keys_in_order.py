"""One key at a time, in the order typed, even if many arrive in one read."""

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
"""How often to check whether a key is still being handled, and after how many checks to send the next one anyway.

Checks are counted, not seconds, so that a suspended machine does not cut the time of a key short.
"""


class KeyHandled(Message):
    """Sent after each key, and bubbles up behind it: when the app receives it, the key has been handled."""


class KeysInOrder(App[None]):
    """An app that forwards one key at a time.

    Textual forwards each key to the widget that has the focus at that moment, but runs bindings later, after the key
    has bubbled up. If "name, Tab, secret" arrive in one read (a paste, `tmux send-keys`, a slow line), the secret would
    land in the field of the name, in clear text; of "Ctrl+U, text", the text would be erased. Text typed into an Input
    is handled as it is forwarded, and needs no wait.
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
            follower = KeyHandled().set_sender(target)  # a message posted by the app does not bubble up to the app
            if target.post_message(follower):
                self._key_under_way = follower
                self._look_later(follower, target, _LOOKS)

    def _look_later(self, follower: KeyHandled, target: DOMNode, looks: int) -> None:
        self.set_timer(_LOOK_S, partial(self._look, follower, target, looks - 1))

    async def _look(self, follower: KeyHandled, target: DOMNode, looks: int) -> None:
        """Go on if the widget was removed or does not answer: no key waits for ever."""
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
        """Nothing is selected before the first screen is shown. Textual asks for that screen when an Input is mounted;
        from Python 3.12 on, where tasks start at once, that is too early, and the Input would not work."""
        if self.screen_stack:
            super().clear_selection()

    def _handle_exception(self, error: Exception) -> None:
        if not (self._exit and isinstance(error, MountError)):  # a form still opening
            super()._handle_exception(error)
