"""What there is to transfer, streamed: local trees and what is below a remote prefix.

Nothing here leaves what it was given, or holds a whole listing in memory.
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

    What vanishes between being seen and being looked at is left out. With `resolved` the folders above `paths` are no
    symlinks either, as in `Order.resolved`; with `folders` directories that have something in them are told too, where
    they are `unusual`. Raises Cancelled, and nothing else.
    """
    return batches(LocalWalk(selection, cancel or CancelToken(), resolved=resolved, folders=folders).over(paths), BATCH)


def upload_prefix(to: str) -> str:
    """What the keys of an upload to the folder `to` begin with: '' at the top, else `to` with one '/' behind it.

    Raises InvalidName for a folder that no service could hold and no disk take back.
    """
    folder = to.strip("/")
    if (folder and any(part in _NO_NAMES for part in folder.split("/"))) or "\0" in folder:
        raise InvalidName(
            f"'{to}': a folder at the provider has no empty parts, no '.' and '..' and no NUL in its name",
            hint="Name it from the top, like photos/2024; leave it out for the top itself.",
        )
    return f"{folder}/" if folder else ""


def batches(entries: Iterable[T], size: int) -> Iterator[list[T]]:
    remaining = iter(entries)
    while batch := list(islice(remaining, size)):
        yield batch


def walk_remote(provider: BaseProvider, key: str, cancel: CancelToken) -> Iterator[RemoteFile]:
    """What a chosen key stands for: the object itself, or with a final '/' everything below that prefix ('/' alone: all
    there is), the marker that some tools leave for the folder itself included, and what stands there without being an
    object (`left_out` says why). Raises ProviderError; NotFound when there is nothing."""
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
    """As `walk_remote`, for deleting: where folders are real, these too (keys that end in '/'), also empty ones and the
    chosen one itself."""
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
    """Folders that were named as files are. `keys`: as they were named."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys
        named = ", ".join(f"'{key}'" for key in keys)
        is_folder = "is a folder" if len(keys) == 1 else "are folders"
        right = " ".join(shell_quoted(f"{key}/") for key in keys)
        super().__init__(f"{named} {is_folder}, not a file", hint=f"A folder is named with a final '/': {right}")


def _single(provider: BaseProvider, key: str, cancel: CancelToken) -> RemoteFile:
    try:
        return provider.retry.run(lambda: provider.stat(key), cancel)
    except NotFound:
        if _is_folder(provider, key, cancel):
            raise IsAFolder(key) from None
        raise


def _is_folder(provider: BaseProvider, key: str, cancel: CancelToken) -> bool:
    """Also an empty one, where folders are real."""
    page = provider.retry.run(lambda: provider.scan(f"{key}/", delimiter="/", limit=1), cancel)
    if not (page.files or page.prefixes or page.left_out) and provider.capabilities.real_folders:
        page = provider.retry.run(lambda: provider.scan_tree(f"{key}/", limit=1), cancel)
    return bool(page.files or page.prefixes or page.left_out)


def _nothing_below(provider: BaseProvider, key: str) -> NotFound:
    hint = f"A file is named without the final '/': {shell_quoted(key[:-1])}." if _is_file(provider, key) else ""
    return NotFound(f"{key}: there is nothing below it", hint=hint)


def _is_file(provider: BaseProvider, key: str) -> bool:
    """Whether what was named as a folder is a file; no answer is a no."""
    try:
        provider.stat(key.rstrip("/"))
    except ProviderError:
        return False
    return True


def walk_prefix(provider: BaseProvider, prefix: str, cancel: CancelToken) -> Iterator[RemoteFile]:
    """Everything below a prefix, page by page, each page retried as the settings say; what is `left_out` too."""
    for page in _pages(lambda token: provider.scan(prefix, token=token), provider, cancel):
        yield from page.files
        yield from page.left_out


def _pages(scan: Callable[[str | None], Page], provider: BaseProvider, cancel: CancelToken) -> Iterator[Page]:
    return pages(lambda token: provider.retry.run(lambda: scan(token), cancel))


class Destination:
    """What stands in the folders of an upload's destination already, as far as it is known by now, so that not every
    file needs a question of its own. Safe from any thread."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.complete = False

    def look(self, provider: BaseProvider, prefixes: Iterable[str], cancel: CancelToken, *, limit: int) -> None:
        """List at most `limit` objects; more than that leave the rest unknown. Raises ProviderError, Cancelled."""
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
    """Raises InvalidName when two of the chosen would get the same name."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidName(f"two of the chosen have the same name: '{name}'", hint="Queue them one after the other.")
        seen.add(name)
