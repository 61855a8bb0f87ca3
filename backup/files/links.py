"""Symlinks as objects, in rclone's format: `name.rclonelink`, whose content is the target of the link.

Source: https://rclone.org/local/#symlinks-junction-points.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from providers.base import BaseProvider
from providers.contract.cancel import CancelToken
from providers.contract.download import DownloadResult
from providers.contract.objects import RemoteFile
from providers.engine.download import run_download
from providers.errors import InvalidName
from providers.remedies import Action, Remedy

SUFFIX: Final = ".rclonelink"
MOST_BYTES: Final = 4095
"""A longer path cannot be a target (PATH_MAX)."""


def is_one(key: str) -> bool:
    """Whether an object may be a stored link; `.rclonelink` alone is not the name of one."""
    return key.endswith(SUFFIX) and not key.removesuffix(SUFFIX).endswith("/") and key != SUFFIX


def fetch(
    provider: BaseProvider,
    found: RemoteFile,
    *,
    cancel: CancelToken,
    recall: Callable[[RemoteFile], str],
    known: Callable[[str], bool],
) -> tuple[DownloadResult, bytes]:
    """The target of a stored link, proved like any object (`run_download`). Raises ProviderError; InvalidName for an
    object that cannot be a link."""
    if not 0 < found.size_bytes <= MOST_BYTES:
        raise _no_link(found, f"{found.size_bytes} bytes")
    with tempfile.TemporaryDirectory(prefix="homeserver-backup-") as folder:
        copy = Path(folder, "link")
        result = run_download(provider, found.key, copy, cancel=cancel, recall=recall, known=known, connections=1)
        text = copy.read_bytes()
    if not 0 < len(text) <= MOST_BYTES or b"\0" in text:
        raise _no_link(found, "what is stored")
    return result, text


def _no_link(found: RemoteFile, what: str) -> InvalidName:
    return InvalidName(
        f"{found.key}: {what} cannot be the target of a link",
        remedies=(Remedy(Action.RESTORE_WITHOUT_LINKS),),
    )
