"""State of a Drive: files by id, upload sessions, pre-generated ids; enforces Google's limits."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from tests.servers import drive_query

ROOT: Final = "0ARootOfMyDriveUk9PVA"
FOLDER: Final = "application/vnd.google-apps.folder"
GRAIN: Final = 256 * 1024
_MAX_PROPERTY_BYTES: Final = 124
_PROPERTIES = ("appProperties", "properties")
"""Other programs can see the second."""
_MAX_PROPERTIES: Final = 30


class Refused(Exception):
    """An error answer."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message


def not_found(file_id: str) -> Refused:
    return Refused(404, "notFound", f"File not found: {file_id}.")


def invalid(message: str) -> Refused:
    return Refused(400, "invalid", message)


@dataclass
class Item:
    facts: dict[str, Any]
    data: bytes = b""

    @property
    def id(self) -> str:
        return str(self.facts["id"])

    @property
    def is_folder(self) -> bool:
        return bool(self.facts["mimeType"] == FOLDER)


@dataclass
class Session:
    upload_id: str
    metadata: dict[str, Any]
    file_id: str
    """'' for a new file."""
    total: int | None
    received: bytearray = field(default_factory=bytearray)
    requests: int = 0
    """Number of requests with content so far."""
    done: dict[str, Any] | None = None


class Store:
    """May be used from several threads."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._given: set[str] = set()
        self._sessions: dict[str, Session] = {}
        self._expired: set[str] = set()
        self.quota_bytes: int | None = None
        root = {"id": ROOT, "name": "My Drive", "mimeType": FOLDER, "parents": [], "createdTime": "", "trashed": False}
        self._items: dict[str, Item] = {ROOT: Item({**root, "modifiedTime": ""})}

    # Ids and times

    def new_id(self) -> str:
        with self._lock:
            found = f"1{next(self._numbers):06d}{secrets.token_urlsafe(19)}"[:33]
            self._given.add(found)
            return found

    def _time(self) -> str:
        """Created and modified times, in milliseconds."""
        return _milliseconds(datetime.fromtimestamp(self._now(), UTC).isoformat())

    # Looking

    def item(self, file_id: str) -> Item:
        with self._lock:
            found = self._items.get(ROOT if file_id == "root" else file_id)
        if found is None:
            raise not_found(file_id)
        return found

    def described(self, item: Item) -> dict[str, Any]:
        bin_ = {"trashed": self._in_bin(item), "explicitlyTrashed": item.facts["trashed"]}
        return {"kind": "drive#file", **item.facts, **bin_}

    def _in_bin(self, item: Item) -> bool:
        """A file is in the bin if any folder above it is."""
        with self._lock:
            parents = [self._items[parent] for parent in item.facts["parents"] if parent in self._items]
            return bool(item.facts["trashed"]) or any(self._in_bin(parent) for parent in parents)

    def page(self, query: str, order: str, size: int, token: str) -> dict[str, Any]:
        if not 1 <= size <= 1000:
            raise invalid(f"Invalid value '{size}'. Values must be within the range: [1, 1000]")
        try:
            test = drive_query.parse(query, {"root": ROOT})
        except drive_query.BadQuery as error:
            raise invalid(f"Invalid Value: {error}") from None
        after = _cursor(token, query, order)
        with self._lock:
            every = [self.described(item) for item in self._items.values() if item.id != ROOT]
        found = [(_sort_key(item, order), item) for item in every if test(item)]
        found.sort(key=lambda pair: pair[0])
        if after is not None:
            found = [pair for pair in found if pair[0] > after]
        page: dict[str, Any] = {"kind": "drive#fileList", "incompleteSearch": False}
        page["files"] = [item for _, item in found[:size]]
        if len(found) > size:
            page["nextPageToken"] = _token(found[size - 1][0], query, order)
        return page

    def children(self, folder_id: str) -> list[Item]:
        """Items in a folder, without those in the bin."""
        with self._lock:
            return [
                item
                for item in self._items.values()
                if folder_id in item.facts["parents"] and not item.facts["trashed"]
            ]

    def walk(self, folder_id: str, path: str = "") -> Iterator[tuple[str, Item]]:
        """All files below a folder with their paths, without those in the bin. Equal names occur several times."""
        with self._lock:
            children = [item for item in self._items.values() if folder_id in item.facts["parents"]]
        for item in children:
            if item.facts["trashed"]:
                continue
            if item.is_folder:
                yield from self.walk(item.id, f"{path}{item.facts['name']}/")
            else:
                yield f"{path}{item.facts['name']}", item

    def folder(self, path: str) -> str:
        """The id of a folder by its path from the root; created if missing."""
        at = ROOT
        for name in path.split("/"):
            with self._lock:
                found = [
                    item.id
                    for item in self._items.values()
                    if item.is_folder and item.facts["name"] == name and at in item.facts["parents"]
                ]
                at = found[0] if found else self.create({"name": name, "mimeType": FOLDER, "parents": [at]}).id
        return at

    # Changing

    def create(self, metadata: Mapping[str, Any], data: bytes = b"") -> Item:
        with self._lock:
            self._check(metadata)
            self._check_room(len(data))
            file_id = str(metadata.get("id") or self.new_id())
            if file_id in self._items:
                raise Refused(409, "fileIdInUse", "A file already exists with the provided ID.")
            if file_id not in self._given:
                raise Refused(400, "invalid", "The provided file ID is not usable.")
            parents = [ROOT if parent == "root" else str(parent) for parent in metadata.get("parents") or [ROOT]]
            if len(parents) > 1:
                raise Refused(400, "invalid", "A file cannot have several parents.")
            for parent in parents:
                if not self.item(parent).is_folder:
                    raise Refused(403, "parentNotAFolder", "The specified parent is not a folder.")
            now = self._time()
            facts = {
                "id": file_id,
                "name": metadata.get("name", "Untitled"),
                "mimeType": metadata.get("mimeType", "application/octet-stream"),
                "parents": parents,
                "createdTime": metadata.get("createdTime", now),
                "modifiedTime": _milliseconds(metadata["modifiedTime"]) if "modifiedTime" in metadata else now,
                **{kind: dict(metadata.get(kind) or {}) for kind in _PROPERTIES},
                "trashed": False,
            }
            item = self._items[file_id] = Item(facts)
            if not item.is_folder:
                self._set_content(item, data)
            return item

    def update(
        self,
        file_id: str,
        metadata: Mapping[str, Any],
        data: bytes | None = None,
        *,
        add: str = "",
        remove: str = "",
    ) -> Item:
        with self._lock:
            self._check(metadata)
            item = self.item(file_id)
            if "parents" in metadata or "id" in metadata:
                raise Refused(403, "fieldNotWritable", "The resource body includes fields which are not writable.")
            if data is not None:
                self._check_room(len(data))
                self._set_content(item, data)
                item.facts["modifiedTime"] = self._time()
            for name in ("name", "mimeType", "modifiedTime", "trashed"):
                if name in metadata:
                    value = metadata[name]
                    item.facts[name] = _milliseconds(value) if name == "modifiedTime" else value
            for kind in _PROPERTIES:
                item.facts[kind].update(metadata.get(kind) or {})
            gone = {ROOT if one == "root" else one for one in remove.split(",") if one}
            item.facts["parents"] = [one for one in item.facts["parents"] if one not in gone]
            for one in filter(None, add.split(",")):
                item.facts["parents"].append(self.item(one).id)
            return item

    def copy(self, file_id: str, metadata: Mapping[str, Any]) -> Item:
        with self._lock:
            item = self.item(file_id)
            kept = {name: item.facts[name] for name in ("name", "mimeType", "parents", *_PROPERTIES)}
            return self.create({**kept, **metadata}, item.data)

    def delete(self, file_id: str) -> None:
        with self._lock:
            item = self.item(file_id)
            for child in [one for one in self._items.values() if item.id in one.facts["parents"]]:
                self.delete(child.id)
            del self._items[item.id]

    def damage(self, item: Item) -> None:
        """Change the first byte without changing the metadata."""
        item.data = bytes([item.data[0] ^ 0xFF]) + item.data[1:]

    def _set_content(self, item: Item, data: bytes) -> None:
        item.data = data
        item.facts |= {
            "size": str(len(data)),
            "md5Checksum": hashlib.md5(data, usedforsecurity=False).hexdigest(),
            "sha1Checksum": hashlib.sha1(data, usedforsecurity=False).hexdigest(),
            "sha256Checksum": hashlib.sha256(data).hexdigest(),
            "headRevisionId": f"0B{secrets.token_hex(12)}",
        }

    def _check_room(self, size: int) -> None:
        used = sum(len(item.data) for item in self._items.values())
        if self.quota_bytes is not None and used + size > self.quota_bytes:
            raise Refused(403, "storageQuotaExceeded", "The user's Drive storage quota has been exceeded.")

    def _check(self, metadata: Mapping[str, Any]) -> None:
        for properties in (metadata.get(kind) or {} for kind in _PROPERTIES):
            if len(properties) > _MAX_PROPERTIES:
                raise invalid("Too many properties.")
            for name, value in properties.items():
                if not isinstance(value, str) or len((name + value).encode()) > _MAX_PROPERTY_BYTES:
                    raise invalid("The property is too long, or is no text.")
        if "modifiedTime" in metadata:
            try:
                datetime.fromisoformat(metadata["modifiedTime"])
            except ValueError:
                raise invalid("Invalid modifiedTime.") from None
            if len(metadata["modifiedTime"].partition(".")[2].rstrip("Z")) > 9:
                raise invalid("Invalid modifiedTime.")

    # Upload sessions

    def begin(self, metadata: dict[str, Any], file_id: str, total: int | None) -> Session:
        with self._lock:
            self._check(metadata)
            if file_id:
                self.item(file_id)
            else:
                for parent in metadata.get("parents") or [ROOT]:
                    self.item(parent)
                if metadata.get("id") in self._items:
                    raise Refused(409, "fileIdInUse", "A file already exists with the provided ID.")
            session = Session(f"AAAN{secrets.token_urlsafe(40)}", metadata, file_id, total)
            self._sessions[session.upload_id] = session
            return session

    def session(self, upload_id: str) -> Session:
        with self._lock:
            found = self._sessions.get(upload_id)
        if found is None:
            expired = upload_id in self._expired
            raise Refused(410 if expired else 404, "notFound", "The upload session is not known.")
        return found

    def finish(self, session: Session) -> dict[str, Any]:
        """From now on, the session is answered with its file."""
        with self._lock:
            data = bytes(session.received)
            item = (
                self.update(session.file_id, session.metadata, data)
                if session.file_id
                else self.create(session.metadata, data)
            )
            session.done = self.described(item)
            session.received.clear()
            return session.done

    def cancel(self, upload_id: str) -> None:
        with self._lock:
            self.session(upload_id)
            del self._sessions[upload_id]

    def unfinished(self) -> list[Session]:
        with self._lock:
            return [session for session in self._sessions.values() if session.done is None]

    def expire(self) -> None:
        """Let all unfinished sessions expire."""
        with self._lock:
            for session in self.unfinished():
                del self._sessions[session.upload_id]
                self._expired.add(session.upload_id)


def _milliseconds(text: str) -> str:
    """A time in UTC, cut to milliseconds."""
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def _sort_key(item: Mapping[str, Any], order: str) -> list[Any]:
    key: list[Any] = []
    for word in filter(None, (part.strip() for part in order.split(","))):
        name = word.removesuffix(" desc")
        match name:
            case "name" | "name_natural":
                key += [item["name"].casefold()]
            case "folder":
                key += [item["mimeType"] != FOLDER]
            case "createdTime" | "modifiedTime":
                key += [item[name]]
            case _:
                raise invalid(f"Sorting by {name} is not supported.")
    return [*key, item["id"]]


def _token(key: list[Any], query: str, order: str) -> str:
    content = json.dumps([key, hashlib.sha256(f"{query}\0{order}".encode()).hexdigest()])
    return "~!!~" + base64.urlsafe_b64encode(content.encode()).decode()


def _cursor(token: str, query: str, order: str) -> list[Any] | None:
    """Start of the next page. A token is valid for one query."""
    if not token:
        return None
    try:
        key, of = json.loads(base64.urlsafe_b64decode(token.removeprefix("~!!~")))
    except ValueError:
        raise invalid("Invalid Value: pageToken") from None
    if of != hashlib.sha256(f"{query}\0{order}".encode()).hexdigest():
        raise invalid("Invalid Value: pageToken")
    found: list[Any] = key
    return found
