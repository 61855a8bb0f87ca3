"""Protection of the memory of processes that handle secrets."""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final

_PR_GET_DUMPABLE: Final = 3
_PR_SET_DUMPABLE: Final = 4


def harden_process() -> None:
    """Disable core dumps, and (on Linux) reading of this process's memory and environment by others of the same user.

    Root can still do both. A child that executes a program is dumpable again, but inherits the core limit of 0.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def is_hardened() -> bool:
    """Whether this process is protected in this way."""
    no_core = resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
    return no_core and sys.platform == "linux" and ctypes.CDLL(None).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) == 0
