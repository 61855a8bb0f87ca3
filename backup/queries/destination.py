"""The objects already at the destination of an upload."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator
from typing import Final

from backup.files.scan import TreeEntry
from backup.queries.budget import Budget
from providers.base import BaseProvider
from providers.contract.cancel import CancelToken
from providers.contract.objects import Page, RemoteFile, pages
from providers.errors import IncompleteListing, InvalidName, NotFound

_QUESTIONS_A_PAGE: Final = 10
"""A page of a listing costs about as much as this many requests for one object (S3's price list: 12)."""
MTIME_SLACK_S: Final = 1.0


def existing_files(
    provider: BaseProvider,
    files: dict[str, TreeEntry],
    budget: Budget,
    cancel: CancelToken,
    spellings: Spellings | None = None,
) -> Iterator[RemoteFile]:
    """The objects that exist where the files would go. All names seen are added to `spellings`.

    They are looked up in listings, or one by one if that is cheaper: a few files may be beside millions of objects.
    """
    left = set(files)
    pages = math.inf if spellings is not None else 1 + len(files) // _QUESTIONS_A_PAGE
    for page in _listings(provider, files, pages, cancel):
        if page is None:
            break
        for file in budget.spend(page.files):
            if spellings is not None:
                spellings.twin(file.key)
            if file.key in left:
                left.discard(file.key)
                yield file
        if budget.exhausted or not left:
            return
    else:
        return
    for key in budget.spend(sorted(left)):
        try:
            yield provider.retry.run(lambda at=key: provider.stat(at), cancel)  # type: ignore[misc]
        except (NotFound, InvalidName):
            continue


def _listings(
    provider: BaseProvider, files: dict[str, TreeEntry], most: float, cancel: CancelToken
) -> Iterator[Page | None]:
    """The listings of all places where files would go, page by page. Ends with None if there are more than `most`
    pages, or if a part of them cannot be read."""
    single = [key for key, found in files.items() if "/" not in found.name]
    folders = {_top(key, found) for key, found in files.items() if "/" in found.name}
    places = [(prefix, "") for prefix in sorted(folders)]
    if single:
        folder = single[0][: single[0].rfind("/") + 1]
        places.insert(0, (single[0] if len(single) == 1 else folder, "/"))
    incomplete = False
    for prefix, delimiter in places:
        pages = _pages(provider, prefix, delimiter, cancel)
        while most > 0 and (page := next(pages, None)) is not None:
            most -= 1
            yield page
            incomplete = incomplete or bool(page.unread)
            if page.next_token is None:
                break
        else:
            yield None
            return
    if incomplete:
        yield None


def _top(key: str, found: TreeEntry) -> str:
    """The prefix at the destination of the chosen folder that contains `found`."""
    return key[: len(key) - len(found.name)] + found.name.partition("/")[0] + "/"


def spellings_at(provider: BaseProvider, prefix: str, budget: Budget, cancel: CancelToken) -> Spellings | None:
    """The names at the destination, if the service is case-insensitive; else None."""
    if provider.capabilities.case_sensitive:
        return None
    spellings = Spellings()
    for name in budget.spend(_names(provider, prefix, cancel)):
        spellings.twin(name)
    return spellings


class Spellings:
    """Names of files and folders at a case-insensitive service (Dropbox)."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}

    def twin(self, key: str) -> str | None:
        """The first spelling of `key`, or of a folder in it, if it differs; else None."""
        parts = key.rstrip("/").split("/")
        for end in range(1, len(parts) + 1):
            path = "/".join(parts[:end])
            first = self._first.setdefault(unicodedata.normalize("NFC", path).lower(), path)
            if first != path:
                return first
        return None


def _names(provider: BaseProvider, prefix: str, cancel: CancelToken) -> Iterator[str]:
    """Files and folders directly in the folder `prefix`."""
    for page in _pages(provider, prefix, "/", cancel):
        yield from (file.key for file in page.files)
        yield from page.prefixes


def _pages(provider: BaseProvider, prefix: str, delimiter: str, cancel: CancelToken) -> Iterator[Page]:
    def readable(token: str | None) -> Page:
        try:
            return provider.retry.run(lambda: provider.scan(prefix, delimiter=delimiter, token=token), cancel)
        except IncompleteListing as error:  # the missing names are looked up one by one
            page: Page = error.page
            return page

    return pages(readable)


def differs(remote: RemoteFile, local: TreeEntry) -> bool:
    """True if the file differs, as far as a listing shows: most services omit the file's own time."""
    if remote.size_bytes != local.size_bytes:
        return True
    if remote.modified_at is None or remote.stored_at is None or remote.modified_at == remote.stored_at:
        return False
    return abs(remote.modified_at - local.mtime_ns / 1e9) > MTIME_SLACK_S
