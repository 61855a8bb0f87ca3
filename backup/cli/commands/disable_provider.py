"""`disable-provider`."""

from __future__ import annotations

import click

from backup.cli.output import Output
from backup.cli.session import Session, json_option, pass_session


@click.command("disable-provider")
@click.argument("name")
@json_option
@pass_session
def command(session: Session, output: Output, name: str) -> None:
    """Stop using provider NAME for transfers. Its settings, credentials and files stay.

    \b
    JSON: {"name", "enabled", "state"}
    """
    info = session.core.instances.set_enabled(name, False)
    output.line(f"{name} is disabled")
    output.document({"name": info.name, "enabled": info.enabled, "state": info.state})
