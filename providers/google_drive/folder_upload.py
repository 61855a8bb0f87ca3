"""Upload of a folder as an object: created if missing, with its attributes as metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from providers.contract.objects import RemoteFile
from providers.contract.upload import Part, PartBody, PartReceipt, UploadRequest, UploadSession
from providers.errors import Conflict, InvalidName
from providers.google_drive import objects
from providers.google_drive.folders import Drive, DriveFolders, Path


def fullest(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of several folders with one name, which count as one: the one stored as an object, else the oldest."""
    return next((item for item in items if objects.folder_object("", item)), items[0])


class FolderUpload(UploadSession):
    """Stores a folder; there is no content to send."""

    def __init__(
        self, drive: Drive, folders: DriveFolders, container: Path, path: Path, request: UploadRequest
    ) -> None:
        if request.size_bytes:
            raise InvalidName(f"'{request.key}': only the name of an empty folder may end in '/'")
        self.request = request
        self._drive = drive
        self._folders = folders
        self._container = container
        self._path = container + path

    @property
    def token(self) -> dict[str, Any] | None:
        return None

    def confirmed(self) -> Sequence[PartReceipt]:
        return ()

    def send(self, part: Part, body: PartBody, digests: Mapping[str, str]) -> PartReceipt:
        return PartReceipt(index=part.index, size_bytes=0, digests=dict(digests))

    def commit(self, receipts: Sequence[PartReceipt]) -> RemoteFile:
        there = self._folders.ids(self._path, fresh=True)
        if there and self.request.only_if_absent:
            raise Conflict(f"{self.request.key}: a folder of that name already exists")
        if there:
            folder_id = str(fullest([self._drive.get(folder_id) for folder_id in there])["id"])
        else:
            folder_id = self._folders.ensure(self._path, self._container)
        return objects.folder(self.request.key, self._drive.describe(folder_id, objects.metadata(self.request)))

    def abort(self) -> None:
        """Nothing was created before the commit."""

    def interrupt(self) -> None:
        """Requests are cancelled through the active token."""
