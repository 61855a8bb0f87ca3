"""`credentials recovery-kit`."""

from __future__ import annotations

import sys
from typing import Final

import click

from backup.cli import diagnostics
from backup.cli.session import Session, pass_session, passphrase_option, stdin_is_terminal


@click.command("recovery-kit")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--yes", is_flag=True, help="Do not ask; for a printer: credentials recovery-kit --yes | lp")
@click.option("--columns", type=click.IntRange(40, 400), default=80, show_default=True, help="Width of the page.")
@passphrase_option
@pass_session
def recovery_kit(session: Session, names: tuple[str, ...], yes: bool, columns: int) -> None:
    """Print one page with all that is needed to read the backups on another machine: SECRETS IN CLEAR, with QR codes.

    For the providers NAME, or for all. Print it on paper and lock it away: this program keeps no copy and writes it to
    standard output only.
    """
    from backup.credentials.recovery_kit import WARNING

    diagnostics.note(WARNING)
    if not yes and not (stdin_is_terminal() and click.confirm("Show it?", err=True)):
        raise click.Abort
    with diagnostics.doing("make the recovery kit"):
        session.open_store()
        on_screen = sys.stdout.isatty()
        page = session.core.credentials.recovery_kit(list(names), columns=columns, dark_background=on_screen)
    sys.stdout.write(page.reveal())  # not through Output: it must not be wrapped or coloured


COMMANDS: Final = {"recovery-kit": recovery_kit}
