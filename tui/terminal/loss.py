"""A terminal that goes without a word."""

from __future__ import annotations

import select
import sys
from typing import Final

LOOK_EVERY_S: Final = 2.0


def has_terminal() -> bool:
    return sys.__stdin__ is not None and sys.__stdin__.isatty()


def terminal_is_gone() -> bool:
    """Whether the terminal at standard input was hung up.

    The kernel sends SIGHUP only to those whose controlling terminal it is. Others read end-of-file from then on, for
    ever, and Textual's input thread would take half a processor for it.
    """
    if sys.__stdin__ is None:
        return False
    poll = select.poll()
    poll.register(sys.__stdin__.fileno(), 0)
    return bool(poll.poll(0))
