"""The Google Drive service, through its REST API (v3)."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

from providers.base import BaseProvider, RangeReader
from providers.contract.aged_facts import AgedFact
from providers.contract.capabilities import Capabilities, Deletion
from providers.contract.context import ProviderContext
from providers.contract.objects import Page, RemoteFile
from providers.contract.upload import PendingUpload, UploadRequest, UploadSession
from providers.errors import (
    Authentication,
    Conflict,
    InvalidConfiguration,
    InvalidName,
    NotFound,
    PermissionDenied,
    ProviderError,
    Unsupported,
)
from providers.google_drive import objects, removal
from providers.google_drive.client import API_URL, DriveClient, DriveRequest
from providers.google_drive.errors import no_drive_there, no_shared_drive
from providers.google_drive.folder_upload import FolderUpload, fullest
from providers.google_drive.folders import NO_FOLDER, Drive, DriveFolders, Path, container_path, no_folder
from providers.google_drive.listing import DriveListing
from providers.google_drive.reader import FileRange
from providers.google_drive.settings import Settings
from providers.google_drive.tokens import DriveTokens
from providers.google_drive.uploads import GRAIN_BYTES, ResumableUpload, SingleUpload, Target
from providers.http.addresses import normal_address
from providers.http.connections import checked_endpoint
from providers.http.network import Network
from providers.remedies import Action, Remedy
from providers.settings import ProviderSettings

_LOG: Final = logging.getLogger(__name__)
_SINGLE_BYTES: Final = 4 << 20
"""Google accepts up to 5 MB in one request."""
_MAX_OBJECT_BYTES: Final = 5 * 2**40
_CAPABILITIES: Final = Capabilities(
    parallel_parts=False,
    min_part_bytes=GRAIN_BYTES,
    part_multiple_bytes=GRAIN_BYTES,
    max_object_bytes=_MAX_OBJECT_BYTES,
    single_put_bytes=_SINGLE_BYTES,
    max_key_bytes=objects.MAX_KEY_BYTES,
    empty_directories=True,
    real_folders=True,
    modes=True,
    folder_modes=True,
    create_container=True,
    list_containers=True,
    server_prefix_search=False,
    keeps_old_versions=True,
)
_LOOK_HOLDS_S: Final = 5.0
"""How long a result of `stat` may decide whether an upload creates a new file."""
_REMEMBERED: Final = 4096
_ABOUT: Final = "/drive/v3/about"


@dataclass(frozen=True)
class _Seen:
    file_id: str
    """'' for a missing file."""
    etag: str
    size_bytes: int
    at: float


class GoogleDriveProvider(BaseProvider):
    """Stores files in a folder of My Drive or of a shared drive.

    Drive identifies files by id and allows several with one name. A key is the path of a file. If several files share
    it, each is listed as 'name [id=…]', and the plain key raises a Conflict that lists the ids. Folders with one name
    count as one folder. Small files take one request, larger ones a resumable session with one request at a time. The
    mtime is stored as rclone does (modifiedTime), the SHA-256 in appProperties. Google's own SHA-256 is the proof.
    """

    name: ClassVar[str] = "google_drive"
    Settings: ClassVar[type[ProviderSettings]] = Settings

    def __init__(self, config: Mapping[str, Any] | ProviderSettings, *, context: ProviderContext | None = None) -> None:
        super().__init__(config, context=context)
        own = cast(Settings, self.settings)
        self._own = own
        self._api_url = checked_endpoint(own.endpoint_url) or API_URL
        self._wire = DriveClient(
            self._api_url,
            network=Network(own, self.context.environment),
            timeout_s=own.timeout,
            count_call=self.context.count_call,
        )
        self._tokens = DriveTokens(own, self._wire, clock=self.context.clock, save_secret=self.context.save_secret)
        self._wire.token = self._tokens
        self._drive = Drive(self._wire, own.shared_drive_id)
        self._folders = DriveFolders(self._drive, self.context.clock)
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {}
        self._perhaps_removed: set[str] = set()
        """Keys with a delete request that got no answer."""

    @property
    def capabilities(self) -> Capabilities:
        return _CAPABILITIES

    @property
    def deletion(self) -> Deletion:
        if self._own.use_trash:
            return Deletion(words="into the bin: restorable for 30 days, uses storage until then", for_good=False)
        return Deletion(words="deleted for good, with every older version", for_good=True)

    @property
    def location(self) -> str:
        where = "" if self._api_url == API_URL else f" {self._api_url}"
        drive = f"shared drive {self._own.shared_drive_id}" if self._own.shared_drive_id else "My Drive"
        return f"google_drive{where} of {self._tokens.described}: {drive} folder={self._own.container.strip('/')}"

    @property
    def place(self) -> str:
        where = "" if self._api_url == API_URL else f" {normal_address(self._api_url)}"
        drive = f"shared drive {self._own.shared_drive_id}" if self._own.shared_drive_id else "My Drive"
        return f"google_drive{where}: {drive} folder={self._own.container.strip('/')}"

    def account(self) -> str:
        """E-mail address of the account, for My Drive; '' for a shared drive, which is the same for all members."""
        return "" if self._own.shared_drive_id else _account(self._about()).casefold()

    @property
    def _container(self) -> Path:
        return container_path(self._own.container)

    # Reading

    def scan(self, prefix: str = "", *, delimiter: str = "", token: str | None = None, limit: int = 1000) -> Page:
        return self._page(DriveListing(self._drive, prefix, fold=bool(delimiter)), prefix, token, limit)

    def scan_tree(self, prefix: str = "", *, token: str | None = None, limit: int = 1000) -> Page:
        return self._page(DriveListing(self._drive, prefix, fold=False, tree=True), prefix, token, limit)

    def _page(self, listing: DriveListing, prefix: str, token: str | None, limit: int) -> Page:
        if token is None:
            folder_ids = self._folder_ids(prefix)
            if not folder_ids:
                return Page()
            token = listing.first(folder_ids)
        return listing.page(token, limit)

    def _folder_ids(self, prefix: str) -> tuple[str, ...]:
        """Ids of the folder that a prefix is in; () if it is missing. Raises NotFound if the container is missing."""
        container = self._container
        above = prefix.rpartition("/")[0]
        try:
            inner = tuple(objects.checked_key(above)) if "/" in prefix else ()
        except InvalidName:
            inner = None
        found = self._folders.ids(container + inner) if inner is not None else ()
        if not found and not self._folders.ids(container, fresh=True):
            raise no_folder(container)
        return found

    def stat(self, key: str) -> RemoteFile:
        if key.endswith("/"):
            return objects.folder(key, fullest(self._folder_items(key)))
        found = objects.remote_file(key, self._item(key))
        self._remember(key, found.id, found.etag, found.size_bytes)
        return found

    def _folder_items(self, key: str) -> list[dict[str, Any]]:
        """All folders with this key. Raises NotFound."""
        path = self._container + tuple(objects.checked_key(key.removesuffix("/")))
        found = self._folders.ids(path, fresh=True)
        if not found:
            raise NotFound(f"{key}: there is no such folder")
        return [self._drive.get(folder_id) for folder_id in found]

    def _item(self, key: str) -> dict[str, Any]:
        """The only file with this key. Raises NotFound, or Conflict if there are several."""
        *above, last = objects.checked_key(key)
        container = self._container
        folder_ids = self._folders.ids(container + tuple(above))
        found = self._drive.named(folder_ids, last, folders=False) if folder_ids else []
        if len(found) > 1:
            raise objects.ambiguous(key, found)
        if not found:
            if not folder_ids and not self._folders.ids(container, fresh=True):
                raise no_folder(container)
            self._remember(key, "")
            raise NotFound(f"{key}: there is no such file")
        return found[0]

    def _remember(self, key: str, file_id: str, etag: str = "", size_bytes: int = -1) -> None:
        with self._lock:
            self._seen.pop(key, None)
            self._seen[key] = _Seen(file_id, etag, size_bytes, self.context.clock())
            while len(self._seen) > _REMEMBERED:
                self._seen.pop(next(iter(self._seen)))

    def _recall(self, key: str) -> _Seen | None:
        with self._lock:
            return self._seen.get(key)

    def _forget(self, key: str) -> None:
        with self._lock:
            self._seen.pop(key, None)

    def read_range(self, key: str, offset: int, size_bytes: int, *, etag: str = "") -> RangeReader:
        objects.checked_key(key)

        def find() -> str:
            return self._id_of_version(key, etag, whole_bytes=size_bytes if not offset else -1)

        return FileRange(self._wire, find, key, offset, size_bytes, flagged_too=self._own.acknowledge_abuse)

    def _id_of_version(self, key: str, etag: str, whole_bytes: int) -> str:
        """The file's id. With `etag`, the version is checked first, since Drive has no conditional downloads. A file
        read whole right after `stat` is not checked again: its checksum shows a change."""
        seen = self._recall(key) if etag else None
        if seen is None or not seen.file_id:
            item = self._item(key)
        elif (seen.etag, seen.size_bytes) == (etag, whole_bytes):
            return seen.file_id
        else:
            try:
                item = self._drive.get(seen.file_id)
            except NotFound:
                self._forget(key)
                raise
        if etag and objects.remote_file(key, item).etag != etag:
            raise Conflict(f"{key}: changed since it was looked at")
        if item.get("trashed"):
            raise NotFound(f"{key}: the file is in the bin")
        return str(item["id"])

    # Writing

    def check_name(self, key: str) -> None:
        objects.checked_key(key.removesuffix("/"))

    def open_upload(self, request: UploadRequest, *, token: dict[str, Any] | None = None) -> UploadSession:
        if request.key.endswith("/"):
            path = tuple(objects.checked_key(request.key.removesuffix("/")))
            return FolderUpload(self._drive, self._folders, self._container, path, request)
        *above, last = objects.checked_key(request.key)
        if token is not None:
            return ResumableUpload(self._drive, ResumableUpload.target_of(token), request, token)
        folder = self._container + tuple(above)
        target = self._target(request.key, folder, last)
        if request.part_count == 1 and request.size_bytes <= _SINGLE_BYTES:
            return SingleUpload(self._drive, target, request)
        return ResumableUpload(self._drive, target, request, None)

    def _target(self, key: str, folder: Path, name: str) -> Target:
        """The file whose content is replaced, or a new id."""
        with self._lock:
            seen = self._seen.pop(key, None)
        if seen is None or self.context.clock() - seen.at > _LOOK_HOLDS_S:
            try:
                file_id = str(self._item(key)["id"])
            except NotFound:
                file_id = ""
            self._forget(key)
        else:
            file_id = seen.file_id
        if file_id:
            return Target("", name, file_id, is_new=False)
        if objects.split_id(name):
            raise InvalidName(f"'{key}': a name that ends in an id must be that of an existing file")
        folder_id = self._folders.ensure(folder, self._container)
        return Target(folder_id, name, self._drive.new_id(), is_new=True)

    def unfinished_uploads(self) -> list[PendingUpload]:
        raise Unsupported(
            "Google Drive lists no unfinished uploads: it removes them itself after a week",
            hint="There is nothing to do.",
        )

    def remove(self, key: str) -> None:
        if key.endswith("/"):
            path = self._container + tuple(objects.checked_key(key.removesuffix("/")))
            removal.remove_folder(self._drive, self._folders, path, key)
            return
        try:
            file_id = str(self._item(key)["id"])
        except NotFound as error:
            if key in self._perhaps_removed and error.code != NO_FOLDER:
                self._perhaps_removed.discard(key)
                return
            raise
        self._forget(key)
        self._perhaps_removed.add(key)
        try:
            removal.remove_file(self._drive, key, file_id, use_trash=self._own.use_trash)
        except ProviderError as error:
            if not error.retryable:
                self._perhaps_removed.discard(key)
            raise
        self._perhaps_removed.discard(key)

    # Folders and checks

    def containers(self) -> list[str]:
        query = f"mimeType = {objects.quoted(objects.FOLDER_TYPE)}"
        found = self._drive.find_all([self._drive.root_id], query, order="name")
        return sorted({objects.segment(str(item.get("name", "")), str(item["id"])) for item in found})

    def create_container(self, name: str) -> None:
        path = tuple(objects.checked_key(name.strip("/")))
        self._folders.create(path)

    def check_reach(self) -> str:
        request = DriveRequest("about.get", "GET", _ABOUT, {"fields": "kind"}, authorized=False)
        try:
            self._wire.ask_json(request)
        except (Authentication, PermissionDenied) as error:
            _LOG.debug("Google refuses a request without a token, as expected: %s", error)
        except NotFound as error:
            raise no_drive_there(error) from None
        return f"{self._api_url} answers"

    def check_authentication(self) -> str:
        about = self._about()
        quota = about.get("storageQuota")
        used, limit = (quota.get("usage"), quota.get("limit")) if isinstance(quota, dict) else (None, None)
        room = f", {_gb(used)} of {_gb(limit)} used" if used and limit else ""
        return f"as {_account(about) or self._tokens.described}{room}"

    def check_container(self) -> str:
        container = self._container
        try:
            found = self._folders.ids(container, fresh=True)
        except NotFound as error:
            if not self._own.shared_drive_id:
                raise
            raise no_shared_drive(self._own.shared_drive_id, error) from None
        if not found:
            raise no_folder(container)
        drive = f"shared drive {self._own.shared_drive_id}" if self._own.shared_drive_id else "My Drive"
        return f"folder {'/'.join(container) or '/'} in {drive}"

    def learn(self) -> None:
        """Drive needs no probes. If an account is configured, check once that the token belongs to it."""
        if not self._own.account:
            return
        fact = AgedFact(self.context, f"google_drive account {self.location}")
        if not fact.recall():
            self._about()
            fact.remember({"account": self._own.account})

    def _about(self) -> dict[str, Any]:
        """The authorised user. Raises Authentication if it is not the account in the settings."""
        query = {"fields": "user(emailAddress,displayName),storageQuota(limit,usage)"}
        about = self._wire.ask_json(DriveRequest("about.get", "GET", _ABOUT, query))
        if not isinstance(about.get("user"), dict):
            raise InvalidConfiguration(
                "endpoint_url: the server there does not name the authorised account, as Google does",
                field="endpoint_url",
            )
        expected, got = self._own.account, _account(about)
        if expected and got and expected.casefold() != got.casefold():
            raise Authentication(
                f"authorised by {got}, but this provider belongs to {expected}",
                hint="Sign in with the right account, or change the setting account.",
                remedies=(Remedy(Action.AUTHORIZE), Remedy(Action.SET_SETTING, setting="account")),
                code="wrong_account",
            )
        return about

    def close(self) -> None:
        self._wire.close()


def _account(about: Mapping[str, Any]) -> str:
    return str((about.get("user") or {}).get("emailAddress") or "")


def _gb(size: object) -> str:
    return f"{int(size) / 1e9:.1f} GB" if isinstance(size, str) and re.fullmatch("[0-9]{1,19}", size) else "?"
