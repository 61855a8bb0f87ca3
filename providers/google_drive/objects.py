"""Names and files: conversion between keys and Drive names, Drive items and RemoteFile, and our metadata."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from providers.contract.attributes import Attributes
from providers.contract.listing import foreign, unparsable
from providers.contract.objects import RemoteFile, size_from_text
from providers.contract.upload import UploadRequest
from providers.errors import Conflict, Integrity, InvalidName, ProviderError
from providers.google_drive.errors import DriveReply
from providers.http import broken_json
from providers.http.errors import json_object

FOLDER_TYPE: Final = "application/vnd.google-apps.folder"
SHORTCUT_TYPE: Final = "application/vnd.google-apps.shortcut"
GOOGLE_TYPES: Final = "application/vnd.google-apps."
"""MIME types with this prefix have no bytes: documents of Google's editors, shortcuts, folders."""
FIELDS: Final = (
    "id,name,mimeType,size,md5Checksum,sha256Checksum,modifiedTime,createdTime,headRevisionId,appProperties,properties,"
    "parents,trashed,explicitlyTrashed"
)
MAX_KEY_BYTES: Final = 4096
_MADE_BY: Final = "homeserver-backup"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WITH_ID: Final = re.compile(r"(.*) \[id=([A-Za-z0-9_-]{8,128})\]", re.DOTALL)
_SHOWN: Final = {"/": "\N{FULLWIDTH SOLIDUS}", "\0": "\N{SYMBOL FOR NULL}"}


def checked_key(key: str) -> list[str]:
    """The segments of a key. Raises InvalidName for names that Drive cannot hold or that could not be restored to a
    disk."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidName(f"'{key}': Drive names must be Unicode; this one contains other bytes") from None
    if not key or size > MAX_KEY_BYTES:
        raise InvalidName(f"'{key}': a name may have 1 to {MAX_KEY_BYTES} bytes; this one has {size}")
    segments = key.split("/")
    if "\0" in key or any(part in ("", ".", "..") for part in segments):
        raise InvalidName(f"'{key}': a name must be relative, without NUL, and without empty, '.' or '..' parts")
    return segments


def segment(name: str, file_id: str, *, ambiguous: bool = False) -> str:
    """A name as shown in a key. The id is appended if the name alone does not identify the file: if several files in
    one folder share the name, or if the name cannot be part of a path.
    """
    shown = "".join(_SHOWN.get(char, char) for char in name)
    if ambiguous or shown != name or name in ("", ".", ".."):
        return f"{shown} [id={file_id}]"
    return name


def split_id(shown: str) -> str:
    """The id in a segment that contains one, else ''."""
    found = _WITH_ID.fullmatch(shown)
    return found[2] if found else ""


def quoted(text: str) -> str:
    """A string literal in Drive's query language."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def is_folder(item: Mapping[str, Any]) -> bool:
    return item.get("mimeType") == FOLDER_TYPE


def has_bytes(item: Mapping[str, Any]) -> bool:
    return not str(item.get("mimeType", "")).startswith(GOOGLE_TYPES)


def left_out(key: str, item: Mapping[str, Any]) -> RemoteFile:
    """A document of Google's editors, or a shortcut, with the reason why it is not an object."""
    shortcut = item.get("mimeType") == SHORTCUT_TYPE
    what = "a shortcut: it has no content of its own" if shortcut else "a document of Google's editors: it has no bytes"
    return RemoteFile(key=key, size_bytes=0, id=str(item["id"]), left_out=what)


def below(folder_ids: Iterable[str], *, in_bin: bool = False) -> str:
    """A query for items in any of these folders, outside the bin or in it."""
    within = " or ".join(f"{quoted(item)} in parents" for item in folder_ids)
    return f"({within}) and trashed = {'true' if in_bin else 'false'}"


def readable(reply: DriveReply, troubles: list[ProviderError]) -> dict[str, Any]:
    """A files.list answer without its unreadable parts, whose errors are added to `troubles`. Raises
    InvalidConfiguration if the answer is not from Google."""
    answer = json_object(reply.body)
    if answer is None:
        answer = broken_json.readable(reply.body, "files")
        if answer is None:
            return reply.json()
        troubles.append(unparsable())
    items = answer.get("files")
    if not isinstance(items, list):
        return answer
    readable_items = [item for item in items if _is_described(item)]
    if len(readable_items) < len(items):
        troubles.append(Integrity("a file in Google's listing has no id or no name"))
    return answer | {"files": readable_items}


def _is_described(item: object) -> bool:
    if not isinstance(item, dict):
        return False
    file_id, parents = item.get("id"), item.get("parents") or []
    named = isinstance(file_id, str) and file_id and file_id.isascii() and isinstance(item.get("name"), str)
    return bool(named) and isinstance(parents, list) and all(isinstance(parent, str) for parent in parents)


def described(item: dict[str, Any]) -> dict[str, Any]:
    """Returns the item. Raises Integrity if its id or name is missing or not a text."""
    if not _is_described(item):
        raise Integrity("Google's answer does not describe a file: it has no id or no name")
    return item


def parents_of(item: Mapping[str, Any]) -> list[str]:
    """Ids of the item's folders; [] if Google omits them, as it may."""
    return item.get("parents") or []


def items_of(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The files of a listing. Raises Integrity if the answer is not a listing."""
    found = answer.get("files")
    if not isinstance(found, list):
        raise Integrity("Google's answer is not a listing: it has no list of files")
    return [described(item) for item in found]


def refuse_foreign(items: Iterable[Mapping[str, Any]], folder_ids: Iterable[str]) -> None:
    """Raises Integrity if a listing contains an item of another folder. Items at the root of My Drive are not checked:
    they carry an id other than 'root', and shared ones may have no folder."""
    asked = set(folder_ids)
    for item in items:
        parents = parents_of(item)
        if parents and "root" not in asked and not any(parent in asked for parent in parents):
            raise foreign(str(item.get("name")), "the folder")


# Our metadata


def metadata(request: UploadRequest) -> dict[str, Any]:
    """modifiedTime is the file's mtime in milliseconds, as in rclone; appProperties hold it in nanoseconds, and the
    SHA-256 if known. Mode and owner are properties, where rclone keeps its metadata."""
    properties = {"by": _MADE_BY}
    found: dict[str, Any] = {"appProperties": properties}
    if request.mtime_ns is not None:
        found["modifiedTime"] = rfc3339(request.mtime_ns)
        properties["mtime_ns"] = str(request.mtime_ns)
        properties["sha256"] = request.sha256
    kept = request.attributes.as_metadata()
    if kept:
        found["properties"] = kept
    return found


def made_by_us(item: Mapping[str, Any]) -> bool:
    return _properties(item).get("by") == _MADE_BY


def _properties(item: Mapping[str, Any], field: str = "appProperties") -> Mapping[str, Any]:
    found = item.get(field)
    return found if isinstance(found, dict) else {}


def rfc3339(time_ns: int) -> str:
    moment = _EPOCH + timedelta(milliseconds=time_ns // 1_000_000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ns // 1_000_000 % 1000:03}Z"


def time_ns(text: object) -> int | None:
    """RFC 3339 as nanoseconds; None if invalid."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def remote_file(key: str, item: Mapping[str, Any]) -> RemoteFile:
    """A file from Drive's metadata. Raises Integrity if a required field is missing."""
    try:
        size_bytes = size_from_text(key, item["size"])
        file_id = str(item["id"])
    except KeyError:
        raise Integrity(f"{key}: Google's answer has no size or no id") from None
    kept = time_ns(item.get("modifiedTime"))
    own_ns, sha256 = _own(item, kept)
    stored = time_ns(item.get("createdTime"))
    checksums = {
        kind: str(item[field]).lower()
        for kind, field in (("md5", "md5Checksum"), ("sha256", "sha256Checksum"))
        if item.get(field)
    }
    etag = str(item.get("headRevisionId") or checksums.get("md5") or item.get("modifiedTime") or "")
    return RemoteFile(
        key=key,
        size_bytes=size_bytes,
        modified_at=None if own_ns is None else own_ns / 1e9,
        mtime_ns=own_ns,
        attributes=Attributes.parse(_properties(item, "properties")),
        stored_at=None if stored is None else stored / 1e9,
        etag=etag,
        id=file_id,
        checksums=checksums,
        recorded_sha256=sha256,
    )


def folder_object(key: str, item: Mapping[str, Any]) -> RemoteFile | None:
    """A folder stored as an object by this program, or with its mode by rclone; None for any other folder."""
    found = folder(key, item)
    stored = made_by_us(item) or found.attributes.mode is not None
    return found if stored and not item.get("trashed") else None


def folder(key: str, item: Mapping[str, Any]) -> RemoteFile:
    """A folder with its stored metadata."""
    own_ns, _ = _own(item, time_ns(item.get("modifiedTime")))
    stored = time_ns(item.get("createdTime"))
    return RemoteFile(
        key=key,
        size_bytes=0,
        modified_at=None if own_ns is None else own_ns / 1e9,
        mtime_ns=own_ns,
        attributes=Attributes.parse(_properties(item, "properties"), folder=True),
        stored_at=None if stored is None else stored / 1e9,
        id=str(item["id"]),
    )


def _own(item: Mapping[str, Any], kept_ns: int | None) -> tuple[int | None, str]:
    """Our recorded mtime and SHA-256, valid only while modifiedTime agrees: other programs change the file and leave
    our properties as they are."""
    properties = _properties(item)
    try:
        own_ns = int(properties["mtime_ns"])
    except (KeyError, ValueError, TypeError):
        return kept_ns, ""
    if kept_ns is None or own_ns // 1_000_000 != kept_ns // 1_000_000:
        return kept_ns, ""
    sha256 = str(properties.get("sha256", ""))
    return own_ns, sha256 if re.fullmatch(r"[0-9a-f]{64}", sha256) else ""


def ambiguous(key: str, items: Iterable[Mapping[str, Any]]) -> ProviderError:
    """Error for a key that several files share: the caller must choose one by id."""
    ids = ", ".join(sorted(str(item["id"]) for item in items))
    return Conflict(
        f"{key}: several files have that name, with the ids {ids}",
        hint="Use the key from the listing ('name [id=…]'), or rename them in Drive.",
        code="ambiguous",
    )
