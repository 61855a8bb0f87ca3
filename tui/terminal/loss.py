"""Detection of a terminal that has disappeared."""

from __future__ import annotations

import select
import sys
from typing import Final

LOOK_EVERY_S: Final = 2.0


def has_terminal() -> bool:
    return sys.__stdin__ is not None and sys.__stdin__.isatty()


def terminal_is_gone() -> bool:
    """Whether the terminal at standard input was hung up.

    The kernel sends SIGHUP only to processes whose controlling terminal it is. Others read end-of-file for ever, and
    Textual's input thread would use half a processor for that.
    """
    if sys.__stdin__ is None:
        return False
    poll = select.poll()
    poll.register(sys.__stdin__.fileno(), 0)
    return bool(poll.poll(0))
