"""`test-providers`."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import click

from backup.cli import diagnostics
from backup.cli.output import Output
from backup.cli.session import Session, json_option, pass_session, passphrase_option
from backup.queries.questions import Probe
from backup.system.text import duration
from providers.contract.cancel import CancelToken
from providers.contract.report import CheckStep, ConnectionReport, ErrorInfo, StepState
from providers.errors import InvalidConfiguration, ProviderError

_STATES = {StepState.OK: "ok", StepState.FAILED: "failed", StepState.NOT_RUN: "not run"}
_PARALLEL = 8

Outcome = ConnectionReport | ErrorInfo
"""ErrorInfo if the check could not begin (a setting or the credentials are missing)."""


@click.command("test-providers")
@click.argument("name", required=False)
@click.option("--all", "also_disabled", is_flag=True, help="Also check those that are not enabled.")
@passphrase_option
@json_option
@pass_session
def command(session: Session, output: Output, name: str | None, also_disabled: bool) -> int:
    """Check the connection of provider NAME, or of all enabled providers in parallel, step by step.

    Each step is shown with its time, the first failure with its cause and fix. The result is remembered: a provider
    can be enabled once it has passed.

    \b
    JSON: {"providers": [{"name", "ok", "checked_at", "steps": [{"name", "state", "detail", "elapsed_s", "error"}],
    "error": {"kind", "message", "hint", "code"} or null}]}
    """
    names = [session.core.instances.get(name).name] if name else _names(session, also_disabled)
    session.open_store_for(*names)
    cancel = CancelToken()
    with contextlib.closing(session.questions), ThreadPoolExecutor(_PARALLEL) as threads:
        try:
            outcomes = dict(zip(names, threads.map(lambda item: check(session, item, cancel), names), strict=True))
        except BaseException:  # Ctrl-C would otherwise wait for the threads
            cancel.cancel()
            raise
    rows = [row for item, outcome in outcomes.items() for row in _rows(item, outcome)]
    output.table(["PROVIDER", "STEP", "STATE", "TIME", "DETAIL"], rows)
    failures = {item: _failure(outcome) for item, outcome in outcomes.items()}
    output.document({"providers": [_as_data(item, outcome) for item, outcome in outcomes.items()]})
    for item, failure in failures.items():
        if failure:
            diagnostics.explain(f"{item} failed its check", failure)
    return diagnostics.combined(failure.kind for failure in failures.values() if failure)


def _names(session: Session, also_disabled: bool) -> list[str]:
    infos = session.core.instances.all()
    left_out = [info.name for info in infos if not (info.enabled or also_disabled)]
    if left_out:
        diagnostics.note(f"not checked, because not enabled: {', '.join(left_out)} (--all checks them too)")
    return [info.name for info in infos if info.name not in left_out]


def check(session: Session, name: str, cancel: CancelToken | None = None) -> Outcome:
    """Check an instance and remember the result."""
    try:
        report = session.questions.ask(Probe(name), cancel=cancel)
        session.core.instances.record_check(name, report)
    except ProviderError as error:
        return ErrorInfo.of(error)
    return report


def check_or_raise(session: Session, output: Output, name: str) -> None:
    """Check an instance, show the steps, remember the result. Raises InvalidConfiguration if the check fails, or the
    error that kept it from beginning."""
    session.open_store_for(name)
    with contextlib.closing(session.questions):
        outcome = check(session, name)
    output.table(["PROVIDER", "STEP", "STATE", "TIME", "DETAIL"], _rows(name, outcome))
    failure = _failure(outcome)
    if failure:
        raise failure.error()
    if isinstance(outcome, ConnectionReport) and not outcome.ok:
        raise InvalidConfiguration(f"{name} failed its check")


def _failure(outcome: Outcome) -> ErrorInfo | None:
    return outcome if isinstance(outcome, ErrorInfo) else outcome.failure


def _rows(name: str, outcome: Outcome) -> list[list[str]]:
    if isinstance(outcome, ErrorInfo):
        return [[name, "open", "failed", "-", outcome.message]]
    return [_row(name, step) for step in outcome.steps]


def _row(name: str, step: CheckStep) -> list[str]:
    time = "-" if step.state is StepState.NOT_RUN else duration(step.elapsed_s)
    detail = step.error.message if step.error else step.detail
    return [name, step.name.value, _STATES[step.state], time, detail]


def _as_data(name: str, outcome: Outcome) -> dict[str, object]:
    if isinstance(outcome, ErrorInfo):
        return {"name": name, "ok": False, "checked_at": None, "steps": [], "error": outcome}
    return {
        "name": name,
        "ok": outcome.ok,
        "checked_at": outcome.checked_at,
        "steps": outcome.steps,
        "error": outcome.failure,
    }
