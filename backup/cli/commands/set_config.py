"""`set-config`."""

from __future__ import annotations

import click

from backup.cli.diagnostics import doing
from backup.cli.output import Output
from backup.cli.session import Session, json_option, pass_session
from backup.config.file import DEFAULT_PROVIDER, HISTORY_DAYS


@click.command("set-config", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("key")
@click.argument("value", required=False)
@json_option
@pass_session
def command(session: Session, output: Output, name: str, key: str, value: str | None) -> None:
    """Set setting KEY of provider NAME to VALUE ('' or null clears it; sizes may be written 64MiB).

    The first setting sets the provider up, if NAME is a service's name. For another name, set its service first:

    \b
        homeserver-backup set-config minio type aws_s3
        homeserver-backup set-config minio endpoint_url http://127.0.0.1:9000

    Secret settings are refused here; use set-credentials. For the keys: get-config NAME --describe.

    The provider that commands use if they name none:

    \b
        homeserver-backup set-config default_provider minio

    How many days finished transfers stay in the history (proofs stay as long as the stored objects):

    \b
        homeserver-backup set-config history_days 90

    \b
    JSON: {"name", "type", "key", "value", "state"}
    """
    if name == DEFAULT_PROVIDER and value is None:
        _set_default(session, output, key)
        return
    if name == HISTORY_DAYS and value is None:
        _set_history(session, output, key)
        return
    if value is None:
        raise click.UsageError("Missing argument 'VALUE'.")
    with doing(f"set {key} of {name}"):
        if name in {info.name for info in session.core.instances.all()}:
            session.open_store_for(name)  # the username is kept with its secret
        info = session.core.instances.set_setting(name, key, value)
    shown = info.type if key == "type" else info.settings.get(key)
    output.line(f"{info.name}: {key} = {shown}")
    output.document({"name": info.name, "type": info.type, "key": key, "value": shown, "state": info.state})


def _set_default(session: Session, output: Output, name: str) -> None:
    with doing(f"set {DEFAULT_PROVIDER}"):
        name = "" if name == "null" else name
        session.core.instances.set_default(name)
    output.line(f"{DEFAULT_PROVIDER} = {name or '-'}")
    output.document({DEFAULT_PROVIDER: name or None})


def _set_history(session: Session, output: Output, text: str) -> None:
    with doing(f"set {HISTORY_DAYS}"):
        days = session.core.set_history_days("" if text == "null" else text)
    output.line(f"{HISTORY_DAYS} = {days}")
    output.document({HISTORY_DAYS: days})
