"""`remove-credentials`."""

from __future__ import annotations

import click

from backup.cli.output import Output
from backup.cli.session import Session, json_option, pass_session, passphrase_option


@click.command("remove-credentials")
@click.argument("name")
@passphrase_option
@json_option
@pass_session
def command(session: Session, output: Output, name: str) -> None:
    """Remove the credentials of provider NAME from the store. What is stored at the service stays.

    \b
    JSON: {"name", "removed"}
    """
    session.open_store_for(name)
    removed = session.core.credentials.remove(name)
    output.line(f"credentials of {name} are removed" if removed else f"{name} had no credentials")
    output.document({"name": name, "removed": removed})
