"""Files: conversion between Dropbox's metadata and RemoteFile."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from providers.contract.digests import DROPBOX_HASH
from providers.contract.objects import RemoteFile, size_from_json
from providers.contract.upload import UploadRequest
from providers.dropbox.names import decode_name, same
from providers.errors import Conflict, Transient

_SECOND_NS: Final = 1_000_000_000


def remote_file(key: str, metadata: Mapping[str, Any]) -> RemoteFile:
    """Converts a `FileMetadata`. Raises Transient if it is not one."""
    size, rev = metadata.get("size"), metadata.get("rev")
    if size is None or not isinstance(rev, str):
        raise Transient(f"'{key}': Dropbox's answer does not describe a file")
    client, server = _time_s(metadata.get("client_modified")), _time_s(metadata.get("server_modified"))
    content_hash = metadata.get("content_hash")
    return RemoteFile(
        key=key,
        size_bytes=size_from_json(key, size),
        modified_at=client if client is not None else server,
        mtime_ns=None if client is None else int(client) * _SECOND_NS,
        stored_at=server,
        etag=rev,
        id=str(metadata.get("id", "")),
        checksums={DROPBOX_HASH: content_hash.lower()} if isinstance(content_hash, str) else {},
    )


def left_out(key: str, metadata: Mapping[str, Any]) -> RemoteFile:
    """A document of Dropbox's or a partner's editor, with the reason why it is not an object."""
    what = "a document of Dropbox Paper or another editor: it has no bytes"
    return RemoteFile(key=key, size_bytes=0, id=str(metadata.get("id", "")), left_out=what)


def has_bytes(metadata: Mapping[str, Any]) -> bool:
    """`is_downloadable` of FileMetadata: false for files that can only be exported (`/files/export`)."""
    return metadata.get("is_downloadable") is not False


def _time_s(text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def client_modified(mtime_ns: int) -> str | None:
    """The mtime to the nearest second, as rclone's dropbox backend sends it; None outside the years 1 to 9999."""
    seconds = (2 * mtime_ns + _SECOND_NS) // (2 * _SECOND_NS)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return f"{moment.year:04}{moment:-%m-%dT%H:%M:%SZ}"


def commit_info(request: UploadRequest, path: str) -> dict[str, Any]:
    """`CommitInfo`: the target path, the conflict mode and the mtime of an upload."""
    info: dict[str, Any] = {
        "path": path,
        "mode": "add" if request.only_if_absent else "overwrite",
        "autorename": False,
        "mute": True,
        "strict_conflict": request.only_if_absent,
    }
    moment = None if request.mtime_ns is None else client_modified(request.mtime_ns)
    if moment is not None:
        info["client_modified"] = moment
    return info


def name_of(metadata: Mapping[str, Any]) -> str:
    """The last part of the path. Only this part is always spelt as Dropbox stores it."""
    return str(metadata.get("name", ""))


def is_file(metadata: Mapping[str, Any]) -> bool:
    return bool(metadata.get(".tag", "file") == "file")


def just_stored(key: str, leaf: str, metadata: Mapping[str, Any]) -> RemoteFile:
    """The answer to an upload. Raises Conflict if it was stored under another spelling."""
    name = name_of(metadata)
    if not same(name, leaf):
        raise lookalike(key, name)
    return remote_file(key, metadata)


def lookalike(key: str, name: str) -> Conflict:
    return Conflict(
        f"'{key}': '{decode_name(name)}' already exists, and Dropbox does not tell the two apart",
        hint="Rename one of the two; names that differ only in case cannot exist side by side.",
        code="case_conflict",
    )
