"""A storage service in memory for tests of the part loops. It fails on demand and counts its calls."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from providers.base import BaseProvider, RangeReader
from providers.contract.capabilities import Capabilities
from providers.contract.digests import composite
from providers.contract.objects import Page, RemoteFile
from providers.contract.upload import Part, PartBody, PartReceipt, PendingUpload, UploadRequest, UploadSession
from providers.errors import Conflict, NotFound, ProviderError, Transient
from providers.settings import ProviderSettings

MIB = 2**20


class MemorySettings(ProviderSettings, kw_only=True, frozen=True):
    """Keeps objects in memory."""

    title: ClassVar[str] = "Memory"


class MemoryStore:
    """State that outlives a connection: objects, unfinished sessions, and a record of every call."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.sessions: dict[str, dict[int, bytes]] = {}
        self.keys: dict[str, str] = {}
        self.started: dict[str, float] = {}
        self.calls: list[tuple[str, Any]] = []
        self.trouble: Callable[[str, Any], None] = lambda call, about: None
        self.checksums = True
        self.now = 1000.0

    def called(self, call: str, about: Any = None) -> None:
        self.calls.append((call, about))
        self.trouble(call, about)

    def count(self, call: str) -> int:
        return sum(1 for name, _ in self.calls if name == call)


class MemoryProvider(BaseProvider):
    """`capabilities` may be replaced on the instance."""

    name = "memory"
    Settings = MemorySettings

    def __init__(self, store: MemoryStore, *, context: Any = None, **config: Any) -> None:
        super().__init__(config, context=context)
        self.store = store
        self.can = Capabilities(parallel_parts=True, min_part_bytes=1, part_digests=("md5",))

    @property
    def capabilities(self) -> Capabilities:
        return self.can

    @property
    def location(self) -> str:
        return "memory"

    def scan(self, prefix: str = "", *, delimiter: str = "", token: str | None = None, limit: int = 1000) -> Page:
        self.store.called("scan", prefix)
        keys = sorted(key for key in self.store.objects if key.startswith(prefix) and key > (token or ""))
        page = keys[:limit]
        return Page(
            files=tuple(self._describe(key) for key in page), next_token=page[-1] if len(keys) > limit else None
        )

    def _describe(self, key: str, checksums: Mapping[str, str] | None = None) -> RemoteFile:
        data = self.store.objects[key]
        return RemoteFile(
            key=key,
            size_bytes=len(data),
            etag=hashlib.sha1(data).hexdigest(),
            checksums=dict(checksums or {}) if self.store.checksums else {},
        )

    def stat(self, key: str) -> RemoteFile:
        self.store.called("stat", key)
        if key not in self.store.objects:
            raise NotFound(f"{key}: no such object")
        return self._describe(key, {"md5": hashlib.md5(self.store.objects[key]).hexdigest()})

    def open_upload(self, request: UploadRequest, *, token: dict[str, Any] | None = None) -> UploadSession:
        if token is None:
            self.store.called("open", request.key)
            token = {"id": f"session-{len(self.store.started)}"}
            self.store.sessions[token["id"]] = {}
            self.store.keys[token["id"]] = request.key
            self.store.started[token["id"]] = self.store.now
        return MemorySession(self, request, token["id"])

    def pending_uploads(self, key: str) -> list[PendingUpload]:
        self.store.called("pending", key)
        return [
            PendingUpload(key=key, token={"id": name}, started_at=self.store.started[name])
            for name in self.store.sessions
            if self.store.keys[name] == key
        ]

    def read_range(self, key: str, offset: int, size_bytes: int, *, etag: str = "") -> RangeReader:
        self.store.called("read", (offset, size_bytes))
        if etag and self._describe(key).etag != etag:
            raise Conflict("changed")
        return MemoryReader(self.store, self.store.objects[key][offset : offset + size_bytes])

    def remove(self, key: str) -> None:
        self.store.called("remove", key)
        if self.store.objects.pop(key, None) is None:
            raise NotFound(key)

    def check_reach(self) -> str:
        self.store.called("reach")
        return "memory"

    def check_authentication(self) -> str:
        return "nobody"

    def check_container(self) -> str:
        return "memory"


class MemoryReader(RangeReader):
    def __init__(self, store: MemoryStore, data: bytes) -> None:
        self._store = store
        self._data = data
        self._interrupted = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._data), 64 * 1024):
            self._store.called("chunk", start)
            if self._interrupted.is_set():
                raise Transient("interrupted")
            yield self._data[start : start + 64 * 1024]

    def interrupt(self) -> None:
        self._interrupted.set()

    def close(self) -> None:
        """Nothing to close."""


class MemorySession(UploadSession):
    def __init__(self, provider: MemoryProvider, request: UploadRequest, name: str) -> None:
        self.request = request
        self._provider = provider
        self._store = provider.store
        self._name = name
        self.interrupted = threading.Event()

    @property
    def token(self) -> dict[str, Any] | None:
        return {"id": self._name}

    def _parts(self) -> dict[int, bytes]:
        if self._name not in self._store.sessions:
            raise NotFound("no such session")
        return self._store.sessions[self._name]

    def confirmed(self) -> Sequence[PartReceipt]:
        self._store.called("confirmed", self._name)
        return [self._receipt(index, data) for index, data in self._parts().items()]

    @staticmethod
    def _receipt(index: int, data: bytes) -> PartReceipt:
        md5 = hashlib.md5(data).hexdigest()
        return PartReceipt(index=index, size_bytes=len(data), tag=md5, digests={"md5": md5})

    def send(self, part: Part, body: PartBody, digests: Mapping[str, str]) -> PartReceipt:
        self._store.called("send", part.index)
        data = b""
        while chunk := body.read(64 * 1024):
            data += chunk
            self._store.called("byte", (part.index, len(data)))
        assert hashlib.md5(data).hexdigest() == digests["md5"]
        self._parts()[part.index] = data
        self._store.called("sent", part.index)
        return self._receipt(part.index, data)

    def commit(self, receipts: Sequence[PartReceipt]) -> RemoteFile:
        self._store.called("commit", self.request.key)
        parts = self._parts()
        if self.request.only_if_absent and self.request.key in self._store.objects:
            raise Conflict("there is one")
        self._store.objects[self.request.key] = b"".join(parts[receipt.index] for receipt in receipts)
        del self._store.sessions[self._name]
        self._store.called("committed", self.request.key)
        kind = {"md5-composite": composite("md5", [receipt.tag for receipt in receipts])}
        return self._provider._describe(self.request.key, kind)

    def abort(self) -> None:
        self._store.called("abort", self._name)
        self._store.sessions.pop(self._name, None)

    def interrupt(self) -> None:
        self.interrupted.set()


class KeptCheckpoint:
    """A checkpoint kept by the test, encoded as on disk."""

    def __init__(self, saved_type: type[Any]) -> None:
        self._type = saved_type
        self._kept: bytes | None = None
        self.receipts: list[Any] = []

    def load(self) -> Any:
        return msgspec.json.decode(self._kept, type=self._type) if self._kept else None

    def save(self, saved: Any) -> None:
        self._kept = msgspec.json.encode(saved)

    def part_done(self, done: Any) -> None:
        self.receipts.append(done)
        saved = self.load()
        if hasattr(saved, "done"):
            self.save(msgspec.structs.replace(saved, done=(*saved.done, done)))
        else:
            self.save(msgspec.structs.replace(saved, receipts=(*saved.receipts, done)))

    def clear(self) -> None:
        self._kept = None


def failing(call: str, error: ProviderError, *, at: Any = None, times: int = 1) -> Callable[[str, Any], None]:
    """A fault for MemoryStore: the first `times` calls of `call` (about `at`) raise `error`."""
    left = [times]

    def trouble(name: str, about: Any) -> None:
        if name == call and (at is None or about == at) and left[0] > 0:
            left[0] -= 1
            raise error

    return trouble
