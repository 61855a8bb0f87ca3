"""The Backblaze B2 service, through its native API."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import closing, suppress
from typing import Any, ClassVar, Final, cast
from urllib.parse import urlsplit

import msgspec

from providers.backblaze import errors, objects, removal
from providers.backblaze.client import REALM, Account
from providers.backblaze.discovery import Learner
from providers.backblaze.reader import FileRange
from providers.backblaze.settings import Settings
from providers.backblaze.uploads import LargeUpload, SmallUpload, held_bytes
from providers.base import BaseProvider, RangeReader
from providers.contract.aged_facts import AgedFact
from providers.contract.capabilities import Capabilities, Deletion
from providers.contract.context import ProviderContext
from providers.contract.listing import Trail, unparsable
from providers.contract.objects import Page, RemoteFile, not_deleted
from providers.contract.report import PROBE_PREFIX
from providers.contract.upload import PendingUpload, UploadRequest, UploadSession
from providers.errors import (
    Conflict,
    InvalidConfiguration,
    InvalidName,
    NotFound,
    PermissionDenied,
    ProviderError,
    RateLimited,
    Transient,
)
from providers.http import broken_json
from providers.http.addresses import normal_address
from providers.http.connections import checked_endpoint
from providers.http.errors import json_object
from providers.http.listed_size import listed_size
from providers.http.network import Network
from providers.settings import ProviderSettings

_LOG: Final = logging.getLogger(__name__)
_SINGLE_BYTES: Final = 5_000_000_000
_MAX_OBJECT_BYTES: Final = 10_000_000_000_000
_NEEDED: Final = ("listFiles", "readFiles", "writeFiles")


class BackblazeProvider(BaseProvider):
    """Stores files in a Backblaze B2 bucket, optionally below a prefix, through the native API.

    Single-part files take one request, larger ones are sent in parallel parts. Each request carries its SHA-1, which
    the service checks. The mtime is stored as rclone does (`src_last_modified_millis`), the SHA-256 as `sha256`, and
    the SHA-1 of a large file as `large_file_sha1` if the file was hashed beforehand. Replacing a file keeps the older
    version; deleting hides it or, with `delete_versions`, removes all versions. The service supports neither
    conditional writes nor empty directories.
    """

    name: ClassVar[str] = "backblaze"
    Settings: ClassVar[type[ProviderSettings]] = Settings
    tells_sessions: ClassVar[bool] = True

    def __init__(self, config: Mapping[str, Any] | ProviderSettings, *, context: ProviderContext | None = None) -> None:
        super().__init__(config, context=context)
        own = cast(Settings, self.settings)
        self._own = own
        self._prefix = f"{own.prefix.strip('/')}/" if own.prefix.strip("/") else ""
        self._account = Account(
            key_id=own.application_key_id,
            key=own.application_key,
            realm=checked_endpoint(own.realm, "realm", f"Leave it empty for {REALM}."),
            bucket=own.container,
            network=Network(own, self.context.environment),
            timeout_s=own.timeout,
            count_call=self.context.count_call,
        )
        self._fact = AgedFact(self.context, self._facts_key)
        self._perhaps_removed: set[str] = set()
        """Keys with a delete request that got no answer."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            parallel_parts=True,
            min_part_bytes=self._account.min_part_bytes,
            max_part_bytes=_SINGLE_BYTES,
            max_parts=10_000,
            max_object_bytes=_MAX_OBJECT_BYTES,
            single_put_bytes=_SINGLE_BYTES,
            max_key_bytes=max(1, objects.MAX_NAME_BYTES - len(self._prefix.encode())),
            enforced_checksums=frozenset({"sha1"} if self._known() else ()),
            repeated_checksums=frozenset(() if self._known() else {"sha1"}),
            part_digests=("sha1",),
            whole_digests=("sha1",),
            digests_first=self._own.hash_first,
            modes=True,
            create_container=True,
            list_containers=True,
            keeps_old_versions=True,
        )

    @property
    def location(self) -> str:
        prefix = f" prefix={self._prefix}" if self._prefix else ""
        where = f"{self._account.realm} bucket={self._own.container}{prefix}"
        return f"backblaze {where} id={self._own.application_key_id}"

    @property
    def place(self) -> str:
        return f"backblaze {normal_address(self._account.realm)} bucket={self._own.container} prefix={self._prefix}"

    def account(self) -> str:
        """The account id from signing in."""
        return self._account.account_id

    @property
    def deletion(self) -> Deletion:
        if self._own.delete_versions:
            return Deletion(words="deleted for good, with every older version", for_good=True)
        return Deletion(
            words="hidden: all versions stay in the bucket and are billed; delete_versions removes them", for_good=False
        )

    # What the service enforces

    @property
    def _facts_key(self) -> str:
        return f"backblaze {self._account.realm} {self._own.container}"

    def _known(self) -> bool | None:
        known = (self._fact.recall() or {}).get("sha1_enforced")
        return known if isinstance(known, bool) else None

    def learn(self) -> None:
        if self._known() is None:
            self._fact.remember({"sha1_enforced": Learner(self._account, self._prefix).sha1_enforced()})

    # Reading

    def scan(self, prefix: str = "", *, delimiter: str = "", token: str | None = None, limit: int = 1000) -> Page:
        try:
            whole = (self._prefix + prefix).encode().decode()
        except UnicodeEncodeError:
            return Page()  # B2 names are Unicode
        asked = {"bucketId": self._account.bucket_id, "prefix": whole, "maxFileCount": max(1, min(limit, 1000))}
        if delimiter:
            asked["delimiter"] = delimiter
        if token:
            asked["startFileName"] = token
        troubles: list[ProviderError] = []
        with self._account.session() as session:
            try:
                answer = session.list_folder(**asked)
            except errors.NoJson as error:
                answer = broken_json.readable(error.body, "files")
                if answer is None:
                    raise
                troubles = [unparsable()]
        try:
            return objects.page(answer, self._prefix, troubles)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise errors.not_b2(200, {}) from None

    def stat(self, key: str) -> RemoteFile:
        name = objects.checked_name(self._prefix, key)
        self._account.bucket_id  # noqa: B018 - reports a missing bucket, not a missing file
        try:
            head = self._account.head(name)
            size_bytes = self._account.size_of(name, key, head)
            if size_bytes is None:
                size_bytes = listed_size(self, key, lambda etag: etag == head["x-bz-file-id"])
            return objects.from_headers(head, key, size_bytes)
        except ProviderError as error:
            if error.code or isinstance(error, RateLimited | Transient | InvalidConfiguration):
                raise
            if isinstance(error, NotFound):
                raise NotFound(f"{key}: there is no such object", code="not_found") from None
            self._raise_reason(name, key)
            raise

    def _raise_reason(self, name: str, key: str) -> None:
        """Reports the reason by a GET, since a HEAD answer has no body. Raises."""
        with closing(FileRange(self._account, name, key, 0, 1, "")) as reader:
            next(iter(reader))

    def read_range(self, key: str, offset: int, size_bytes: int, *, etag: str = "") -> RangeReader:
        name = objects.checked_name(self._prefix, key)
        return FileRange(self._account, name, key, offset, size_bytes, etag)

    # Writing

    def check_name(self, key: str) -> None:
        objects.checked_name(self._prefix, key)

    def open_upload(self, request: UploadRequest, *, token: dict[str, Any] | None = None) -> UploadSession:
        name = objects.checked_name(self._prefix, request.key)
        if token is None and request.part_count == 1 and request.size_bytes <= _SINGLE_BYTES:
            return SmallUpload(self._account, name, request, self._prefix, lambda: self.stat(request.key))
        return LargeUpload(self._account, name, request, self._prefix, token, enforced=bool(self._known()))

    def pending_uploads(self, key: str) -> list[PendingUpload]:
        return [item for item in self._unfinished(objects.checked_name(self._prefix, key)) if item.key == key]

    def unfinished_uploads(self) -> list[PendingUpload]:
        return [
            msgspec.structs.replace(item, size_bytes=held_bytes(self._account, item.token))
            for item in self._unfinished(self._prefix)
        ]

    def discard_unfinished(self, upload: PendingUpload) -> None:
        file_id = str(upload.token["file_id"])
        with suppress(NotFound), self._account.session() as session:
            if not removal.confirms(session.cancel_large_file(file_id), fileId=file_id):
                raise not_deleted(upload.key)

    def _unfinished(self, below: str) -> list[PendingUpload]:
        """Unfinished uploads of all names that begin with `below`, which begins with the prefix."""
        found: list[PendingUpload] = []
        start: str | None = None
        trail = Trail()
        while True:
            with self._account.session() as session:
                answer = session.list_unfinished_large_files(self._account.bucket_id, start, 100, below or None)
                listed = [objects.pending(item, self._prefix, below) for item in answer["files"]]
            found += filter(None, listed)
            start = answer.get("nextFileId")
            if start is None:
                return found
            trail = trail.step(str(start), brought=bool(listed))

    def remove(self, key: str) -> None:
        name = objects.checked_name(self._prefix, key)
        try:
            self._take_away(key, name)
        except NotFound as error:
            if key not in self._perhaps_removed or error.code == "bad_bucket_id":
                raise NotFound(
                    f"{key}: there is no such object", hint=error.hint, remedies=error.remedies, code=error.code
                ) from None
        except Transient:
            self._perhaps_removed.add(key)
            raise
        self._perhaps_removed.discard(key)

    def _take_away(self, key: str, name: str) -> None:
        if key.startswith(PROBE_PREFIX):
            try:
                removal.delete_all(self._account, name)
            except PermissionDenied:  # an append-only key can only hide its probe
                removal.hide(self._account, name)
        elif self._own.delete_versions:
            removal.delete_all(self._account, name)
        else:
            removal.hide(self._account, name)

    # Buckets and checks

    def containers(self) -> list[str]:
        return self._account.bucket_names()

    def create_container(self, name: str) -> None:
        try:
            self._account.create_bucket(name)
        except Conflict as error:
            if name not in self.containers():
                raise Conflict(
                    f"the bucket {name} already exists and is not yours", hint="Choose another name.", code=error.code
                ) from None
        except ProviderError as error:
            if type(error) is ProviderError and error.code in ("bad_json", "bad_request"):
                raise InvalidName(
                    f"{name!r} is not a valid bucket name",
                    hint="A name has 6 to 63 letters, digits and '-', and does not begin with 'b2-'.",
                ) from None
            raise

    def check_reach(self) -> str:
        status, body = self._account.transport.answer(f"{self._account.realm}/b2api/v4/{errors.AUTHORIZE}")
        if status in (408, 429) or status >= 500:
            failure = errors.failure(status, {}, body, "", urlsplit(self._account.realm).hostname or "")
            raise failure
        if "code" not in (json_object(body) or {}):
            raise errors.not_b2(status, {})
        return f"{self._account.realm} answers"

    def check_authentication(self) -> str:
        names = self._account.allowed.bucket_names
        return f"key {self._own.application_key_id}, {f'limited to {names}' if names else 'for all buckets'}"

    def check_container(self) -> str:
        allowed = self._account.allowed
        bucket_id = self._account.bucket_id
        needed = [*_NEEDED, *(["deleteFiles"] if self._own.delete_versions else [])]
        missing = [right for right in needed if right not in allowed.capabilities]
        if missing:
            raise PermissionDenied(
                f"the application key lacks {', '.join(missing)}",
                hint="Make a key for this bucket with read and write access.",
                code="unauthorized",
            )
        limit = allowed.name_prefix or ""
        if not self._prefix.startswith(limit):
            raise InvalidConfiguration(
                f"prefix: this key may only use names that start with {limit!r}",
                field="prefix",
                hint=f"Set prefix to {limit}.",
            )
        return f"bucket {self._own.container} ({bucket_id})"

    def close(self) -> None:
        self._account.close()
