"""Progress of a job until it is done: live on a terminal, occasional lines elsewhere, nothing with --json."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

import click

from backup.cli import diagnostics
from backup.cli.diagnostics import ExitCode
from backup.cli.naming import with_folders
from backup.cli.output import Output
from backup.cli.plan_words import WITHOUT_BYTES, no_metadata
from backup.cli.remedies import advice
from backup.cli.session import Session
from backup.files.scan import IsAFolder
from backup.handshake.presence import WorkerSilent
from backup.journal.resized import moved_words
from backup.model.transfers import (
    FailedSince,
    ItemKind,
    ItemState,
    ItemView,
    JobKind,
    JobView,
    QueueSnapshot,
    TransferPlan,
)
from backup.system.text import clock, count, rate, safe, size, until, when
from providers.contract.report import ErrorInfo
from providers.errors import Conflict

if TYPE_CHECKING:
    from rich.table import Table

_LINE_EVERY_S: Final = 5.0
_LOOK_EVERY_S: Final = 2.0
_STUCK_AFTER_S: Final = 5.0
_HELD_AFTER_S: Final = 2.0
"""Patience with a job held for credentials: the process that started the worker may be handing them over."""
_RESTARTS: Final = 2
"""After this many restarts with the job unfinished, the worker cannot continue without the user."""
_ROWS: Final = 8
_FAILURES_SHOWN: Final = 20
_PARTICIPLE: Final = {JobKind.UPLOAD: "uploaded", JobKind.DOWNLOAD: "downloaded", JobKind.DELETE: "deleted"}


def finish(session: Session, output: Output, job: JobView, plan: TransferPlan, *, detach: bool) -> int:
    """Follow a queued job unless `detach`, and print the outcome. Returns the exit code."""
    silent = session.core.queue.trouble
    if detach:
        how = "is queued" if silent else "is running"
        output.line(f"job {job.id} {how}; see: transfers list. Cancel it with: transfers cancel {job.id}")
        warn_of_worker(silent)
        output.document({"job": job, "plan": plan, "failed": [], "worker": silent})
        return ExitCode.OK
    follower = _Follower(session, output, job)
    try:
        job = job if silent else follower.run()
    except KeyboardInterrupt:
        diagnostics.note(
            f"interrupted: job {job.id} continues in the background. See: transfers list. "
            f"Cancel it with: transfers cancel {job.id}"
        )
        return ExitCode.INTERRUPTED
    silent = silent or follower.silent
    items = _without_success(session, job)
    output.document({"job": job, "plan": plan, "failed": items, "worker": silent})
    return _not_followed(job, silent) if silent else _conclude(output, job, items)


def warn_of_worker(silent: ErrorInfo | None) -> None:
    """Warn that a request is recorded but the worker does not act on it yet."""
    if silent:
        diagnostics.warn(f"recorded, but not running yet: {silent.message}. {advice(silent)}")


def _not_followed(job: JobView, silent: ErrorInfo) -> ExitCode:
    diagnostics.warn(f"job {job.id} is queued, not followed: {silent.message}. {advice(silent)}")
    diagnostics.note(f"It will run then; do not queue it again. Follow it with: transfers wait {job.id}")
    return ExitCode.QUEUED


def conclude_since(found: FailedSince) -> bool:
    """Report failures, and the time for which they are unknown. Returns True if something failed."""
    if found.known_from is not None:
        more = f"; {count(found.forgotten, 'file')} of older jobs failed at an unknown time" if found.forgotten else ""
        diagnostics.warn(
            "--since is earlier than the history of finished files (history_days): failures before"
            f" {when(found.known_from)} may be missing{more}"
        )
    if found.items or found.jobs:
        jobs = ", ".join(str(number) for number in found.jobs[:_ROWS]) + (", ..." if len(found.jobs) > _ROWS else "")
        what = [count(found.items, "file")] if found.items else []
        what += [count(found.broken_jobs, "broken job")] if found.broken_jobs else []
        diagnostics.note(f"failed since {when(found.since)}: {', '.join(what)} (jobs {jobs}); see: transfers list")
    return bool(found.items or found.jobs)


def wait(session: Session, output: Output, job_ids: list[int], since: float | None = None) -> int:
    """Follow unfinished jobs until each is finished or cannot continue without the user: the named ones, else all,
    including those queued meanwhile. Returns their common exit code, else 1."""
    seen: dict[int, tuple[JobView, list[ItemView]]] = {}
    codes: list[int] = []
    silent: ErrorInfo | None = None
    while job := _next_job(session, job_ids, set(seen)):
        follower = _Follower(session, output, job)
        follower.ensure_worker()
        job = job if follower.silent else follower.run()
        seen[job.id] = job, _without_success(session, job)
        silent = follower.silent
        codes.append(_not_followed(job, silent) if silent else _conclude(output, *seen[job.id]))
        if silent:
            break
    if not seen:
        output.line("no transfers to wait for")
    jobs = [job for job, _ in seen.values()]
    failed = [item for _, items in seen.values() for item in items]
    before = None if since is None else session.core.queue.failed_since(since)
    more = ({"worker": silent} if silent else {}) | ({"since": before} if before else {})
    output.document({"jobs": jobs, "failed": failed} | more)
    if before and conclude_since(before) and all(code == ExitCode.OK for code in codes):
        return ExitCode.FAILED_SINCE
    bad = {code for code in codes if code != ExitCode.OK}
    return ExitCode.OK if not bad else bad.pop() if len(bad) == 1 else ExitCode.FAILURE


def _next_job(session: Session, job_ids: list[int], seen: set[int]) -> JobView | None:
    queue = session.core.queue
    known = [queue.job(number) for number in job_ids] if job_ids else queue.snapshot(limit=0).jobs
    return min((job for job in known if job.id not in seen and not job.finished), key=lambda job: job.id, default=None)


@contextmanager
def queueing(what: str) -> Iterator[None]:
    """Report errors as 'cannot `what`'. An interrupt inside may come before or after the job was queued."""
    try:
        with diagnostics.doing(what):
            yield
    except IsAFolder as error:
        right = with_folders(click.get_current_context(), error.keys)
        error.hint = f"Name a folder with a final '/': {right}"
        raise
    except KeyboardInterrupt:
        diagnostics.note("a job that is already queued continues in the background; see: transfers list")
        raise


class _Display(Protocol):
    def show(self, job: JobView, items: list[ItemView], rate_bytes_per_s: float) -> None: ...


class _Follower:
    def __init__(self, session: Session, output: Output, job: JobView) -> None:
        self._queue = session.core.queue
        self._log = session.paths.logs_dir / "worker.log"
        self._output = output
        self._job = job
        self._items: list[ItemView] = []
        self._looked_at_s = 0.0
        self._stuck_since_s: float | None = None
        self._worker_alive = True
        self._restarts = 0
        self.silent: ErrorInfo | None = None
        """The reason why the worker does not run the job."""

    def run(self) -> JobView:
        """Returns the job once it is finished, or cannot continue without the user."""
        with _display(self._output) as display:
            self._queue.follow(
                lambda snapshot: self._look(display, snapshot.totals.rate_bytes_per_s), stop=lambda: self._over(display)
            )
            self._look(display, 0.0)
        return self._job

    def _look(self, display: _Display, rate_bytes_per_s: float | None = None) -> None:
        snapshot: QueueSnapshot = self._queue.snapshot(limit=4 * _ROWS, job_id=self._job.id)
        self._job = self._queue.job(self._job.id)
        self._items = [item for item in snapshot.items if item.job_id == self._job.id]
        self._looked_at_s = time.monotonic()
        self._worker_alive = snapshot.totals.worker_alive
        display.show(
            self._job, self._items, snapshot.totals.rate_bytes_per_s if rate_bytes_per_s is None else rate_bytes_per_s
        )

    def _over(self, display: _Display) -> bool:
        """True when following ends. Called often; looks at the queue itself at intervals, to replace a dead worker."""
        if not self._job.finished and time.monotonic() - self._looked_at_s > _LOOK_EVERY_S:
            self._look(display)
            if not self._worker_alive and not self._job.finished:
                self._restart()
        return self._job.finished or self.silent is not None or self._is_stuck()

    def _restart(self) -> None:
        self._restarts += 1
        if self._restarts <= _RESTARTS:
            self.ensure_worker()
        elif not needs_help(self._job, self._items):
            self.silent = ErrorInfo(
                WorkerSilent.kind,
                "the worker ends again and again before the job is finished",
                f"{self._log} says why.",
            )

    def ensure_worker(self) -> None:
        try:
            self._queue.ensure_worker()
        except WorkerSilent as error:
            self.silent = ErrorInfo.of(error)

    def _is_stuck(self) -> bool:
        if not needs_help(self._job, self._items):
            self._stuck_since_s = None
            return False
        if self._stuck_since_s is None:
            self._stuck_since_s = time.monotonic()
        patience_s = _HELD_AFTER_S if self._job.held else _STUCK_AFTER_S
        return time.monotonic() - self._stuck_since_s > patience_s


def needs_help(job: JobView, items: list[ItemView]) -> bool:
    """True if the rest of a job is paused or waits for something only the user can give. Items queued behind it wait
    too."""
    if (job.held or job.paused) and not job.counts.get(ItemState.RUNNING):
        return True
    if job.scanning or job.counts.get(ItemState.RUNNING):
        return False
    left = [item for item in items if item.state in {ItemState.WAITING, ItemState.PAUSED}]
    waiting = [item for item in left if item.state is ItemState.WAITING]
    if job.counts.get(ItemState.QUEUED) and not waiting:
        return False
    return bool(left) and all(item.wait_until is None for item in waiting)


def _without_success(session: Session, job: JobView) -> list[ItemView]:
    """Failed, cancelled and unfinished items, at most _FAILURES_SHOWN."""
    bad = {ItemState.FAILED, ItemState.CANCELLED, ItemState.PAUSED, ItemState.WAITING}
    if not any(job.counts.get(state) for state in bad):
        return []
    found: list[ItemView] = []
    offset = 0
    while len(found) < _FAILURES_SHOWN:
        page = session.core.queue.snapshot(offset=offset, limit=500, job_id=job.id).items
        if not page:
            break
        found += [item for item in page if item.job_id == job.id and item.state in bad]
        offset += len(page)
    return found[:_FAILURES_SHOWN]


def _conclude(output: Output, job: JobView, items: list[ItemView]) -> int:
    done = job.counts.get(ItemState.DONE, 0)
    size_words = "" if job.kind is JobKind.DELETE else f" ({size(job.done_bytes)}), verified"
    words = [
        f"{_PARTICIPLE[job.kind]} {count(done, 'item')}{size_words}" if done else f"{_PARTICIPLE[job.kind]} nothing"
    ]
    counts = dict(job.counts)
    counts[ItemState.SKIPPED] = counts.get(ItemState.SKIPPED, 0) - job.skipped_symlinks - job.skipped_special
    words += [
        f"{counts[state]:,} {state.value}"
        for state in (ItemState.FAILED, ItemState.CANCELLED, ItemState.SKIPPED, ItemState.PAUSED, ItemState.WAITING)
        if counts.get(state, 0) > 0
    ]
    if job.ignored_metadata:
        words.append(f"ignored {no_metadata(job.ignored_metadata)}")
    if job.read_twice:
        words.append(f"{job.read_twice:,} of them read twice; the service has no checksum")
    if job.skipped_symlinks:
        words.append(count(job.skipped_symlinks, "symbolic link") + " left out")
    if job.ruled_out:
        words.append(f"{job.ruled_out:,} left out by your rules")
    if job.skipped_special:
        what = ("special file",) if job.kind is JobKind.UPLOAD else WITHOUT_BYTES
        words.append(count(job.skipped_special, *what) + " left out")
    if job.grown_bytes or job.shrunk_bytes:
        planned_bytes = job.listed_bytes - job.grown_bytes + job.shrunk_bytes
        words.append(moved_words(job.kind, planned_bytes, job.listed_bytes))
    output.line(f"job {job.id}: " + "; ".join(words))
    kinds = []
    for item in items:
        if item.error:
            diagnostics.explain(f"{item.state.value}: {item.name or item.key}", item.error)
        kinds.append(
            "cancelled" if item.state is ItemState.CANCELLED else item.error.kind if item.error else "provider"
        )
    if job.error:
        how = "differs from its plan" if job.error.kind == Conflict.kind else "is incomplete"
        diagnostics.explain(f"job {job.id} {how}", job.error)
        kinds.append(job.error.kind)
    if job.held and not kinds:
        diagnostics.explain(f"job {job.id} waits", job.held)
        kinds.append(job.held.kind)
    if not job.finished:
        kinds = kinds or ["provider"]
        diagnostics.note(f"job {job.id} is not finished; resume it with: transfers resume {job.id}")
    return diagnostics.combined(kinds)


@contextmanager
def _display(output: Output) -> Iterator[_Display]:
    if output.as_json:
        yield _Silent()
    elif output.terminal:
        from rich.live import Live

        with Live(console=output.console, refresh_per_second=4, transient=True) as live:
            yield _Live(live.update)
    else:
        yield _Lines(output)


class _Silent:
    def show(self, job: JobView, items: list[ItemView], rate_bytes_per_s: float) -> None:
        """Nothing: the final JSON document has it."""


class _Lines:
    """Prints at most one line per _LINE_EVERY_S, and only if it changed."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._printed = ""
        self._printed_at_s = time.monotonic()

    def show(self, job: JobView, items: list[ItemView], rate_bytes_per_s: float) -> None:
        line = _totals(job, rate_bytes_per_s)
        now_s = time.monotonic()
        if line != self._printed and now_s - self._printed_at_s >= _LINE_EVERY_S:
            self._output.line(line)
            self._printed, self._printed_at_s = line, now_s


class _Live:
    """Shows the active items, and the whole job below them."""

    def __init__(self, update: Callable[[Table], None]) -> None:
        self._update = update

    def show(self, job: JobView, items: list[ItemView], rate_bytes_per_s: float) -> None:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(ratio=3, overflow="ellipsis", no_wrap=True)
        table.add_column(ratio=2)
        table.add_column(justify="right", no_wrap=True)
        shown = [item for item in items if item.state in {ItemState.RUNNING, ItemState.WAITING, ItemState.PAUSED}]
        for item in shown[:_ROWS]:
            bar = ProgressBar(total=max(item.size_bytes, 1), completed=item.bytes_done)
            table.add_row(Text(safe(item.name)), bar, Text(_words(item)))
        bar = ProgressBar(total=max(job.size_bytes, 1), completed=job.done_bytes)
        table.add_row(Text(f"job {job.id}", style="bold"), bar, Text(_totals(job, rate_bytes_per_s)))
        self._update(table)


def _words(item: ItemView) -> str:
    if item.state is not ItemState.RUNNING:
        state = f"waiting {until(item.wait_until)}" if item.wait_until else item.state.value
        return f"{state}: {safe(item.error.message)}" if item.error else state
    if item.verifying:
        return "verifying"
    if item.kind is not ItemKind.FILE or item.job_kind is JobKind.DELETE:
        return "running"
    left = f", {clock(item.left_s)} left" if item.left_s is not None else ""
    return f"{size(item.bytes_done)} of {size(item.size_bytes)}, {rate(item.rate_bytes_per_s)}{left}"


def _totals(job: JobView, rate_bytes_per_s: float) -> str:
    done = sum(number for state, number in job.counts.items() if state in {ItemState.DONE, ItemState.SKIPPED})
    total = sum(job.counts.values())
    words = f"{done:,} of {total:,}{'+' if job.scanning else ''}, {size(job.done_bytes)} of {size(job.size_bytes)}"
    if rate_bytes_per_s:
        words += f", {rate(rate_bytes_per_s)}"
        if job.size_bytes > job.done_bytes:
            words += f", {clock((job.size_bytes - job.done_bytes) / rate_bytes_per_s)} left"
    if job.wait_until is not None and not job.counts.get(ItemState.RUNNING):
        words += f", waits {until(job.wait_until)}"
    failed = job.counts.get(ItemState.FAILED, 0)
    return words + (f", {failed:,} failed" if failed else "")
