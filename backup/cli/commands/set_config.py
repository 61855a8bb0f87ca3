"""`set-config`."""

from __future__ import annotations

import click

from backup.cli.diagnostics import doing
from backup.cli.output import Output
from backup.cli.session import Session, json_option, pass_session


@click.command("set-config", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("key")
@click.argument("value")
@json_option
@pass_session
def command(session: Session, output: Output, name: str, key: str, value: str) -> None:
    """Set setting KEY of provider NAME to VALUE ('' or null: nothing; sizes may be written 64MiB).

    The provider is set up by the first setting when NAME is a service's name; under another name begin with its
    service:

    \b
        homeserver-backup set-config minio type aws_s3
        homeserver-backup set-config minio endpoint_url http://127.0.0.1:9000

    Secret settings are refused here: they come by set-credentials. The keys: get-config NAME --describe.

    \b
    JSON: {"name", "type", "key", "value", "state"}
    """
    with doing(f"set {key} of {name}"):
        if name in {info.name for info in session.service.instances()}:
            session.open_store_for(name)  # the account's name lives beside its secret
        info = session.service.set_setting(name, key, value)
    shown = info.type if key == "type" else info.settings.get(key)
    output.line(f"{info.name}: {key} = {shown}")
    output.document({"name": info.name, "type": info.type, "key": key, "value": shown, "state": info.state})
