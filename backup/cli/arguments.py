"""Argument types and options shared by several verbs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import click

from backup.model.transfers import Conflicts, Links

_AGO: Final = re.compile(r"(\d{1,9})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_LIST_BYTES: Final = 2**20
F = TypeVar("F", bound=Callable[..., Any])
_SIZE: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)


class SizeType(click.ParamType[int]):
    """A number of bytes, with or without a unit: 1048576, 1MiB, 1MB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = _SIZE.fullmatch(value)
        if not found:
            self.fail(f"{value!r} is not a size; write 1048576, 1MiB or 1MB", param, ctx)
        number, prefix, binary = found.groups()
        return int(float(number) * (1024 if binary else 1000) ** "_kmgt".index(prefix.lower() or "_"))


SIZE: Final = SizeType()


class AgeType(click.ParamType[float]):
    """A span of time in seconds, typed with its unit: 90m, 36h, 7d."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        found = _AGO.fullmatch(value)
        if not found:
            self.fail(f"{value!r} is not a duration; write 90m, 36h or 7d", param, ctx)
        return float(int(found[1]) * _SECONDS[found[2]])


AGE: Final = AgeType()


class SinceType(click.ParamType[float]):
    """A point in time: an age (90m, 24h, 7d), or local time (2026-11-27, 2026-11-27T08:00)."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        found = _AGO.fullmatch(value)
        try:
            if found:
                return time.time() - int(found[1]) * _SECONDS[found[2]]
            return datetime.fromisoformat(value).timestamp()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a time; write 90m, 24h, 7d, 2026-11-27 or 2026-11-27T08:00", param, ctx)


since_option = click.option(
    "--since",
    type=SinceType(),
    metavar="TIME",
    help="Exit with 15 if any transfer has failed since TIME: 90m, 24h or 7d ago, or 2026-11-27T08:00.",
)

IF_EXISTS: Final = {
    "replace": Conflicts.REPLACE,
    "skip": Conflicts.SKIP_UNCHANGED,
    "refuse": Conflicts.REFUSE,
}

if_exists_option = click.option(
    "--if-exists",
    type=click.Choice(list(IF_EXISTS)),
    default="replace",
    show_default=True,
    help="What to do with files that already exist; skip leaves out only unchanged ones.",
)
owner_option = click.option(
    "--owner",
    is_flag=True,
    help="Also restore owner, group, setuid, setgid and sticky; for root. Never from a service that you do not trust.",
)
links_option = click.option(
    "--links",
    type=click.Choice([choice.value for choice in Links]),
    default=Links.SKIP.value,
    show_default=True,
    help="Symbolic links: skip leaves them out; follow stores their targets, if those are inside what was"
    " chosen; store keeps the link itself, as NAME.rclonelink.",
)
restore_links_option = click.option(
    "--links", is_flag=True, help="Restore NAME.rclonelink as symbolic links; otherwise they become files."
)
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Show what would be done, and do nothing; with --json, print only the plan."
)


def filter_options(function: F) -> F:
    """Options that select files; the verb gets `include`, `exclude`, `exclude_files` and `one_file_system`."""
    for option in (
        click.option("--one-file-system", is_flag=True, help="Leave out folders where another file system is mounted."),
        click.option(
            "--exclude-from",
            "exclude_files",
            metavar="FILE",
            multiple=True,
            type=click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True),
            help="Read --exclude patterns from FILE, one per line; '#' begins a comment, '-' is standard input.",
        ),
        click.option(
            "--exclude", metavar="PATTERN", multiple=True, help="Leave out what matches, even if --include matches it."
        ),
        click.option("--include", metavar="PATTERN", multiple=True, help="Take only what matches one of these."),
    ):
        function = option(function)
    return function


def read_patterns(files: Sequence[str]) -> tuple[str, ...]:
    """The patterns of `--exclude-from`. Names are bytes, so these files are too. Raises click.UsageError."""
    found: list[str] = []
    for name in files:
        with click.open_file(name, "rb") as file:
            data = file.read(_LONGEST_LIST_BYTES + 1)
        if len(data) > _LONGEST_LIST_BYTES:
            raise click.UsageError(f"{name}: a list of patterns must not exceed 1 MiB")
        for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
            pattern = _without_blanks(line.removesuffix(b"\r").decode("utf-8", "surrogateescape"))
            if pattern.startswith("!"):
                raise click.UsageError(f"{name}: '{pattern}': '!' cannot include again; write \\! for a literal '!'")
            if pattern and not pattern.startswith("#"):
                found.append(pattern)
    return tuple(found)


def _without_blanks(line: str) -> str:
    """The line without surrounding blanks; a trailing blank after a backslash is part of the name."""
    line = line.lstrip(" \t")
    bare = line.rstrip(" \t")
    backslashes = len(bare) - len(bare.rstrip("\\"))
    return line[: len(bare) + backslashes % 2]


detach_option = click.option("--detach", is_flag=True, help="Return at once; the transfer continues in the background.")
