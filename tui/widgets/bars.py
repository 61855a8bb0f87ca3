"""The one-line widgets of the frame: title bar, mode bar, key bar. The transfer strip has a module of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

from textual import events
from textual.binding import ActiveBinding, Binding
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from backup.model.credentials import StoreState, StoreStatus
from tui.rows.stores import store_noun
from tui.text import safe
from tui.theme import STYLES, Tone

Part = tuple[str, str]
"""Text and style, for `Content.assemble`."""


class Mode(StrEnum):
    PROVIDERS = "providers"
    BROWSE = "browse"
    TRANSFERS = "transfers"
    ACTIVITY = "activity"
    SETTINGS = "settings"

    @property
    def key(self) -> str:
        return str(list(Mode).index(self) + 1)


STORE_WORDS: Final[dict[StoreState, tuple[str, Tone]]] = {
    StoreState.READY: ("{} ready", Tone.PROVED),
    StoreState.LOCKED: ("{} locked", Tone.WAITING),
    StoreState.NO_COLLECTION: ("{} not set up", Tone.WAITING),
    StoreState.UNAVAILABLE: ("no {}", Tone.WAITING),
    StoreState.HUNG: ("{} does not answer", Tone.FAILED),
}


class OneLine(Widget):
    """One line with the contents `left()` and `right()`. If there is too little room, the left part is cut."""

    DEFAULT_CSS = "OneLine { height: 1; padding: 0 1; background: $surface; color: $muted; }"

    def left(self, width: int) -> Content:
        raise NotImplementedError

    def right(self) -> Content:
        return Content("")

    def render(self) -> Content:
        width = self.content_size.width
        right = self.right()
        if right.cell_length + 12 > width:
            right = Content("")
        room = max(0, width - right.cell_length - (2 if right.cell_length else 0))
        left = self.left(room).truncate(room, ellipsis=True)
        return Content("").join([left.pad_right(width - left.cell_length - right.cell_length), right])


class TitleBar(OneLine):
    """Product and host on the left; the credential store and the number of ready services on the right."""

    DEFAULT_CSS = "TitleBar { background: $panel; }"

    def __init__(self) -> None:
        super().__init__()
        self._host = ""
        self._store: StoreStatus | None = None
        self._ready = self._known = 0

    def show(self, host: str, store: StoreStatus | None, ready: int, known: int) -> None:
        self._host, self._store, self._ready, self._known = host, store, ready, known
        self.refresh()

    def left(self, width: int) -> Content:
        name: list[Part] = [("◆ ", "$primary"), ("homeserver-backup", STYLES[Tone.STRONG])]
        return Content.assemble(*name, (f"  on {safe(self._host)}", STYLES[Tone.MUTED]))

    def right(self) -> Content:
        parts: list[Part] = []
        if self._store is not None:
            parts += [*self._store_part(self._store), (" · ", STYLES[Tone.TRACK])]
        if self._known:
            parts.append((f"{self._ready} of {self._known} services ready", STYLES[Tone.MUTED]))
        return Content.assemble(*parts)

    def _store_part(self, store: StoreStatus) -> list[Part]:
        words, tone = STORE_WORDS[store.state]
        return [(words.format(store_noun(store)), STYLES[tone])]

    async def on_click(self, event: events.Click) -> None:
        """A click on the state of the credential store opens Credentials."""
        if event.x >= self.size.width - self.right().cell_length - 1:
            await self.run_action("app.credentials")


class ModeBar(OneLine):
    """The five modes, with the current one filled. A click switches."""

    class Chosen(Message):
        def __init__(self, mode: Mode) -> None:
            super().__init__()
            self.mode = mode

    def __init__(self, current: Mode) -> None:
        super().__init__()
        self._current = current

    def left(self, width: int) -> Content:
        return Content("").join([self._tab(mode, short=width < 62) for mode in Mode])

    def _tab(self, mode: Mode, *, short: bool) -> Content:
        if mode is self._current:
            return Content.assemble((f" {mode.key} {mode.title()} ", "bold $on-primary on $primary"), " ")
        name = "" if short else f"{mode.title()} "
        return Content.assemble((f" {mode.key} ", STYLES[Tone.MUTED]), (name, STYLES[Tone.PLAIN]), " ")

    def on_click(self, event: events.Click) -> None:
        x = event.x - 1
        for mode in Mode:
            x -= self._tab(mode, short=self.content_size.width < 62).cell_length
            if x < 0:
                self.post_message(self.Chosen(mode))
                return


class KeyBar(OneLine):
    """The keys that work now, always with `?`: the key amber and bold, its word muted. A click presses the key."""

    SIGNS: Final = {
        "enter": "↵",
        "delete": "del",
        "escape": "esc",
        "question_mark": "?",
        "slash": "/",
        "backspace": "⌫",
        "up": "↑",
        "down": "↓",
        "left": "←",
        "right": "→",
        "pageup": "PgUp",
        "pagedown": "PgDn",
        "home": "Home",
        "end": "End",
    }

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda screen: self.refresh())

    def left(self, width: int) -> Content:
        return Content("   ").join([content for _, content in self._fitting(width)])

    def on_click(self, event: events.Click) -> None:
        x = event.x - 1
        for active, content in self._fitting(self.content_size.width):
            if 0 <= x < content.cell_length:
                self.app.simulate_key(active.binding.key)
                return
            x -= content.cell_length + 3

    def _fitting(self, width: int) -> list[tuple[ActiveBinding, Content]]:
        focused = self.screen.focused
        active = [
            each
            for each in self.screen.active_bindings.values()
            if each.binding.show
            and each.enabled
            and not (focused and focused.check_consume_key(each.binding.key, self._typed(each.binding.key)))
        ]
        seen: dict[tuple[str, str], ActiveBinding] = {}
        for each in active:
            seen.setdefault((each.binding.action, each.binding.description), each)
        ordered = sorted(seen.values(), key=lambda each: 2 if each.node is self.app else each.node is not self.screen)
        pieces = [(each, self._piece(each.binding)) for each in ordered]
        return _keep_last(pieces, width)

    def _typed(self, key: str) -> str | None:
        """The character that a key types into a focused field."""
        sign = self.SIGNS.get(key, key)
        return " " if key == "space" else sign if len(sign) == 1 and sign.isascii() else None

    def _piece(self, binding: Binding) -> Content:
        key = binding.key_display or self.SIGNS.get(binding.key, binding.key)
        return Content.assemble((key, "bold $accent"), (f" {binding.description}", STYLES[Tone.MUTED]))


def _keep_last(pieces: Sequence[tuple[ActiveBinding, Content]], width: int) -> list[tuple[ActiveBinding, Content]]:
    """As many as fit, from the left; always the last one (help)."""

    def length(some: Iterable[tuple[ActiveBinding, Content]]) -> int:
        return sum(content.cell_length + 3 for _, content in some) - 3

    kept = list(pieces)
    while len(kept) > 1 and length(kept) > width:
        del kept[-2]
    return kept
