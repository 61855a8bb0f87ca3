"""`new-provider`."""

from __future__ import annotations

from pathlib import Path

import click

from backup.cli.output import Output
from backup.cli.session import json_option
from backup.scaffold import write


@click.command("new-provider")
@click.argument("name")
@click.option(
    "--checkout",
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    help="Folder of the program's source; by default the current one.",
)
@json_option
def command(output: Output, name: str, checkout: Path) -> None:
    """Create a new service NAME: its folder, the skeleton of its README, and its harness for the contract suite.

    It passes lint from the start; the suite fails and lists what is still to do.

    \b
    JSON: {"name", "files": [...]}
    """
    written = write.write(checkout.resolve(), name)
    for path in written:
        output.line(str(path))
    output.line(f"next: ./tests/run tests/contract -k {name}")
    output.document({"name": name, "files": [str(path) for path in written]})
