"""Pages of a folder, or of everything below it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from providers.connection import Calls
from providers.dropbox.folders import Folders
from providers.dropbox.names import checked_key, decode_name
from providers.dropbox.objects import is_file, remote_file
from providers.dropbox.replies import failure
from providers.dropbox.wire import Request, Wire
from providers.errors import Conflict, InvalidName
from providers.objects import Page, RemoteFile

_MAX_ENTRIES: Final = 2000
"""As many as Dropbox gives in one answer."""


@dataclass(frozen=True)
class _Place:
    """Where a listing stands: in the answer that `cursor` gives ('' the first), after `skip` of its entries.

    Dropbox takes `limit` as an approximate number, so that an answer may have to be taken in two.
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
            raise Conflict("this listing cannot be continued: its token is not ours", code="token") from None

    @property
    def token(self) -> str:
        return json.dumps([self.cursor, self.skip])


def page(wire: Wire, folders: Folders, prefix: str, delimiter: str, token: str | None, limit: int) -> Page:
    """What `BaseProvider.scan` promises. Asks only for the folder in which the prefix ends."""
    folder, _, _ = prefix.rpartition("/")
    try:
        parts = checked_key(folder) if folder else []
    except InvalidName:
        return Page()  # no name of Dropbox begins so
    place = _Place.parse(token)
    files: dict[str, RemoteFile] = {}
    prefixes: dict[str, None] = {}
    room = max(1, limit)
    while True:
        reply = _ask(wire, folders, parts, place.cursor, recursive=not delimiter, limit=min(room, _MAX_ENTRIES))
        if reply is None:
            return Page()
        entries = list(reply.get("entries") or ())[place.skip :]
        taken = entries[:room]
        for key, metadata in _below(folder, len(folders.path(parts).split("/")), taken):
            if not key.startswith(prefix):
                continue
            if is_file(metadata):
                files[key] = remote_file(key, metadata)
            elif delimiter:
                prefixes[f"{key}/"] = None
        room -= len(taken)
        if len(taken) < len(entries):
            place = _Place(place.cursor, place.skip + len(taken))
        elif reply.get("has_more") and isinstance(reply.get("cursor"), str):
            place = _Place(reply["cursor"])
        else:
            return Page(files=tuple(files.values()), prefixes=tuple(prefixes))
        if room <= 0:
            return Page(files=tuple(files.values()), prefixes=tuple(prefixes), next_token=place.token)


def _ask(
    wire: Wire, folders: Folders, parts: Sequence[str], cursor: str, *, recursive: bool, limit: int
) -> dict[str, Any] | None:
    """One answer; None when the folder is not there. Raises NotFound when it is the container."""
    about = "listing"
    if cursor:
        request = Request("files/list_folder/continue", {"cursor": cursor}, accepts=frozenset({409}), about=about)
    else:
        arguments = {"path": folders.path(parts), "recursive": recursive, "limit": limit}
        request = Request("files/list_folder", arguments, accepts=frozenset({409}), about=about)
    reply = wire.ask(request, Calls())
    if reply.status != 409:
        return reply.json()
    if "reset" in reply.tags:
        raise Conflict("Dropbox has forgotten how far this listing had come", hint="List again.", code="reset")
    if "path" in reply.tags and ("not_found" in reply.tags or "not_folder" in reply.tags):
        if not parts:
            raise folders.missing()
        folders.require_container()
        return None
    raise failure(reply, about)


def _below(folder: str, depth: int, entries: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Keys and what stands there. The folder itself, and what was removed while the listing went on, are left out.

    Of a path as Dropbox displays it, only the end is surely spelt right: the folder's own part is taken as it was
    asked for.
    """
    for metadata in entries:
        if metadata.get(".tag") not in ("file", "folder"):
            continue
        display = str(metadata.get("path_display") or metadata.get("path_lower") or "").split("/")
        inner = [*display[depth:-1], str(metadata.get("name", ""))] if len(display) > depth else []
        if inner:
            names = [decode_name(name) for name in inner]
            yield "/".join([folder, *names] if folder else names), metadata
