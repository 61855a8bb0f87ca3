"""Files and folders taken away: into the bin, or for good."""

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
    """All folders of that path, only if nothing is in them, not even a document that is never listed here. Raises
    NotFound, and Conflict for a folder with something in it.

    Google has no call that takes an empty folder alone: so this looks before and after, and the folder goes into
    the bin, whatever settings say. What other programs put there and the access drive.file hides can be taken back.
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
    """Into the bin with `use_trash`, else for good; what a check has made is worth nothing, and always goes for good,
    where that is allowed."""
    probe = key.rpartition("/")[2].startswith(PROBE_PREFIX)
    if use_trash and not probe:
        drive.trash(file_id)
        return
    try:
        drive.delete(file_id)
    except PermissionDenied:
        if not probe:
            raise
        _LOG.debug("on a shared drive only managers delete for good: the probe goes into the bin")
        drive.trash(file_id)
