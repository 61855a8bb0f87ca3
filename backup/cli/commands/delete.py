"""`delete`."""

from __future__ import annotations

import contextlib

import click

from backup.cli.arguments import detach_option, dry_run_option
from backup.cli.follow import finish, queueing
from backup.cli.output import Output
from backup.cli.plan_words import end_dry_run, refuse_nothing, show_plan
from backup.cli.session import Session, json_option, pass_session, provider_option, stdin_is_terminal
from backup.queries.questions import PlanDelete
from providers.errors import Cancelled


@click.command("delete")
@click.argument("remotes", metavar="REMOTE...", nargs=-1, required=True)
@provider_option
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@dry_run_option
@detach_option
@json_option
@pass_session
def command(
    session: Session,
    output: Output,
    remotes: tuple[str, ...],
    provider: str | None,
    yes: bool,
    dry_run: bool,
    detach: bool,
) -> int:
    """Delete stored files and whole folders (names ending in '/'), empty ones too. Shows how many files, and what
    happens to older versions, then asks.

    A file that appears in a folder after it was listed is never deleted; the folder then stays and is reported.

    \b
    JSON: as for upload.
    """
    if not (yes or dry_run) and not stdin_is_terminal():
        raise click.UsageError("no terminal to ask on: use --yes to delete without asking")
    name = session.default_provider(output, provider)
    with queueing(f"delete from {name}"):
        with contextlib.closing(session.questions):
            plan = session.questions.ask(PlanDelete(name, list(remotes), dry_run=dry_run))
        show_plan(output, plan)
        refuse_nothing(plan)
        if dry_run:
            return end_dry_run(output, plan)
        question = "Delete for good?" if plan.deletion and plan.deletion.for_good else "Delete?"
        if not yes and not click.confirm(question, default=False, err=True):
            raise Cancelled("nothing was deleted", hint="Answer y to delete.")
        job = session.core.queue.queue_delete(name, list(remotes), plan=plan)
    return finish(session, output, job, plan, detach=detach)
