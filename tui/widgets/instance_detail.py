"""Everything about one instance: its facts, what is wrong with it, its last check step by step."""

from __future__ import annotations

import time
from collections.abc import Iterable

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.getters import query_one
from textual.widgets import Static

from backup.model.credentials import StoreStatus
from backup.model.instances import InstanceInfo, ServiceInfo
from providers.contract.report import CheckStep, ConnectionReport, ErrorInfo
from tui.rows.instances import facts, last_check
from tui.text import safe
from tui.theme import STYLES, Tone
from tui.widgets.check_steps import CheckSteps, explain, failure
from tui.widgets.problem import Problem


class InstanceDetail(VerticalScroll):
    DEFAULT_CSS = """
    InstanceDetail {
        & > #facts { height: auto; text-wrap: nowrap; text-overflow: ellipsis; }
        & > #trouble { height: auto; margin: 1 0 0 0; display: none; }
        & > #last-check { height: auto; margin: 1 0 0 0; text-wrap: nowrap; text-overflow: ellipsis; }
        & > Problem { margin: 1 0 0 0; }
    }
    """
    steps = query_one(CheckSteps)
    problem = query_one(Problem)

    def __init__(self) -> None:
        super().__init__(id="detail", classes="pane")
        self._shown: tuple[str, ConnectionReport | ErrorInfo | None] = ("", None)

    def compose(self) -> ComposeResult:
        yield Static("", id="facts")
        yield Static("", id="trouble")
        yield Static("", id="last-check")
        yield CheckSteps()
        yield Problem()

    def show(
        self,
        info: InstanceInfo,
        container_word: str,
        outcome: ConnectionReport | ErrorInfo | None,
        store: StoreStatus | None,
    ) -> None:
        """`outcome` is of a check since the console opened; `store` keeps its credentials, where it has any."""
        now_s = time.time()
        name = "" if info.name == info.type else f"  {safe(info.name)}"
        report = outcome if isinstance(outcome, ConnectionReport) else None
        heading = last_check(info, report, now_s)
        self._draw(f"{safe(info.title)}{name}", facts(info, container_word, store), heading)
        self._show_troubles(info.problem, outcome, container_word)
        self.steps.container_word = container_word
        self.steps.display = outcome is not None
        self.steps.clear()
        if report is not None:
            self.steps.show(report)
        if self._shown != (info.name, outcome):  # else it stays where it was scrolled to
            self._shown = (info.name, outcome)
            self.call_after_refresh(self.scroll_home, animate=False)

    def _show_troubles(
        self, problem: ErrorInfo | None, outcome: ConnectionReport | ErrorInfo | None, container_word: str
    ) -> None:
        """What the check met, and what is wrong besides: beside the state, and each once."""
        failed = failure(outcome) if isinstance(outcome, ConnectionReport) else (outcome, None) if outcome else None
        told = [explain(*failed, container_word=container_word)] if failed else []
        if problem is not None and (failed is None or failed[0].message != problem.message):
            told.append(explain(problem, container_word=container_word))
        if told:
            self._trouble(Content("\n\n").join(told))

    def show_running(self, told: Iterable[CheckStep]) -> None:
        """A check is under way; these of its steps are over."""
        going = Content.styled("under way · esc stops it", STYLES[Tone.GOING])
        self.query_one("#last-check", Static).update(Content.assemble(("CHECK  ", STYLES[Tone.MUTED]), going))
        self.query_one("#trouble").display = False
        self.steps.display = True
        self.steps.begin()
        for step in told:
            self.steps.tell(step)

    def show_service(self, service: ServiceInfo | None) -> None:
        """A service without an instance, or nothing at all."""
        self.steps.display = False
        if service is None:
            self._draw("", Content(""), Content(""))
            return
        what = Content.assemble(
            (f"{safe(service.summary)}\n\n", STYLES[Tone.PLAIN]), ("↵ sets it up: under a minute.", STYLES[Tone.MUTED])
        )
        self._draw(safe(service.title), Content(""), Content(""))
        self._trouble(what)

    def _draw(self, title: str, above: Content, heading: Content) -> None:
        self.border_title = Content(title)
        self.query_one("#facts", Static).update(above)
        self.query_one("#last-check", Static).update(heading)
        self.query_one("#trouble").display = False

    def _trouble(self, words: Content) -> None:
        static = self.query_one("#trouble", Static)
        static.update(words)
        static.display = True
