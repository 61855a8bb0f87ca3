"""An input for secrets that returns its text once, as a Secret."""

from __future__ import annotations

from textual.validation import ValidationResult
from textual.widgets import Input

from providers.secret import MASK, Secret


class SecretInput(Input):
    """A masked input. Its text reaches no clipboard, message, suggestion or screenshot; pasting into it works.

    The `value` of its messages is a mask. `filled` is true if there is text, and `take` returns it.
    """

    class Changed(Input.Changed):
        def __init__(self, input: Input, value: str, validation_result: ValidationResult | None = None) -> None:
            super().__init__(input, _masked(value))

    class Submitted(Input.Submitted):
        def __init__(self, input: Input, value: str, validation_result: ValidationResult | None = None) -> None:
            super().__init__(input, _masked(value))

    class Blurred(Input.Blurred):
        def __init__(self, input: Input, value: str, validation_result: ValidationResult | None = None) -> None:
            super().__init__(input, _masked(value))

    def __init__(
        self, *, placeholder: str = "", id: str | None = None, classes: str | None = None, compact: bool = False
    ) -> None:
        super().__init__(placeholder=placeholder, password=True, id=id, classes=classes, compact=compact)

    @property
    def filled(self) -> bool:
        return bool(self.value)

    def take(self) -> Secret:
        """Return the text and clear the field."""
        secret = Secret(self.value)
        self.clear()
        return secret

    def action_copy(self) -> None:
        """Refuse: any program, and the terminal at the other end, can read the clipboard."""
        self.app.bell()

    def action_cut(self) -> None:
        """Refuse, for the same reason."""
        self.app.bell()


def _masked(text: str) -> str:
    return MASK if text else ""
