"""Part of a file as a request body, read in place without copies."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

from providers.contract.cancel import CancelToken
from providers.contract.throttle import Limiter
from providers.errors import Integrity


class MemoryBody(io.BytesIO):
    """A small body in memory; a `providers.contract.upload.PartBody`."""

    def __len__(self) -> int:
        return self.getbuffer().nbytes


class FileWindow:
    """The bytes [offset, offset + size_bytes) of an open file, read by `pread`; a `providers.contract.upload.PartBody`.

    Several windows share one descriptor. `read` waits for the bandwidth limit and reports its position to
    `on_position`. It raises Cancelled when asked to stop, and Integrity if the file ends early.
    """

    def __init__(
        self,
        fd: int,
        offset: int,
        size_bytes: int,
        *,
        limiter: Limiter,
        cancel: CancelToken,
        on_position: Callable[[int], None],
        path: Path | None = None,
    ) -> None:
        """`path` is the location of the file, for a service that only accepts whole files."""
        self.path = path
        self._fd = fd
        self._offset = offset
        self._size = size_bytes
        self._position = 0
        self._limiter = limiter
        self._cancel = cancel
        self._on_position = on_position

    def read(self, size: int = -1, /) -> bytes:
        self._cancel.check()
        wanted = self._size - self._position
        if size >= 0:
            wanted = min(size, wanted)
        if not wanted:
            return b""
        if size >= 0:  # read() without a size must return everything
            wanted = self._limiter.grain_bytes(wanted)
        self._limiter.take(wanted, self._cancel)
        data = os.pread(self._fd, wanted, self._offset + self._position)
        if not data:
            raise Integrity("the file shrank while it was read", hint="Upload it again when nothing writes to it.")
        self._position += len(data)
        self._on_position(self._position)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = min(max(0, start + offset), self._size)
        self._on_position(self._position if self._position < self._size else 0)
        return self._position

    def tell(self) -> int:
        return self._position

    def __len__(self) -> int:
        return self._size
