"""Hashing a file in one sequential read, ahead of the upload if it has several parts."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Protocol, Self, TypeVar

from providers.contract.cancel import CancelToken
from providers.errors import Integrity, ProviderError, from_os_error

T = TypeVar("T")

_READ_BYTES: Final = 1 << 20
AT_ONCE_BYTES: Final = 1 << 20
"""Up to this size, a thread costs more than reading the file."""

DROPBOX_HASH: Final = "dropbox_hash"
_DROPBOX_BLOCK_BYTES: Final = 4 << 20


class Digest(Protocol):
    """The part of the hashlib interface used here."""

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
"""Algorithms missing in hashlib. For a new one, add it here and to `proof.STRONG_FIRST`."""


def new_digest(algorithm: str) -> Digest:
    """An empty digest: one of our own algorithms, or any of hashlib's."""
    own = _OWN.get(algorithm)
    return own() if own else hashlib.new(algorithm, usedforsecurity=False)


def digest_of(algorithm: str, data: bytes) -> str:
    digest = new_digest(algorithm)
    digest.update(data)
    return digest.hexdigest()


def composite(algorithm: str, part_digests: Sequence[str]) -> str:
    """The checksum of checksums that multipart services report: '<hex>-<parts>' over the binary digests of the parts.

    Source: Amazon S3 User Guide, "Checking object integrity", composite checksums; the multipart ETag is the same
    over MD5.
    """
    joined = b"".join(bytes.fromhex(digest) for digest in part_digests)
    return f"{hashlib.new(algorithm, joined, usedforsecurity=False).hexdigest()}-{len(part_digests)}"


@dataclass(frozen=True)
class LocalDigests:
    """Digests of the local bytes, lower-case hex."""

    size_bytes: int
    whole: Mapping[str, str]
    """Digests over all bytes; 'sha256' always."""
    parts: tuple[Mapping[str, str], ...]

    @property
    def sha256(self) -> str:
        return self.whole["sha256"]

    def value(self, kind: str) -> str | None:
        """The digest that a service calls `kind` ('md5', 'md5-composite', 'sha256', ...), or None if unknown."""
        if kind in self.whole:
            return self.whole[kind]
        algorithm, _, form = kind.partition("-")
        found = [part[algorithm] for part in self.parts if algorithm in part]
        if len(found) != len(self.parts) or not found:
            return None
        if form == "composite":
            return composite(algorithm, found)
        return found[0] if not form and len(found) == 1 else None


class Hasher(Protocol):
    """Digests of a file that is read once, in order. A context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def part(self, index: int) -> dict[str, str]:
        """The digests of part `index`; waits for them. Raises ProviderError."""

    def release(self) -> None:
        """One more part is finished; the hasher may read further ahead."""

    def finish(self) -> LocalDigests:
        """All digests; waits for the end of the file. Raises ProviderError."""


def hasher(
    fd: int,
    part_sizes: Sequence[int],
    algorithms: Sequence[str],
    cancel: CancelToken,
    *,
    lead_parts: int,
    whole_algorithms: Sequence[str] = (),
) -> Hasher:
    """The hasher for the size: for a small file, a thread costs more than reading."""
    if len(part_sizes) == 1 and part_sizes[0] <= AT_ONCE_BYTES:
        return HasherAtOnce(fd, part_sizes[0], algorithms, cancel, whole_algorithms=whole_algorithms)
    return AheadHasher(fd, part_sizes, algorithms, cancel, lead_parts=lead_parts, whole_algorithms=whole_algorithms)


class HasherAtOnce:
    """Reads a file of one part when its digests are first requested."""

    def __init__(
        self,
        fd: int,
        size_bytes: int,
        algorithms: Sequence[str],
        cancel: CancelToken,
        *,
        whole_algorithms: Sequence[str] = (),
    ) -> None:
        self._fd = fd
        self._size = size_bytes
        self._algorithms = algorithms
        self._whole_algorithms = ("sha256", *whole_algorithms)
        self._cancel = cancel
        self._found: LocalDigests | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to end."""

    def part(self, index: int) -> dict[str, str]:
        return dict(self.finish().parts[index])

    def release(self) -> None:
        """Nothing was read ahead."""

    def finish(self) -> LocalDigests:
        self._cancel.check()
        if self._found is None:
            whole = {name: new_digest(name) for name in self._whole_algorithms}
            try:
                part = _hash(self._fd, 0, self._size, self._algorithms, list(whole.values()), self._cancel.check)
            except OSError as error:
                raise from_os_error(error, "source") from None
            digests_of_whole = {name: digest.hexdigest() for name, digest in whole.items()}
            self._found = LocalDigests(self._size, digests_of_whole, (part,))
        return self._found


class AheadHasher:
    """Reads a file once, in order, in its own thread, and provides the digests of each part as soon as it is read.

    Stays at most `lead_parts` ahead of `release`, so that parts are still in the page cache when they are sent. Leaving
    the context ends the thread.
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

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._lead.release()
        self._thread.join()

    def part(self, index: int) -> dict[str, str]:
        return self._result(self._parts[index])

    def release(self) -> None:
        self._lead.release()

    def finish(self) -> LocalDigests:
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
                digests = _hash(self._fd, offset, size, self._algorithms, list(whole.values()), self._check)
                self._parts[index].set_result(digests)
                offset += size
            self._whole.set_result({name: digest.hexdigest() for name, digest in whole.items()})
        except (ProviderError, OSError) as error:
            failure = from_os_error(error, "source") if isinstance(error, OSError) else error
            for part in self._parts[index:]:
                if not part.done():
                    part.set_exception(failure)
            self._whole.set_exception(failure)

    def _check(self) -> None:
        if self._stop.is_set():
            self._cancel.check()
            raise Integrity("hashing was stopped")


def sha256_of(fd: int, size_bytes: int, cancel: CancelToken) -> str:
    """SHA-256 of the first `size_bytes` of an open file. Raises ProviderError."""
    return HasherAtOnce(fd, size_bytes, (), cancel).finish().sha256


def digests_of_window(
    fd: int, offset: int, size_bytes: int, algorithms: Sequence[str], cancel: CancelToken
) -> dict[str, str]:
    """Digests of one range of an open file. Raises ProviderError."""
    try:
        return _hash(fd, offset, size_bytes, algorithms, (), cancel.check)
    except OSError as error:
        raise from_os_error(error, "source") from None


def _hash(
    fd: int,
    offset: int,
    size: int,
    algorithms: Sequence[str],
    whole: Sequence[Digest],
    check: Callable[[], None],
) -> dict[str, str]:
    """Digests of one range of a file; its bytes are also added to those of `whole`."""
    digests = [new_digest(name) for name in algorithms]
    end = offset + size
    while offset < end:
        check()
        data = os.pread(fd, min(_READ_BYTES, end - offset), offset)
        if not data:
            raise Integrity("the file shrank while it was read", hint="Upload it again when nothing writes to it.")
        for digest in (*whole, *digests):
            digest.update(data)
        offset += len(data)
    return {name: digest.hexdigest() for name, digest in zip(algorithms, digests, strict=True)}
