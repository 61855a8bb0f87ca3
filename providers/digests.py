"""One sequential reader that hashes a file ahead of its parts."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from providers.cancel import CancelToken
from providers.errors import Integrity, ProviderError
from providers.os_errors import from_os_error

T = TypeVar("T")

_READ_BYTES: Final = 1 << 20
_AT_ONCE_BYTES: Final = 1 << 20

DROPBOX_HASH: Final = "dropbox_hash"
_DROPBOX_BLOCK_BYTES: Final = 4 << 20


class Digest(Protocol):
    """What hashlib's objects do, as far as it is needed here."""

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class DropboxHash:
    """SHA-256 over the SHA-256 of each block of 4 MiB.

    Source: https://www.dropbox.com/developers/reference/content-hash
    """

    def __init__(self) -> None:
        self._blocks = hashlib.sha256()
        self._block = hashlib.sha256()
        self._room = _DROPBOX_BLOCK_BYTES

    def update(self, data: bytes, /) -> None:
        view = memoryview(data)
        while view:
            taken = view[: self._room]
            self._block.update(taken)
            self._room -= len(taken)
            view = view[len(taken) :]
            if not self._room:
                self._blocks.update(self._block.digest())
                self._block, self._room = hashlib.sha256(), _DROPBOX_BLOCK_BYTES

    def hexdigest(self) -> str:
        whole = self._blocks.copy()
        if self._room < _DROPBOX_BLOCK_BYTES:
            whole.update(self._block.digest())
        return whole.hexdigest()


_OWN: Final[dict[str, Callable[[], Digest]]] = {DROPBOX_HASH: DropboxHash}
"""Algorithms that hashlib has not. A service that needs another adds it here, and to `proof.STRONG_FIRST`."""


def new_digest(algorithm: str) -> Digest:
    """An empty digest: one of our own names, or any of hashlib's."""
    own = _OWN.get(algorithm)
    return own() if own else hashlib.new(algorithm, usedforsecurity=False)


def digest_of(algorithm: str, data: bytes) -> str:
    digest = new_digest(algorithm)
    digest.update(data)
    return digest.hexdigest()


def composite(algorithm: str, part_digests: Sequence[str]) -> str:
    """The checksum of checksums that multipart services report: '<hex>-<parts>' over the parts' binary digests.

    Source: Amazon S3 User Guide, "Checking object integrity", composite checksums; the multipart ETag is the same
    over MD5.
    """
    joined = b"".join(bytes.fromhex(digest) for digest in part_digests)
    return f"{hashlib.new(algorithm, joined, usedforsecurity=False).hexdigest()}-{len(part_digests)}"


@dataclass(frozen=True)
class LocalDigests:
    """What we know of the bytes on our side; all digests lower-case hex."""

    size_bytes: int
    whole: Mapping[str, str]
    """Digests over all bytes; 'sha256' always."""
    parts: tuple[Mapping[str, str], ...]

    @property
    def sha256(self) -> str:
        return self.whole["sha256"]

    def value(self, kind: str) -> str | None:
        """The digest that a service calls `kind` ('md5', 'md5-composite', 'sha256', ...), or None when it is not
        known."""
        if kind in self.whole:
            return self.whole[kind]
        algorithm, _, form = kind.partition("-")
        found = [part[algorithm] for part in self.parts if algorithm in part]
        if len(found) != len(self.parts) or not found:
            return None
        if form == "composite":
            return composite(algorithm, found)
        return found[0] if not form and len(found) == 1 else None


class AheadHasher:
    """Reads a file once, in order, in its own thread, and gives each part's digests as soon as it has passed the part.

    A file so small that a thread would cost more than the reading is hashed on entering. It runs at most `lead_parts`
    ahead of what has been released, so that the parts are still in the page cache when they are sent. Use it as a
    context manager: leaving ends the thread.
    """

    def __init__(
        self,
        fd: int,
        part_sizes: Sequence[int],
        algorithms: Sequence[str],
        cancel: CancelToken,
        *,
        lead_parts: int,
        whole_algorithms: Sequence[str] = (),
        wait_for_part: Callable[[int], None] | None = None,
    ) -> None:
        self._fd = fd
        self._sizes = part_sizes
        self._algorithms = tuple(algorithms)
        self._whole_algorithms = ("sha256", *whole_algorithms)
        self._cancel = cancel
        self._stop = threading.Event()
        self._lead = threading.Semaphore(lead_parts)
        self._wait_for_part = wait_for_part
        self._whole: Future[dict[str, str]] = Future()
        self._parts: list[Future[dict[str, str]]] = [Future() for _ in part_sizes]
        self._thread = threading.Thread(target=self._run, name="hasher", daemon=True)

    def __enter__(self) -> AheadHasher:
        if self._wait_for_part is None and len(self._sizes) == 1 and self._sizes[0] <= _AT_ONCE_BYTES:
            self._run()
        else:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._lead.release()
        if self._thread.ident is not None:
            self._thread.join()

    def part(self, index: int) -> dict[str, str]:
        """The digests of part `index`; waits for them. Raises ProviderError."""
        return self._result(self._parts[index])

    def release(self) -> None:
        """One part more has been dealt with."""
        self._lead.release()

    def finish(self) -> LocalDigests:
        """All digests; waits for the end of the file. Raises ProviderError."""
        whole = self._result(self._whole)
        parts = tuple(self._result(part) for part in self._parts)
        return LocalDigests(sum(self._sizes), whole, parts)

    def _result(self, future: Future[T]) -> T:
        while True:
            self._cancel.check()
            try:
                return future.result(timeout=0.2)
            except TimeoutError:
                continue

    def _run(self) -> None:
        whole = {name: new_digest(name) for name in self._whole_algorithms}
        offset = 0
        index = 0
        try:
            for index, size in enumerate(self._sizes):
                self._lead.acquire()
                if self._wait_for_part:
                    self._wait_for_part(index)
                self._parts[index].set_result(self._hash_part(list(whole.values()), offset, size))
                offset += size
            self._whole.set_result({name: digest.hexdigest() for name, digest in whole.items()})
        except (ProviderError, OSError) as error:
            failure = from_os_error(error, "source") if isinstance(error, OSError) else error
            for part in self._parts[index:]:
                if not part.done():
                    part.set_exception(failure)
            self._whole.set_exception(failure)

    def _hash_part(self, whole: Sequence[Digest], offset: int, size: int) -> dict[str, str]:
        digests = [new_digest(name) for name in self._algorithms]
        end = offset + size
        while offset < end:
            if self._stop.is_set():
                self._cancel.check()
                raise Integrity("hashing was stopped")
            data = os.pread(self._fd, min(_READ_BYTES, end - offset), offset)
            if not data:
                raise Integrity(
                    "the file became shorter while it was read", hint="Send it again once nothing writes to it."
                )
            for digest in (*whole, *digests):
                digest.update(data)
            offset += len(data)
        return {name: digest.hexdigest() for name, digest in zip(self._algorithms, digests, strict=True)}
