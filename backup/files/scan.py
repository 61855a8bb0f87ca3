"""Streamed scans of what there is to transfer: local trees, and objects below a remote prefix.

A scan never leaves the chosen paths, and never holds a whole listing in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from backup.files.tree import LocalWalk
from backup.files.tree import TreeEntry as TreeEntry
from backup.files.tree import top_name as top_name
from backup.model.transfers import EVERYTHING, Selection
from backup.system.text import shell_quoted
from providers.base import BaseProvider
from providers.contract.cancel import CancelToken
from providers.contract.objects import Page, RemoteFile, pages
from providers.errors import InvalidName, NotFound, ProviderError

BATCH: Final = 500
_NO_NAMES: Final = frozenset({"", ".", ".."})
T = TypeVar("T")


def walk_local(
    paths: Sequence[Path | str],
    *,
    cancel: CancelToken | None = None,
    resolved: bool = False,
    selection: Selection = EVERYTHING,
    folders: bool = False,
) -> Iterator[list[TreeEntry]]:
    """Batches of up to 500 entries: files, empty directories, symlinks and special files, and what cannot be read.

    Entries that vanish during the scan are left out. With `resolved` the folders above `paths` may not be symlinks
    either, as in `JobRequest.resolved`. With `folders` non-empty directories are included if they are `unusual`.
    Raises Cancelled, and nothing else.
    """
    return batches(LocalWalk(selection, cancel or CancelToken(), resolved=resolved, folders=folders).over(paths), BATCH)


def upload_prefix(to: str) -> str:
    """The prefix of the keys of an upload to the folder `to`: '' at the top, else `to` with one final '/'.

    Raises InvalidName for a folder that no service could hold and no disk could restore.
    """
    folder = to.strip("/")
    if (folder and any(part in _NO_NAMES for part in folder.split("/"))) or "\0" in folder:
        raise InvalidName(
            f"'{to}': a folder at the provider cannot have empty parts, '.', '..' or NUL in its name",
            hint="Give the full path, such as photos/2024, or omit it for the top level.",
        )
    return f"{folder}/" if folder else ""


def batches(entries: Iterable[T], size: int) -> Iterator[list[T]]:
    remaining = iter(entries)
    while batch := list(islice(remaining, size)):
        yield batch


def walk_remote(provider: BaseProvider, key: str, cancel: CancelToken) -> Iterator[RemoteFile]:
    """The objects under a chosen key: the object itself, or with a final '/' everything below that prefix ('/' alone:
    everything). Includes the marker that some tools store for the folder itself, and entries that are no objects
    (`left_out` says why). Raises ProviderError; NotFound if there is nothing."""
    if not key.endswith("/"):
        yield _single(provider, key, cancel)
        return
    anything = False
    for file in walk_prefix(provider, "" if key == "/" else key, cancel):
        anything = True
        yield file
    if not anything:
        raise _nothing_below(provider, key)


def walk_tree(provider: BaseProvider, key: str, cancel: CancelToken) -> Iterator[RemoteFile]:
    """Like `walk_remote`, for deletes: where folders are real it includes them (keys that end in '/'), also empty ones
    and the chosen one itself."""
    if not (key.endswith("/") and provider.capabilities.real_folders):
        yield from walk_remote(provider, key, cancel)
        return
    prefix = "" if key == "/" else key
    anything = False
    for page in _pages(lambda token: provider.scan_tree(prefix, token=token), provider, cancel):
        anything = anything or bool(page.files or page.prefixes or page.left_out)
        yield from page.files
        yield from page.left_out
        yield from (RemoteFile(key=folder, size_bytes=0) for folder in page.prefixes)
    if not anything:
        raise _nothing_below(provider, key)


class IsAFolder(NotFound):
    """Folders that were named like files. `keys`: the names as given."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys
        named = ", ".join(f"'{key}'" for key in keys)
        is_folder = "is a folder" if len(keys) == 1 else "are folders"
        right = " ".join(shell_quoted(f"{key}/") for key in keys)
        super().__init__(f"{named} {is_folder}, not a file", hint=f"Name a folder with a final '/': {right}")


def _single(provider: BaseProvider, key: str, cancel: CancelToken) -> RemoteFile:
    try:
        return provider.retry.run(lambda: provider.stat(key), cancel)
    except NotFound:
        if _is_folder(provider, key, cancel):
            raise IsAFolder(key) from None
        raise


def _is_folder(provider: BaseProvider, key: str, cancel: CancelToken) -> bool:
    """Whether it is a folder; where folders are real, also an empty one."""
    page = provider.retry.run(lambda: provider.scan(f"{key}/", delimiter="/", limit=1), cancel)
    if not (page.files or page.prefixes or page.left_out) and provider.capabilities.real_folders:
        page = provider.retry.run(lambda: provider.scan_tree(f"{key}/", limit=1), cancel)
    return bool(page.files or page.prefixes or page.left_out)


def _nothing_below(provider: BaseProvider, key: str) -> NotFound:
    hint = f"Name a file without the final '/': {shell_quoted(key[:-1])}." if _is_file(provider, key) else ""
    return NotFound(f"{key}: there is nothing below it", hint=hint)


def _is_file(provider: BaseProvider, key: str) -> bool:
    """Whether something named as a folder is a file; no answer means no."""
    try:
        provider.stat(key.rstrip("/"))
    except ProviderError:
        return False
    return True


def walk_prefix(provider: BaseProvider, prefix: str, cancel: CancelToken) -> Iterator[RemoteFile]:
    """Everything below a prefix, page by page, `left_out` included; each page is retried as the settings say."""
    for page in _pages(lambda token: provider.scan(prefix, token=token), provider, cancel):
        yield from page.files
        yield from page.left_out


def _pages(scan: Callable[[str | None], Page], provider: BaseProvider, cancel: CancelToken) -> Iterator[Page]:
    return pages(lambda token: provider.retry.run(lambda: scan(token), cancel))


class Destination:
    """Known objects in the destination folders of an upload, so that not every file needs a request. Safe from any
    thread."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.complete = False

    def look(self, provider: BaseProvider, prefixes: Iterable[str], cancel: CancelToken, *, limit: int) -> None:
        """List at most `limit` objects; the rest stays unknown. Raises ProviderError, Cancelled."""
        for prefix in prefixes:
            for file in walk_prefix(provider, prefix, cancel):
                if file.left_out:
                    continue
                if len(self.keys) >= limit:
                    return
                self.keys.add(file.key)
        self.complete = True

    def has(self, key: str) -> bool | None:
        """None: not known (yet)."""
        return True if key in self.keys else False if self.complete else None


def refuse_twins(names: list[str]) -> None:
    """Raises InvalidName if two of the chosen paths would get the same name."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidName(f"two selected paths share the name '{name}'", hint="Queue them one after the other.")
        seen.add(name)
