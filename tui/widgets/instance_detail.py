"""Details of one instance: its facts, its problem, and the steps of its last check."""

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
        """`outcome` is that of its last check; `store` keeps its credentials, if it has any."""
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
        if self._shown != (info.name, outcome):  # otherwise keep the scroll position
            self._shown = (info.name, outcome)
            self.call_after_refresh(self.scroll_home, animate=False)

    def _show_troubles(
        self, problem: ErrorInfo | None, outcome: ConnectionReport | ErrorInfo | None, container_word: str
    ) -> None:
        """The error of the check and any other problem, next to the state, each once."""
        failed = failure(outcome) if isinstance(outcome, ConnectionReport) else (outcome, None) if outcome else None
        troubles = [explain(*failed, container_word=container_word)] if failed else []
        if problem is not None and (failed is None or failed[0].message != problem.message):
            troubles.append(explain(problem, container_word=container_word))
        if troubles:
            self._trouble(Content("\n\n").join(troubles))

    def show_running(self, steps: Iterable[CheckStep]) -> None:
        """Show a check under way, with the steps that have finished."""
        going = Content.styled("under way · esc stops it", STYLES[Tone.GOING])
        self.query_one("#last-check", Static).update(Content.assemble(("CHECK  ", STYLES[Tone.MUTED]), going))
        self.query_one("#trouble").display = False
        self.steps.display = True
        self.steps.begin()
        for step in steps:
            self.steps.tell(step)

    def show_service(self, service: ServiceInfo | None) -> None:
        """Show a service without an instance, or nothing."""
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
