"""The only writer to stdout: tables and colours on a terminal, plain lines elsewhere, one JSON document with --json."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from backup.cli.remedies import in_json
from backup.system.text import safe

if TYPE_CHECKING:
    from rich.console import Console

RIGHT_ALIGNED = frozenset({"SIZE", "TIME", "FILES", "DONE", "JOB", "ITEM", "FAILED", "SKIPPED", "SENT"})


class Output:
    """The output of a verb. Every string is escaped here, once; callers pass raw text."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.terminal = sys.stdout.isatty() and not as_json

    @cached_property
    def console(self) -> Console:
        """Rich's console on stdout, for tables and live progress. Rich honours NO_COLOR."""
        from rich.console import Console

        return Console(file=sys.stdout, highlight=False, markup=False, emoji=False)

    def line(self, text: str = "") -> None:
        """Print one line; nothing with --json."""
        if not self.as_json:
            _write(safe(text) + "\n")

    def document(self, value: Any) -> None:
        """Print the one JSON document; nothing without --json."""
        if self.as_json:
            _write(dumps(value) + "\n")

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print columns; nothing with --json."""
        if self.as_json:
            return
        cells = [[safe(cell) for cell in row] for row in rows]
        if self.terminal:
            self._rich_table(headers, cells)
        else:
            self._plain_table(headers, cells)

    def _rich_table(self, headers: Sequence[str], rows: list[list[str]]) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for header in headers:
            table.add_column(header, justify="right" if header in RIGHT_ALIGNED else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell, style=_style(cell)) for cell in row))
        self.console.print(table)

    def _plain_table(self, headers: Sequence[str], rows: list[list[str]]) -> None:
        widths = [max(len(row[column]) for row in [list(headers), *rows]) for column in range(len(headers))]
        for row in [list(headers), *rows]:
            padded = (
                cell.rjust(width) if header in RIGHT_ALIGNED else cell.ljust(width)
                for header, cell, width in zip(headers, row, widths, strict=True)
            )
            _write("  ".join(padded).rstrip() + "\n")


class JsonList:
    """A JSON document whose list is written entry by entry, in constant memory. `end` completes it."""

    def __init__(self, output: Output, name: str, head: dict[str, Any]) -> None:
        self._active = output.as_json
        self._first = True
        if self._active:
            _write(dumps(head)[:-1] + f', "{name}": [' if head else f'{{"{name}": [')

    def add(self, value: Any) -> None:
        if self._active:
            _write(("\n" if self._first else ",\n") + dumps(value))
            self._first = False

    def end(self, tail: dict[str, Any]) -> None:
        if self._active:
            _write("]" + ("," + dumps(tail)[1:] if tail else "}") + "\n")


def dumps(value: Any) -> str:
    """JSON in ASCII, so that names with undecodable bytes (lone surrogates) pass through any pipe."""
    return json.dumps(in_json(msgspec.to_builtins(value, str_keys=True, enc_hook=str)))


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _style(cell: str) -> str:
    word = cell.partition(" ")[0]
    return {
        "ok": "green", "ready": "green", "done": "green", "verified": "green",
        "failed": "red", "invalid": "red", "unavailable": "red",
        "waiting": "yellow", "incomplete": "yellow", "paused": "yellow", "locked": "yellow",
        "disabled": "dim", "queued": "dim", "not": "dim", "cancelled": "dim", "skipped": "dim",
    }.get(word, "")  # fmt: skip
