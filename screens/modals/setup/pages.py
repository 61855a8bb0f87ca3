"""The pages of the set-up flow. They only draw; the flow is in `screen.py`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.getters import query_one
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from backup.model.instances import ServiceInfo
from screens.modals.setup.draft import SetupDraft
from tui.text import safe
from tui.theme import STYLES, Tone
from tui.widgets.check_steps import CheckSteps

NOTHING_STORED = "Nothing has been stored yet."


class SetupPage(StrEnum):
    """The steps in order. The values are their names in the trail."""

    SERVICE = "service"
    SETTINGS = "settings"
    CHECK = "check"
    KEEP = "secrets"
    DONE = "done"


class ServicePage(OptionList):
    """All known services. One that cannot be used is listed with the reason, and cannot be chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "select", "choose")]

    def __init__(self) -> None:
        super().__init__(id=SetupPage.SERVICE.value, compact=True)

    def show(self, services: Sequence[ServiceInfo]) -> None:
        self.clear_options()
        self.add_options(self._option(service) for service in services)
        self.action_first()

    def _option(self, service: ServiceInfo) -> Option:
        if service.unavailable:
            second = (f"✖ not usable here: {safe(service.unavailable)}", STYLES[Tone.FAILED])
        else:
            second = (safe(service.summary), STYLES[Tone.MUTED])
        title_tone = Tone.MUTED if service.unavailable else Tone.STRONG
        prompt = Content.assemble((safe(service.title), STYLES[title_tone]), "\n", second)
        return Option(prompt, id=service.name, disabled=bool(service.unavailable))


class CheckPage(VerticalScroll, can_focus=False):
    steps = query_one(CheckSteps)
    words = query_one("#next", Static)
    choices = query_one("#choices", OptionList)

    def __init__(self) -> None:
        super().__init__(id=SetupPage.CHECK.value)

    def compose(self) -> ComposeResult:
        yield CheckSteps()
        yield OptionList(id="choices", compact=True)
        yield Static(NOTHING_STORED, id="next", classes="quiet")

    def begin(self, container_word: str) -> None:
        self.steps.container_word = container_word
        self.steps.begin()
        self.choices.display = False
        self.say(NOTHING_STORED)

    def say(self, words: str) -> None:
        self.words.update(Content(words))

    def say_what_next(self, draft: SetupDraft) -> None:
        word = draft.service.container_word
        if draft.passed:
            self.say(f"↵ continues. {NOTHING_STORED}")
        elif draft.misses_container:
            choose = "l lists the others, " if draft.can_choose else ""
            self.say(f"c creates the {word}, {choose}b goes back to the settings. {NOTHING_STORED}")
        elif draft.can_choose:
            self.say(f"l lists those that the key can see, b goes back to the settings. {NOTHING_STORED}")
        else:
            self.say(f"b goes back to the settings, r checks again. {NOTHING_STORED}")

    def choose_from(self, names: Sequence[str]) -> None:
        """Offer names to choose. A name with control characters is shown escaped, and cannot be chosen."""
        self.choices.display = bool(names)
        self.choices.clear_options()
        self.choices.add_options(
            Option(Content(safe(name)), id=name if safe(name) == name else None, disabled=safe(name) != name)
            for name in names
        )
        if names:
            self.say(f"↵ selects one and checks it. {NOTHING_STORED}")
            self.choices.focus()
            self.choices.action_first()
        else:
            self.say(f"There are none to choose from. {NOTHING_STORED}")


class DonePage(VerticalScroll, can_focus=False):
    words = query_one("#done-words", Static)

    def __init__(self) -> None:
        super().__init__(id=SetupPage.DONE.value)

    def compose(self) -> ComposeResult:
        yield Static("", id="done-words")

    def show(self, name: str, place: str) -> None:
        self.words.update(
            Content.assemble(
                ("✔ ", STYLES[Tone.PROVED]),
                (f"{safe(name)} is saved, checked and enabled.", STYLES[Tone.STRONG]),
                (f"\n\nCopies go to {safe(place)}." if place else "", STYLES[Tone.PLAIN]),
                ("\n\n↵ opens it beside your files, to select what to upload.", STYLES[Tone.MUTED]),
            )
        )
