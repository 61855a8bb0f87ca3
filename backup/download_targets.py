"""Where a remote object may stand on the local disk: always inside the chosen folder, or nowhere."""

from __future__ import annotations

import os
import stat
import tempfile
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from providers.errors import Conflict, InvalidName
from providers.os_errors import from_os_error

_ESCAPES: Final = frozenset({"", ".", ".."})


def chosen_target(to: Path | str, keys: Sequence[str]) -> tuple[Path, bool]:
    """Where a download of `keys` to what was typed goes: an absolute path, and whether it is the folder to put things
    into (else it is the very path of the one object).

    It is a folder where the text says so ('/' at its end, '.' or '..' as its last part), where one stands, and for all
    but a single object. Raises Conflict where a file stands in the way.
    """
    text = os.fspath(to)
    path = Path(os.path.abspath(text))
    says_so = os.path.basename(text) in _ESCAPES
    folder = says_so or len(keys) != 1 or keys[0].endswith("/") or path.is_dir()
    _refuse_file_in_the_way(path if folder else path.parent)
    return path, folder


def _refuse_file_in_the_way(folder: Path) -> None:
    """Raises Conflict unless `folder` is one, or can be made."""
    for place in (folder, *folder.parents):
        if os.path.isdir(place):
            return
        if os.path.lexists(place):
            what = "a link that leads to no folder" if os.path.islink(place) else "a file"
            raise Conflict(
                f"{place}: {what} stands where a folder is needed",
                hint="Choose another folder with --to; a single file may also be given its own new path.",
            )


def local_name(key: str, chosen: str) -> str:
    """The path of `key` relative to the target folder when `chosen` was asked for: a folder (`photos/2024/`) keeps its
    own name, a single object loses the folders above it, and '/' stands for everything.

    Raises InvalidName for a key that no path below the folder can stand for.
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


def prepare(root: Path, name: str, *, folder: bool = False) -> Path:
    """Make the folders above `root/name` (and with `folder` that one too); returns the path.

    Raises InvalidName when a symlink stands in the way, since it may lead out of `root`, Conflict when a file does, and
    whatever the disk says.
    """
    parts = name.removesuffix("/").split("/")
    at = Path(os.path.realpath(root))
    try:
        at.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise from_os_error(error, at) from None
    for part in parts if folder else parts[:-1]:
        at = at / part
        _enter(at)
    return at if folder else at / parts[-1]


def _enter(folder: Path) -> None:
    try:
        try:
            os.mkdir(folder)
        except FileExistsError:
            mode = os.lstat(folder).st_mode
            if stat.S_ISLNK(mode):
                raise InvalidName(
                    f"{folder}: is a symbolic link, which could lead out of the chosen folder",
                    hint="Remove the link, or choose another folder.",
                ) from None
            if not stat.S_ISDIR(mode):
                raise Conflict(f"{folder}: a file stands where a folder is needed") from None
    except OSError as error:
        raise from_os_error(error, folder) from None


class FoldedNames:
    """Names that a disk cannot tell apart (macOS, Windows, some network disks). On a disk that tells all apart, no two
    fold."""

    def __init__(self, folder: Path) -> None:
        self._folds = folds_names(folder)
        self._seen: dict[str, str] = {}

    def twin(self, name: str) -> str | None:
        """Another name, given before, that is the same file on this disk."""
        if not self._folds:
            return None
        first = self._seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        return first if first != name else None


def folds_names(folder: Path) -> bool:
    """Whether the disk that holds `folder` takes some different names for the same file. Found out by trying."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".hsb-name-É-") as probe:
            path = Path(probe.name)
            twins = (path.with_name(path.name.swapcase()), path.with_name(unicodedata.normalize("NFD", path.name)))
            return any(os.path.lexists(twin) for twin in twins)
    except OSError:
        return False  # then nothing can be written there either, and each item says why
