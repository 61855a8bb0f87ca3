"""Folders as paths. Drive identifies folders by id and allows several with one name: these count as one folder with the
content of all, and new files go into the oldest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from providers.contract.cancel import active_token
from providers.contract.listing import Trail
from providers.contract.objects import not_deleted
from providers.errors import Conflict, Integrity, InvalidConfiguration, InvalidName, NotFound, ProviderError
from providers.google_drive import objects
from providers.google_drive.client import JSON_TYPE, DriveClient, DriveRequest, as_json
from providers.google_drive.errors import not_drive

FILES: Final = "/drive/v3/files"
NO_FOLDER: Final = "noFolder"
"""`code` of a NotFound that refers to the container."""
_KEPT_S: Final = 60.0
"""Lifetime of a cached folder id: another program may move the folder or put it into the bin."""
_IDS_AT_ONCE: Final = 100
_LOOK_S: Final = 0.1

Path = tuple[str, ...]


class Drive:
    """My Drive or a shared drive, with the query parameters that this requires."""

    def __init__(self, connection: DriveClient, shared_drive_id: str) -> None:
        self.wire = connection
        self.shared_drive_id = shared_drive_id
        self.root_id = shared_drive_id or "root"
        self._lock = threading.Lock()
        self._fresh_ids: list[str] = []

    def find(
        self,
        folder_ids: Sequence[str],
        query: str = "",
        *,
        page: str = "",
        limit: int = 1000,
        order: str = "",
        troubles: list[ProviderError] | None = None,
        in_bin: bool = False,
    ) -> dict[str, Any]:
        """One page of files.list: the items in these folders that match `query`. Parse errors are added to `troubles`,
        or raised without it. Raises Integrity if the answer contains items of other folders."""
        below = objects.below(folder_ids, in_bin=in_bin)
        asked = {
            "q": f"{query} and {below}" if query else below,
            "fields": f"nextPageToken,files({objects.FIELDS})",
            "pageSize": str(limit),
            "supportsAllDrives": "true",
            "includeItemsFromAllDrives": "true",
            "spaces": "drive",
        }
        if order:
            asked["orderBy"] = order
        if page:
            asked["pageToken"] = page
        if self.shared_drive_id:
            asked |= {"corpora": "drive", "driveId": self.shared_drive_id}
        request = DriveRequest("files.list", "GET", FILES, asked)
        answer = self.wire.ask_json(request) if troubles is None else objects.readable(self.wire.ask(request), troubles)
        objects.refuse_foreign(objects.items_of(answer), folder_ids)
        return answer

    def first_in(self, folder_ids: Sequence[str]) -> dict[str, Any] | None:
        """Any item in these folders; None if they are empty. A page may be empty without being the last."""
        page, trail = "", Trail()
        while True:
            answer = self.find(folder_ids, page=page, limit=1)
            found = objects.items_of(answer)
            page = str(answer.get("nextPageToken") or "")
            if found or not page:
                return found[0] if found else None
            trail = trail.step(page, brought=False)

    def find_all(
        self, folder_ids: Sequence[str], query: str = "", *, order: str = "", in_bin: bool = False
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        page, trail = "", Trail()
        while True:
            answer = self.find(folder_ids, query, page=page, order=order, in_bin=in_bin)
            items = objects.items_of(answer)
            found += items
            page = str(answer.get("nextPageToken") or "")
            if not page:
                return found
            trail = trail.step(page, brought=bool(items))

    def named(self, folder_ids: Sequence[str], shown: str, *, folders: bool) -> list[dict[str, Any]]:
        """All files (or folders) that a segment of a key may refer to, oldest first.

        Drive compares names loosely, so the answer is filtered. Raises Conflict if a file's real name equals the
        'name [id=…]' form of another one.
        """
        query = f"name = {objects.quoted(shown)}"
        fits = objects.is_folder if folders else objects.has_bytes
        found = [item for item in self.find_all(folder_ids, query) if item.get("name") == shown and fits(item)]
        by_id = self._by_id(folder_ids, shown) if objects.split_id(shown) else None
        if by_id is not None and fits(by_id):
            if found:
                raise objects.ambiguous(shown, [*found, by_id])
            return [by_id]
        return sorted(found, key=lambda item: (str(item.get("createdTime")), str(item["id"])))

    def _by_id(self, folder_ids: Sequence[str], shown: str) -> dict[str, Any] | None:
        """The file with the id in the segment, if it is in one of these folders under that name."""
        try:
            item = self.get(objects.split_id(shown))
        except NotFound:
            return None
        name, parents = item["name"], objects.parents_of(item)
        if objects.segment(name, item["id"], ambiguous=True) != shown or item.get("trashed"):
            return None
        if not parents:  # Google may omit them; the listing of the folder decides
            listed = self.find_all(folder_ids, f"name = {objects.quoted(name)}")
            return next((other for other in listed if other["id"] == item["id"]), None)
        return item if "root" in folder_ids or any(parent in folder_ids for parent in parents) else None

    def get(self, file_id: str) -> dict[str, Any]:
        """Raises NotFound."""
        query = {"fields": objects.FIELDS, "supportsAllDrives": "true"}
        return objects.described(self.wire.ask_json(DriveRequest("files.get", "GET", f"{FILES}/{file_id}", query)))

    def describe(self, file_id: str, metadata: dict[str, Any]) -> dict[str, Any]:
        """Update the metadata of a file or folder and return its new state."""
        query = {"fields": objects.FIELDS, "supportsAllDrives": "true"}
        headers = {"content-type": JSON_TYPE}
        request = DriveRequest("files.update", "PATCH", f"{FILES}/{file_id}", query, headers, as_json(metadata))
        return objects.described(self.wire.ask_json(request))

    def trash(self, file_id: str) -> None:
        item = self.describe(file_id, {"trashed": True})
        if (item.get("id"), item.get("trashed")) != (file_id, True):
            raise not_deleted(file_id)

    def trash_empty(self, folder_id: str) -> dict[str, Any] | None:
        """Put an empty folder into the bin. If an item had arrived meanwhile, the folder is restored, and that item is
        returned."""
        self.trash(folder_id)
        for item in self.find_all([folder_id], in_bin=True):
            if item.get("explicitlyTrashed") is False:  # only because its folder was put there
                self.describe(folder_id, {"trashed": False})
                return item
        return None

    def delete(self, file_id: str) -> None:
        """Delete permanently."""
        reply = self.wire.ask(
            DriveRequest("files.delete", "DELETE", f"{FILES}/{file_id}", {"supportsAllDrives": "true"})
        )
        if reply.body.strip():  # Google's answer has no body
            raise not_drive(reply)

    def new_id(self) -> str:
        """A pre-generated id for a new file or folder: repeating the request with it cannot create a second one."""
        with self._lock:
            if self._fresh_ids:
                return self._fresh_ids.pop()
        query = {"count": str(_IDS_AT_ONCE), "space": "drive", "type": "files"}
        found = self.wire.ask_json(DriveRequest("files.generateIds", "GET", f"{FILES}/generateIds", query)).get("ids")
        if not isinstance(found, list) or not found or not all(isinstance(item, str) for item in found):
            raise Integrity("Google gave no ids for new files")
        with self._lock:
            self._fresh_ids += found[1:]
        return str(found[0])


@dataclass(frozen=True)
class _Known:
    ids: tuple[str, ...]
    until: float


class DriveFolders:
    """Maps paths below the root of a drive to ids, cached for a minute. Creates folders, in one thread at a time."""

    def __init__(self, drive: Drive, clock: Callable[[], float]) -> None:
        self._drive = drive
        self._clock = clock
        self._lock = threading.Lock()
        self._creating = threading.Lock()
        self._known: dict[Path, _Known] = {}
        self._begun: dict[tuple[str, str], str] = {}
        """Ids of folders whose creation got no answer, by parent and name."""

    def ids(self, path: Path, *, fresh: bool = False) -> tuple[str, ...]:
        """Ids of all folders at this path, oldest first; () if there is none."""
        if not path:
            return (self._drive.root_id,)
        known = None if fresh else self._recall(path)
        if known:
            return known
        parents = self.ids(path[:-1], fresh=fresh)
        if not parents:
            return ()
        found = self._drive.named(parents, path[-1], folders=True)
        return self._remember(path, tuple(str(item["id"]) for item in found))

    def ensure(self, path: Path, container: Path) -> str:
        """The id of the folder for new files. Creates missing folders below `container`."""
        found = self.ids(path)
        if found:
            return found[0]
        if len(path) <= len(container):
            raise no_folder(path)
        with self._one_creator():
            found = self.ids(path)
            if found:
                return found[0]
            return self._create_below(path, container)

    def _create_below(self, path: Path, container: Path) -> str:
        found = self.ids(path)
        if found:
            return found[0]
        if len(path) <= len(container):
            raise no_folder(path)
        return self._create(self._create_below(path[:-1], container), path)

    def create(self, path: Path) -> str:
        """Create all missing folders of a path, for a new container."""
        with self._one_creator():
            self.forget()
            return self._create_below(path, ())

    def _create(self, parent_id: str, path: Path) -> str:
        name = path[-1]
        if objects.split_id(name):
            raise InvalidName(f"'{name}': a name that ends in an id must be that of an existing folder")
        file_id = self._begun.get((parent_id, name)) or self._drive.new_id()
        self._begun[parent_id, name] = file_id
        body = as_json({"id": file_id, "name": name, "mimeType": objects.FOLDER_TYPE, "parents": [parent_id]})
        query = {"fields": "id,trashed", "supportsAllDrives": "true"}
        request = DriveRequest("files.create", "POST", FILES, query, {"content-type": JSON_TYPE}, body)
        try:
            self._drive.wire.ask(request)
        except Conflict as error:
            if error.code not in ("fileIdInUse", ""):
                raise  # otherwise ours, from an attempt whose answer was lost
        except NotFound:
            self.forget()
            raise
        self._begun.pop((parent_id, name), None)
        return self._remember(path, (file_id,))[0]

    def forget(self) -> None:
        with self._lock:
            self._known.clear()

    def _recall(self, path: Path) -> tuple[str, ...]:
        with self._lock:
            found = self._known.get(path)
        return found.ids if found and self._clock() < found.until else ()

    def _remember(self, path: Path, ids: tuple[str, ...]) -> tuple[str, ...]:
        with self._lock:
            if ids:
                self._known[path] = _Known(ids, self._clock() + _KEPT_S)
            else:
                self._known.pop(path, None)
        return ids

    @contextmanager
    def _one_creator(self) -> Iterator[None]:
        """Only one thread creates folders. Waiting for it can be cancelled."""
        while not self._creating.acquire(timeout=_LOOK_S):
            token = active_token()
            if token is not None:
                token.check()
        try:
            yield
        finally:
            self._creating.release()


def container_path(container: str) -> Path:
    """The setting `container` as a path; '/' is the root of the drive. Raises InvalidConfiguration."""
    if not container:
        raise InvalidConfiguration(
            "container: the folder is missing", field="container", hint="Set it; '/' is the whole drive."
        )
    trimmed = container.strip("/")
    try:
        return tuple(objects.checked_key(trimmed)) if trimmed else ()
    except InvalidName as error:
        raise InvalidConfiguration(f"container: {error.message}", field="container") from None


def no_folder(path: Path) -> NotFound:
    return NotFound(
        f"the folder {'/'.join(path)} does not exist, or is not visible with this access",
        hint="Create it from here (set-up does): with drive.file, a folder made in the browser is not visible.",
        code=NO_FOLDER,
    )
