"""`credentials use`, `unlock`, `lock`, `create-vault`, `create-keyring`."""

from __future__ import annotations

from typing import Final

import click

from backup.cli import diagnostics
from backup.cli.new_store import create
from backup.cli.output import Output
from backup.cli.session import Session, json_option, pass_session, passphrase_option
from backup.model.credentials import TITLES, StoreBackend, StoreState, StoreStatus

STORES: Final = click.Choice([backend.value for backend in StoreBackend])


def _report(output: Output, text: str, status: StoreStatus) -> None:
    output.line(text)
    output.document({"state": status.state, "backend": status.backend})


@click.command("use")
@click.argument("store", type=STORES)
@json_option
@pass_session
def use(session: Session, output: Output, store: str) -> None:
    """Keep credentials in STORE from now on. If another store already has some: credentials move.

    \b
    JSON: {"state", "backend"}
    """
    status = session.core.credentials.use(StoreBackend(store))
    _report(output, f"credentials are kept in the {TITLES[StoreBackend(store)]}; it is {status.state.value}", status)


@click.command("unlock")
@click.option("--store", type=STORES, help="Unlock this store, not the one in use.")
@passphrase_option
@json_option
@pass_session
def unlock(session: Session, output: Output, store: str | None) -> None:
    """Unlock the credential store. Transfers that wait for it continue; the worker gets the vault's key.

    The vault stays open while the worker runs: commands get the key from it, and ask when no worker runs. The session's
    keyring stays open for the whole session.

    \b
    JSON: {"state", "backend"}
    """
    kind = StoreBackend(store) if store else session.core.credentials.chosen()
    with diagnostics.doing(f"unlock the {TITLES[kind]}"):
        status = session.core.credentials.unlock(session.passphrase(_prompt(kind))(), kind)
    _report(output, f"the {TITLES[kind]} is unlocked", status)
    if kind is StoreBackend.VAULT and not session.core.credentials.facts().worker_unlocked:
        output.line("No worker is running to keep it open: the next command asks again.")


@click.command("lock")
@json_option
@pass_session
def lock(session: Session, output: Output) -> None:
    """Lock the store: the worker forgets the vault's key (running transfers continue, new ones wait).

    \b
    JSON: {"state", "backend"}
    """
    status = session.core.credentials.lock()
    again = status.state is StoreState.READY  # a key file, or systemd's credential
    _report(output, "the worker has no key; the unattended setup opens it again" if again else "it is locked", status)


@click.command("create-vault")
@passphrase_option
@json_option
@pass_session
def create_vault(session: Session, output: Output) -> None:
    """Create the vault: one encrypted file of this program (XChaCha20-Poly1305, argon2id), for machines without an open
    keyring. Asks for the passphrase twice.

    \b
    JSON: {"state", "backend"}
    """
    _create(session, output, StoreBackend.VAULT)


@click.command("create-keyring")
@passphrase_option
@json_option
@pass_session
def create_keyring(session: Session, output: Output) -> None:
    """Create the default keyring of this session, if its Secret Service has none yet (GNOME Keyring only).

    \b
    JSON: {"state", "backend"}
    """
    _create(session, output, StoreBackend.SECRET_SERVICE)


def _create(session: Session, output: Output, kind: StoreBackend) -> None:
    status = create(session, kind)
    _report(output, f"the {TITLES[kind]} is created and unlocked", status)
    if kind is StoreBackend.VAULT:
        output.line("Its passphrase is kept nowhere: without it the credentials in it are lost, but no backup is.")


COMMANDS: Final = {
    "use": use,
    "unlock": unlock,
    "lock": lock,
    "create-vault": create_vault,
    "create-keyring": create_keyring,
}


def _prompt(kind: StoreBackend) -> str:
    return "Password of the keyring" if kind is StoreBackend.SECRET_SERVICE else "Passphrase of the vault"
