"""`download`."""

from __future__ import annotations

import contextlib

import click

from backup.cli.arguments import (
    IF_EXISTS,
    detach_option,
    dry_run_option,
    if_exists_option,
    owner_option,
    restore_links_option,
)
from backup.cli.follow import finish, queueing
from backup.cli.output import Output
from backup.cli.plan_words import end_dry_run, refuse_nothing, show_plan
from backup.cli.session import Session, json_option, pass_session, provider_option
from backup.files.free_space import refuse_too_much
from backup.queries.questions import PlanDownload


@click.command("download")
@click.argument("remotes", metavar="REMOTE...", nargs=-1, required=True)
@provider_option
@click.option(
    "--to",
    metavar="PATH",
    type=click.Path(),
    default=".",
    help="Target folder (with a final '/': always a folder), or new path of a single file; default: this folder.",
)
@if_exists_option
@owner_option
@restore_links_option
@dry_run_option
@detach_option
@json_option
@pass_session
def command(
    session: Session,
    output: Output,
    remotes: tuple[str, ...],
    provider: str | None,
    to: str,
    if_exists: str,
    owner: bool,
    links: bool,
    dry_run: bool,
    detach: bool,
) -> int:
    """Download stored files and whole folders (names ending in '/'). A file appears only once it is verified, with the
    permissions that were stored with it.

    First shows how many files, how many bytes, and what is replaced. Ctrl-C stops watching, not the transfer.

    \b
    JSON: as for upload.
    """
    name = session.default_provider(output, provider)
    if not to:
        raise click.UsageError("--to is empty: name a folder, or '.' for the current one")
    with queueing(f"download from {name}"):
        with contextlib.closing(session.questions):
            plan = session.questions.ask(
                PlanDownload(
                    name, list(remotes), to, conflicts=IF_EXISTS[if_exists], links=links, owner=owner, dry_run=dry_run
                )
            )
        show_plan(output, plan)
        refuse_nothing(plan)
        if plan.free_bytes is not None:
            refuse_too_much(plan.destination, plan.needs_bytes, plan.free_bytes)
        if dry_run:
            return end_dry_run(output, plan)
        job = session.core.queue.queue_download(
            name, list(remotes), to, conflicts=IF_EXISTS[if_exists], owner=owner, links=links, plan=plan
        )
    return finish(session, output, job, plan, detach=detach)
