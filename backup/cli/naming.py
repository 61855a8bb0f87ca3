"""The name that this program was called by: what usage lines, examples and hints tell people to type."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Final

import click

PROGRAM: Final = "homeserver-backup"
"""Its name in help texts, and where it was installed as a package."""
_VARIABLE: Final = "HOMESERVER_BACKUP_COMMAND"


def program_name(argv0: str) -> str:
    """The command that was typed: `homeserver-backup`, the script of a checkout with its path, or the module form.

    The script starts the module form and says so in the environment; no child of ours inherits that.
    """
    typed = os.environ.pop(_VARIABLE, "")
    name = Path(argv0).name
    return name if name not in {"__main__.py", ""} else typed or "python -m backup"


def in_its_words(command: click.Command, ctx: click.Context) -> click.Command:
    """`command`, its examples with the name that was typed."""
    typed = ctx.find_root().info_name or PROGRAM
    renamed = copy.copy(command)
    renamed.help = command.help and command.help.replace(f"{PROGRAM} ", f"{typed} ")
    return renamed
