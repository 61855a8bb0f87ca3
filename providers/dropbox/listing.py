"""Listings of a folder, or of everything below it, page by page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from providers.contract.listing import Trail, foreign, unparsable, whole
from providers.contract.objects import Page, RemoteFile
from providers.dropbox.client import DropboxClient, DropboxRequest
from providers.dropbox.errors import DropboxReply, failure, not_dropbox
from providers.dropbox.folders import DropboxFolders
from providers.dropbox.names import checked_key, decode_name, folded
from providers.dropbox.objects import has_bytes, is_file, left_out, remote_file
from providers.errors import Conflict, Integrity, InvalidName, ProviderError, Transient
from providers.http import broken_json
from providers.http.connections import Calls
from providers.http.errors import json_object

_KINDS: Final = ("file", "folder", "deleted")
_MAX_ENTRIES: Final = 2000
"""Maximum number of entries in one answer."""


@dataclass(frozen=True)
class _Place:
    """Position in a listing: the answer to `cursor` ('' for the first), after `skip` of its entries.

    Dropbox treats `limit` as approximate, so one answer may have to be split into two pages.
    """

    cursor: str = ""
    skip: int = 0

    @classmethod
    def parse(cls, token: str | None) -> _Place:
        if token is None:
            return cls()
        try:
            cursor, skip = json.loads(token)
            return cls(str(cursor), int(skip))
        except (ValueError, TypeError):
            raise Conflict("this listing cannot be continued: its token is invalid", code="token") from None

    @property
    def token(self) -> str:
        return json.dumps([self.cursor, self.skip])


def page(
    wire: DropboxClient,
    folders: DropboxFolders,
    prefix: str,
    delimiter: str,
    token: str | None,
    limit: int,
    *,
    tree: bool = False,
) -> Page:
    """Implements `Storage.scan`, and with `tree` `scan_tree`. Requests only the folder in which the prefix ends."""
    folder, _, _ = prefix.rpartition("/")
    try:
        parts = checked_key(folder) if folder else []
    except InvalidName:
        return Page()  # no Dropbox name begins like this
    place, trail = _Place.parse(token), Trail()
    shown = _Shown(prefix, bool(delimiter) or tree, max(1, limit))
    while True:
        limit = min(shown.limit, _MAX_ENTRIES)
        reply = _ask(wire, folders, parts, place.cursor, recursive=not delimiter, limit=limit, troubles=shown.troubles)
        if reply is None:
            return Page()
        if tree and prefix.endswith("/") and token is None:
            shown.take_folder(prefix)
        entries = reply["entries"]
        taken = place.skip
        for key, metadata in _below(folder, folders.path(parts), entries[place.skip :]):
            if shown.full:
                break
            shown.take(key, metadata)
            taken += 1
        if taken < len(entries):
            return shown.page(_Place(place.cursor, taken).token)
        if not reply.get("has_more"):
            return shown.page(None)
        place = _Place(str(reply.get("cursor")))
        trail = trail.step(place.cursor, brought=bool(entries))
        if shown.full:
            return shown.page(place.token)


class _Shown:
    """A page being filled. It is also full after too many entries that do not belong to it."""

    def __init__(self, prefix: str, folded: bool, limit: int) -> None:
        self.limit = limit
        self._prefix = prefix
        self._folded = folded
        self._files: dict[str, RemoteFile] = {}
        self._left_out: dict[str, RemoteFile] = {}
        self._prefixes: dict[str, None] = {}
        self._passed_over = 0
        self.troubles: list[ProviderError] = []
        """Errors for unreadable entries."""

    @property
    def full(self) -> bool:
        shown = len(self._files) + len(self._left_out) + len(self._prefixes)
        return shown >= self.limit or self._passed_over >= _MAX_ENTRIES

    def take(self, key: str | None, metadata: Mapping[str, Any]) -> None:
        if metadata.get(".tag") not in _KINDS:
            kind = str(metadata.get(".tag"))[:100]
            self.troubles.append(Integrity(f"an entry in Dropbox's listing has an unknown kind: '{kind}'"))
        if key is None or not key.startswith(self._prefix):
            self._passed_over += 1
        elif is_file(metadata) and not has_bytes(metadata):
            self._left_out[key] = left_out(key, metadata)
        elif is_file(metadata):
            try:
                self._files[key] = remote_file(key, metadata)
            except (Integrity, Transient) as error:
                self.troubles.append(error)
        elif self._folded:
            self.take_folder(f"{key}/")
        else:
            self._passed_over += 1

    def take_folder(self, prefix: str) -> None:
        self._prefixes[prefix] = None

    def page(self, token: str | None) -> Page:
        return whole(
            Page(
                files=tuple(self._files.values()),
                prefixes=tuple(self._prefixes),
                next_token=token,
                left_out=tuple(self._left_out.values()),
            ),
            self.troubles,
        )


def first_in(wire: DropboxClient, folders: DropboxFolders, parts: Sequence[str]) -> str | None:
    """The name of any entry in a folder; None if it is empty or missing."""
    cursor, trail = "", Trail()
    while True:
        reply = _ask(wire, folders, parts, cursor, recursive=False, limit=1)
        if reply is None:
            return None
        if reply["entries"]:
            return decode_name(str(reply["entries"][0].get("name", "")))
        if not reply.get("has_more"):
            return None
        cursor = str(reply.get("cursor"))
        trail = trail.step(cursor, brought=False)


def _ask(
    wire: DropboxClient,
    folders: DropboxFolders,
    parts: Sequence[str],
    cursor: str,
    *,
    recursive: bool,
    limit: int,
    troubles: list[ProviderError] | None = None,
) -> dict[str, Any] | None:
    """One answer; None if the folder does not exist. Parse errors are added to `troubles`, or raised without it.
    Raises NotFound if the container does not exist."""
    about = "listing"
    if cursor:
        request = DropboxRequest(
            "files/list_folder/continue", {"cursor": cursor}, accepts=frozenset({409}), about=about
        )
    else:
        arguments = {"path": folders.path(parts), "recursive": recursive, "limit": limit}
        request = DropboxRequest("files/list_folder", arguments, accepts=frozenset({409}), about=about)
    reply = wire.ask(request, Calls())
    if reply.status != 409:
        return _listing(reply, troubles)
    if "reset" in reply.tags:
        raise Conflict("Dropbox has lost the position of this listing", hint="List again.", code="reset")
    if "path" in reply.tags and ("not_found" in reply.tags or "not_folder" in reply.tags):
        if not parts:
            raise folders.missing()
        folders.require_container()
        return None
    raise failure(reply, about)


def _listing(reply: DropboxReply, troubles: list[ProviderError] | None) -> dict[str, Any]:
    answer = json_object(reply.body)
    if answer is None and troubles is not None:
        answer = broken_json.readable(reply.body, "entries")
        troubles += [unparsable()] if answer is not None else []
    entries = (answer or {}).get("entries")
    if answer is None or troubles is None or not isinstance(entries, list):
        return reply.json() | {"entries": entries_of(reply)}
    described = [item for item in entries if _is_described(item)]
    if len(described) < len(entries):
        troubles.append(Integrity("an entry in Dropbox's listing has no name or no kind"))
    return answer | {"entries": described}


def _is_described(item: object) -> bool:
    if not isinstance(item, dict) or ".tag" not in item or not isinstance(item.get("name"), str):
        return False
    return isinstance(item.get("path_display") or "", str)


def entries_of(reply: DropboxReply) -> list[dict[str, Any]]:
    """Entries of a files/list_folder answer. Raises InvalidConfiguration for any other answer."""
    entries = reply.json().get("entries")
    if not isinstance(entries, list) or not all(isinstance(item, dict) and ".tag" in item for item in entries):
        raise not_dropbox(reply)  # never an empty listing
    return entries


def _below(
    folder: str, path: str, entries: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str | None, Mapping[str, Any]]]:
    """Each entry with its key. None for the folder itself, and for entries deleted during the listing.

    Only the last part of a path that Dropbox displays is reliably spelt. So the folder's part is compared with the
    requested folder and then taken from the request. Raises Integrity for an entry elsewhere.
    """
    depth = path.count("/") + 1
    for metadata in entries:
        display = str(metadata.get("path_display") or metadata.get("path_lower") or "").split("/")
        tag = metadata.get(".tag")
        itself = tag == "folder" and folded("/".join(display)) == folded(path)
        if itself or tag not in ("file", "folder"):
            yield None, metadata
            continue
        same_folder = len(display) > depth and folded("/".join(display[:depth])) == folded(path)
        if not same_folder or folded(display[-1]) != folded(str(metadata.get("name", ""))):
            raise foreign("/".join(display), path)
        names = [decode_name(name) for name in (*display[depth:-1], str(metadata.get("name", "")))]
        yield "/".join([folder, *names] if folder else names), metadata
