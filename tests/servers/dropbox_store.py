"""State and rules of a Dropbox according to the documentation, without HTTP.

Source: https://www.dropbox.com/developers/documentation/http/documentation; hash: the content hash's own page.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import threading
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

BLOCK: Final = 4 << 20
MAX_REQUEST: Final = 150 << 20
SESSION_LIFE_S: Final = 7 * 86400.0
DISALLOWED: Final = {"desktop.ini", "thumbs.db", ".ds_store", "icon\r", ".dropbox", ".dropbox.attr"}


class Refused(Exception):
    """A 409 answer: a tagged union as a path of tags, the last one with its fields."""

    def __init__(self, *tags: str, **fields: object) -> None:
        super().__init__("/".join(tags))
        error: dict[str, Any] = {".tag": tags[-1], **fields}
        for tag in reversed(tags[:-1]):
            error = {".tag": tag, tag: error}
        self.body = {"error_summary": "/".join(tags) + "/..", "error": error}


class BadInput(Exception):
    """A 400 answer with plain text."""


def content_hash(data: bytes) -> str:
    blocks = (hashlib.sha256(data[at : at + BLOCK]).digest() for at in range(0, len(data), BLOCK))
    return hashlib.sha256(b"".join(blocks)).hexdigest()


@dataclass
class Node:
    display: str
    """The complete path in its original spelling."""
    id: str
    data: bytes | None = None
    """None for a folder."""
    rev: str = ""
    client_modified: str = ""
    server_modified: str = ""
    is_downloadable: bool = True
    """False for a document of Paper or a partner's editor."""

    @property
    def name(self) -> str:
        return self.display.rpartition("/")[2]

    def metadata(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            ".tag": "folder" if self.data is None else "file",
            "name": self.name,
            "path_lower": fold(self.display),
            "path_display": self.display,
            "id": self.id,
        }
        if self.data is not None:
            found |= {
                "client_modified": self.client_modified,
                "server_modified": self.server_modified,
                "rev": self.rev,
                "size": len(self.data),
                "is_downloadable": self.is_downloadable,
                "content_hash": content_hash(self.data),
            }
        return found


@dataclass
class Session:
    started_at: float
    data: bytearray = field(default_factory=bytearray)
    closed: bool = False
    finished: bool = False


def fold(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).lower())


class Store:
    """One account. Every method takes the lock. `now` gives the time."""

    def __init__(self, now: Callable[[], float], quota_bytes: int = 2 << 40) -> None:
        self.now = now
        self.quota_bytes = quota_bytes
        self.lock = threading.RLock()
        self.nodes: dict[str, Node] = {}
        self.sessions: dict[str, Session] = {}
        self._cursors: dict[str, list[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)
        self.overshoot = 1
        """Number of entries by which an answer may exceed the limit: Dropbox calls it approximate."""

    # Paths

    def place(self, path: object, *union: str) -> str:
        """The folded path, '' for the root; accepts `id:` too. Raises the documented error for a malformed one."""
        if not isinstance(path, str):
            raise BadInput("path: expected string")
        if path.startswith("id:"):
            found = next((at for at, node in self.nodes.items() if node.id == path), None)
            if found is None:
                raise Refused(*union, "not_found")
            return found
        if path == "/":
            raise BadInput('path: Specify the root folder as an empty string rather than as "/".')
        path = re.sub("^//+", "/", path)
        if path and not re.fullmatch(r"(/(.|[\r\n])*)", path):
            raise BadInput(f"path: {path!r} did not match pattern")
        for part in path.split("/")[1:]:
            if not part or part in (".", "..") or part.endswith(" ") or len(part) > 255 or set(part) & set("\\\x7f\0"):
                raise Refused(*union, "malformed_path")
            if any("\ud800" <= char <= "\udfff" for char in part):
                raise BadInput("path: not valid UTF-8")
        return fold(path)

    def get(self, path: object, *union: str) -> Node:
        found = self.nodes.get(self.place(path, *union))
        if found is None:
            raise Refused(*union, "not_found")
        return found

    def children(self, place: str, recursive: bool) -> Iterator[Node]:
        for at, node in list(self.nodes.items()):
            if at.startswith(f"{place}/") and (recursive or "/" not in at[len(place) + 1 :]):
                yield node

    def _make_parents(self, display: str, *union: str) -> str:
        """The spelling of the folder of `display`."""
        parent = display.rpartition("/")[0]
        if not parent:
            return ""
        there = self.nodes.get(fold(parent))
        if there is None:
            spelt = f"{self._make_parents(parent, *union)}/{parent.rpartition('/')[2]}"
            self.nodes[fold(spelt)] = Node(spelt, self._id())
            return spelt
        if there.data is not None:
            raise Refused(*union, "conflict", "file_ancestor")
        return there.display

    def _id(self) -> str:
        return f"id:{next(self._numbers):022}"

    # Writing

    def write(self, commit: dict[str, Any], data: bytes, *union: str, **fields: object) -> dict[str, Any]:
        """Stores a complete `CommitInfo`. `union`: the tags around a WriteError."""
        with self.lock:
            path = commit.get("path")
            if path in ("", None):
                raise Refused(*union, "malformed_path", **fields)
            self._refuse_name(str(path), *union)
            place = self.place(path, *union)
            used = sum(len(node.data) for node in self.nodes.values() if node.data)
            if used + len(data) > self.quota_bytes:
                raise Refused(*union, "insufficient_space")
            mode = commit.get("mode", "add")
            tag = mode if isinstance(mode, str) else mode.get(".tag")
            there = self.nodes.get(place)
            if there is not None and there.data is None:
                raise Refused(*union, "conflict", "folder")
            if there is not None and self._conflicts(there, data, tag, mode, bool(commit.get("strict_conflict"))):
                if not commit.get("autorename"):
                    raise Refused(*union, "conflict", "file")
                stem = str(path)
                return self.write({**commit, "path": f"{stem} (1)"}, data, *union)
            if there is not None and tag == "add":
                return there.metadata()
            return self._put(str(re.sub("^//+", "/", str(path))), place, there, data, commit, union).metadata()

    @staticmethod
    def _conflicts(there: Node, data: bytes, tag: object, mode: object, strict: bool) -> bool:
        if tag == "overwrite":
            return False
        if tag == "update":
            return there.rev != (mode.get("update") if isinstance(mode, dict) else None)
        return strict or there.data != data

    def _refuse_name(self, path: str, *union: str) -> None:
        leaf = path.rpartition("/")[2].lower()
        if leaf in DISALLOWED or leaf.startswith("~$") or (leaf.startswith("~") and leaf.endswith(".tmp")):
            raise Refused(*union, "disallowed_name")

    def _put(
        self, path: str, place: str, there: Node | None, data: bytes, commit: dict[str, Any], union: tuple[str, ...]
    ) -> Node:
        moment = datetime.fromtimestamp(self.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        modified = commit.get("client_modified") or moment
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", str(modified)):
            raise BadInput("client_modified: did not match format %Y-%m-%dT%H:%M:%SZ")
        if there is None:
            name = unicodedata.normalize("NFC", path.rpartition("/")[2])
            there = Node(f"{self._make_parents(path, *union)}/{name}", self._id())
        elif there.data == data:
            return there  # no new version: Dropbox keeps the old one and its time
        there.data, there.client_modified, there.server_modified = data, str(modified), moment
        there.rev = f"{next(self._numbers):015x}"
        self.nodes[place] = there
        return there

    def make_folder(self, path: object, autorename: bool) -> dict[str, Any]:
        with self.lock:
            place = self.place(path, "path")
            there = self.nodes.get(place)
            if there is not None:
                raise Refused("path", "conflict", "folder" if there.data is None else "file")
            display = f"{self._make_parents(str(path), 'path')}/{str(path).rpartition('/')[2]}"
            self.nodes[place] = Node(display, self._id())
            return {"metadata": self.nodes[place].metadata()}

    def delete(self, path: object, parent_rev: object) -> dict[str, Any]:
        with self.lock:
            node = self.get(path, "path_lookup")
            if parent_rev and node.rev != parent_rev:
                raise Refused("path_write", "conflict", "file")
            place = fold(node.display)
            for at in [at for at in self.nodes if at == place or at.startswith(f"{place}/")]:
                del self.nodes[at]
            return {"metadata": node.metadata()}

    def relocate(self, arguments: dict[str, Any], *, keep: bool) -> dict[str, Any]:
        with self.lock:
            node = self.get(arguments.get("from_path"), "from_lookup")
            target = self.place(arguments.get("to_path"), "to")
            if target in self.nodes and target != fold(node.display):
                raise Refused("to", "conflict", "file")
            source, to = fold(node.display), str(arguments["to_path"])
            moved = [(at, self.nodes[at]) for at in self.nodes if at == source or at.startswith(f"{source}/")]
            for at, old in moved:
                display = to + old.display[len(node.display) :]
                new = Node(display, self._id() if keep else old.id, old.data, old.rev, old.client_modified)
                new.server_modified = old.server_modified
                if not keep:
                    del self.nodes[at]
                self._make_parents(display, "to")
                self.nodes[fold(display)] = new
            return {"metadata": self.nodes[target].metadata()}

    # Listings

    def list_folder(self, arguments: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            limit = arguments.get("limit")
            if limit is not None and not 1 <= int(limit) <= 2000:
                raise BadInput("limit: out of range")
            recursive = bool(arguments.get("recursive"))
            place = self.place(arguments.get("path"), "path")
            entries = []
            if place:
                node = self.get(arguments.get("path"), "path")
                if node.data is not None:
                    raise Refused("path", "not_folder")
                entries = [node.metadata()] if recursive else []
            entries += [node.metadata() for node in self.children(place, recursive)]
            return self._page(entries, int(limit or 500))

    def list_more(self, cursor: object) -> dict[str, Any]:
        with self.lock:
            waiting = self._cursors.get(str(cursor))
            if waiting is None:
                raise Refused("reset")
            return self._page(waiting[1:], int(waiting[0]["limit"]))

    def _page(self, entries: list[dict[str, Any]], limit: int) -> dict[str, Any]:
        """A cursor can be used again: its position never changes."""
        size = limit + self.overshoot
        cursor = f"cursor-{next(self._numbers)}"
        self._cursors[cursor] = [{"limit": limit}, *entries[size:]]
        return {"entries": entries[:size], "cursor": cursor, "has_more": len(entries) > size}

    def forget_cursors(self) -> None:
        with self.lock:
            self._cursors.clear()

    # Upload sessions

    def begin(self, data: bytes, close: bool) -> str:
        with self.lock:
            name = f"session-{next(self._numbers)}"
            self.sessions[name] = Session(self.now(), bytearray(data), close)
            return name

    def session(self, cursor: object, *union: str) -> Session:
        """The session, if its length equals the cursor's offset. Raises Refused otherwise."""
        if not isinstance(cursor, dict):
            raise BadInput("cursor: missing")
        found = self.sessions.get(str(cursor.get("session_id")))
        if found is None or self._expired(found):
            raise Refused(*union, "not_found")
        if found.finished:
            raise Refused(*union, "closed")
        if cursor.get("offset") != len(found.data):
            raise Refused(*union, "incorrect_offset", correct_offset=len(found.data))
        return found

    def _expired(self, session: Session) -> bool:
        return self.now() - session.started_at > SESSION_LIFE_S

    def open_to_more(self, session: Session) -> bool:
        return not (session.closed or session.finished or self._expired(session))

    def append(self, arguments: dict[str, Any], data: bytes) -> None:
        with self.lock:
            session = self.session(arguments.get("cursor"))
            if session.closed:
                raise Refused("closed")
            session.data += data
            session.closed = bool(arguments.get("close"))

    def require_closed(self, cursor: object) -> None:
        with self.lock:
            if not self.session(cursor, "lookup_failed").closed:
                raise Refused("lookup_failed", "not_closed")

    def finish(self, arguments: dict[str, Any], data: bytes) -> dict[str, Any]:
        with self.lock:
            session = self.session(arguments.get("cursor"), "lookup_failed")
            if data and session.closed:
                raise Refused("lookup_failed", "closed")
            session.data += data
            found = self.write(arguments.get("commit") or {}, bytes(session.data), "path")
            session.finished = True
            session.data = bytearray()
            return found
