"""Mode, owner and group of a stored folder, kept in an extended attribute if the disk supports it. The folder's own
mode stays 0700, so that it can be filled and emptied whatever the original's mode was."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Final

from providers.contract.attributes import UNKNOWN, Attributes

NAME: Final = "user.homeserver-backup.folder"
_MAX_BYTES: Final = 1024


def write(fd: int, attributes: Attributes) -> None:
    """As far as the disk supports it."""
    if hasattr(os, "setxattr") and attributes.mode is not None:
        with suppress(OSError):
            os.setxattr(fd, NAME, json.dumps(attributes.as_metadata()).encode())


def read(fd: int) -> Attributes:
    """The attributes, or UNKNOWN."""
    if not hasattr(os, "getxattr"):
        return UNKNOWN
    try:
        value = os.getxattr(fd, NAME)
        parsed = json.loads(value) if len(value) <= _MAX_BYTES else None
    except (OSError, ValueError, RecursionError):
        return UNKNOWN
    return Attributes.parse(parsed, folder=True) if isinstance(parsed, dict) else UNKNOWN
