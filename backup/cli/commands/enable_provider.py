"""`enable-provider`."""

from __future__ import annotations

import click

from backup.cli.commands.test_providers import check_or_raise
from backup.cli.diagnostics import doing
from backup.cli.output import Output
from backup.cli.session import Session, json_option, pass_session


@click.command("enable-provider")
@click.argument("name")
@json_option
@pass_session
def command(session: Session, output: Output, name: str) -> None:
    """Use provider NAME for transfers. It must pass its check, which runs now if it has not passed yet.

    \b
    JSON: {"name", "enabled", "state"}
    """
    with doing(f"enable {name}"):
        if not session.core.instances.get(name).check_ok:
            check_or_raise(session, output, name)
        info = session.core.instances.set_enabled(name, True)
    output.line(f"{name} is enabled")
    output.document({"name": info.name, "enabled": info.enabled, "state": info.state})
