"""Two fields for a new passphrase, with its quality shown during typing."""

from __future__ import annotations

from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.getters import query_one
from textual.message import Message
from textual.widgets import Input, Label, Static

from backup.credentials.passphrase_quality import BAR_STEPS, Quality, Strength, assess
from providers.secret import Secret
from tui.theme import STYLES, Tone
from tui.widgets.secret_input import SecretInput

_TONES: Final = {
    Strength.EMPTY: Tone.MUTED,
    Strength.VERY_WEAK: Tone.FAILED,
    Strength.WEAK: Tone.FAILED,
    Strength.FAIR: Tone.WAITING,
    Strength.GOOD: Tone.PROVED,
    Strength.STRONG: Tone.PROVED,
}
_SPANS: Final = ((60.0, "minute"), (3600.0, "hour"), (86_400.0, "day"), (31_557_600.0, "year"))
_FOR_EVER_S: Final = 1000 * 31_557_600.0


def guessing_time(seconds: float) -> str:
    """A time in one unit, such as 'in about 3 days', up to a thousand years."""
    if seconds < 60:
        return "within a minute"
    if seconds > _FOR_EVER_S:
        return "in more than 1,000 years"
    span, unit = next(each for each in reversed(_SPANS) if seconds >= each[0])
    number = round(seconds / span)
    return f"in about {number:,} {unit}{'' if number == 1 else 's'}"


def quality_words(quality: Quality) -> Content:
    """Two lines: a bar with a word and the time that many machines need to guess it; advice."""
    tone = STYLES[_TONES[quality.strength]]
    bar = [("━" * quality.filled, tone), ("━" * (BAR_STEPS - quality.filled), STYLES[Tone.TRACK])]
    if quality.strength is Strength.EMPTY:
        return Content.assemble(*bar, (f"  how hard to guess\n{quality.advice}", STYLES[Tone.MUTED]))
    guessed = f" · guessed {guessing_time(quality.guessed_after_s)}"
    return Content.assemble(
        *bar,
        (f"  {quality.strength.value}", f"bold {tone}"),
        (guessed, STYLES[Tone.MUTED]),
        (f"\n{quality.advice}", STYLES[Tone.MUTED]),
    )


class NewPassphrase(Vertical):
    """Enter in the first field leads to the second; there, it compares them. A weak passphrase needs a second Enter."""

    DEFAULT_CSS = """
    NewPassphrase {
        height: auto;
        & Horizontal { height: 1; }
        & Label { width: 14; color: $muted; }
        & SecretInput { width: 1fr; }
        & .quality { height: 3; padding: 0 0 0 14; }
        & .note { height: 1; padding: 0 0 0 14; color: $error; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        # Priority moves the focus at once: on a slow line, keys typed ahead must not land in the first field.
        Binding("enter", "to_second", "repeat it", show=False, priority=True),
    ]
    first = query_one("#passphrase", SecretInput)
    second = query_one("#passphrase-again", SecretInput)

    class Chosen(Message):
        """The same passphrase was typed twice; `take` returns it."""

        def __init__(self, sender: NewPassphrase) -> None:
            super().__init__()
            self.sender = sender

    def __init__(self, label: str = "Passphrase") -> None:
        super().__init__()
        self._label = label
        self._warned = False

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Label(self._label)
            yield SecretInput(id="passphrase", compact=True)
        yield Static(quality_words(assess("")), classes="quality")
        with Horizontal():
            yield Label("Repeat it")
            yield SecretInput(id="passphrase-again", compact=True)
        yield Static("", classes="note")

    def focus_first(self) -> None:
        self.first.focus()

    @property
    def filled(self) -> bool:
        return self.first.filled or self.second.filled

    def take(self) -> Secret:
        """Return the passphrase and clear both fields."""
        self.second.clear()
        self._warned = False
        return self.first.take()

    def forget(self) -> None:
        self.first.clear()
        self.second.clear()
        self._say("")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "to_second" or self.screen.focused is self.first

    def action_to_second(self) -> None:
        self.screen.set_focus(self.second)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._warned = False
        if event.input is self.first:
            self.query_one(".quality", Static).update(quality_words(assess(self.first.value)))
        if event.value:  # clearing the field for another try keeps the reason
            self._say("")

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.enter()

    def enter(self) -> None:
        """Like Enter in the second field: compare, then post `Chosen` or show what is missing."""
        if not self.first.filled:
            self._say("Type a passphrase.")
            self.screen.set_focus(self.first)
        elif self.first.value != self.second.value:
            differs = self.second.filled
            self.second.clear()
            self.screen.set_focus(self.second)
            self._say("The two differ. Repeat the first one." if differs else "Type it again.")
        elif not self._warned and assess(self.first.value).strength in (Strength.VERY_WEAK, Strength.WEAK):
            self._say("Easy to guess. ↵ again accepts it anyway.")
            self._warned = True
        else:
            self.post_message(self.Chosen(self))

    @on(Input.Blurred)
    def _left(self, event: Input.Blurred) -> None:
        event.stop()

    def _say(self, words: str) -> None:
        self.query_one(".note", Static).update(Content(words))
