"""What is already at the destination of an upload."""

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
"""A page of a listing costs about as much as so many questions for one object (S3's price list: 12)."""
MTIME_SLACK_S: Final = 1.0


def standing_files(
    provider: BaseProvider,
    files: dict[str, TreeEntry],
    budget: Budget,
    cancel: CancelToken,
    spellings: Spellings | None = None,
) -> Iterator[RemoteFile]:
    """Those objects that stand where the files would go. `spellings` learns of all that are seen.

    They are looked for in listings, and where these go on for longer than asking would take, one by one: a few files
    may stand beside millions of objects.
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
    """Every place where one of the files would go, page by page; None at last where there were more than `most`, or
    where something in them cannot be read."""
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
    """The prefix at the destination of the chosen folder in which `found` lies."""
    return key[: len(key) - len(found.name)] + found.name.partition("/")[0] + "/"


def spellings_at(provider: BaseProvider, prefix: str, budget: Budget, cancel: CancelToken) -> Spellings | None:
    """What is at the destination, where a service makes no difference between some names."""
    if provider.capabilities.case_sensitive:
        return None
    spellings = Spellings()
    for name in budget.spend(_names(provider, prefix, cancel)):
        spellings.twin(name)
    return spellings


class Spellings:
    """Names between which a service makes no difference (Dropbox): of folders as well as of files."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}

    def twin(self, key: str) -> str | None:
        """What `key`, or a folder in it, was spelt when it was first given; None when it was just so."""
        parts = key.rstrip("/").split("/")
        for end in range(1, len(parts) + 1):
            path = "/".join(parts[:end])
            first = self._first.setdefault(unicodedata.normalize("NFC", path).lower(), path)
            if first != path:
                return first
        return None


def _names(provider: BaseProvider, prefix: str, cancel: CancelToken) -> Iterator[str]:
    """Files and folders that stand in the folder `prefix`."""
    for page in _pages(provider, prefix, "/", cancel):
        yield from (file.key for file in page.files)
        yield from page.prefixes


def _pages(provider: BaseProvider, prefix: str, delimiter: str, cancel: CancelToken) -> Iterator[Page]:
    def readable(token: str | None) -> Page:
        try:
            return provider.retry.run(lambda: provider.scan(prefix, delimiter=delimiter, token=token), cancel)
        except IncompleteListing as error:  # the names that it lacks are asked for one by one
            page: Page = error.page
            return page

    return pages(readable)


def differs(remote: RemoteFile, local: TreeEntry) -> bool:
    """As far as a listing tells: most services keep the file's own time out of it."""
    if remote.size_bytes != local.size_bytes:
        return True
    if remote.modified_at is None or remote.stored_at is None or remote.modified_at == remote.stored_at:
        return False
    return abs(remote.modified_at - local.mtime_ns / 1e9) > MTIME_SLACK_S
