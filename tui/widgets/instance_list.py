"""What is set up, and below it the services that are not; the cursor stays where it was, whatever changes around it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar, Final

from textual.binding import Binding, BindingType
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from backup.model import InstanceInfo, ServiceInfo
from tui.widgets.instance_words import not_set_up, two_lines

_SERVICE: Final = "service:"
"""Before the option ids of services that have no instance yet; no instance's name has a colon."""
_LEAST_CELLS: Final = 16


class InstanceList(OptionList):
    DEFAULT_CSS = "InstanceList { text-wrap: nowrap; text-overflow: ellipsis; scrollbar-size-vertical: 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "select", "open")]

    def __init__(self) -> None:
        super().__init__(id="instances", classes="pane", compact=True)
        self.border_title = "Providers"

    @property
    def instance(self) -> str:
        """The name of the instance under the cursor; empty on a service that is not set up."""
        return "" if self._chosen.startswith(_SERVICE) else self._chosen

    @property
    def service(self) -> str:
        """The name of the service under the cursor that is not set up; empty on an instance."""
        return self._chosen.removeprefix(_SERVICE) if self._chosen.startswith(_SERVICE) else ""

    @property
    def _chosen(self) -> str:
        option = self.highlighted_option
        return option.id or "" if option else ""

    def show(self, instances: Sequence[InstanceInfo], services: Sequence[ServiceInfo]) -> None:
        kept, row = self._chosen, self.highlighted or 0
        now_s, width = time.time(), max(_LEAST_CELLS, self.scrollable_content_region.width)
        known = {info.type for info in instances}
        options = [Option(two_lines(info, width, now_s), id=info.name) for info in instances]
        options += [
            Option(not_set_up(service, width), id=_SERVICE + service.name, disabled=bool(service.unavailable))
            for service in services
            if service.name not in known
        ]
        self.clear_options()
        self.add_options(options)
        self.highlighted = min(row, len(options) - 1) if options else None
        self.choose(kept)

    def choose(self, option_id: str) -> None:
        """Put the cursor there, where there is such an instance."""
        ids = [option.id for option in self.options]
        if option_id in ids:
            self.highlighted = ids.index(option_id)
