"""Dialogues that have the core do something: the keys are locked meanwhile, and an error stays in the dialogue."""

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
    """Has a Static of the class `outcome`, where `attempt` says what goes on and what came of it."""

    CSS_PATH = Path(__file__).parent / "credentials/store.tcss"
    TIMEOUT_S: ClassVar[float] = 60.0
    """argon2id over 256 MiB takes half a second here, many on a small board."""

    def __init__(self) -> None:
        super().__init__()
        self._busy = False
        self.answer: Any = None
        """Of the last `attempt` that succeeded."""
        self.refusal: ProviderError | None = None
        """Of one that failed."""

    def focus_field(self) -> None:
        """To where the user tries again."""
        raise NotImplementedError

    async def attempt(self, words: str, method: Callable[..., object], *arguments: Any, **options: Any) -> bool:
        """Ask the service, with the keys locked meanwhile. False, and the error in the dialogue, when it fails."""
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
        """Something is to be typed or chosen first."""
        self.say(Content.styled(words, STYLES[Tone.WAITING]))
        self.focus_field()

    def say(self, words: Content) -> None:
        outcome = self.query_one(".outcome", Static)
        outcome.update(words)
        outcome.set_class(bool(words), "-there")
