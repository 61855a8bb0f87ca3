"""The configured instances, and below them the services without one. The cursor stays on its row through changes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar, Final

from textual.binding import Binding, BindingType
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from backup.model.instances import InstanceInfo, ServiceInfo
from tui.rows.instances import not_set_up, two_lines

_SERVICE: Final = "service:"
"""The prefix of option ids of services without an instance. Names of instances have no colon."""
_LEAST_CELLS: Final = 16


class InstanceList(OptionList):
    DEFAULT_CSS = "InstanceList { text-wrap: nowrap; text-overflow: ellipsis; scrollbar-size-vertical: 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "select", "open")]

    def __init__(self) -> None:
        super().__init__(id="instances", classes="pane", compact=True)
        self.border_title = "Providers"
        self._types: dict[str, str] = {}
        """The service of each listed instance."""
        self._awaited = ("", "")
        """An instance that gets the cursor once it is listed, and the option that had the cursor before."""

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
        kept, row = self._following(instances), self.highlighted or 0
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
        self._types = {info.name: info.type for info in instances}
        self.highlighted = min(row, len(options) - 1) if options else None
        self._put_cursor(kept)

    def _following(self, instances: Sequence[InstanceInfo]) -> str:
        """The row for the cursor in the new list: the same as before, or its successor."""
        wanted, chosen_then = self._awaited
        names = [info.name for info in instances]
        if wanted and self._chosen == chosen_then:
            if wanted in names:
                self._awaited = ("", "")
                return wanted
        else:
            self._awaited = ("", "")
        if self.service:
            return next((info.name for info in instances if info.type == self.service), self._chosen)
        if self.instance and self.instance not in names:
            return _SERVICE + self._types.get(self.instance, "")
        return self._chosen

    def choose(self, option_id: str) -> None:
        """Move the cursor there, at once, or when that instance is listed, unless the cursor was moved in between."""
        self._awaited = ("", "") if self._put_cursor(option_id) else (option_id, self._chosen)

    def _put_cursor(self, option_id: str) -> bool:
        ids = [option.id for option in self.options]
        if option_id in ids:
            self.highlighted = ids.index(option_id)
        return option_id in ids
