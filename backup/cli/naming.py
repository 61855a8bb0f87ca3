"""The name that this program was called by: what usage lines, examples and hints tell people to type."""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

import click

from backup.system.text import shell_quoted

PROGRAM: Final = "homeserver-backup"
"""Its name in help texts, and where it was installed as a package."""
ARGV: Final = f"{__name__}.argv"
"""The command line without the program's name, in Click's `Context.meta`."""
_VARIABLE: Final = "HOMESERVER_BACKUP_COMMAND"
_MODULE_FORM: Final = "python -m backup"
"""Three words for a shell."""


def program_name(argv0: str) -> str:
    """The command that was typed: `homeserver-backup`, the script of a checkout with its path, or the module form.

    The script starts the module form and says so in the environment; no child of ours inherits that.
    """
    typed = os.environ.pop(_VARIABLE, "")
    name = Path(argv0).name
    return name if name not in {"__main__.py", ""} else typed or _MODULE_FORM


def with_folders(ctx: click.Context, folders: Collection[str]) -> str:
    """The command line that was typed, ready for a shell, with a final '/' behind the arguments that are `folders`."""
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


def in_its_words(command: click.Command, ctx: click.Context) -> click.Command:
    """`command`, its examples with the name that was typed."""
    typed = ctx.find_root().info_name or PROGRAM
    renamed = copy.copy(command)
    renamed.help = command.help and command.help.replace(f"{PROGRAM} ", f"{typed} ")
    return renamed
