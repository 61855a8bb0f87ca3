"""`list`."""

from __future__ import annotations

import contextlib

import click

from backup.cli import diagnostics
from backup.cli.diagnostics import doing
from backup.cli.output import JsonList, Output
from backup.cli.session import Session, json_option, pass_session, provider_option
from backup.text import count, safe, size, when
from providers.errors import ProviderError
from providers.objects import Page
from providers.report import ErrorInfo

_PAGE = 1000


@click.command("list")
@click.argument("prefix", default="")
@provider_option
@click.option("--folders", is_flag=True, help="One level only: folders end in '/'.")
@click.option("--max", "maximum", type=click.IntRange(min=0), default=1000, show_default=True, help="0: no limit.")
@json_option
@pass_session
def command(session: Session, output: Output, prefix: str, provider: str | None, folders: bool, maximum: int) -> None:
    """List what is stored, everything whose name starts with PREFIX ('/' alone: all). Pages are shown as they arrive.

    \b
    JSON: {"provider", "prefix", "files": [{"name", "size", "modified", "etag", "id", "checksums"}, {"folder"}, ...],
    "truncated", "error"}   (truncated: there is more than --max; error only when it failed midway)
    """
    name = session.default_provider(output, provider)
    prefix = "" if prefix == "/" else prefix
    listing = JsonList(output, "files", {"provider": name, "prefix": prefix})
    with contextlib.closing(session.questions), doing(f"list {name}"):
        try:
            shown, more = _pages(session, output, listing, name, prefix, "/" if folders else "", maximum)
        except ProviderError as error:
            listing.end({"truncated": True, "error": ErrorInfo.of(error)})
            raise
    listing.end({"truncated": more})
    if more:
        diagnostics.note(f"stopped after {count(shown, 'entry', 'entries')}: there is more. Use --max 0 for all.")
    elif not shown and not output.as_json:
        diagnostics.note(f"nothing is stored{f' below {safe(prefix)}' if prefix else ''}")


def _pages(
    session: Session, output: Output, listing: JsonList, name: str, prefix: str, delimiter: str, maximum: int
) -> tuple[int, bool]:
    """Shows page after page. Returns how many entries, and whether there were more."""
    shown, token = 0, None
    while True:
        left = maximum - shown if maximum else _PAGE
        page = session.questions.list_page(
            name, prefix, delimiter=delimiter, token=token, limit=min(_PAGE, left + 1 if maximum else _PAGE)
        )
        room = left if maximum else len(page.files) + len(page.prefixes)
        shown += _show(output, listing, page, room)
        if len(page.files) + len(page.prefixes) > room:
            return shown, True
        token = page.next_token
        if token is None:
            return shown, False
        if maximum and shown >= maximum:
            return shown, True


def _show(output: Output, listing: JsonList, page: Page, room: int) -> int:
    rows = sorted([*((folder, None) for folder in page.prefixes), *((file.key, file) for file in page.files)],
                  key=lambda row: row[0])[:room]  # fmt: skip
    for key, file in rows:
        if file is None:
            listing.add({"folder": key})
            output.line(f"{'-':>10}  {'-':16}  {key}")
        else:
            listing.add(file.as_dict())
            output.line(f"{size(file.size_bytes):>10}  {when(file.modified_at):16}  {key}")
    return len(rows)
