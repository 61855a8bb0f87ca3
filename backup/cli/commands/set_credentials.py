"""`set-credentials`."""

from __future__ import annotations

import sys
from datetime import datetime

import click

from backup.cli.output import Output
from backup.cli.session import Session, json_option, pass_session, passphrase_option, stdin_is_terminal
from backup.model.credentials import TITLES, StoreBackend, StoreState
from backup.system.terminal import hidden_line, terminal_encoding
from backup.system.text import safe
from providers.secret import Secret

_MAX_SECRET_CHARACTERS = 64 * 1024
_NO_STORE = (StoreState.UNAVAILABLE, StoreState.NO_COLLECTION)


@click.command("set-credentials")
@click.argument("name")
@click.option("--username", "-u", metavar="U", help="Account name or key id; unchanged if not given.")
@click.option("--setting", "-s", metavar="KEY", help="Set only this secret setting (client_secret), not the pair.")
@click.option(
    "--expires", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]), help="When the service stops accepting it."
)
@passphrase_option
@json_option
@pass_session
def command(
    session: Session, output: Output, name: str, username: str | None, setting: str | None, expires: datetime | None
) -> None:
    """Keep the credentials of provider NAME in the credential store.

    The secret is typed at a hidden prompt, or read from standard input (its first line) if that is not a terminal:

    \b
        pass show minio | homeserver-backup set-credentials minio --username admin

    A service with more secrets than a pair takes each with --setting; all lines of the input count (a JSON key file):

    \b
        homeserver-backup set-credentials google_drive --setting service_account_json < key.json

    If no store can be used, nothing is saved (exit code 4); `credentials create-vault` creates one.

    \b
    JSON: {"name", "has_credentials", "store": {"state", "backend"}}
    """
    if setting and username is not None:
        raise click.UsageError("--setting and --username cannot be combined")
    session.core.instances.service_of(name)  # raises for an unknown provider, before a secret is asked for
    _offer_store(session)
    if setting:
        secret = _ask(setting) if stdin_is_terminal() else _read_all()
    else:
        secret = _ask(username) if stdin_is_terminal() else _read()
    session.open_store()
    password, extra = (None, {setting: secret}) if setting else (secret, {})
    expires_at = expires.astimezone().timestamp() if expires else None
    session.core.credentials.set(name, username, password, extra, expires_at=expires_at)
    store = session.core.credentials.status()
    output.line(f"credentials of {name} are kept in {store.backend}")
    output.document({"name": name, "has_credentials": True, "store": {"state": store.state, "backend": store.backend}})


def _offer_store(session: Session) -> None:
    """Offer to create a store if there is none, before a secret is typed that could not be kept."""
    from backup.cli.new_store import create
    from backup.credentials.vault_file.unlocked import vault_path

    core = session.core
    if not stdin_is_terminal() or core.credentials.status().state not in _NO_STORE:
        return
    kind = core.credentials.chosen()
    if kind is StoreBackend.VAULT and vault_path(session.paths).exists():
        return  # it exists but cannot be read: the next use of it says why
    question = f"There is no credential store yet. Create one now, the {TITLES[kind]}?"
    if click.confirm(question, default=True, err=True):
        create(session, kind)


def _ask(username: str | None) -> Secret:
    prompt = f"Secret of {safe(username)}" if username else "Secret"
    if terminal_encoding() != "utf-8":
        return _not_empty(hidden_line(f"{prompt}: "))
    return Secret(click.prompt(prompt, hide_input=True, err=True))


def _read() -> Secret:
    """The first line of standard input, without its line end."""
    return _not_empty(sys.stdin.readline(_MAX_SECRET_CHARACTERS))


def _read_all() -> Secret:
    return _not_empty(sys.stdin.read(_MAX_SECRET_CHARACTERS))


def _not_empty(text: str) -> Secret:
    text = text.rstrip("\r\n")
    if not text:
        raise click.UsageError("no secret: standard input is empty")
    return Secret(text)
