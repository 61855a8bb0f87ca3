"""Files: conversion between B2's names, file information and listings and RemoteFile."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote

from providers.contract.attributes import Attributes
from providers.contract.listing import whole, without_base
from providers.contract.objects import Page, RemoteFile, size_from_json
from providers.contract.upload import PendingUpload, UploadRequest
from providers.errors import Integrity, InvalidName, ProviderError

_LOG: Final = logging.getLogger(__name__)
MAX_NAME_BYTES: Final = 1024
MAX_SEGMENT_BYTES: Final = 250
CONTENT_TYPE: Final = "b2/x-auto"
_SHA1: Final = re.compile(r"[0-9a-f]{40}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_HEADER: Final = "x-bz-info-"
_MILLIS: Final = "src_last_modified_millis"
_NANOS: Final = "mtime_ns"
SESSION: Final = "upload_session"
"""Marks a large file: distinguishes our unfinished uploads from those of other machines."""
_NO_FILES: Final = ("hide", "start")
_MAX_MILLIS: Final = 10**15
_FORBIDDEN: Final = re.compile(r"[\x00-\x1f\x7f\\]")


def checked_name(prefix: str, key: str) -> str:
    """The whole file name. Raises InvalidName for names that B2 cannot hold (its documentation, "Files", file names) or
    that could not be restored to a disk."""
    name = prefix + key
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidName(f"'{key}': B2 names must be Unicode; this one contains other bytes") from None
    if not key or size > MAX_NAME_BYTES:
        raise InvalidName(f"'{key}': a name may have 1 to {MAX_NAME_BYTES} bytes; with the prefix, this one has {size}")
    if _FORBIDDEN.search(key):
        raise InvalidName(f"'{key}': B2 names must not contain control characters or backslashes")
    segments = key.split("/")
    if any(segment in ("", ".", "..") for segment in segments):
        raise InvalidName(f"'{key}': a name must be relative, have no empty, '.' or '..' parts, and not end in '/'")
    if any(len(segment.encode()) > MAX_SEGMENT_BYTES for segment in name.split("/")):
        raise InvalidName(f"'{key}': B2 allows at most {MAX_SEGMENT_BYTES} bytes between two '/'")
    return name


def file_info(request: UploadRequest) -> dict[str, str]:
    """File information to store: the mtime in milliseconds as rclone does, and also exactly; mode and owner in
    rclone's metadata format, although its B2 backend stores none."""
    info = request.attributes.as_metadata()
    if request.mtime_ns is not None:
        info[_MILLIS] = str(_millis(request.mtime_ns))
        info[_NANOS] = str(request.mtime_ns)
    if request.sha256:
        info["sha256"] = request.sha256
    if request.part_count > 1 and "sha1" in request.digests:
        info["large_file_sha1"] = request.digests["sha1"]
    if request.part_count > 1 and request.session_id:
        info[SESSION] = request.session_id
    return info


def from_json(found: Mapping[str, Any], prefix: str) -> RemoteFile:
    """A file version from an API answer. Raises Integrity for impossible values."""
    name, size_bytes, info = found.get("fileName"), found.get("contentLength"), found.get("fileInfo")
    if not isinstance(name, str) or size_bytes is None:
        raise Integrity(f"{name!r}: B2's answer gives no name or no size for a file")
    return _remote(
        without_base(name, prefix),
        size_from_json(name, size_bytes),
        found.get("contentSha1"),
        info if isinstance(info, dict) else {},
        str(found.get("fileId") or ""),
        found.get("uploadTimestamp"),
    )


def from_headers(headers: Mapping[str, str], key: str, size_bytes: int) -> RemoteFile:
    """A file from the headers of a download (lower-case names, encoded values). The length comes separately because
    it may be missing there."""
    info = {name.removeprefix(_HEADER): unquote(value) for name, value in headers.items() if name.startswith(_HEADER)}
    return _remote(
        key,
        size_bytes,
        headers.get("x-bz-content-sha1"),
        info,
        headers.get("x-bz-file-id", ""),
        headers.get("x-bz-upload-timestamp"),
    )


def _remote(
    key: str, size_bytes: int, sha1: object, info: Mapping[str, Any], file_id: str, stored_millis: object
) -> RemoteFile:
    stored_at = _seconds(stored_millis)
    mtime_ns = _mtime_ns(info)
    return RemoteFile(
        key=key,
        size_bytes=size_bytes,
        modified_at=stored_at if mtime_ns is None else mtime_ns / 1e9,
        mtime_ns=mtime_ns,
        attributes=Attributes.parse(info),
        stored_at=stored_at,
        etag=file_id,
        id=file_id,
        checksums={"sha1": str(sha1)} if _SHA1.fullmatch(str(sha1)) else {},
        recorded_sha256=_digest(info, "sha256", _SHA256),
        recorded_sha1=_digest(info, "large_file_sha1", _SHA1),
    )


def page(answer: Mapping[str, Any], prefix: str, troubles: Iterable[ProviderError] = ()) -> Page:
    """A b2_list_file_names answer, with the provider's prefix removed from the names. `troubles`: parse errors so
    far. Raises IncompleteListing if there are any, or if an entry is invalid."""
    listed: Iterable[Mapping[str, Any]] = answer["files"]
    troubles = list(troubles)
    files: list[RemoteFile] = []
    folders: list[str] = []
    for item in listed:
        if not isinstance(item, dict) or not isinstance(item.get("fileName"), str) or "action" not in item:
            troubles.append(Integrity("a file in B2's listing has no name or no kind"))
            continue
        name = without_base(item["fileName"], prefix)
        if item["action"] == "folder":
            folders.append(name)
        elif item["action"] == "upload":
            try:
                files.append(from_json(item, prefix))
            except Integrity as error:
                troubles.append(error)
        elif item["action"] not in _NO_FILES:
            kind = str(item["action"])[:100]
            troubles.append(Integrity(f"an entry in B2's listing has an unknown kind: '{kind}'"))
    return whole(Page(files=tuple(files), prefixes=tuple(folders), next_token=answer.get("nextFileName")), troubles)


def pending(item: object, prefix: str, below: str) -> PendingUpload | None:
    """An entry of b2_list_unfinished_large_files. Its name must begin with `below`, which begins with the provider's
    `prefix`. None for an unusable entry without a name or an id. Raises Integrity."""
    found = item if isinstance(item, dict) else {}
    name, file_id, info = found.get("fileName"), found.get("fileId"), found.get("fileInfo")
    if not (isinstance(name, str) and isinstance(file_id, str) and name and file_id):
        _LOG.warning("B2 lists an unfinished large file without a name, or without an id")
        return None
    without_base(name, below)
    return PendingUpload(
        key=without_base(name, prefix),
        token={"file_id": file_id},
        started_at=_seconds(found.get("uploadTimestamp")) or 0.0,
        session_id=str(info.get(SESSION, "")) if isinstance(info, dict) else "",
    )


def _digest(info: Mapping[str, Any], name: str, form: re.Pattern[str]) -> str:
    found = str(info.get(name, "")).lower()
    return found if form.fullmatch(found) else ""


def _mtime_ns(info: Mapping[str, Any]) -> int | None:
    """Exact, unless another program has changed the milliseconds since."""
    millis, nanos = _integer(info.get(_MILLIS)), _integer(info.get(_NANOS))
    if nanos is not None and millis in (None, _millis(nanos)):
        return nanos
    return None if millis is None else millis * 1_000_000


def _millis(nanos: int) -> int:
    """Rounded towards zero, as in rclone."""
    return nanos // 1_000_000 if nanos >= 0 else -(-nanos // 1_000_000)


def _integer(text: object) -> int | None:
    """None unless it is a plain number of plausible length: other programs write file information too."""
    return int(str(text)) if _INTEGER.fullmatch(str(text)) else None


def _seconds(millis: object) -> float | None:
    found = _integer(millis)
    return found / 1000 if found and abs(found) < _MAX_MILLIS else None
