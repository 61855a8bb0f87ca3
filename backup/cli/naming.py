"""The name this program was called by, for usage lines, examples and hints."""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

import click

from backup.system.text import shell_quoted

PROGRAM: Final = "homeserver-backup"
"""The program's name in help texts, and as an installed package."""
ARGV: Final = f"{__name__}.argv"
"""The command line without the program's name, in Click's `Context.meta`."""
_VARIABLE: Final = "HOMESERVER_BACKUP_COMMAND"
_MODULE_FORM: Final = "python -m backup"
"""Three words, not one, for a shell."""


def program_name(argv0: str) -> str:
    """The command that was typed: `homeserver-backup`, the script of a checkout with its path, or the module form.

    The script starts the module form and names itself in the environment; child processes do not inherit that.
    """
    typed = os.environ.pop(_VARIABLE, "")
    name = Path(argv0).name
    return name if name not in {"__main__.py", ""} else typed or _MODULE_FORM


def with_folders(ctx: click.Context, folders: Collection[str]) -> str:
    """The typed command line, quoted for a shell, with a final '/' after the arguments in `folders`."""
    values = {name for command in _commands(ctx) for name in _with_value(command)}
    program = ctx.find_root().info_name or PROGRAM
    words = [program if program == _MODULE_FORM else shell_quoted(program)]
    before = ""
    for word in ctx.meta[ARGV]:
        words.append(shell_quoted(f"{word}/" if word in folders and before not in values else word))
        before = word
    return " ".join(words)


def _commands(ctx: click.Context | None) -> Iterator[click.Command]:
    while ctx is not None:
        yield ctx.command
        ctx = ctx.parent


def _with_value(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.is_flag:
            yield from parameter.opts


def with_typed_name(command: click.Command, ctx: click.Context) -> click.Command:
    """A copy of `command` whose examples use the typed program name."""
    typed = ctx.find_root().info_name or PROGRAM
    renamed = copy.copy(command)
    renamed.help = command.help and command.help.replace(f"{PROGRAM} ", f"{typed} ")
    return renamed
