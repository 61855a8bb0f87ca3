"""The account behind the B2 server: implements the calls, and keeps track of valid upload URLs."""

from __future__ import annotations

import base64
import io
import itertools
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote, unquote_plus

from b2sdk.v3 import MetadataDirectiveMode
from b2sdk.v3 import exception as sdk

from tests.servers.b2_simulator import MAX_INFO_KEYS, Bucket, Simulator, check_name

_INFO: Final = "x-bz-info-"
RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)$")
_SHA1_MISMATCH: Final = "Sha1 did not match data received"
_BY_CLASS: Final[list[tuple[type[Exception], int, str]]] = [
    (sdk.NonExistentBucket, 400, "bad_bucket_id"),
    (sdk.FileNotPresent, 400, "file_not_present"),
    (sdk.FileSha1Mismatch, 400, "bad_request"),
    (sdk.PartSha1Mismatch, 400, "bad_request"),
    (sdk.ChecksumMismatch, 400, "part_sha1_mismatch"),
    (sdk.MissingPart, 400, "missing_part"),
    (sdk.DuplicateBucketName, 400, "duplicate_bucket_name"),
    (sdk.BadJson, 400, "bad_json"),
    (sdk.UnsatisfiableRange, 416, "range_not_satisfiable"),
    (sdk.InvalidAuthToken, 401, "bad_auth_token"),
    (sdk.Unauthorized, 401, "unauthorized"),
    (sdk.BadRequest, 400, "bad_request"),
    (KeyError, 400, "bad_request"),
]
Json = dict[str, Any]


class Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def _refusal(error: Exception) -> Refused:
    for kind, status, code in _BY_CLASS:
        if isinstance(error, kind):
            mismatch = isinstance(error, sdk.FileSha1Mismatch | sdk.PartSha1Mismatch)
            own_code = getattr(error, "code", None)
            return Refused(status, own_code or code, _SHA1_MISMATCH if mismatch else str(error))
    raise error


class Service:
    """The account and its valid upload URLs. Every use of the simulator holds the lock."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.sim = Simulator()
        self.uploads: dict[str, str] = {}
        """Path of an upload URL -> the simulator's URL, which is also its token."""
        self.busy: set[str] = set()
        self._numbers = itertools.count()

    @contextmanager
    def authorized(self, token: str, bucket_id: str | None = None) -> Iterator[Simulator]:
        with self.lock:
            if token not in self.sim.auth_token_to_key:
                raise Refused(401, "bad_auth_token", "Invalid authorization token")
            if token in self.sim.expired_auth_tokens:
                raise Refused(401, "expired_auth_token", "Authorization token has expired")
            self.sim.request.bucket_id = bucket_id
            try:
                yield self.sim
            except Refused:
                raise
            except Exception as error:
                raise _refusal(error) from error

    # The API.

    def authorize(self, version: int, basic: str, base: str) -> Json:
        try:
            key_id, _, key = base64.b64decode(basic.removeprefix("Basic ")).decode().partition(":")
        except ValueError:
            key_id, key = "", ""
        with self.lock:
            try:
                authorization = self.sim.authorize_account("", key_id, key)
            except sdk.InvalidAuthToken as error:
                raise Refused(401, "unauthorized", str(error)) from error
        api = authorization["apiInfo"]["storageApi"] | {"apiUrl": base, "downloadUrl": base, "s3ApiUrl": f"{base}/s3"}
        if version >= 4:
            return authorization | {"apiInfo": authorization["apiInfo"] | {"storageApi": api}}
        allowed = dict(api["allowed"])
        (bucket, *_) = allowed.pop("buckets") or [{"id": None, "name": None}]
        allowed |= {"bucketId": bucket["id"], "bucketName": bucket["name"]}
        return authorization | {**api, "allowed": allowed, "minimumPartSize": api["recommendedPartSize"]}

    def call(self, name: str, token: str, args: Json, base: str) -> Json:
        handler: Callable[..., Json] | None = getattr(self, f"_{name.removeprefix('b2_')}", None)
        if handler is None:
            raise Refused(400, "bad_request", f"no such call: {name}")
        file_id = args.get("fileId") or args.get("largeFileId") or args.get("sourceFileId")
        bucket_id = args.get("bucketId") or self.sim.file_id_to_bucket_id.get(file_id or "")
        with self.authorized(token, bucket_id) as sim:
            if "fileName" in args:
                sim.assert_prefix(token, args["fileName"])
            return handler(sim, token, args, base)

    def _list_buckets(self, sim: Simulator, token: str, args: Json, base: str) -> Json:
        answer: Json = sim.list_buckets(
            sim.API_URL, token, sim.account_id, args.get("bucketId") or None, args.get("bucketName") or None
        )
        return answer

    def _create_bucket(self, sim: Simulator, token: str, args: Json, base: str) -> Json:
        answer: Json = sim.create_bucket(sim.API_URL, token, args["accountId"], args["bucketName"], args["bucketType"])
        return answer

    def _delete_bucket(self, sim: Simulator, token: str, args: Json, base: str) -> Json:
        answer: Json = sim.delete_bucket(sim.API_URL, token, args["accountId"], args["bucketId"])
        return answer

    def _get_upload_url(self, sim: Simulator, token: str, args: Json, base: str) -> Json:
        answer = sim.get_upload_url(sim.API_URL, token, args["bucketId"])
        return self._issued(answer, f"/b2api/v4/b2_upload_file/{args['bucketId']}/", base)

    def _get_upload_part_url(self, sim: Simulator, token: str, args: Json, base: str) -> Json:
        sim.active_upload(args["fileId"])
        answer = sim.get_upload_part_url(sim.API_URL, token, args["fileId"])
        return self._issued(answer, f"/b2api/v4/b2_upload_part/{args['fileId']}/", base)

    def _issued(self, answer: Json, path: str, base: str) -> Json:
        path += str(next(self._numbers))
        self.uploads[path] = answer["uploadUrl"]
        return {**answer, "uploadUrl": base + path}

    def _start_large_file(self, sim: Simulator, token: str, args: Json, base: str) -> Json:
        check_name(args["fileName"])
        _check_info(args.get("fileInfo") or {})
        answer: Json = sim.start_large_file(
            sim.API_URL, token, args["bucketId"], args["fileName"], args["contentType"], args.get("fileInfo") or {}
        )
        return answer

    def _list_parts(self, sim: Simulator, token: str, args: Json, base: str) -> Json:
        sim.active_upload(args["fileId"])
        answer: Json = sim.list_parts(
            sim.API_URL, token, args["fileId"], args.get("startPartNumber"), args.get("maxPartCount")
        )
        return answer

    def _finish_large_file(self, sim: Simulator, token: str, args: Json, base: str) -> Json:
        sim.active_upload(args["fileId"])
        answer: Json = sim.finish_large_file(sim.API_URL, token, args["fileId"], args["partSha1Array"])
        return answer

    def _cancel_large_file(self, sim: Simulator, token: str, args: Json, base: str) -> Json:
        sim.active_upload(args["fileId"])
        answer: Json = sim.cancel_large_file(sim.API_URL, token, args["fileId"])
        return answer

    def _list_unfinished_large_files(self, sim: Simulator, token: str, args: Json, base: str) -> Json:
        answer: Json = sim.list_unfinished_large_files(
            sim.API_URL,
            token,
            args["bucketId"],
            args.get("startFileId"),
            args.get("maxFileCount"),
            args.get("namePrefix"),
        )
        return answer

    def _list_file_names(self, sim: Simulator, token: str, args: Json, base: str) -> Json:
        bucket = sim._get_bucket_by_id(args["bucketId"])
        prefix = args.get("prefix") or ""
        sim.assert_allowed(token, "listFiles", args["bucketId"], prefix)
        limit = args.get("maxFileCount") or 100
        found: Json = bucket.list_names(
            token, prefix, args.get("delimiter") or "", args.get("startFileName") or "", limit
        )
        return _sized(found)

    def _list_file_versions(self, sim: Simulator, token: str, args: Json, base: str) -> Json:
        prefix = args.get("prefix") or None
        start = max(args.get("startFileName") or "", prefix or "") or None
        found: Json = sim.list_file_versions(
            sim.API_URL, token, args["bucketId"], start, args.get("startFileId"), args.get("maxFileCount"), prefix
        )
        return _sized(found)

    def _hide_file(self, sim: Simulator, token: str, args: Json, base: str) -> Json:
        answer: Json = sim.hide_file(sim.API_URL, token, args["bucketId"], args["fileName"])
        return answer

    def _delete_file_version(self, sim: Simulator, token: str, args: Json, base: str) -> Json:
        answer: Json = sim.delete_file_version(sim.API_URL, token, args["fileId"], args["fileName"])
        return answer

    def _get_file_info(self, sim: Simulator, token: str, args: Json, base: str) -> Json:
        if args["fileId"] not in sim.file_id_to_bucket_id:
            raise Refused(404, "not_found", f"File not present: {args['fileId']}")
        sim.assert_allowed(token, "readFiles", sim.file_id_to_bucket_id[args["fileId"]], "")
        try:
            answer: Json = sim.get_file_info_by_id(sim.API_URL, token, args["fileId"])
        except KeyError:
            raise Refused(404, "not_found", f"File not present: {args['fileId']}") from None
        return answer

    def _copy_file(self, sim: Simulator, token: str, args: Json, base: str) -> Json:
        check_name(args["fileName"])
        directive = args.get("metadataDirective")
        answer: Json = sim.copy_file(
            sim.API_URL, token, args["sourceFileId"], args["fileName"], _span(args.get("range")),
            MetadataDirectiveMode[directive] if directive else None, args.get("contentType"), args.get("fileInfo"),
            args.get("destinationBucketId"),
        )  # fmt: skip
        bucket_id = answer["bucketId"]
        sim.file_id_to_bucket_id[answer["fileId"]] = bucket_id
        return answer

    def _copy_part(self, sim: Simulator, token: str, args: Json, base: str) -> Json:
        sim.active_upload(args["largeFileId"])
        answer: Json = sim.copy_part(
            sim.API_URL, token, args["sourceFileId"], args["largeFileId"], args["partNumber"], _span(args.get("range"))
        )
        return answer

    # Content.

    @contextmanager
    def upload_url(self, path: str, token: str) -> Iterator[str]:
        """Inside the context, the URL serves only this request; a failure invalidates it."""
        with self.lock:
            url = self.uploads.get(path)
            if url is None or token != url:
                raise Refused(401, "bad_auth_token", "Invalid upload authorization token")
            if path in self.busy:
                raise Refused(400, "auth_token_limit", f"More than one upload using auth token {token}")
            self.busy.add(path)
        try:
            yield url
        except BaseException:
            self.uploads.pop(path, None)
            raise
        finally:
            self.busy.discard(path)

    def upload(self, url: str, headers: Json, data: bytes) -> Json:
        sha1 = headers.get("x-bz-content-sha1", "")
        with self.lock:
            token = url.rpartition("/")[2]
            with self.authorized(token) as sim:
                stream, size = io.BytesIO(data), len(data)
                if "/part/" in url:
                    number = int(headers["x-bz-part-number"])
                    sim.active_upload(url.split("/")[4])
                    part: Json = sim.upload_part(url, url, number, size, sha1, stream)
                    return part
                name = unquote_plus(headers["x-bz-file-name"])
                check_name(name)
                sim.assert_prefix(token, name)
                info = {key.removeprefix(_INFO): unquote_plus(value) for key, value in headers.items() if _INFO in key}
                _check_info(info)
                kind = headers.get("content-type", "b2/x-auto")
                answer: Json = sim.upload_file(url, url, name, size, kind, sha1, info, stream)
                return answer

    def content(self, path: str, query: Json, token: str) -> Any:
        """The stored object at a download path."""
        with self.lock:
            if "fileId" in query:
                file_id = query["fileId"][0]
                bucket_id = self.sim.file_id_to_bucket_id.get(file_id)
            else:
                bucket_name, _, name = unquote(path.removeprefix("/file/")).partition("/")
                bucket = self.sim.bucket_name_to_bucket.get(bucket_name)
                bucket_id = bucket.bucket_id if bucket else None
            with self.authorized(token, bucket_id) as sim:
                if bucket_id is None:
                    raise Refused(404, "not_found", "bucket or file does not exist")
                home: Bucket = sim.bucket_id_to_bucket[bucket_id]
                try:
                    found = home.file_id_to_file[file_id] if "fileId" in query else home.visible(name)
                except (KeyError, sdk.FileNotPresent):
                    raise Refused(404, "not_found", "File with such name does not exist.") from None
                sim.assert_allowed(token, "readFiles", bucket_id, found.name)
                return found


def _check_info(info: Json) -> None:
    if len(info) > MAX_INFO_KEYS:
        raise Refused(400, "bad_request", f"more than {MAX_INFO_KEYS} file info entries")


def _sized(answer: Json) -> Json:
    """v1 of the API also has `size`, which rclone uses."""
    return {**answer, "files": [{**file, "size": file["contentLength"]} for file in answer["files"]]}


def _span(text: str | None) -> tuple[int, int] | None:
    found = RANGE.match(text or "")
    return (int(found[1]), int(found[2])) if found else None
