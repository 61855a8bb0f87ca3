"""Local targets of remote objects: always inside the chosen folder, or nowhere."""

from __future__ import annotations

import os
import secrets
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from providers.contract.objects import RemoteFile
from providers.errors import Conflict, InvalidName, ProviderError
from providers.filesystem import beneath as walk
from providers.remedies import Action, Remedy

_ESCAPES: Final = frozenset({"", ".", ".."})


def chosen_target(to: Path | str, keys: Sequence[str]) -> tuple[Path, bool]:
    """The target of a download of `keys` to the typed path: an absolute path, and whether it is the folder to put
    things into (otherwise it is the exact path of the one object).

    It is a folder if the text says so (a final '/', or '.' or '..' as its last part), if a folder exists there, and for
    everything but a single object. Raises Conflict if a file is in the way.
    """
    text = os.fspath(to)
    path = Path(os.path.abspath(text))
    says_so = os.path.basename(text) in _ESCAPES
    folder = says_so or len(keys) != 1 or keys[0].endswith("/") or os.path.isdir(path)
    _refuse_file_in_the_way(path if folder else path.parent)
    return path, folder


def _refuse_file_in_the_way(folder: Path) -> None:
    """Raises Conflict unless `folder` is a folder or can be created."""
    for place in (folder, *folder.parents):
        if os.path.isdir(place):
            return
        if os.path.lexists(place):
            what = "a link that does not lead to a folder" if os.path.islink(place) else "a file"
            raise Conflict(
                f"{place}: {what} is where a folder is needed",
                hint="A single file may also be given its own new path.",
                remedies=(Remedy(Action.CHOOSE_FOLDER),),
            )


def local_name(key: str, chosen: str) -> str:
    """The path of `key` relative to the target folder when `chosen` was requested. A folder (`photos/2024/`) keeps its
    own name, a single object loses the folders above it, and '/' is everything.

    Raises InvalidName for a key that has no path below the folder.
    """
    above = "" if chosen == "/" else chosen.rstrip("/").rpartition("/")[0]
    name = key.removeprefix(f"{above}/") if above else key
    parts = name.removesuffix("/").split("/")
    if any(part in _ESCAPES for part in parts) or "\0" in name:
        raise InvalidName(
            f"'{key}': no file below the chosen folder can have this name",
            hint="Download it alone, to a name you choose.",
        )
    return name


def refuse_content_of_a_folder(file: RemoteFile) -> None:
    """Raises InvalidName for an object whose content no local folder could hold."""
    if file.key.endswith("/") and file.size_bytes:
        raise InvalidName(
            f"{file.key}: holds {file.size_bytes} bytes, and is named as a folder, which has no content here",
            hint="Rename it at the service, without the '/' at its end, and download it again.",
        )


def prepare(
    root: Path, name: str, *, folder: bool = False, beneath: Path | None = None, mode: int | None = None
) -> Path:
    """Create the folders above `root/name` (with `folder` that one too) with exactly this `mode`, by default the usual
    one of this process; returns the path.

    No symlink below `beneath` is followed; by default that is `root`, which may be a symlink itself. Raises InvalidName
    if a symlink is in the way, since it may lead out of `root`, Conflict if a file is, and errors of the disk.
    """
    top = root if beneath else Path(os.path.realpath(root))
    path = top.joinpath(*name.removesuffix("/").split("/"))
    with walk.folder(path if folder else path.parent, beneath or top, make=True, mode=mode):
        return path


class FoldedNames:
    """Names that a disk cannot distinguish (macOS, Windows, some network disks). On a disk that distinguishes all names
    there are no twins."""

    def __init__(self, folder: Path, beneath: Path | None = None, mode: int | None = None) -> None:
        self._folds = folds_names(folder, beneath, mode)
        self._seen: dict[str, str] = {}

    def twin(self, name: str) -> str | None:
        """An earlier name that is the same file on this disk."""
        if not self._folds:
            return None
        first = self._seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        return first if first != name else None


def folds_names(folder: Path, beneath: Path | None = None, mode: int | None = None) -> bool:
    """Whether the disk of `folder` treats some different names as the same file, tested by creating one. Creates
    `folder` (with `mode`); below `beneath` no symlink is followed."""
    probe = f".hsb-name-É-{secrets.token_hex(4)}x"
    twins = (probe.swapcase(), unicodedata.normalize("NFD", probe))
    try:
        with walk.folder(folder, beneath, make=True, mode=mode) as at:
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=at))
            try:
                return any(_is_there(twin, at) for twin in twins)
            finally:
                os.unlink(probe, dir_fd=at)
    except (OSError, ProviderError):
        return False  # nothing can be written there, and each item reports why


def _is_there(name: str, at: int) -> bool:
    try:
        os.stat(name, dir_fd=at, follow_symlinks=False)
    except OSError:
        return False
    return True
