"""The base of dialogues that call the core: keys are locked during the call, and an error is shown in the dialogue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from providers.contract.report import ErrorInfo
from providers.errors import ProviderError
from tui.bridge import bridge_of
from tui.text import safe
from tui.theme import STYLES, Tone
from tui.widgets.check_steps import explain

T = TypeVar("T")


class AskingDialog(ModalScreen[T], Generic[T]):
    """A subclass composes a Static of the class `outcome`, in which `attempt` shows progress and errors."""

    CSS_PATH = Path(__file__).parent / "credentials/store.tcss"
    TIMEOUT_S: ClassVar[float] = 60.0
    """argon2id over 256 MiB takes half a second on a desktop, and many on a small board."""

    def __init__(self) -> None:
        super().__init__()
        self._busy = False
        self.answer: Any = None
        """The result of the last successful `attempt`."""
        self.refusal: ProviderError | None = None
        """The error of the last failed `attempt`."""

    def focus_field(self) -> None:
        """Focus the field for another try."""
        raise NotImplementedError

    async def attempt(self, words: str, method: Callable[..., object], *arguments: Any, **options: Any) -> bool:
        """Call `method` with the keys locked. If it fails, show the error and return False."""
        if self._busy:
            return False
        self._busy = True
        self.say(Content.styled(words, STYLES[Tone.GOING]))
        try:
            self.answer = await bridge_of(self).call(method, *arguments, timeout_s=self.TIMEOUT_S, **options)
        except ProviderError as error:
            self.fail(error)
            return False
        finally:
            self._busy = False
        self.say(Content(""))
        return True

    def fail(self, error: ProviderError) -> None:
        self.refusal = error
        notes = [Content(safe(note)) for note in getattr(error, "__notes__", ())]
        self.say(Content("\n").join([explain(ErrorInfo.of(error)), *notes]))
        self.focus_field()

    def ask_for(self, words: str) -> None:
        """Ask the user to type or choose something first."""
        self.say(Content.styled(words, STYLES[Tone.WAITING]))
        self.focus_field()

    def say(self, words: Content) -> None:
        outcome = self.query_one(".outcome", Static)
        outcome.update(words)
        outcome.set_class(bool(words), "-there")
