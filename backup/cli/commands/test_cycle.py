"""`test-cycle`."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import click

from backup.cli import diagnostics
from backup.cli.arguments import SIZE
from backup.cli.diagnostics import ExitCode
from backup.cli.output import Output
from backup.cli.session import Session, json_option, pass_session, passphrase_option
from backup.cycle import CycleReport, CycleStep, CycleStepName, CycleWatcher, run_cycle
from backup.instances.pool import OpenProviders
from backup.system.text import duration, size
from providers.contract.report import ErrorInfo, StepState

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_WORDS = {StepState.OK: "ok", StepState.FAILED: "failed", StepState.NOT_RUN: "not run"}


@click.command("test-cycle")
@click.option("--provider", "-p", metavar="NAME", default="local", show_default=True, help="Provider to test.")
@click.option("--size", "size_bytes", type=SIZE, default="16MiB", show_default=True, help="Size of the random file.")
@passphrase_option
@json_option
@pass_session
def command(session: Session, output: Output, provider: str, size_bytes: int) -> int:
    """Test a provider with a random file: create, upload, list, download, compare every byte, delete.

    Each step is shown with its time. The exit code is that of the first failed step. Nothing visible is left behind,
    even if a step fails or the command is interrupted. Works on local storage without any configuration.

    \b
    JSON: {"provider", "ok", "key", "size_bytes", "steps": [{"name", "state", "detail", "elapsed_s", "error"}],
    "left_behind": {"kind", "message", "hint", "code"} or null}
    """
    name = session.core.instances.get(provider).name
    session.open_store_for(name)
    output.line(f"provider {name}, {size(size_bytes)}")
    with _stopped_like_ctrl_c(), _watcher(output, name) as watcher, closing(OpenProviders(session.paths)) as opened:
        report = run_cycle(lambda cancel: opened.fresh(name, cancel), size_bytes, watcher)
    output.document(
        {
            "provider": name,
            "ok": report.ok,
            "key": report.key,
            "size_bytes": report.size_bytes,
            "steps": report.steps,
            "left_behind": report.left_behind,
        }
    )
    return _conclude(output, name, report)


def _conclude(output: Output, name: str, report: CycleReport) -> int:
    failed = next((step for step in report.steps if step.error), None)
    if failed and failed.error:
        diagnostics.explain(f"{name} failed at the step {failed.name.value}", failed.error)
    if report.left_behind:
        _explain_left_behind(name, report.key, report.left_behind)
    if report.failure:
        return diagnostics.exit_code(report.failure.kind)
    total_s = sum(step.elapsed_s for step in report.steps)
    output.line(f"passed in {duration(total_s)}")
    return ExitCode.OK


def _explain_left_behind(name: str, key: str, error: ErrorInfo) -> None:
    diagnostics.explain(f"{key} may still be at {name}: it could not be removed", error)
    diagnostics.note(f"  to remove it later: delete --provider {name} {key}")


class _Lines(CycleWatcher):
    """Prints one line for each step as it ends."""

    def __init__(self, output: Output, name: str) -> None:
        self._output = output
        self._name = name

    def left_behind(self, key: str, error: ErrorInfo) -> None:
        _explain_left_behind(self._name, key, error)

    def step_ended(self, step: CycleStep) -> None:
        took = "-" if step.state is StepState.NOT_RUN else duration(step.elapsed_s)
        self._output.line(f"{step.name.value:9} {_WORDS[step.state]:8} {took:>8}  {step.detail}".rstrip())


class _Live(_Lines):
    """Shows the bytes of the running step too, as the provider's callback reports them."""

    def __init__(self, output: Output, name: str, progress: Progress) -> None:
        super().__init__(output, name)
        self._progress = progress
        self._task: TaskID | None = None

    def step_ended(self, step: CycleStep) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
        self._progress.refresh()
        super().step_ended(step)

    def progressed(self, name: CycleStepName, bytes_done: int, bytes_total: int) -> None:
        if self._task is None:
            self._task = self._progress.add_task(name.value, total=bytes_total)
        self._progress.update(self._task, completed=bytes_done, total=bytes_total)


@contextmanager
def _watcher(output: Output, name: str) -> Iterator[CycleWatcher]:
    if not output.terminal:
        yield _Lines(output, name)
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description:9}"), BarColumn(), DownloadColumn(True), TransferSpeedColumn())
    with Progress(*columns, console=output.console, transient=True, refresh_per_second=4) as progress:
        yield _Live(output, name, progress)


@contextmanager
def _stopped_like_ctrl_c() -> Iterator[None]:
    """Have SIGTERM and SIGHUP clean up as Ctrl-C does."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    signals = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
