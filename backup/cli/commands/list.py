"""`list`."""

from __future__ import annotations

import contextlib

import click

from backup.cli import diagnostics
from backup.cli.diagnostics import doing
from backup.cli.naming import with_folders
from backup.cli.output import JsonList, Output
from backup.cli.session import Session, json_option, pass_session, provider_option
from backup.queries.questions import ListPage, Stat
from backup.system.text import count, listed, size, when
from providers.contract.listing import INCOMPLETE_HINT
from providers.contract.objects import Page, RemoteFile
from providers.contract.report import ErrorInfo
from providers.errors import Integrity, ProviderError

_PAGE = 1000


@click.command("list")
@click.argument("prefix", default="")
@provider_option
@click.option("--folders", is_flag=True, help="One level only: folders end in '/'.")
@click.option("--max", "maximum", type=click.IntRange(min=0), default=1000, show_default=True, help="0: no limit.")
@json_option
@pass_session
def command(session: Session, output: Output, prefix: str, provider: str | None, folders: bool, maximum: int) -> None:
    """List the stored objects whose names start with PREFIX ('/' alone: all). Pages are shown as they arrive.

    \b
    JSON: {"provider", "prefix", "files": [{"name", "size", "modified", "etag", "id", "checksums"}, {"folder"}, ...],
    "left_out": [{"name", "why"}], "truncated", "error"}
    (truncated: there is more than --max, or it failed; error: only if it failed midway, or part of it cannot be read)
    """
    name = session.default_provider(output, provider)
    prefix = "" if prefix == "/" else prefix
    listing = _Listing(session, output, name, prefix)
    with contextlib.closing(session.questions), doing(f"list {name}"):
        more = listing.show("/" if folders else "", maximum)
        _note(output, listing, more=more)


def _note(output: Output, listing: _Listing, *, more: bool) -> None:
    """Print notes about anything unexpected in the listing."""
    prefix = listing.prefix
    if listing.holds_folder:
        right = with_folders(click.get_current_context(), {prefix})
        diagnostics.note(f"'{prefix}' is a folder; to list only its contents: {right}")
    if listing.left_out:
        names = listed([file.key for file in listing.left_out])
        diagnostics.note(f"left out, because they have no content: {count(len(listing.left_out))}: {names}")
    if more:
        shown = count(listing.shown, "entry", "entries")
        diagnostics.note(f"stopped after {shown}: there is more. Use --max 0 for all.")
    elif not listing.shown and not listing.left_out:
        if prefix.endswith("/") and listing.is_file():
            diagnostics.note(f"'{prefix[:-1]}' is a file: name it without the final '/'")
        elif not output.as_json:
            diagnostics.note(f"nothing is stored{f' below {prefix}' if prefix else ''}")


class _Listing:
    """A listing shown page by page, as pages arrive."""

    def __init__(self, session: Session, output: Output, name: str, prefix: str) -> None:
        self.prefix = prefix
        self.shown = 0
        self.holds_folder = False
        """The prefix, without a final '/', is also the name of a folder."""
        self.left_out: list[RemoteFile] = []
        """Entries that have no content."""
        self._unread = ""
        """The reason why entries are missing; empty if none are."""
        self._questions = session.questions
        self._output = output
        self._name = name
        self._json = JsonList(output, "files", {"provider": name, "prefix": prefix})

    def show(self, delimiter: str, maximum: int) -> bool:
        """True if there is more than `maximum` (0: no limit). The JSON is complete even if ProviderError is raised."""
        try:
            more = self._pages(delimiter, maximum)
            self._refuse_incomplete()
        except ProviderError as error:
            self._json.end({"truncated": True, "error": ErrorInfo.of(error)})
            raise
        left_out = [{"name": file.key, "why": file.left_out} for file in self.left_out]
        self._json.end({"left_out": left_out, "truncated": more})
        return more

    def _pages(self, delimiter: str, maximum: int) -> bool:
        token = None
        while True:
            left = maximum - self.shown if maximum else _PAGE
            limit = min(_PAGE, left + 1 if maximum else _PAGE)
            page = self._questions.ask(ListPage(self._name, self.prefix, delimiter=delimiter, token=token, limit=limit))
            there = len(page.files) + len(page.prefixes)
            self.left_out += page.left_out
            self._unread = self._unread or page.unread
            self._show(page, left if maximum else there)
            if maximum and there > left:
                return True
            token = page.next_token
            if token is None:
                return False
            if maximum and self.shown >= maximum:
                return True

    def _refuse_incomplete(self) -> None:
        """Raise Integrity if only a part of the listing could be read."""
        if self._unread:
            raise Integrity(f"this listing is incomplete: {self._unread}", hint=INCOMPLETE_HINT)

    def _show(self, page: Page, room: int) -> None:
        rows = sorted([*((folder, None) for folder in page.prefixes), *((file.key, file) for file in page.files)],
                      key=lambda row: row[0])[:room]  # fmt: skip
        self.shown += len(rows)
        for key, file in rows:
            self.holds_folder |= bool(self.prefix) and key.startswith(f"{self.prefix}/")
            if file is None:
                self._json.add({"folder": key})
                self._output.line(f"{'-':>10}  {'-':16}  {key}")
            else:
                self._json.add(file.as_dict())
                self._output.line(f"{size(file.size_bytes):>10}  {when(file.modified_at):16}  {key}")

    def is_file(self) -> bool:
        """True if an object has the name that was listed as a folder. An error counts as no."""
        try:
            self._questions.ask(Stat(self._name, self.prefix.rstrip("/")))
        except ProviderError:
            return False
        return True
