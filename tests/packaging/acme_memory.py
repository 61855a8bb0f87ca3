"""A storage plug-in that keeps objects in memory. `test_plug_in_author.py` installs this file beside the wheel."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from providers.base import BaseProvider, RangeReader
from providers.contract.capabilities import Capabilities
from providers.contract.objects import Page, RemoteFile
from providers.contract.upload import Part, PartBody, PartReceipt, PendingUpload, UploadRequest, UploadSession
from providers.errors import Conflict, Integrity, NotFound, Transient
from providers.settings import ProviderSettings

CHUNK_BYTES = 65536


@dataclass
class Stored:
    data: bytes
    stored_at: float = 1.0
    mtime_ns: int | None = None

    def described(self, key: str) -> RemoteFile:
        sha256 = hashlib.sha256(self.data).hexdigest()
        return RemoteFile(
            key=key,
            size_bytes=len(self.data),
            stored_at=self.stored_at,
            mtime_ns=self.mtime_ns,
            etag=sha256,
            checksums={"sha256": sha256},
        )


@dataclass
class Unfinished:
    request: UploadRequest
    started_at: float
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass
class Container:
    objects: dict[str, Stored] = field(default_factory=dict)
    unfinished: dict[str, Unfinished] = field(default_factory=dict)


CONTAINERS = {"suite": Container(), "other": Container()}
_LOCK = threading.Lock()
_NUMBERS = itertools.count(1)


class AcmeSettings(ProviderSettings, kw_only=True, frozen=True):
    """Objects in memory."""

    title: ClassVar[str] = "Acme"
    not_applicable: ClassVar[frozenset[str]] = frozenset(
        {"region", "username", "password", "api_key", "secret_key", "timeout"}
    )


class AcmeProvider(BaseProvider):
    name = "acme"
    Settings = AcmeSettings
    tells_sessions = True
    declared = Capabilities(parallel_parts=True, conditional_commit=True, part_digests=("sha256",))

    @property
    def capabilities(self) -> Capabilities:
        return self.declared

    @property
    def location(self) -> str:
        return f"acme {self.settings.container}"

    @property
    def _container(self) -> Container:
        if self.settings.container not in CONTAINERS:
            raise NotFound(f"{self.settings.container}: no such container")
        return CONTAINERS[self.settings.container]

    def scan(self, prefix: str = "", *, delimiter: str = "", token: str | None = None, limit: int = 1000) -> Page:
        files: dict[str, Stored] = {}
        names: set[str] = set()
        for key, stored in list(self._container.objects.items()):
            if key.startswith(prefix):
                end = key.find(delimiter, len(prefix)) if delimiter else -1
                names.add(key if end < 0 else key[: end + 1])
                files[key] = stored
        rest = sorted(name for name in names if name > (token or ""))
        page = rest[:limit]
        return Page(
            files=tuple(files[name].described(name) for name in page if name in files),
            prefixes=tuple(name for name in page if name not in files),
            next_token=page[-1] if len(rest) > limit else None,
        )

    def _found(self, key: str) -> Stored:
        found = self._container.objects.get(key)
        if found is None:
            raise NotFound(f"{key}: no such object")
        return found

    def stat(self, key: str) -> RemoteFile:
        return self._found(key).described(key)

    def read_range(self, key: str, offset: int, size_bytes: int, *, etag: str = "") -> RangeReader:
        found = self._found(key)
        if etag and etag != found.described(key).etag:
            raise Conflict(f"{key}: has changed")
        return Reader(found.data, offset, size_bytes)

    def remove(self, key: str) -> None:
        self._found(key)
        self._container.objects.pop(key, None)

    def open_upload(self, request: UploadRequest, *, token: dict[str, Any] | None = None) -> UploadSession:
        self.check_name(request.key)
        if token is None:
            token = {"number": str(next(_NUMBERS))}
            self._container.unfinished[token["number"]] = Unfinished(request, self.context.now())
        return Session(self._container, request, token["number"], self.context.now())

    def unfinished_uploads(self) -> list[PendingUpload]:
        return [
            PendingUpload(
                key=one.request.key,
                token={"number": number},
                started_at=one.started_at,
                session_id=one.request.session_id,
                size_bytes=sum(map(len, one.parts.values())),
            )
            for number, one in self._container.unfinished.items()
        ]

    def pending_uploads(self, key: str) -> list[PendingUpload]:
        return [upload for upload in self.unfinished_uploads() if upload.key == key]

    def discard_unfinished(self, upload: PendingUpload) -> None:
        self._container.unfinished.pop(upload.token["number"], None)

    def check_reach(self) -> str:
        return "memory"

    def check_authentication(self) -> str:
        return "nobody"

    def check_container(self) -> str:
        return f"{len(self._container.objects)} objects"


class Session(UploadSession):
    def __init__(self, container: Container, request: UploadRequest, number: str, now: float) -> None:
        self.request = request
        self._container = container
        self._number = number
        self._now = now

    @property
    def token(self) -> dict[str, Any]:
        return {"number": self._number}

    @property
    def _parts(self) -> dict[int, bytes]:
        found = self._container.unfinished.get(self._number)
        if found is None:
            raise NotFound("no such upload")
        return found.parts

    def _receipt(self, index: int, data: bytes) -> PartReceipt:
        return PartReceipt(index=index, size_bytes=len(data), digests={"sha256": hashlib.sha256(data).hexdigest()})

    def confirmed(self) -> Sequence[PartReceipt]:
        return [self._receipt(index, data) for index, data in sorted(self._parts.items())]

    def send(self, part: Part, body: PartBody, digests: Mapping[str, str]) -> PartReceipt:
        data = b"".join(iter(lambda: body.read(CHUNK_BYTES), b""))
        self._parts[part.index] = data
        return self._receipt(part.index, data)

    def commit(self, receipts: Sequence[PartReceipt]) -> RemoteFile:
        key = self.request.key
        with _LOCK:
            if self.request.only_if_absent and key in self._container.objects:
                raise Conflict(f"{key}: is already there")
            data = b"".join(self._parts[receipt.index] for receipt in receipts)
            self._container.objects[key] = Stored(data, self._now, self.request.mtime_ns)
        self.abort()
        return self._container.objects[key].described(key)

    def abort(self) -> None:
        self._container.unfinished.pop(self._number, None)

    def interrupt(self) -> None:
        """No call can stall."""


class Reader(RangeReader):
    def __init__(self, data: bytes, offset: int, size_bytes: int) -> None:
        self.total_bytes = len(data)
        self._range = data[offset : offset + size_bytes]
        self._missing_bytes = size_bytes - len(self._range)
        self._interrupted = False

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._range), CHUNK_BYTES):
            if self._interrupted:
                raise Transient("interrupted")
            yield self._range[start : start + CHUNK_BYTES]
        if self._missing_bytes:
            raise Integrity("the object ends early")

    def interrupt(self) -> None:
        self._interrupted = True

    def close(self) -> None:
        """Nothing to release."""
