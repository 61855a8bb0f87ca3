"""The five steps of a connection check as they happen, and below them what went wrong, why, and how to fix it."""

from __future__ import annotations

from typing import Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from providers.contract.report import CheckStep, ConnectionReport, ErrorInfo, StepName, StepState
from tui.errors import error_content
from tui.text import cut_middle, duration, fit, safe
from tui.theme import STYLES, Tone

_LABEL_WIDTH: Final = 22
_TIME_WIDTH: Final = 8
_WIDEST: Final = 96
_LEAST_OF_DETAIL: Final = 20
_LEAST_OF_FAILED: Final = 8
"""A detail with less room than this is left out: so short a piece says nothing."""

_AT_STEP: Final = {
    (StepName.REACH, "not_found"): "The {container} does not exist",
    (StepName.REACH, "transient"): "The service cannot be reached",
    (StepName.AUTHENTICATE, "not_found"): "The account does not exist",
    (StepName.CONTAINER, "not_found"): "The {container} does not exist",
    (StepName.CONTAINER, "permission"): "The key is valid, but may not use this {container}",
    (StepName.LIST, "permission"): "The key may not list the {container}",
    (StepName.WRITE_READ_DELETE, "permission"): "The key may not write, read or delete in the {container}",
}


def explain(error: ErrorInfo, step: StepName | None = None, *, container_word: str = "container") -> Content:
    """What happened, why, and how to fix it. The step makes the headline more precise than the kind of error."""
    head = _AT_STEP.get((step, error.kind), "") if step else ""
    return error_content(error, head=head.format(container=container_word))


def failure(report: ConnectionReport) -> tuple[ErrorInfo, StepName] | None:
    """The error that ended a check, and the step at which it did."""
    return next(((step.error, step.name) for step in report.steps if step.error), None)


class StepLines(Widget):
    """One line per step: sign, name, detail, time. With little room, only a failed step keeps its detail."""

    DEFAULT_CSS = "StepLines { height: 5; width: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self.steps: dict[StepName, CheckStep] = {}
        self.running: StepName | None = None

    def render(self) -> Content:
        return Content("\n").join([self._line(name) for name in StepName])

    def _line(self, name: StepName) -> Content:
        step = self.steps.get(name)
        sign, tone = _sign(step, going=name is self.running)
        strong = step is not None and step.state is not StepState.NOT_RUN
        label_tone = Tone.STRONG if strong or name is self.running else Tone.MUTED
        parts = [(f"{sign} ", STYLES[tone]), (fit(name.value, _LABEL_WIDTH - 2), STYLES[label_tone])]
        if step and strong:
            parts += self._rest(step)
        elif name is self.running:
            parts.append(("under way", STYLES[Tone.GOING]))
        return Content.assemble(*parts)

    def _rest(self, step: CheckStep) -> list[tuple[str, str]]:
        room = min(self.size.width, _WIDEST) - _LABEL_WIDTH - _TIME_WIDTH - 1
        failed = step.state is StepState.FAILED
        detail = safe(step.detail or (step.error.code or step.error.message if step.error else ""))
        fits = room >= (_LEAST_OF_FAILED if failed else _LEAST_OF_DETAIL)
        shown = fit(detail if failed else cut_middle(detail, room), room) if fits else " " * max(0, room)
        spent = fit(duration(step.elapsed_s), _TIME_WIDTH, right=True)
        return [(f"{shown} ", STYLES[Tone.FAILED if failed else Tone.MUTED]), (spent, STYLES[Tone.MUTED])]


def _sign(step: CheckStep | None, *, going: bool) -> tuple[str, Tone]:
    if step is None:
        return ("▸", Tone.GOING) if going else ("·", Tone.MUTED)
    return {
        StepState.OK: ("✔", Tone.PROVED),
        StepState.FAILED: ("✖", Tone.FAILED),
        StepState.NOT_RUN: ("·", Tone.MUTED),
    }[step.state]


class CheckSteps(Vertical):
    """Follows a check through `begin`, `tell` (from any thread) and `finish` or `fail`. `show` draws an earlier report,
    without its error."""

    DEFAULT_CSS = """
    CheckSteps {
        height: auto;
        & > .verdict { height: auto; margin: 1 0 0 0; }
    }
    """

    class StepDone(Message, bubble=False):
        def __init__(self, step: CheckStep) -> None:
            super().__init__()
            self.step = step

    def __init__(self, *, container_word: str = "container", id: str | None = None) -> None:
        super().__init__(id=id)
        self.container_word = container_word
        self._under_way = False
        self._lines = StepLines()
        self._verdict = Static("", classes="verdict")

    def compose(self) -> ComposeResult:
        yield self._lines
        yield self._verdict

    def begin(self) -> None:
        """Start over, with the first step under way."""
        self._under_way = True
        self._draw({}, next(iter(StepName)), Content(""))

    def clear(self) -> None:
        self._under_way = False
        self._draw({}, None, Content(""))

    def tell(self, step: CheckStep) -> None:
        """Show a finished step. Serves as `on_step` of a check."""
        self.post_message(self.StepDone(step))

    @on(StepDone)
    def _step_done(self, event: StepDone) -> None:
        if not self._under_way:
            return  # the whole report came first
        step, order = event.step, list(StepName)
        later = order[order.index(step.name) + 1 :]
        running = later[0] if later and step.state is StepState.OK else None
        self._draw(self._lines.steps | {step.name: step}, running, Content(""))

    def finish(self, report: ConnectionReport) -> None:
        """Show the outcome of all steps."""
        self._under_way = False
        passed = Content.styled("All five steps passed.", STYLES[Tone.PROVED])
        self._draw(_by_name(report), None, passed if report.ok else self._explain(report))

    def show(self, report: ConnectionReport) -> None:
        self._under_way = False
        self._draw(_by_name(report), None, Content(""))

    def fail(self, error: ErrorInfo) -> None:
        """Show that the check could not run: the settings were refused, or no answer came."""
        self._under_way = False
        self._draw(self._lines.steps, None, explain(error, container_word=self.container_word))

    def _explain(self, report: ConnectionReport) -> Content:
        failed = failure(report)
        return explain(*failed, container_word=self.container_word) if failed else Content("")

    def _draw(self, steps: dict[StepName, CheckStep], running: StepName | None, verdict: Content) -> None:
        self._lines.steps, self._lines.running = steps, running
        self._lines.refresh()
        self._verdict.update(verdict)
        self._verdict.display = bool(verdict)


def _by_name(report: ConnectionReport) -> dict[StepName, CheckStep]:
    return {step.name: step for step in report.steps}
