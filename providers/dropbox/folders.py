"""Folders: existence and spelling of the container and the folders below it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from providers.contract.upload import UploadSession
from providers.dropbox.client import DropboxClient, DropboxRequest
from providers.dropbox.errors import failure
from providers.dropbox.names import checked_new_key, folded, same
from providers.dropbox.objects import is_file, lookalike, name_of
from providers.errors import Conflict, InvalidConfiguration, InvalidName, NotFound
from providers.http.connections import Calls

_LOOK_HOLDS_S: Final = 60.0
_MAX_LOOKED: Final = 1000


def container_path(container: str) -> str:
    """Path of the container, '' for the root. Raises InvalidConfiguration."""
    trimmed = container.strip("/")
    if not trimmed:
        return ""
    try:
        return "/" + "/".join(checked_new_key(trimmed))
    except InvalidName as error:
        raise InvalidConfiguration(f"container: {error.message}", field="container") from None


class DropboxFolders:
    """Cached facts about the folders of one container. May be used from several threads."""

    def __init__(self, wire: Callable[[], DropboxClient], root: str, clock: Callable[[], float]) -> None:
        self._wire = wire
        self._clock = clock
        self.root = root
        self._lock = threading.Lock()
        self._container_seen = not root
        self._spelt: dict[str, str] = {}
        """Folders below the container: folded path -> spelling of the last part. Includes folders about to be made."""
        self._looked: dict[str, float] = {}
        """Keys checked at that time: absent, or spelt exactly so. Their upload need not check again."""
        self._under_way: weakref.WeakValueDictionary[str, UploadSession] = weakref.WeakValueDictionary()

    def path(self, parts: Sequence[str]) -> str:
        return "/".join([self.root, *parts])

    def metadata(self, path: str, about: str) -> Mapping[str, Any] | None:
        """The entry at a path, of any kind; None if there is none."""
        request = DropboxRequest("files/get_metadata", {"path": path}, accepts=frozenset({409}), about=about)
        reply = self._wire().ask(request, Calls())
        if reply.status != 409:
            return reply.json()
        if "not_found" in reply.tags:
            return None
        raise failure(reply, about)

    def require_container(self) -> None:
        """Raises NotFound if the container does not exist: an upload would create it silently."""
        if self._container_seen:
            return
        found = self.metadata(self.root, self.root)
        if found is None or is_file(found):
            raise self.missing()
        self._container_seen = True

    def missing(self) -> NotFound:
        return NotFound(
            f"the folder {self.root} does not exist in this Dropbox",
            hint="Check container, or create the folder; an app with an app folder sees only that.",
            code="not_found",
        )

    # Names that differ in case only

    def looked(self, key: str) -> None:
        with self._lock:
            self._looked[key] = self._clock()
            while len(self._looked) > _MAX_LOOKED:
                del self._looked[next(iter(self._looked))]

    def claim(self, key: str, parts: Sequence[str], make: Callable[[], UploadSession]) -> UploadSession:
        """A session for a key. Raises Conflict if another spelling exists or is being uploaded."""
        self._refuse_lookalikes(key, parts)
        place = "/".join(folded(part) for part in parts)
        with self._lock:
            other = self._under_way.get(place)
            if other is not None and other.request.key != key:
                raise lookalike(key, other.request.key.rpartition("/")[2])
        session = make()
        with self._lock:
            self._under_way[place] = session
        return session

    def _refuse_lookalikes(self, key: str, parts: Sequence[str]) -> None:
        for depth in range(1, len(parts)):
            if not self._folder_fits(key, parts[:depth]):
                return  # a missing folder holds nothing
        with self._lock:
            looked_at = self._looked.pop(key, None)
        if looked_at is not None and self._clock() - looked_at < _LOOK_HOLDS_S:
            return
        found = self.metadata(self.path(parts), key)
        if found is None:
            return
        if not is_file(found):
            raise Conflict(f"'{key}': a folder of that name already exists", code="folder")
        if not same(name_of(found), parts[-1]):
            raise lookalike(key, name_of(found))

    def _folder_fits(self, key: str, parts: Sequence[str]) -> bool:
        """True if the folder exists with this spelling; False if nothing exists. Raises Conflict for anything else."""
        place = "/".join(folded(part) for part in parts)
        with self._lock:
            known = self._spelt.get(place)
        if known is not None and same(known, parts[-1]):
            return True
        found = self.metadata(self.path(parts), key)
        if found is not None and is_file(found):
            raise Conflict(f"'{key}': {'/'.join(parts)} is a file and cannot contain others", code="file_ancestor")
        name = name_of(found) if found is not None else known or parts[-1]
        if not same(name, parts[-1]):
            raise lookalike(key, name)
        with self._lock:
            self._spelt[place] = name
        return found is not None
