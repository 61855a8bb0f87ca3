"""Check of a download for objects that do not fit on the local disk, before the first byte and without writing.

The rules and messages are those of the transfer itself (`targets`, `providers.filesystem`). Only the transfer finds out
whether the disk ignores case in names, since testing it requires writing.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

from backup.files import links
from backup.files.targets import local_name, refuse_content_of_a_folder
from providers.contract.objects import RemoteFile
from providers.errors import InvalidName, ProviderError, from_os_error
from providers.filesystem import beneath
from providers.filesystem.landing import NAME_MAX_BYTES, name_too_long, no_place_for_a_file, no_place_for_a_link


class Fitting:
    """The targets of one download, each checked once."""

    def __init__(self, root: Path, *, folder: bool) -> None:
        """`folder`: objects go below `root`; otherwise `root` is the exact path of the one object."""
        self._root: Final = root
        self._folder: Final = folder
        self._longest: Final = _name_max_bytes(root)
        self._ways: dict[Path, ProviderError | None] = {}
        """Folders, each with the obstacle to creating or entering it."""
        self._files: dict[Path, str] = {}
        self._below: dict[Path, str] = {}
        """One of the keys that need each folder."""

    def target(self, chosen: str, file: RemoteFile, *, as_link: bool = False) -> Path:
        """The path of one object in a download of `chosen`; `as_link` restores it as a symlink. Raises ProviderError
        for what cannot be put there."""
        if not self._folder:
            self._refuse_existing(self._root, as_link=as_link)
            return self._root
        name = local_name(file.key, chosen)
        refuse_content_of_a_folder(file)
        is_folder = name.endswith("/")
        target = self._root / (name.removesuffix(links.SUFFIX) if as_link else name)
        way = self._way(target if is_folder else target.parent)
        if way is not None:
            raise way
        if not is_folder:
            self._refuse_existing(target, as_link=as_link)
            self._files.setdefault(target, file.key)
        self._note_way(target if is_folder else target.parent, file.key)
        return target

    def twofold(self) -> dict[str, InvalidName]:
        """Keys of files whose path is also needed as a folder for other keys: only one of them can exist here."""
        return {
            key: InvalidName(f"'{key}': cannot be a file here and a folder for '{self._below[path]}' as well")
            for path, key in self._files.items()
            if path in self._below
        }

    def _note_way(self, folder: Path, key: str) -> None:
        while folder != self._root and folder not in self._below:
            self._below[folder] = key
            folder = folder.parent

    def _way(self, folder: Path) -> ProviderError | None:
        """The obstacle to creating or entering a folder at or below the root."""
        if folder == self._root:
            return None
        if folder not in self._ways:
            self._ways[folder] = self._way(folder.parent) or self._obstacle(folder)
        return self._ways[folder]

    def _obstacle(self, folder: Path) -> ProviderError | None:
        if len(os.fsencode(folder.name)) > self._longest:
            return from_os_error(OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)), folder)
        mode = _mode(folder)
        if mode is None or stat.S_ISDIR(mode):
            return None
        return beneath.a_link(folder) if stat.S_ISLNK(mode) else beneath.a_file(folder)

    def _refuse_existing(self, target: Path, *, as_link: bool) -> None:
        if len(os.fsencode(target.name)) > self._longest:
            raise name_too_long(target, self._longest)
        mode = _mode(target)
        if mode is None:
            return
        if as_link and not stat.S_ISLNK(mode):
            raise no_place_for_a_link(target)
        if not as_link and not stat.S_ISREG(mode):
            raise no_place_for_a_file(target)


def _mode(path: Path) -> int | None:
    try:
        return os.lstat(path).st_mode
    except (OSError, ValueError):
        return None


def _name_max_bytes(folder: Path) -> int:
    """Of the disk that holds `folder`, or will hold it."""
    for place in (folder, *folder.parents):
        try:
            return os.pathconf(place, "PC_NAME_MAX")
        except (OSError, ValueError):
            continue
    return NAME_MAX_BYTES
