"""`credentials change-passphrase`, `add-passphrase`, `remove-slot`, `renew-key`: the ways to open the vault."""

from __future__ import annotations

from typing import Final

import click

from backup.cli import diagnostics
from backup.cli.new_store import warn_of_quality
from backup.cli.output import Output
from backup.cli.session import Session, json_option, pass_session, passphrase_option
from backup.system.text import count
from providers.secret import Secret

_new_passphrase_option = click.option(
    "--new-passphrase-fd", type=click.IntRange(min=0), metavar="N", help="Read the new passphrase from descriptor N."
)


@click.command("change-passphrase")
@passphrase_option
@_new_passphrase_option
@json_option
@pass_session
def change_passphrase(session: Session, output: Output, new_passphrase_fd: int | None) -> None:
    """Change the passphrase of the vault; other ways to open it stay valid.

    \b
    JSON: {"changed"}
    """
    with diagnostics.doing("change the passphrase"):
        old = session.passphrase("Current passphrase")()
        new = _new_passphrase(session, new_passphrase_fd)
        session.core.credentials.change_passphrase(old, new)
    output.line("the passphrase is changed")
    output.document({"changed": True})


@click.command("remove-slot")
@click.argument("slot")
@passphrase_option
@json_option
@pass_session
def remove_slot(session: Session, output: Output, slot: str) -> None:
    """Remove a way to open the vault, by its number in `credentials status`. The last one cannot be removed.

    \b
    JSON: {"removed"}
    """
    with diagnostics.doing(f"remove slot {slot}"):
        session.open_store()
        session.core.credentials.remove_slot(slot)
    output.line(f"slot {slot} no longer opens the vault")
    output.document({"removed": slot})


@click.command("add-passphrase")
@click.option("--label", default="passphrase", metavar="TEXT", help="Name shown in `credentials status`.")
@passphrase_option
@_new_passphrase_option
@json_option
@pass_session
def add_passphrase(session: Session, output: Output, label: str, new_passphrase_fd: int | None) -> None:
    """Add a passphrase that opens the vault: for another person, or to keep in a safe.

    \b
    JSON: {"id", "kind", "label", "created_at"}
    """
    with diagnostics.doing("add a passphrase"):
        session.core.credentials.slots()  # raises if there is no vault, before anything is typed
        session.open_store()
        slot = session.core.credentials.add_passphrase(_new_passphrase(session, new_passphrase_fd), label)
    output.line(f"the new passphrase opens the vault (slot {slot.id})")
    output.document(slot)


@click.command("renew-key")
@click.option("--drop-others", is_flag=True, help="Drop the slots that nothing given here opens.")
@passphrase_option
@json_option
@pass_session
def renew_key(session: Session, output: Output, drop_others: bool) -> None:
    """Encrypt the vault under a new key. Old passphrases, removed slots and the former key no longer open it. If one of
    them leaked, set new credentials too: the old ones were readable.

    The passphrase, the key file and password_command stay valid. Other slots (a second passphrase, systemd's
    credential) are dropped with --drop-others; add them again. Processes that have the vault open must unlock it again,
    except the worker.

    \b
    JSON: {"slots": [{"id", "kind", "label", "created_at"}]}
    """
    with diagnostics.doing("renew the key of the vault"):
        session.core.credentials.slots()
        kept = session.core.credentials.renew_key(session.passphrase()(), drop_others=drop_others)
    output.line(f"the vault has a new key, in {count(len(kept), 'slot')}")
    output.document({"slots": kept})


def _new_passphrase(session: Session, number: int | None) -> Secret:
    session.passphrase_fd = number
    new = session.new_passphrase("New passphrase")
    warn_of_quality(new)
    return new


COMMANDS: Final = {
    "change-passphrase": change_passphrase,
    "add-passphrase": add_passphrase,
    "remove-slot": remove_slot,
    "renew-key": renew_key,
}
