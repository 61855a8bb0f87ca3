"""`transfers`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click
import msgspec

from backup.cli import diagnostics
from backup.cli.arguments import since_option
from backup.cli.diagnostics import ExitCode
from backup.cli.follow import conclude_since, wait, warn_of_worker
from backup.cli.output import Output
from backup.cli.session import Session, json_option, pass_session, passphrase_option
from backup.model.transfers import FINAL_STATES, ItemKind, ItemState, ItemView, JobKind, JobView, QueueSnapshot
from backup.system.text import clock, rate, size, until
from providers.contract.capabilities import Proof

_ITEMS_SHOWN: Final = 50
_PROOF_WORDS: Final = {
    Proof.READ_BACK: "read back",
    Proof.READ_TWICE: "read twice; the service has no checksum",
}
F = TypeVar("F", bound=Callable[..., Any])
_NEED_CREDENTIALS: Final = frozenset({"resume", "retry"})
_ENDED_BADLY: Final = frozenset({ItemState.FAILED, ItemState.CANCELLED})


@click.group("transfers", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Without a command: as list --json.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Show, pause, resume, cancel and retry transfers. Without a command: list.

    JOB and ITEM are the numbers that list shows.

    pause, resume, cancel and retry exit with 0 once the request is recorded. If the worker cannot act on it yet (it is
    stopped, or waits for room), it does so later: a warning says why, and with --json "worker" does.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_transfers, as_json=as_json)
    elif as_json:
        raise click.UsageError(f"put --json after the command: transfers {ctx.invoked_subcommand} --json")


@command.command("list")
@click.option("--job", "job_id", type=int, metavar="JOB", help="Only the files of this job.")
@click.option("--max", "maximum", type=click.IntRange(min=1), default=_ITEMS_SHOWN, show_default=True,
              help="How many files to show.")  # fmt: skip
@since_option
@json_option
@pass_session
def list_transfers(session: Session, output: Output, job_id: int | None, maximum: int, since: float | None) -> int:
    """List what is running, what waits and why, and what has ended.

    \b
    JSON: {"totals": {...}, "jobs": [{"id", "kind", "instance", "title", "counts", ...}],
    "items": [{"id", "job_id", "name", "state", "bytes_done", "size_bytes", "error", "proof",
    "calls": {"<kind of request>": how many}, ...}], "item_count"}
    With --since also "since": {"since", "items": how many files failed, "broken_jobs": how many jobs broke off,
    "jobs": [numbers of all these jobs], "known_from": start of the complete history (null unless --since is earlier),
    "forgotten": how many files of older jobs failed at an unknown time}.
    """
    snapshot = session.core.queue.snapshot(limit=maximum, job_id=job_id)
    failed = None if since is None else session.core.queue.failed_since(since)
    output.document(snapshot if failed is None else msgspec.to_builtins(snapshot, str_keys=True) | {"since": failed})
    _show(session, output, snapshot, job_id)
    return ExitCode.FAILED_SINCE if failed and conclude_since(failed) else ExitCode.OK


def _show(session: Session, output: Output, snapshot: QueueSnapshot, job_id: int | None) -> None:
    jobs = [session.core.queue.job(job_id)] if job_id is not None else list(snapshot.jobs)
    if not jobs:
        output.line("no transfers")
        return
    output.table(
        ["JOB", "WHAT", "PROVIDER", "STATE", "FILES", "DONE", "FAILED", "SKIPPED", "TITLE"],
        [_job_row(job) for job in jobs],
    )
    output.line()
    output.table(["ITEM", "JOB", "STATE", "DONE", "NAME", "NOTE"], [_item_row(item) for item in snapshot.items])
    for error in dict.fromkeys(job.held or job.waits_for for job in jobs):
        if error:
            diagnostics.explain("transfers wait", error)
    if snapshot.totals.worker_trouble and not all(job.finished for job in jobs):
        diagnostics.explain("no transfer runs now", snapshot.totals.worker_trouble)
    hidden = snapshot.item_count - len(snapshot.items)
    if hidden > 0:
        output.line(f"and {hidden:,} more (--max)")


@command.command("wait")
@click.argument("jobs", metavar="[JOB]...", nargs=-1, type=int)
@since_option
@passphrase_option
@json_option
@pass_session
def wait_for(session: Session, output: Output, jobs: tuple[int, ...], since: float | None) -> int:
    """Run the queue, and return when it is empty. For timers, cron jobs and boot.

    Also returns when nothing can continue without your help; exit code and output say what is needed (4: unlock the
    credential store, or set a credential).

    \b
    JSON: {"jobs": [{"id", "kind", "instance", "counts", ...}], "failed": [{"id", "name", "state", "error", ...}]}
    With --since also "since", as in list.
    """
    unfinished = [job.instance for job in session.core.queue.snapshot(limit=0).jobs if not job.finished]
    session.open_store_for(*unfinished)
    return wait(session, output, list(jobs), since)


def _job_row(job: JobView) -> list[str]:
    total = sum(job.counts.values())
    ended = sum(number for state, number in job.counts.items() if state in FINAL_STATES)
    return [
        str(job.id),
        job.kind.value,
        job.instance,
        _job_state(job),
        f"{ended:,}/{total:,}{'+' if job.scanning else ''}",
        _job_bytes(job),
        f"{job.counts.get(ItemState.FAILED, 0):,}",
        f"{job.counts.get(ItemState.SKIPPED, 0):,}",
        job.title,
    ]


def _job_bytes(job: JobView) -> str:
    if job.kind is JobKind.DELETE:
        return size(job.listed_bytes)
    cancelled = job.counts.get(ItemState.CANCELLED)
    return f"{size(job.done_bytes)} of {size(job.listed_bytes if cancelled else job.size_bytes)}"


def _job_state(job: JobView) -> str:
    if job.finished:
        if job.broken or job.counts.get(ItemState.FAILED):
            return "failed"
        return "cancelled" if job.error or job.counts.get(ItemState.CANCELLED) else "done"
    if job.paused and not job.counts.get(ItemState.RUNNING):
        return "paused"
    if job.held and not job.counts.get(ItemState.RUNNING):
        return "waiting"
    idle = not job.counts.get(ItemState.RUNNING) and (job.scanning or job.counts.get(ItemState.QUEUED))
    if job.wait_until is not None and idle:
        return until(job.wait_until)
    for state in (ItemState.RUNNING, ItemState.QUEUED, ItemState.WAITING):
        if job.counts.get(state):
            return state.value
    return "paused" if job.counts.get(ItemState.PAUSED) else "queued"


def _item_row(item: ItemView) -> list[str]:
    done = f"{size(item.bytes_done)} of {size(item.size_bytes)}"
    if item.job_kind is JobKind.DELETE or item.kind is not ItemKind.FILE:
        done = size(item.size_bytes) if item.kind is ItemKind.FILE else "-"
    return [str(item.id), str(item.job_id), item.state.value, done, item.name or item.key, _note(item)]


def _note(item: ItemView) -> str:
    waits = f"{until(item.wait_until)}: " if item.wait_until else ""
    if item.error:
        return waits + item.error.message
    if item.state is ItemState.RUNNING:
        left = f", {clock(item.left_s)} left" if item.left_s is not None else ""
        return "verifying" if item.verifying else f"{rate(item.rate_bytes_per_s)}{left}"
    if item.proof:
        words = _PROOF_WORDS.get(item.proof, item.proof.value)
        return f"proof: {words}, sha-256 {item.sha256[:12]}"
    return ""


def _changing(name: str, past: str, method: str, wanted: Callable[[JobView], bool], help: str, nothing: str) -> None:
    """Add the verb `name`, which calls `method` of the queue with item and job ids."""

    @command.command(name, help=help)
    @click.argument("jobs", metavar="[JOB]...", nargs=-1, type=int)
    @click.option("--item", "items", multiple=True, type=int, metavar="ITEM", help="A single file; may be repeated.")
    @click.option("--all", "everything", is_flag=True, help="All jobs.")
    @(passphrase_option if method in _NEED_CREDENTIALS else _unchanged)
    @json_option
    @pass_session
    def change(
        session: Session, output: Output, jobs: tuple[int, ...], items: tuple[int, ...], everything: bool
    ) -> None:
        if not (jobs or items or everything):
            raise click.UsageError("name JOB, --item ITEM or --all")
        core = session.core
        if everything:
            jobs = tuple(job.id for job in core.queue.snapshot(limit=1).jobs if wanted(job))
        chosen = [core.queue.job(number).id for number in jobs]  # raises NotFound before anything is changed
        found = [core.queue.item(number) for number in items]
        instances = {item.instance for item in found} | {core.queue.job(number).instance for number in chosen}
        if method in _NEED_CREDENTIALS:
            session.open_store_for(*instances)
        changed = getattr(core.queue, method)([item.id for item in found], chosen)
        output.line(f"{past}: {changed:,}")
        if not changed:
            diagnostics.note(nothing)
        warn_of_worker(core.queue.trouble)
        document = {past: changed, "worker": core.queue.trouble} if core.queue.trouble else {past: changed}
        locked = session.locked_store_of(*instances) if method in _NEED_CREDENTIALS and changed else None
        if locked:
            diagnostics.explain("transfers wait for the vault", locked)
        output.document(document | {"waits_for": locked} if locked else document)


def _unchanged(function: F) -> F:
    return function


def _unfinished(job: JobView) -> bool:
    return not job.finished


def _ended_badly(job: JobView) -> bool:
    return any(job.counts.get(state) for state in _ENDED_BADLY)


_VERBS: Final[dict[str, tuple[Any, ...]]] = {
    "pause": (
        "paused", _unfinished, "Pause; data already sent is kept.",
        "none of these is queued, waiting or running",
    ),
    "resume": (
        "resumed", _unfinished, "Resume what is paused or waiting.",
        "none of these is paused or waiting; to try failed or cancelled files again: transfers retry",
    ),
    "cancel": (
        "cancelled", _unfinished, "Cancel for good, and remove the sent parts of unfinished files.",
        "none of these is left to cancel; to remove what is stored: delete",
    ),
    "retry": (
        "queued", _ended_badly, "Try failed and cancelled files again.",
        "none of these failed or was cancelled; to resume what is paused: transfers resume",
    ),
}  # fmt: skip
for _name, (_past, _wanted, _help, _nothing) in _VERBS.items():
    _json = f'JSON: {{"{_past}": how many, "worker": why it has no effect yet, if so}}'
    _changing(_name, _past, _name, _wanted, f"{_help}\n\n\b\n{_json}", _nothing)
