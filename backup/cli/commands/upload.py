"""`upload`."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import click

from backup.cli import diagnostics
from backup.cli.arguments import (
    IF_EXISTS,
    detach_option,
    dry_run_option,
    filter_options,
    if_exists_option,
    links_option,
    read_patterns,
)
from backup.cli.follow import finish, queueing
from backup.cli.output import Output
from backup.cli.plan_words import end_dry_run, refuse_nothing, show_plan
from backup.cli.session import Session, json_option, pass_session, provider_option
from backup.files.filters import Filter
from backup.model.transfers import Conflicts, JobKind, Links, Selection, TransferPlan
from backup.queries.questions import PlanUpload
from backup.system.text import shell_quoted
from providers.errors import NotFound, ProviderError


@click.command("upload")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path())
@provider_option
@click.option("--to", metavar="PREFIX", default="", help="Folder at the provider; default: the top.")
@if_exists_option
@links_option
@filter_options
@dry_run_option
@detach_option
@json_option
@pass_session
def command(
    session: Session,
    output: Output,
    paths: tuple[str, ...],
    provider: str | None,
    to: str,
    if_exists: str,
    links: str,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    exclude_files: tuple[str, ...],
    one_file_system: bool,
    dry_run: bool,
    detach: bool,
) -> int:
    """Upload files and whole folders. A folder keeps its name below PREFIX; every file is proved to have arrived.

    First shows how many files, how many bytes, and what is replaced. The transfer runs in the background: Ctrl-C stops
    watching, not the transfer. Special files are left out and counted, and so are symbolic links unless --links says
    otherwise; if nothing else was chosen, that is an error.

    PATTERNs are compared with paths below the chosen folder, and are case-sensitive. '*' and '?' match anything but
    '/', '**' also '/', [a-z] and [!a-z] one character, {a,b} one of these; a backslash makes the next character
    literal. A leading '/' anchors the pattern at the top of the folder; a final '/' matches folders only. A pattern
    that matches a folder applies to everything in it.

    \b
    JSON: {"job": {"id", "kind", "instance", "destination", "counts", "size_bytes", "done_bytes", ...},
    "plan": {"files", "folders", "size_bytes", "replaces", "skipped_symlinks", "skipped_special", ...},
    "failed": [{"id", "name", "key", "state", "error", ...}], "worker": null, or why it does not run yet}
    """
    for typed in paths:
        _refuse_mistyped(typed)
    name = session.default_provider(output, provider)
    sources = [Path(typed).absolute() for typed in paths]
    conflicts = IF_EXISTS[if_exists]
    selection = Selection(
        links=Links(links),
        include=include,
        exclude=(*exclude, *read_patterns(exclude_files)),
        one_file_system=one_file_system,
    )
    Filter(selection)  # raises for a bad pattern before anything else happens
    with queueing(f"upload to {name}"):
        plan = _plan(session, name, sources, to, conflicts, selection, dry_run=dry_run, detach=detach)
        show_plan(output, plan)
        refuse_nothing(plan)
        if dry_run:
            return end_dry_run(output, plan)
        job = session.core.queue.queue_upload(name, sources, to, conflicts=conflicts, selection=selection, plan=plan)
    return finish(session, output, job, plan, detach=detach)


def _refuse_mistyped(typed: str) -> None:
    """Raise NotFound for a file typed with a final '/' or '/.', which means a folder. A Path would drop it. Raise
    UsageError for an empty path: an unset variable of a script must not mean the current folder."""
    if not typed:
        raise click.UsageError("a PATH is empty: name a file or a folder, or '.' for the current one")
    bare = typed.removesuffix(".").rstrip("/") if typed.endswith(("/", "/.")) else ""
    if bare and os.path.exists(bare) and not os.path.isdir(bare):
        raise NotFound(
            f"{typed} is a file, not a folder",
            hint=f"Name a file without the final '/': {shell_quoted(bare)}",
        )


def _plan(
    session: Session,
    name: str,
    paths: list[Path],
    to: str,
    conflicts: Conflicts,
    selection: Selection,
    *,
    dry_run: bool,
    detach: bool,
) -> TransferPlan:
    with contextlib.closing(session.questions):
        try:
            return session.questions.ask(
                PlanUpload(name, paths, to, conflicts=conflicts, selection=selection, dry_run=dry_run)
            )
        except ProviderError as error:
            if dry_run or not (detach and error.retryable):
                raise
            diagnostics.warn(f"{name} does not answer now ({error.message}); the transfer waits until it does")
            return TransferPlan(
                kind=JobKind.UPLOAD, instance=name, destination=f"{name}:{to}", files=0, folders=0, size_bytes=0,
                complete=False, unknown=True,
            )  # fmt: skip
