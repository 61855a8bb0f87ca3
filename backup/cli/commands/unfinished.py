"""`unfinished`."""

from __future__ import annotations

import contextlib

import click
import msgspec

from backup.cli import diagnostics
from backup.cli.arguments import AGE
from backup.cli.diagnostics import ExitCode, doing
from backup.cli.output import Output
from backup.cli.session import Session, json_option, pass_session, provider_option, stdin_is_terminal
from backup.model.unfinished import Needed, Unfinished
from backup.queries.questions import FindUnfinished, RemoveUnfinished
from backup.system.text import age, count, size, when
from providers.contract.report import ErrorInfo
from providers.errors import Cancelled, ProviderError


@click.group("unfinished", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Without a command: as list --json.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List and remove unfinished uploads at a provider, ours and others'. They may cost money, and no listing shows
    them. Without a command: list."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_unfinished, as_json=as_json, provider=None)
    elif as_json:
        raise click.UsageError(f"put --json after the command: unfinished {ctx.invoked_subcommand} --json")


@command.command("list")
@provider_option
@json_option
@pass_session
def list_unfinished(session: Session, output: Output, provider: str | None) -> None:
    """List unfinished uploads with age and size, oldest first. '-': the service does not report it.

    \b
    JSON: {"provider", "unfinished": [{"key", "started_at", "age_s", "size_bytes", "needed_by"}]}
    (needed_by: number of the transfer of ours that will resume it)
    """
    name = session.default_provider(output, provider)
    with contextlib.closing(session.questions), doing(f"list unfinished uploads at {name}"):
        found = _found(session, name)
    _show(output, found)
    if not found:
        output.line("no unfinished uploads")
    output.document({"provider": name, "unfinished": [_plain(one) for one in found]})


@command.command("remove")
@click.argument("keys", metavar="[KEY...]", nargs=-1)
@provider_option
@click.option("--older-than", type=AGE, metavar="AGE", help="Only uploads begun longer ago than AGE: 36h, 7d.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@json_option
@pass_session
def remove_unfinished(
    session: Session, output: Output, keys: tuple[str, ...], provider: str | None, older_than: float | None, yes: bool
) -> int:
    """Remove unfinished uploads by KEY, AGE, or both. Asks first. One that a transfer of ours will resume is never
    removed: cancel that transfer instead.

    \b
    JSON: {"provider", "removed": [...], "kept": [...], "failed": [{"key", "error", ...}]}   (entries as in list)
    """
    if not keys and older_than is None:
        raise click.UsageError("name KEY..., --older-than AGE, or both")
    if not yes and not stdin_is_terminal():
        raise click.UsageError("no terminal to ask on: use --yes to remove without asking")
    name = session.default_provider(output, provider)
    with contextlib.closing(session.questions), doing(f"remove unfinished uploads at {name}"):
        chosen = [one for one in _found(session, name) if _is_chosen(one, keys, older_than)]
        kept = [one for one in chosen if one.needed_by is not None]
        going = [one for one in chosen if one.needed_by is None]
        _show(output, going)
        for one in kept:
            diagnostics.note(f"kept: transfer {one.needed_by} will resume {_named(one)}")
        if not going:
            output.line("nothing to remove")
        elif not yes and not click.confirm(
            f"Remove {count(len(going), 'unfinished upload')}? A program still sending one must start again.", err=True
        ):
            raise Cancelled("nothing was removed", hint="Answer y to remove.")
        removed, failed = _remove(session, name, going)
    if going:
        output.line(f"removed {count(len(removed), 'unfinished upload')}")
    output.document(
        {
            "provider": name,
            "removed": [_plain(one) for one in removed],
            "kept": [_plain(one) for one in kept],
            "failed": [_plain(one) | {"error": msgspec.to_builtins(error)} for one, error in failed],
        }
    )
    for one, error in failed:
        diagnostics.explain(f"not removed: {one.upload.key}", error)
    return diagnostics.combined(error.kind for _, error in failed) if failed else ExitCode.OK


def _found(session: Session, name: str) -> list[Unfinished]:
    return session.questions.ask(FindUnfinished(name, _needed(session)))


def _needed(session: Session) -> list[Needed]:
    return Needed.of(session.core.queue.begun_uploads())


def _is_chosen(one: Unfinished, keys: tuple[str, ...], older_than: float | None) -> bool:
    if keys and one.upload.key not in keys:
        return False
    return older_than is None or (one.age_s is not None and one.age_s > older_than)


def _remove(
    session: Session, name: str, going: list[Unfinished]
) -> tuple[list[Unfinished], list[tuple[Unfinished, ErrorInfo]]]:
    removed: list[Unfinished] = []
    failed: list[tuple[Unfinished, ErrorInfo]] = []
    for one in going:
        try:
            if session.questions.ask(RemoveUnfinished(name, one.upload, _needed(session))):
                removed.append(one)
        except ProviderError as error:
            failed.append((one, ErrorInfo.of(error)))
    return removed, failed


def _show(output: Output, found: list[Unfinished]) -> None:
    if found:
        output.table(["AGE", "BEGUN", "SIZE", "TRANSFER", "NAME"], [_row(one) for one in found])


def _row(one: Unfinished) -> list[str]:
    held = "-" if one.upload.size_bytes is None else size(one.upload.size_bytes)
    begun = when(one.upload.started_at) if one.age_s is not None else "-"
    return [age(one.age_s), begun, held, str(one.needed_by or "-"), one.upload.key]


def _named(one: Unfinished) -> str:
    return f"'{one.upload.key}', begun {when(one.upload.started_at)}"


def _plain(one: Unfinished) -> dict[str, object]:
    return {
        "key": one.upload.key,
        "started_at": one.upload.started_at,
        "age_s": one.age_s,
        "size_bytes": one.upload.size_bytes,
        "needed_by": one.needed_by,
    }
