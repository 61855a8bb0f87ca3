"""Deletion of files and folders: into the bin, or permanently."""

from __future__ import annotations

import logging
from typing import Final

from providers.contract.objects import not_empty
from providers.contract.report import PROBE_PREFIX
from providers.errors import NotFound, PermissionDenied
from providers.google_drive import objects
from providers.google_drive.folders import Drive, DriveFolders, Path

_LOG: Final = logging.getLogger(__name__)


def remove_folder(drive: Drive, folders: DriveFolders, path: Path, key: str) -> None:
    """Remove all folders at a path if they are empty, even of documents that are never listed here. Raises NotFound,
    and Conflict if a folder has contents.

    Google cannot delete a folder only if it is empty. So this checks before and after, and the folder goes into the
    bin whatever the settings say: contents that drive.file hides from this program can then be restored.
    """
    folder_ids = folders.ids(path, fresh=True)
    if not folder_ids:
        raise NotFound(f"{key}: there is no such folder")
    inside = drive.first_in(folder_ids)
    left = iter(folder_ids)
    while inside is None and (folder_id := next(left, None)):
        inside = drive.trash_empty(folder_id)
    folders.forget()
    if inside is not None:
        raise not_empty(key, objects.segment(str(inside.get("name", "")), str(inside["id"])))


def remove_file(drive: Drive, key: str, file_id: str, *, use_trash: bool) -> None:
    """Into the bin with `use_trash`, otherwise permanently. Probe objects are always deleted permanently if that is
    allowed."""
    probe = key.rpartition("/")[2].startswith(PROBE_PREFIX)
    if use_trash and not probe:
        drive.trash(file_id)
        return
    try:
        drive.delete(file_id)
    except PermissionDenied:
        if not probe:
            raise
        _LOG.debug("only managers of a shared drive may delete for good: the probe goes into the bin")
        drive.trash(file_id)
