"""`credentials move`."""

from __future__ import annotations

from typing import Final

import click

from backup.cli import diagnostics
from backup.cli.commands.credentials.stores import STORES
from backup.cli.output import Output
from backup.cli.session import Session, json_option, pass_session, passphrase_option, stdin_is_terminal
from backup.model.credentials import TITLES, MoveProgress, MoveStep, StoreBackend
from backup.system.text import count

_DOING: Final = {
    MoveStep.COPY: "copying",
    MoveStep.COMPARE: "comparing",
    MoveStep.SWITCH: "switching over",
    MoveStep.DELETE: "deleting the copy of",
}


@click.command("move")
@click.option("--to", required=True, type=STORES, help="The store to move to; ready, or a vault to unlock.")
@click.option("--yes", is_flag=True, help="Delete the copies in the former store without asking.")
@click.option("--keep", is_flag=True, help="Leave the copies in the former store for now.")
@passphrase_option
@json_option
@pass_session
def move(session: Session, output: Output, to: str, yes: bool, keep: bool) -> None:
    """Move all credentials to another store: copy, read back and compare, switch over, ask, delete the copies.

    May be interrupted at any time and run again: until the switch the former store is in use, after it the new one.

    \b
    JSON: {"source", "to", "moved": [...], "deleted": [...], "copies_left"}
    """
    kind = StoreBackend(to)

    def confirm() -> bool:
        if yes or keep:
            return yes
        return stdin_is_terminal() and click.confirm("Delete the copies in the former store?", err=True)

    def report(progress: MoveProgress) -> None:
        output.line(f"{_DOING[progress.step]} {progress.key}".rstrip())

    with diagnostics.doing(f"move credentials to the {TITLES[kind]}"):
        ask = session.passphrase() if session.can_ask else None
        result = session.core.credentials.move(kind, confirm_delete=confirm, on_progress=report, ask=ask)
    if result.moved:
        output.line(f"{count(len(result.moved), 'credential')} now kept in the {TITLES[kind]}")
    if result.deleted:
        output.line(f"deleted from the {TITLES[result.source]}: {', '.join(result.deleted)}")
    if result.copies_left:
        remedy = f"to delete them: credentials move --to {to} --yes"
        output.line(f"copies are still in the {TITLES[result.source]}; {remedy}")
    output.document(result)


COMMANDS: Final = {"move": move}
