"""An error that stays on the screen until it is dismissed: what happened, why, how to fix it."""

from __future__ import annotations

from textual.widgets import Static

from providers.contract.report import ErrorInfo
from providers.errors import ProviderError
from tui.widgets.check_steps import explain


class Problem(Static):
    DEFAULT_CSS = """
    Problem { display: none; height: auto; padding: 0 1; border: round $error; border-subtitle-color: $muted; }
    Problem.-there { display: block; }
    """

    def on_mount(self) -> None:
        self.border_subtitle = "esc dismisses"

    @property
    def there(self) -> bool:
        return self.has_class("-there")

    def show(self, error: ProviderError | ErrorInfo) -> None:
        self.update(explain(ErrorInfo.of(error) if isinstance(error, ProviderError) else error))
        self.add_class("-there")

    def dismiss(self) -> None:
        self.remove_class("-there")
