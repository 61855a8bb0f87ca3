"""The SDK's RawSimulator, made as strict as the service where it is lax, and able to hold more than 200 objects."""

from __future__ import annotations

import base64
import hashlib
import itertools
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

from b2sdk._internal.raw_simulator import BucketSimulator, FileSimulator, KeySimulator
from b2sdk.v3 import ALL_CAPABILITIES, RawSimulator
from b2sdk.v3.exception import BadRequest, FileNotPresent, Unauthorized

MIN_PART_BYTES: Final = 5_000_000
MAX_NAME_BYTES: Final = 1024
MAX_SEGMENT_BYTES: Final = 250
MAX_INFO_KEYS: Final = 10
LIMITED_CAPABILITIES: Final = ("listBuckets", "listFiles", "readFiles", "writeFiles", "deleteFiles")
NEVER_SHOWN: Final = "never-shown"
"""Part of every token and key that this server issues."""


class File(FileSimulator):  # type: ignore[misc]
    parts: list[Any]

    def finish(self, part_sha1_array: list[str]) -> None:
        sent = [part for part in self.parts if part is not None]
        if not sent:
            raise BadRequest("large files must have at least one part", "bad_request")
        if any(part.content_length < MIN_PART_BYTES for part in sent[:-1]):
            raise BadRequest(f"parts but the last have at least {MIN_PART_BYTES} bytes", "bad_request")
        super().finish(part_sha1_array)
        self.parts = []


class Bucket(BucketSimulator):  # type: ignore[misc]
    FILE_SIMULATOR_CLASS = File
    FIRST_FILE_NUMBER = 999_999_999
    FIRST_FILE_ID = str(FIRST_FILE_NUMBER)
    MAX_SIMPLE_COPY_SIZE = 5_000_000_000

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.upload_url_counter = itertools.count()
        self.file_id_counter = self.api.file_numbers
        self.upload_timestamp_counter = _milliseconds()

    def _simulate_chunked_post(self, stream: Any, content_length: int, **_: object) -> bytes:
        data: bytes = stream.read()
        return data

    def newest(self) -> Iterator[Any]:
        """The newest version of each name, in order, without unfinished large files."""
        before = None
        for name, file_id in sorted(self.file_name_and_id_to_file):
            found = self.file_name_and_id_to_file[name, file_id]
            if name != before and found.action != "start":
                before = name
                yield found

    def visible(self, name: str) -> Any:
        found = next((file for file in self.newest() if file.name == name), None)
        if found is None or found.action != "upload":
            raise FileNotPresent(file_id_or_name=name)
        return found

    def list_names(self, token: str, prefix: str, delimiter: str, start: str, limit: int) -> dict[str, Any]:
        entries: list[dict[str, Any]] = []
        following = None
        for file in self.newest():
            if file.action != "upload" or not file.name.startswith(prefix):
                continue
            folder, found, _ = file.name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            shown = prefix + folder + delimiter if found else file.name
            if shown < start or (entries and entries[-1]["fileName"] == shown):
                continue
            if len(entries) == limit:
                following = shown
                break
            entries.append(_folder(shown) if found else file.as_list_files_dict(token))
        return {"files": entries, "nextFileName": following}

    def hide_file(self, account_auth_token: str, file_name: str) -> dict[str, Any]:
        newest = next((file for file in self.newest() if file.name == file_name), None)
        if newest is None:
            raise BadRequest(f"File not present: {file_name}", "no_such_file")
        if newest.action == "hide":
            raise BadRequest(f"File already hidden: {file_name}", "already_hidden")
        result: dict[str, Any] = super().hide_file(account_auth_token, file_name)
        return result


class Simulator(RawSimulator):  # type: ignore[misc]
    """One account. `request` holds the bucket of this thread's current request."""

    BUCKET_SIMULATOR_CLASS = Bucket
    MIN_PART_SIZE = MIN_PART_BYTES

    def __init__(self) -> None:
        super().__init__()
        self.request = threading.local()
        self.file_numbers = iter(range(Bucket.FIRST_FILE_NUMBER, 0, -1))
        self.bucket_id_counter = itertools.count()
        self.account_id = "0a1b2c3d4e5f"
        self.new_key("master", list(ALL_CAPABILITIES), self.account_id)

    def new_key(
        self, name: str, capabilities: list[str], key_id: str = "", buckets: list[str] | None = None, prefix: str = ""
    ) -> tuple[str, str]:
        """(key id, key) of a new application key."""
        key_id = key_id or f"0030a1b2c3d4e5f{len(self.key_id_to_key):010}"
        key = f"K003{NEVER_SHOWN}{base64.b32encode(secrets.token_bytes(10)).decode()}"
        limited = (
            None if buckets is None else [{"id": self.bucket_named(one).bucket_id, "name": one} for one in buckets]
        )
        self.key_id_to_key[key_id] = KeySimulator(
            self.account_id, name, key_id, key, capabilities, None, limited, prefix or None
        )
        return key_id, key

    def authorize_account(self, realm_url: str, application_key_id: str, application_key: str) -> dict[str, Any]:
        answer: dict[str, Any] = super().authorize_account(realm_url, application_key_id, application_key)
        token = f"4_{NEVER_SHOWN}_{secrets.token_hex(8)}"
        self.auth_token_to_key[token] = self.auth_token_to_key.pop(answer["authorizationToken"])
        self.current_token = token
        return {**answer, "authorizationToken": token}

    def _assert_account_auth(
        self,
        api_url: str,
        account_auth_token: str,
        account_id: str,
        capability: str,
        bucket_id: str | None = None,
        file_name: str | None = None,
    ) -> None:
        bucket_id = bucket_id or getattr(self.request, "bucket_id", None)
        super()._assert_account_auth(self.API_URL, account_auth_token, account_id, capability, bucket_id, file_name)

    def assert_allowed(self, token: str, capability: str, bucket_id: str, name: str) -> None:
        self._assert_account_auth(self.API_URL, token, self.account_id, capability, bucket_id, name)

    def assert_prefix(self, token: str, name: str) -> None:
        """RawSimulator checks a key's prefix only for listings."""
        prefix = self.auth_token_to_key[token].name_prefix_or_none
        if prefix and not name.startswith(prefix):
            raise Unauthorized("", "unauthorized")

    def bucket_named(self, name: str) -> Bucket:
        found: Bucket = self._get_bucket_by_name(name)
        return found

    def active_upload(self, file_id: str) -> Any:
        """The unfinished large file with this id."""
        bucket = self.bucket_id_to_bucket.get(self.file_id_to_bucket_id.get(file_id, ""))
        found = bucket.file_id_to_file.get(file_id) if bucket else None
        if found is None or found.action != "start":
            raise BadRequest(f"No active upload for: {file_id}", "bad_request")
        return found

    def add(self, bucket: Bucket, name: str, data: bytes) -> None:
        """Store an object without using the API."""
        sse = bucket.default_server_side_encryption
        file = File(
            self.account_id, bucket, bucket._next_file_id(), "upload", name, "application/octet-stream",
            hashlib.sha1(data, usedforsecurity=False).hexdigest(), {}, data, next(bucket.upload_timestamp_counter),
            server_side_encryption=sse,
        )  # fmt: skip
        bucket.file_id_to_file[file.file_id] = file
        bucket.file_name_and_id_to_file[file.sort_key()] = file
        self.file_id_to_bucket_id[file.file_id] = bucket.bucket_id


def check_name(name: str) -> None:
    """Backblaze B2 documentation, "Files", file names."""
    problem = ""
    if not 1 <= len(name.encode()) <= MAX_NAME_BYTES:
        problem = "must have 1 to 1024 bytes"
    elif any(ord(char) < 32 or char in "\x7f\\" for char in name):
        problem = "must not contain control characters, DEL or backslashes"
    elif name.startswith("/") or name.endswith("/") or "//" in name:
        problem = "must not start or end with '/', or contain '//'"
    elif any(len(segment.encode()) > MAX_SEGMENT_BYTES for segment in name.split("/")):
        problem = "must not have segments longer than 250 bytes"
    if problem:
        raise BadRequest(f"File names {problem}", "bad_request")


def _folder(name: str) -> dict[str, Any]:
    return {
        "accountId": None, "action": "folder", "bucketId": None, "contentLength": 0, "contentSha1": None,
        "contentType": None, "fileId": None, "fileInfo": {}, "fileName": name, "uploadTimestamp": 0,
    }  # fmt: skip


def _milliseconds() -> Iterator[int]:
    while True:
        yield int(time.time() * 1000)
