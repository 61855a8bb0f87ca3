"""Kinds of arguments that several verbs take."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Any, Final

import click

from backup.model import Conflicts, Links

_AGO: Final = re.compile(r"(\d{1,9})([smhd])")
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


class SinceType(click.ParamType[float]):
    """A moment: so long ago (90m, 24h, 7d), or a time of this machine's clock (2026-11-27, 2026-11-27T08:00)."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        found = _AGO.fullmatch(value)
        try:
            if found:
                return time.time() - int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]
            return datetime.fromisoformat(value).timestamp()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time; write 90m, 24h, 7d, 2026-11-27 or 2026-11-27T08:00", param, ctx)


since_option = click.option(
    "--since",
    type=SinceType(),
    metavar="TIME",
    help="Exit with 15 if any transfer has failed since then: 90m, 24h, 7d ago, or 2026-11-27T08:00.",
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
    help="What to do with files that are already there; skip leaves alone only those that are unchanged.",
)
owner_option = click.option(
    "--owner",
    is_flag=True,
    help="Restore also owner, group, setuid, setgid and sticky; for root. Never from a service that you do not trust.",
)
links_option = click.option(
    "--links",
    type=click.Choice([choice.value for choice in Links]),
    default=Links.SKIP.value,
    show_default=True,
    help="Symbolic links: skip leaves them out; follow stores what they lead to, as long as that lies in what was"
    " chosen; store keeps the link itself, as NAME.rclonelink.",
)
restore_links_option = click.option(
    "--links", is_flag=True, help="Make symbolic links of what is stored as NAME.rclonelink; otherwise they are files."
)
detach_option = click.option("--detach", is_flag=True, help="Return at once; the transfer goes on by itself.")
