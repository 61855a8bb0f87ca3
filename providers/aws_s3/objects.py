"""Objects: conversion between S3's headers and listings and RemoteFile."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final
from xml.etree.ElementTree import Element

from providers.aws_s3 import etags
from providers.aws_s3.discovery import KeySpelling, ServerFacts
from providers.contract.attributes import Attributes
from providers.contract.listing import whole, without_base
from providers.contract.objects import Page, RemoteFile, size_from_text
from providers.contract.upload import UploadRequest
from providers.errors import Integrity, InvalidName, ProviderError, Unsupported
from providers.http.errors import http_date

MAX_KEY_BYTES: Final = 1024
_META: Final = "x-amz-meta-"
_SHA256: Final = re.compile(r"[0-9a-f]{64}(-[0-9]{1,5})?")
_MAX_MTIME_S: Final = 2**62 / 1e9


def checked_key(prefix: str, key: str) -> str:
    """The whole key. Raises InvalidName for names that S3 cannot hold or other programs could not download."""
    try:
        size = len((prefix + key).encode())
    except UnicodeEncodeError:
        raise InvalidName(f"'{key}': S3 names must be Unicode; this one contains other bytes") from None
    if not key or size > MAX_KEY_BYTES:
        raise InvalidName(f"'{key}': a name may have 1 to {MAX_KEY_BYTES} bytes; with the prefix, this one has {size}")
    if "\0" in key or any(part in (".", "..") for part in key.split("/")):
        raise InvalidName(f"'{key}': a name must not contain NUL, and no part of it may be '.' or '..'")
    return prefix + key


def checked_new_key(prefix: str, key: str) -> str:
    """As `checked_key`; also refuses names that could not be restored to a disk."""
    if key.startswith("/") or "//" in key:
        raise InvalidName(f"'{key}': a name must be relative, without empty parts")
    return checked_key(prefix, key)


def base64_of(hex_digest: str) -> str:
    return base64.b64encode(bytes.fromhex(hex_digest)).decode("ascii")


def hex_of(base64_digest: str) -> str:
    """'' for invalid base64. A composite checksum ('…-3') keeps its part count."""
    digest, dash, count = base64_digest.partition("-")
    try:
        return base64.b64decode(digest, validate=True).hex() + dash + count
    except (binascii.Error, ValueError):
        return ""


def metadata_headers(request: UploadRequest) -> dict[str, str]:
    """Our metadata: `mtime` (seconds with a fraction, as text), `mode`, `uid` and `gid` in rclone's format, and
    `sha256` if known."""
    headers = {"content-type": "application/octet-stream"}
    if request.mtime_ns is not None:
        headers[f"{_META}mtime"] = f"{Decimal(request.mtime_ns).scaleb(-9):f}"
    headers |= {_META + name: value for name, value in request.attributes.as_metadata().items()}
    if request.sha256:
        headers[f"{_META}sha256"] = request.sha256
    return headers


def checksums_of(headers: Mapping[str, str], facts: ServerFacts) -> dict[str, str]:
    """Checksums computed by the service. An ETag counts as an MD5 if it has the form of one, unless the server was seen
    to do otherwise or the object is encrypted with a KMS or customer key."""
    found: dict[str, str] = {}
    etag = etags.parse(headers.get("etag", ""))
    encrypted = headers.get("x-amz-server-side-encryption", "AES256") != "AES256" or any(
        name.startswith("x-amz-server-side-encryption-customer") for name in headers
    )
    if not encrypted:
        if etag.md5 and facts.etag_is_md5:
            found["md5"] = etag.md5
        if etag.composite and facts.composite_is_md5:
            found["md5-composite"] = etag.composite
    sha256 = hex_of(headers.get("x-amz-checksum-sha256", ""))
    if _SHA256.fullmatch(sha256):
        found["sha256-composite" if "-" in sha256 else "sha256"] = sha256
    return found


def from_headers(key: str, headers: Mapping[str, str], facts: ServerFacts, size_bytes: int) -> RemoteFile:
    """An object from its HEAD headers. The size comes separately because HEAD may omit it."""
    stored_at = http_date(headers.get("last-modified", ""))
    mtime_ns = _mtime_ns(headers.get("x-amz-meta-mtime", ""))
    recorded = headers.get("x-amz-meta-sha256", "").lower()
    return RemoteFile(
        key=key,
        size_bytes=size_bytes,
        modified_at=stored_at if mtime_ns is None else mtime_ns / 1e9,
        mtime_ns=mtime_ns,
        attributes=_attributes(key, headers),
        stored_at=stored_at,
        etag=etags.parse(headers.get("etag", "")).text,
        id=headers.get("x-amz-version-id", ""),
        checksums=checksums_of(headers, facts),
        recorded_sha256=recorded if re.fullmatch(r"[0-9a-f]{64}", recorded) else "",
    )


def _attributes(key: str, headers: Mapping[str, str]) -> Attributes:
    metadata = {name: headers[_META + name] for name in ("mode", "uid", "gid") if _META + name in headers}
    return Attributes.parse(metadata, folder=key.endswith("/"))


def just_stored(request: UploadRequest, headers: Mapping[str, str], facts: ServerFacts) -> RemoteFile:
    """An object from the reply to the request that stored it."""
    return RemoteFile(
        key=request.key,
        size_bytes=request.size_bytes,
        modified_at=None if request.mtime_ns is None else request.mtime_ns / 1e9,
        mtime_ns=request.mtime_ns,
        attributes=request.attributes,
        etag=etags.parse(headers.get("etag", "")).text,
        id=headers.get("x-amz-version-id", ""),
        checksums=checksums_of(headers, facts),
        part_size_bytes=request.part_size_bytes if request.part_count > 1 else None,
        recorded_sha256=request.sha256,
    )


def page(
    root: Element,
    prefix: str,
    spelling: KeySpelling = KeySpelling.UNKNOWN,
    troubles: Iterable[ProviderError] = (),
) -> Page:
    """A ListObjectsV2 answer, with the provider's prefix removed from the keys. `troubles`: parse errors so far.
    Raises IncompleteListing if there are any, or if an entry is invalid."""
    troubles = list(troubles)
    if spelling is KeySpelling.UNKNOWN:
        url_encoded = (root.findtext("EncodingType") or "").strip().lower() == "url"
        spelling = KeySpelling.FORM if url_encoded else KeySpelling.AS_THEY_ARE

    def name(text: str | None) -> str:
        return without_base(spelling.read(text or ""), prefix)

    files: list[RemoteFile] = []
    for item in root.iterfind("Contents"):
        keys, sizes = ({each.text for each in item.iterfind(tag)} for tag in ("Key", "Size"))
        if len(keys) != 1 or len(sizes) != 1:
            troubles.append(Integrity("an object in the server's listing has no key or size, or two of them"))
            continue
        key = name(keys.pop())
        try:
            files.append(_listed(item, key))
        except Integrity as error:
            troubles.append(error)
    folders = [item.findtext("Prefix") for item in root.iterfind("CommonPrefixes")]
    if None in folders:
        troubles.append(Integrity("a folder in the server's listing has no name"))
    truncated = truncation_of(root)
    token = None if truncated == {"false"} else root.findtext("NextContinuationToken") or None
    if token is None and not troubles and not truncated <= {"false", ""}:
        raise Unsupported("this server cannot page through a listing (ListObjectsV2)")
    listed = Page(
        files=tuple(file for file in files if file.key or not prefix),
        prefixes=tuple(name(folder) for folder in folders if folder is not None),
        next_token=token,
    )
    return whole(listed, troubles)


def truncation_of(root: Element) -> set[str]:
    """The listing's IsTruncated values in lower case; {"false"} means that this is the last page."""
    return {(item.text or "").strip().lower() for item in root.iterfind("IsTruncated")}


def goes_on(root: Element, marker: str) -> bool:
    """Whether a listing that continues after `marker` has another page. A missing IsTruncated means no: some servers
    always send a marker."""
    return bool(marker) and not truncation_of(root) <= {"false", ""}


def lacks_marker(root: Element, marker: str) -> bool:
    """Whether a listing has another page but does not say how to request it."""
    return not marker and not truncation_of(root) <= {"false", ""}


def _listed(item: Element, key: str) -> RemoteFile:
    """Raises Integrity for an impossible size."""
    stored_at = iso_date(item.findtext("LastModified") or "")
    return RemoteFile(
        key=key,
        size_bytes=size_from_text(key, item.findtext("Size")),
        modified_at=stored_at,
        stored_at=stored_at,
        etag=etags.parse(item.findtext("ETag") or "").text,
    )


def number(text: str | None, default: int = 0) -> int:
    """A number sent by a server; `default` if it is invalid."""
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 20 else default


def _mtime_ns(text: str) -> int | None:
    """None if it is not a valid mtime: other programs write this metadata too."""
    if not text.isascii() or "_" in text:
        return None
    try:
        seconds = Decimal(text)
        return int(seconds.scaleb(9)) if seconds.is_finite() and abs(seconds) < _MAX_MTIME_S else None
    except ArithmeticError:  # not a number, or an impossible exponent
        return None


def iso_date(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):  # the last two: years out of the C library's range
        return None
