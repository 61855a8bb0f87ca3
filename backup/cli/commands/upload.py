"""`upload`."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from backup.cli import diagnostics
from backup.cli.arguments import IF_EXISTS, detach_option, if_exists_option, links_option
from backup.cli.follow import finish, queueing, refuse_nothing, tell_plan
from backup.cli.output import Output
from backup.cli.session import Session, json_option, pass_session, provider_option
from backup.model import Conflicts, JobKind, Links, Selection, TransferPlan
from providers.errors import ProviderError


@click.command("upload")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@provider_option
@click.option("--to", metavar="PREFIX", default="", help="Folder at the provider; by default its top.")
@if_exists_option
@links_option
@detach_option
@json_option
@pass_session
def command(
    session: Session,
    output: Output,
    paths: tuple[Path, ...],
    provider: str | None,
    to: str,
    if_exists: str,
    links: str,
    detach: bool,
) -> int:
    """Send files and whole folders. A folder keeps its name below PREFIX; every file is proved to have arrived.

    Says first how many, how much and what is replaced. The transfer runs by itself and is only watched here: Ctrl-C
    stops watching, not the transfer. Special files are left out and counted, and so are symbolic links unless --links
    says otherwise; where nothing else was chosen, that is an error.

    \b
    JSON: {"job": {"id", "kind", "instance", "destination", "counts", "size_bytes", "done_bytes", ...},
    "plan": {"files", "folders", "size_bytes", "replaces", "skipped_symlinks", "skipped_special", ...},
    "failed": [{"id", "name", "key", "state", "error", ...}]}
    """
    name = session.default_provider(output, provider)
    sources = [path.absolute() for path in paths]
    conflicts, selection = IF_EXISTS[if_exists], Selection(links=Links(links))
    with queueing(f"upload to {name}"):
        plan = _plan(session, name, sources, to, conflicts, selection, detach)
        tell_plan(output, plan)
        refuse_nothing(plan)
        job = session.service.queue_upload(name, sources, to, conflicts=conflicts, selection=selection, plan=plan)
    return finish(session, output, job, plan, detach=detach)


def _plan(
    session: Session,
    name: str,
    paths: list[Path],
    to: str,
    conflicts: Conflicts,
    selection: Selection,
    detach: bool,
) -> TransferPlan:
    with contextlib.closing(session.questions):
        try:
            return session.questions.plan_upload(name, paths, to, conflicts=conflicts, selection=selection)
        except ProviderError as error:
            if not (detach and error.retryable):
                raise
            diagnostics.warn(f"{name} does not answer now ({error.message}); the transfer waits until it does")
            return TransferPlan(
                kind=JobKind.UPLOAD, instance=name, destination=f"{name}:{to}", files=0, folders=0, size_bytes=0,
                complete=False, unknown=True,
            )  # fmt: skip
