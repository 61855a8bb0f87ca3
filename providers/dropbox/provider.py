"""The Dropbox service."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, cast

from providers.base import BaseProvider, RangeReader
from providers.contract.aged_facts import AgedFact
from providers.contract.authorization import wrong_account
from providers.contract.capabilities import Capabilities
from providers.contract.context import ProviderContext
from providers.contract.digests import DROPBOX_HASH, digest_of
from providers.contract.listing import Trail
from providers.contract.objects import Page, RemoteFile, is_size, not_deleted, not_empty
from providers.contract.report import PROBE_PREFIX
from providers.contract.upload import PendingUpload, UploadRequest, UploadSession
from providers.dropbox import listing
from providers.dropbox.client import API, DropboxClient, DropboxRequest
from providers.dropbox.errors import failure, no_dropbox_there
from providers.dropbox.folders import DropboxFolders, container_path
from providers.dropbox.names import MAX_KEY_BYTES, checked_key, checked_new_key, decode_name, folded, same
from providers.dropbox.objects import is_file, name_of, remote_file
from providers.dropbox.reader import FileRange
from providers.dropbox.settings import Settings
from providers.dropbox.uploads import SessionUpload, SingleUpload
from providers.errors import (
    Conflict,
    Integrity,
    InvalidName,
    NotFound,
    PermissionDenied,
    ProviderError,
    Unsupported,
)
from providers.http.addresses import normal_address
from providers.http.connections import Calls, checked_endpoint
from providers.http.network import Network
from providers.settings import ProviderSettings

_MIB: Final = 1 << 20
_SINGLE_BYTES: Final = 4 * _MIB
_PROBE: Final = b"probe"
_WRONG_HASH: Final = "0" * 64
_ASIDE_PREFIX: Final = ".homeserver-backup-removed-"


class DropboxProvider(BaseProvider):
    """Stores files in a Dropbox folder.

    Small files take one request, larger ones an upload session with one part after another. Each request carries the
    content hash of its bytes. The mtime is stored as rclone does (client_modified, whole seconds), and names use
    rclone's encoding. Dropbox ignores case in names: a second name that differs only in case is refused before anything
    is sent. Replaced and deleted versions are kept for 30 days or longer, depending on the account's plan.
    """

    name: ClassVar[str] = "dropbox"
    Settings: ClassVar[type[ProviderSettings]] = Settings

    def __init__(self, config: Mapping[str, Any] | ProviderSettings, *, context: ProviderContext | None = None) -> None:
        super().__init__(config, context=context)
        own = cast(Settings, self.settings)
        self._own = own
        self._endpoint_url = checked_endpoint(own.endpoint_url)
        self._folders = DropboxFolders(lambda: self._wire, container_path(own.container), self.context.clock)
        self._opened: DropboxClient | None = None
        self._fact = AgedFact(self.context, self._facts_key)
        self._perhaps_removed: set[str] = set()
        """Keys with a delete request that got no answer."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            max_part_bytes=128 * _MIB,
            max_object_bytes=2**41 - 2**22,
            single_put_bytes=_SINGLE_BYTES,
            max_key_bytes=MAX_KEY_BYTES,
            conditional_commit=True,
            enforced_checksums=frozenset({DROPBOX_HASH}) if self._known_to_enforce() else frozenset(),
            repeated_checksums=frozenset() if self._known_to_compute() else frozenset({DROPBOX_HASH}),
            part_digests=(DROPBOX_HASH,),
            whole_digests=(DROPBOX_HASH,),
            create_container=True,
            list_containers=True,
            case_sensitive=False,
            real_folders=True,
            keeps_old_versions=True,
        )

    @property
    def location(self) -> str:
        account = f" account={self._own.account_id}" if self._own.account_id else ""
        where = self._endpoint_url or "Dropbox"
        return f"dropbox {where} app={self._own.app_key}{account} folder={folded(self._folders.root) or '/'}"

    @property
    def place(self) -> str:
        where = normal_address(self._endpoint_url) if self._endpoint_url else "Dropbox"
        return f"dropbox {where} folder={folded(self._folders.root) or '/'}"

    def account(self) -> str:
        """Identifies account, app (which may have its own folder), root namespace, and the folder by its id, which is
        the same for every app."""
        account = self._wire.ask(DropboxRequest("users/get_current_account", about="account"), Calls()).json()
        account_id, root = str(account.get("account_id") or ""), account.get("root_info")
        if self._own.account_id and account_id and account_id != self._own.account_id:
            raise wrong_account("Dropbox", self._own.account_id, account_id)
        root_id = root.get("root_namespace_id") if isinstance(root, dict) else ""
        folder = self._folders.metadata(self._folders.root, self._folders.root) if self._folders.root else None
        folder_id = folder.get("id") if folder else ""
        return f"{account_id} app={self._own.app_key} root={root_id or ''} folder={folder_id or ''}"

    def same_account(self, one: str, other: str) -> bool:
        """True for the same account and folder. The folder is compared by id, else by app and root together."""
        if not one or not other:
            return True
        then, now = (dict(item.partition("=")[::2] for item in f"id={text}".split(" ")) for text in (one, other))
        known = [name for name in then if then[name] and now.get(name)]
        differing = {name for name in known if then[name] != now[name]}
        if "id" in differing:
            return False
        return not differing & {"app", "root"} or ("folder" in known and "folder" not in differing)

    @property
    def _wire(self) -> DropboxClient:
        if self._opened is None:
            self._opened = DropboxClient(
                self._endpoint_url,
                self._own.app_key,
                self._own.refresh_token,
                network=Network(self._own, self.context.environment),
                timeout_s=self.settings.timeout,
                save_secret=self.context.save_secret,
                clock=self.context.clock,
                count_call=self.context.count_call,
            )
        return self._opened

    def folded(self, key: str) -> str:
        return folded(key)

    # What the service does

    @property
    def _facts_key(self) -> str:
        return f"dropbox {self._endpoint_url or API}"

    def _known_to_enforce(self) -> bool:
        return (self._fact.recall() or {}).get("content_hash") is True

    def _known_to_compute(self) -> bool:
        """True if the reported hash is computed from the stored bytes and not copied from the request."""
        return self._known_to_enforce() or (self._fact.recall() or {}).get("computed") is True

    def learn(self) -> None:
        """Test whether a wrong content hash is refused, or at least not repeated. One request for all accounts."""
        if self._fact.recall() is not None:
            return
        self._folders.require_container()
        key = f"{PROBE_PREFIX}learn-{secrets.token_hex(8)}"
        arguments = {"path": self._folders.path([key]), "mode": "add", "mute": True, "content_hash": _WRONG_HASH}
        request = DropboxRequest("files/upload", arguments, _PROBE, len(_PROBE), content=True, about=key)
        enforced = computed = True
        try:
            reported = self._wire.ask(request, Calls()).json().get("content_hash")
        except Integrity:  # refused, as hoped
            pass
        else:
            enforced, computed = False, reported == digest_of(DROPBOX_HASH, _PROBE)
            self._delete(key, self._folders.path([key]), "")
        self._fact.remember({"content_hash": enforced, "computed": computed})

    # Reading

    def scan(self, prefix: str = "", *, delimiter: str = "", token: str | None = None, limit: int = 1000) -> Page:
        if delimiter not in ("", "/"):
            raise InvalidName(f"{delimiter!r}: folders are separated by '/'")
        return listing.page(self._wire, self._folders, prefix, delimiter, token, limit)

    def scan_tree(self, prefix: str = "", *, token: str | None = None, limit: int = 1000) -> Page:
        return listing.page(self._wire, self._folders, prefix, "", token, limit, tree=True)

    def stat(self, key: str) -> RemoteFile:
        return remote_file(key, self._metadata(key))

    def _metadata(self, key: str) -> Mapping[str, Any]:
        """Metadata of a file with exactly this spelling. Raises NotFound otherwise, naming a file spelt differently."""
        parts = checked_key(key)
        found = self._folders.metadata(self._folders.path(parts), key)
        if found is None or (is_file(found) and same(name_of(found), parts[-1])):
            self._folders.looked(key)
        if found is None or not is_file(found):
            raise NotFound(f"{key}: there is no such file", code="not_found")
        if not same(name_of(found), parts[-1]):
            raise NotFound(f"{key}: there is no such file, only '{decode_name(name_of(found))}'", code="not_found")
        return found

    def read_range(self, key: str, offset: int, size_bytes: int, *, etag: str = "") -> RangeReader:
        path = self._folders.path(checked_key(key))
        return FileRange(self._wire, path, key, offset, size_bytes, etag)

    # Writing

    def check_name(self, key: str) -> None:
        checked_new_key(key)

    def open_upload(self, request: UploadRequest, *, token: dict[str, Any] | None = None) -> UploadSession:
        key = request.key
        parts = checked_new_key(key)
        path = self._folders.path(parts)
        if token is not None:
            return SessionUpload(self._wire, path, request, token)
        self._folders.require_container()
        single = request.part_count == 1 and request.size_bytes <= _SINGLE_BYTES

        def make() -> UploadSession:
            if single:
                return SingleUpload(self._wire, path, request, lambda: self.stat(key))
            return SessionUpload(self._wire, path, request, None)

        return self._folders.claim(key, parts, make)

    def unfinished_uploads(self) -> list[PendingUpload]:
        raise Unsupported(
            "Dropbox lists no unfinished uploads: it removes them itself after seven days",
            hint="There is nothing to do.",
        )

    def remove(self, key: str) -> None:
        """Two requests: `files/delete_v2` alone would also delete a folder with its contents, or another spelling."""
        if key.endswith("/"):
            self._remove_folder(key)
            return
        try:
            found = self._metadata(key)
        except NotFound:
            if key not in self._perhaps_removed:
                raise
            self._perhaps_removed.discard(key)
            return
        self._perhaps_removed.add(key)
        try:
            self._delete(key, self._folders.path(checked_key(key)), str(found.get("rev", "")))
        except ProviderError as error:
            if not error.retryable:
                self._perhaps_removed.discard(key)
            raise
        self._perhaps_removed.discard(key)

    def _remove_folder(self, key: str) -> None:
        """Dropbox cannot delete a folder only if it is empty. So an empty folder is first renamed and checked again: a
        file that arrived before is then seen, and one that arrives later is in a folder of its own. The temporary name
        depends only on the key, so the next attempt after a lost answer or a kill continues there."""
        parts = checked_key(key.removesuffix("/"))
        aside = [*parts[:-1], f"{_ASIDE_PREFIX}{hashlib.sha256(key.encode(errors='surrogatepass')).hexdigest()[:16]}"]
        if self._is_folder(key, parts):
            self._require_empty(key, parts)
            if not self._rename(key, parts, aside):
                self._delete(key, self._folders.path(parts), "")
                return
        elif not self._is_folder(key, aside):
            raise NotFound(f"{key}: there is no such folder", code="not_found")
        inside = listing.first_in(self._wire, self._folders, aside)
        if inside is not None:
            raise not_empty(self._renamed_back(key, aside, parts), inside)
        self._delete(key, self._folders.path(aside), "")
        self._require_empty(key, parts)

    def _is_folder(self, key: str, parts: Sequence[str]) -> bool:
        found = self._folders.metadata(self._folders.path(parts), key)
        return found is not None and not is_file(found) and same(name_of(found), parts[-1])

    def _require_empty(self, key: str, parts: Sequence[str]) -> None:
        """Raises Conflict if the folder has contents. A missing folder is fine."""
        inside = listing.first_in(self._wire, self._folders, parts)
        if inside is not None:
            raise not_empty(key, inside)

    def _renamed_back(self, key: str, aside: Sequence[str], parts: Sequence[str]) -> str:
        """Undo the renaming and return the folder's key: still the temporary one if its old name is taken by now."""
        try:
            self._rename(key, aside, parts)
        except Conflict:
            return f"{'/'.join(aside)}/"
        return key

    def _rename(self, key: str, parts: Sequence[str], to: Sequence[str]) -> bool:
        """False for a shared folder, which Dropbox does not move."""
        arguments = {"from_path": self._folders.path(parts), "to_path": self._folders.path(to)}
        reply = self._wire.ask(DropboxRequest("files/move_v2", arguments, accepts=frozenset({409}), about=key), Calls())
        if reply.status != 409:
            return True
        if any(tag.startswith("cant_") for tag in reply.tags):
            return False
        raise failure(reply, key)

    def _delete(self, key: str, path: str, rev: str) -> None:
        """With `rev`, deletes only that version."""
        arguments = {"path": path, "parent_rev": rev} if rev else {"path": path}
        request = DropboxRequest("files/delete_v2", arguments, accepts=frozenset({409}), about=key)
        reply = self._wire.ask(request, Calls())
        if reply.status != 409:
            metadata = reply.json().get("metadata")
            if not isinstance(metadata, dict) or not same(name_of(metadata), path.rpartition("/")[2]):
                raise not_deleted(key)
            return
        if "conflict" in reply.tags:
            raise Conflict(f"{key}: changed since it was looked at; it was not deleted", code=reply.tags[-1])
        raise failure(reply, key)

    # Folders and checks

    def containers(self) -> list[str]:
        found: list[str] = []
        arguments: dict[str, Any] = {"path": ""}
        route, trail = "files/list_folder", Trail()
        while True:
            reply = self._wire.ask(DropboxRequest(route, arguments, about="folders"), Calls())
            entries = listing.entries_of(reply)
            found += [decode_name(name_of(entry)) for entry in entries if entry[".tag"] == "folder"]
            cursor = str(reply.json().get("cursor"))
            if not reply.json().get("has_more"):
                return found
            trail = trail.step(cursor, brought=bool(entries))
            route, arguments = "files/list_folder/continue", {"cursor": cursor}

    def create_container(self, name: str) -> None:
        parts = checked_new_key(name.strip("/"))
        path = "/" + "/".join(parts)
        request = DropboxRequest("files/create_folder_v2", {"path": path, "autorename": False}, about=name)
        try:
            self._wire.ask(request, Calls())
        except Conflict:
            found = self._folders.metadata(path, name)
            if found is None or is_file(found):
                raise Conflict(f"{name}: a file of that name already exists", hint="Choose another name.") from None

    def check_reach(self) -> str:
        accepted = frozenset({400, 401})  # Dropbox's answer to an unsigned request
        try:
            reply = self._wire.ask(DropboxRequest("check/user", {"query": ""}, signed=False, accepts=accepted), Calls())
        except (NotFound, PermissionDenied) as error:
            raise no_dropbox_there(error) from None
        server = f" ({reply.headers['server'][:40]})" if reply.headers.get("server") else ""
        return f"{self._endpoint_url or API} answers{server}"

    def check_authentication(self) -> str:
        account_id, account = signed_in(self._wire)
        if self._own.account_id and account_id != self._own.account_id:
            raise wrong_account("Dropbox", self._own.account_id, f"{account} ({account_id})")
        return f"signed in as {account}"

    def check_container(self) -> str:
        self._folders.require_container()
        space = self._wire.ask(DropboxRequest("users/get_space_usage"), Calls()).json()
        used, allocation = space.get("used"), space.get("allocation")
        allocated = allocation.get("allocated") if isinstance(allocation, dict) else None
        room = ""
        if is_size(used) and is_size(allocated):
            room = f", {max(0, allocated - used) / 1e9:,.1f} of {allocated / 1e9:,.1f} GB free"
        return f"folder {self._folders.root or '/'}{room}"

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()


def signed_in(wire: DropboxClient) -> tuple[str, str]:
    """The account id, and a name by which a person recognises the account."""
    account = wire.ask(DropboxRequest("users/get_current_account", about="account"), Calls()).json()
    name = account.get("name")
    shown = name.get("display_name") if isinstance(name, dict) else ""
    return str(account.get("account_id", "")), " ".join(str(text) for text in (shown, account.get("email")) if text)
